/*
 * Lines are taken from the window one by one: what is plain text becomes
 * quoted-printable or base64, and of what is in one of these forms only the lines that
 * a smarthost would refuse are written anew.
 */
#include "sendmail/encode.h"

#include <string.h>

#include "base/encoding.h"

static int
content_write(void *to, const char *data, size_t len)
{
	return message_write(to, data, len);
}

static bool
is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

/* Takes the next octets of a line, of which len are at hand; `last`: they are all that
 * the line has.  How many were taken, or -1. */
static int
quoted_take(struct quoted_line *q, enum encode_form form, const char *s, size_t len, bool last)
{
	bool blank = *s == ' ' || *s == '\t';

	if (form == ENCODE_QUOTED_PRINTABLE) {
		bool plain = blank ? !(last && len == 1) : *s > ' ' && *s <= '~' && *s != '=';

		return (plain ? quoted_line_add(q, s, 1) : quoted_line_escape(q, *s)) < 0 ? -1 : 1;
	}
	if (*s == '\0' || *s == '\r')
		return quoted_line_escape(q, *s) < 0 ? -1 : 1;
	if (form == ENCODE_REPAIR_QUOTED_PRINTABLE && *s == '=') {
		if (len >= 3 && is_hex(s[1]) && is_hex(s[2]))
			return quoted_line_add(q, s, 3) < 0 ? -1 : 3;
		/* at the end it is a soft line break; elsewhere decoders take it as it is
		 * (section 6.7, note 1), and a break must not come behind it */
		if (!(last && len == 1))
			return quoted_line_escape(q, *s) < 0 ? -1 : 1;
	}
	return quoted_line_add(q, s, 1) < 0 ? -1 : 1;
}

static int
quoted_line(
    struct window *w, const struct line *line, enum encode_form form, struct message_writer *to)
{
	struct quoted_line q = { .write = content_write, .context = to };
	uint64_t at = line->start;
	/* blanks at the end of a quoted-printable line are none of its text */
	uint64_t end = form == ENCODE_REPAIR_QUOTED_PRINTABLE ? line->text : line->end;

	while (at < end) {
		size_t len, i = 0;
		const char *p = window_at(w, at, end, &len);
		bool last;

		if (p == NULL)
			return -1;
		last = at + len == end;
		/* an escape is not taken apart at the end of the chunk */
		while (i < len && (last || len - i > 3)) {
			int n = quoted_take(&q, form, p + i, len - i, last);

			if (n < 0)
				return -1;
			i += (size_t)n;
		}
		at += i;
	}
	return quoted_line_end(&q);
}

/* A line of base64 in lines of 76. */
static int
base64_line(struct window *w, const struct line *line, struct message_writer *to)
{
	char out[ENCODING_LINE + 2];
	size_t n = 0;

	for (uint64_t at = line->start; at < line->end;) {
		size_t len;
		const char *p = window_at(w, at, line->end, &len);

		if (p == NULL)
			return -1;
		for (size_t i = 0; i < len; i++) {
			if (!base64_counts(p[i]))
				continue;
			if (n == ENCODING_LINE) {
				memcpy(out + n, "\r\n", 2);
				if (message_write(to, out, sizeof(out)) < 0)
					return -1;
				n = 0;
			}
			out[n++] = p[i];
		}
		at += len;
	}
	return message_write(to, out, n);
}

static int
lines_encode(struct window *w, uint64_t start, uint64_t end, enum encode_form form,
    struct message_writer *to)
{
	struct line line;
	int r;

	for (;;) {
		struct scan s = { .line = 0 };

		r = window_line(w, start, end, &s, &line);
		if (r <= 0)
			return r;
		start = line.next;
		if (form != ENCODE_QUOTED_PRINTABLE && !scan_is_refused(&s))
			r = window_copy(w, line.start, line.end, to);
		else if (form == ENCODE_REPAIR_BASE64)
			r = base64_line(w, &line, to);
		else
			r = quoted_line(w, &line, form, to);
		if (r < 0 || (line.next > line.end && message_write(to, "\r\n", 2) < 0))
			return -1;
	}
}

static int
base64_lines(struct window *w, uint64_t start, uint64_t end, struct message_writer *to)
{
	char out[ENCODING_LINE + 2];

	while (start < end) {
		size_t len, n;
		const char *p = window_at(w, start, end, &len);

		if (p == NULL)
			return -1;
		len = len < BASE64_OCTETS ? len : BASE64_OCTETS;
		n = base64_encode((const unsigned char *)p, len, out);
		start += len;
		if (start < end) {
			memcpy(out + n, "\r\n", 2);
			n += 2;
		}
		if (message_write(to, out, n) < 0)
			return -1;
	}
	return 0;
}

int
encode_range(struct window *w, uint64_t start, uint64_t end, enum encode_form form,
    struct message_writer *to)
{
	if (form == ENCODE_BASE64)
		return base64_lines(w, start, end, to);
	return lines_encode(w, start, end, form, to);
}
