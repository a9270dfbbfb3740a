/*
 * Small text tools of the test smarthost; see text.h.  There is one number parser and one growing
 * buffer in this program, so that a hostile client meets the same limits everywhere.
 */
#include "text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

bool
text_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *number)
{
	uint64_t value = 0;

	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return false;
		uint64_t digit = (uint64_t)(*text - '0');
		if (value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	if (value < min || value > max)
		return false;
	*number = value;
	return true;
}

static unsigned
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	return (unsigned)(tolower((unsigned char)c) - 'a') + 10;
}

/* *from points behind the backslash; it is moved behind the escape. */
static char
unescape_one(const char **from)
{
	static const char names[] = "abfnrtv";
	static const char values[] = "\a\b\f\n\r\t\v";
	const char *p = *from;
	const char *name = *p != '\0' ? strchr(names, *p) : NULL;
	unsigned value = 0;
	int digits = 0;

	if (name != NULL) {
		*from = p + 1;
		return values[name - names];
	}
	if (*p == 'x' && isxdigit((unsigned char)p[1])) {
		for (p++; digits < 2 && isxdigit((unsigned char)*p); digits++)
			value = value * 16 + hex_value(*p++);
	} else if (*p >= '0' && *p <= '7') {
		for (; digits < 3 && *p >= '0' && *p <= '7'; digits++)
			value = value * 8 + (unsigned)(*p++ - '0');
	} else {
		value = (unsigned char)*p++;
	}
	*from = p;
	return (char)(unsigned char)value;
}

size_t
text_unescape(char *text)
{
	const char *from = text;
	char *to = text;

	while (*from != '\0') {
		if (*from == '\\' && from[1] != '\0') {
			from++;
			*to++ = unescape_one(&from);
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
	return (size_t)(to - text);
}

size_t
text_printable(char *out, size_t size, const char *bytes, size_t length)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;

	for (size_t i = 0; i < length && n + 5 < size; i++) {
		unsigned char c = (unsigned char)bytes[i];
		if (c < 0x20 || c == 0x7f) {
			out[n++] = '\\';
			out[n++] = 'x';
			out[n++] = hex[c >> 4];
			out[n++] = hex[c & 15];
		} else {
			out[n++] = (char)c;
		}
	}
	out[n] = '\0';
	return n;
}

bool
text_append(struct text_buffer *buffer, const char *bytes, size_t length)
{
	if (length > buffer->cap || buffer->length > buffer->cap - length)
		return false;
	size_t needed = buffer->length + length + 1;
	if (needed > buffer->size) {
		size_t size = needed < 256 ? 256 : needed * 2;
		char *grown = realloc(buffer->bytes, size);
		if (grown == NULL)
			return false;
		buffer->bytes = grown;
		buffer->size = size;
	}
	memcpy(buffer->bytes + buffer->length, bytes, length);
	buffer->length += length;
	buffer->bytes[buffer->length] = '\0';
	return true;
}

bool
text_append_string(struct text_buffer *buffer, const char *text)
{
	return text_append(buffer, text, strlen(text));
}

const char *
text_string(const struct text_buffer *buffer)
{
	return buffer->bytes != NULL ? buffer->bytes : "";
}

void
text_truncate(struct text_buffer *buffer, size_t length)
{
	buffer->length = length;
	if (buffer->bytes != NULL)
		buffer->bytes[length] = '\0';
}

void
text_free(struct text_buffer *buffer)
{
	free(buffer->bytes);
	buffer->bytes = NULL;
	buffer->length = buffer->size = 0;
}
