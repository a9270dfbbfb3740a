/*
 * A field is a name, a colon and a value up to the first line that does not begin
 * with a blank; nothing of it is decoded.
 */
#include "relayd/session/header_field.h"

#include <string.h>
#include <strings.h>

size_t
field_name_length(const char *line, size_t len, size_t *colon)
{
	size_t n = 0;

	while (n < len && line[n] > 32 && line[n] < 127 && line[n] != ':')
		n++;
	*colon = n;
	while (*colon < len && (line[*colon] == ' ' || line[*colon] == '\t'))
		(*colon)++;
	return n > 0 && *colon < len && line[*colon] == ':' ? n : 0;
}

bool
field_next(const char *header, size_t len, size_t *at, struct field *f)
{
	size_t end = *at, colon;
	const char *lf;

	*f = (struct field){ .text = header + *at };
	f->name_len = field_name_length(header + *at, len - *at, &colon);
	if (f->name_len == 0)
		return false;
	do {
		lf = memchr(header + end, '\n', len - end);
		end = lf == NULL ? len : (size_t)(lf - header) + 1;
	} while (end < len && (header[end] == ' ' || header[end] == '\t'));
	f->len = end - *at;
	f->value = f->text + colon + 1;
	f->value_len = f->len - colon - 1;
	*at = end;
	return true;
}

bool
field_is(const struct field *f, const char *name)
{
	return f->name_len == strlen(name) && strncasecmp(f->text, name, f->name_len) == 0;
}
