/*
 * Strict where it decides (digits, one code in all lines), lenient where it does
 * not (a text may be missing, a bare LF ends a line).
 */
#include "relayd/session/reply.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

int
reply_parse_line(const char *line, size_t len, unsigned *code, const char **text)
{
	if (len < 3 || line[0] < '2' || line[0] > '5' || !isdigit((unsigned char)line[1]) ||
	    !isdigit((unsigned char)line[2]) || memchr(line, '\0', len) != NULL)
		return -1;
	*code = (unsigned)(line[0] - '0') * 100 + (unsigned)(line[1] - '0') * 10 +
		(unsigned)(line[2] - '0');
	*text = line + len;
	if (len == 3)
		return 1;
	if (line[3] != ' ' && line[3] != '-')
		return -1;
	*text = line + 4;
	return line[3] == ' ';
}

/* At most three digits and no more than max of them. */
static const char *
digits(const char *s)
{
	size_t n = strspn(s, "0123456789");

	return n >= 1 && n <= 3 ? s + n : NULL;
}

const char *
reply_parse_enhanced(const char *text, unsigned code, char enhanced[12])
{
	const char *s = text;

	enhanced[0] = '\0';
	if ((unsigned char)*s != '0' + code / 100 || s[1] != '.')
		return text;
	s = digits(s + 2);
	if (s == NULL || *s != '.')
		return text;
	s = digits(s + 1);
	if (s == NULL || (*s != ' ' && *s != '\0'))
		return text;
	snprintf(enhanced, 12, "%.*s", (int)(s - text), text);
	return *s == ' ' ? s + 1 : s;
}

int
reply_read(struct stream *s, struct reply *r)
{
	unsigned code, lines = 0;
	char again[sizeof(r->enhanced)];
	const char *text;
	char *line;
	size_t len;
	int last = 0;

	buf_free(&r->text);
	*r = (struct reply){ .text = BUF_INIT(REPLY_OCTETS_MAX) };
	if (stream_await(s) < 0)
		return -1;
	while (!last) {
		if (stream_read_line(s, &line, &len) < 0)
			return -1;
		last = reply_parse_line(line, len, &code, &text);
		if (last < 0)
			return stream_fail(s, STREAM_PROTOCOL,
			    "the smarthost answers with something that is no SMTP reply");
		if (lines > 0 && code != r->code)
			return stream_fail(
			    s, STREAM_PROTOCOL, "the smarthost changes the code within one reply");
		if (lines++ == 0)
			text = reply_parse_enhanced(text, r->code = code, r->enhanced);
		else if (buf_add_char(&r->text, '\n') == 0)
			text = reply_parse_enhanced(text, code, again);
		buf_add_string(&r->text, text);
		if (lines > REPLY_LINES_MAX || r->text.failed)
			return stream_fail(
			    s, STREAM_PROTOCOL, "the smarthost sends a reply without end");
	}
	return 0;
}

void
reply_free(struct reply *r)
{
	buf_free(&r->text);
}

char *
reply_line(const struct reply *r, char *dst, size_t size)
{
	struct buf b = BUF_INIT(REPLY_OCTETS_MAX + 64);

	buf_addf(&b, "%u%s%s ", r->code, r->enhanced[0] == '\0' ? "" : " ", r->enhanced);
	buf_add_string(&b, buf_string(&r->text));
	for (size_t i = 0; i < b.len; i++)
		if (b.data[i] == '\n')
			b.data[i] = ' ';
	text_copy_printable(dst, size, buf_string(&b), b.len);
	buf_free(&b);
	return dst;
}
