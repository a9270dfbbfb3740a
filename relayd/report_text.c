/*
 * Replies, addresses and parameters come from outside; whatever they hold, a line
 * here stays a line.
 */
#include "relayd/report_text.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define LINE_COLUMNS 76
#define TEXT_OCTETS_MAX 8192

void
report_add_folded(struct buf *b, const char *text, const char *newline)
{
	const char *last = b->len == 0 ? NULL : memrchr(b->data, '\n', b->len);
	size_t column = last == NULL ? b->len : (size_t)(b->data + b->len - last - 1);

	while (*text != '\0') {
		size_t blanks = strspn(text, " \t"), word = strcspn(text + blanks, " \t");

		/* a line of blanks alone would end the header */
		if (blanks > 0 && word > 0 && column > 1 && column + blanks + word > LINE_COLUMNS) {
			buf_add_string(b, newline);
			column = strlen(newline) - 2;
		}
		buf_append(b, text, blanks + word);
		column += blanks + word;
		text += blanks + word;
	}
}

/* Printable, and without anything beyond ASCII unless utf8. */
static void
printable_add(struct buf *b, const char *text, bool utf8)
{
	struct buf shown = BUF_INIT(TEXT_OCTETS_MAX);

	text_add_printable(&shown, text, strlen(text));
	for (size_t i = 0; i < shown.len; i++) {
		if (utf8 || (unsigned char)shown.data[i] < 0x80)
			buf_add_char(b, shown.data[i]);
		else
			buf_addf(b, "\\x%02x", (unsigned char)shown.data[i]);
	}
	buf_free(&shown);
}

void
report_add_field(struct buf *b, const char *name, const char *type, const char *text, bool utf8)
{
	struct buf value = BUF_INIT(TEXT_OCTETS_MAX);

	buf_addf(&value, "%s;", type);
	printable_add(&value, text, utf8);
	buf_addf(b, "%s: ", name);
	report_add_folded(b, buf_string(&value), "\r\n");
	buf_add_string(b, "\r\n");
	buf_free(&value);
}

void
report_add_xtext(struct buf *b, const char *xtext)
{
	for (const char *s = xtext; *s != '\0'; s++) {
		unsigned value = 0;

		/* RFC 3461: two digits, upper case */
		if (*s == '+' && isxdigit((unsigned char)s[1]) && isxdigit((unsigned char)s[2]) &&
		    sscanf(s + 1, "%2x", &value) == 1 && value >= 0x20 && value < 0x7f) {
			buf_add_char(b, (char)value);
			s += 2;
		} else {
			buf_add_char(b, *s);
		}
	}
}

static uint32_t
code_point(const char *text, size_t n)
{
	const unsigned char *s = (const unsigned char *)text;
	uint32_t c = n < 2 ? s[0] : s[0] & (0xffU >> (n + 1));

	for (size_t i = 1; i < n; i++)
		c = c << 6 | (s[i] & 0x3fU);
	return c;
}

void
report_add_address(struct buf *b, const char *address, bool utf8)
{
	size_t len = strlen(address);

	if (text_is_ascii(address, len)) {
		buf_addf(b, "rfc822;%s", address);
		return;
	}
	buf_add_string(b, "utf-8;");
	if (utf8) {
		printable_add(b, address, true);
		return;
	}
	for (size_t at = 0, n; at < len; at += n) {
		uint32_t c;

		n = text_utf8_length(address + at, len - at);
		n = n == 0 ? 1 : n;
		c = code_point(address + at, n);
		/* utf-8-addr-xtext */
		if (c > 0x20 && c < 0x7f && strchr("\\+=", (int)c) == NULL)
			buf_add_char(b, (char)c);
		else
			buf_addf(b, "\\x{%X}", (unsigned)c);
	}
}

void
report_add_host(struct buf *b, const char *host, bool utf8)
{
	if (strchr(host, ':') != NULL)
		buf_addf(b, "dns;[IPv6:%s]", host);
	else if (host[strspn(host, "0123456789.")] == '\0')
		buf_addf(b, "dns;[%s]", host);
	else {
		buf_add_string(b, "dns;");
		printable_add(b, host, utf8);
	}
}
