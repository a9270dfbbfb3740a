/*
 * No line that is made here may look like a boundary line: base64 has no "-", and
 * behind a soft line break "-" is written as =2D.  Lines have at most 76 octets, as the
 * RFC wants it.
 */
#include "relayd/session/convert_body.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LINE 76
#define BASE64_OCTETS 57 /* make one line of 76 characters */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

struct quoted {
	struct convert *c;
	char line[LINE + 2];
	size_t len;
	bool broken; /* the line began behind a soft line break */
};

static int
put(struct convert *c, const char *data, size_t len)
{
	return c->write(c->context, data, len);
}

static int
range_copy(struct convert *c, uint64_t start, uint64_t end)
{
	while (start < end) {
		size_t len;
		const char *s = convert_at(&c->input, start, end, &len);

		if (s == NULL || put(c, s, len) < 0)
			return -1;
		start += len;
	}
	return 0;
}

/* Octets that stay together, at most 3. */
static int
quoted_add(struct quoted *q, const char *token, size_t n)
{
	if (q->len + n > LINE - 1) {
		memcpy(q->line + q->len, "=\r\n", 3);
		if (put(q->c, q->line, q->len + 3) < 0)
			return -1;
		q->len = 0;
		q->broken = true;
	}
	if (q->len == 0 && q->broken && token[0] == '-') {
		token = "=2D";
		n = 3;
	}
	memcpy(q->line + q->len, token, n);
	q->len += n;
	return 0;
}

static int
quoted_add_octet(struct quoted *q, char octet)
{
	char hex[8];

	snprintf(hex, sizeof(hex), "=%02X", (unsigned char)octet);
	return quoted_add(q, hex, 3);
}

static bool
is_escape(const char *s, size_t len)
{
	return len >= 3 && s[0] == '=' && isxdigit((unsigned char)s[1]) &&
	       isxdigit((unsigned char)s[2]);
}

/* Takes the next octets of a line, of which len are at hand; `last`: they are all that
 * the line has.  How many were taken, or -1. */
static int
quoted_take(struct quoted *q, enum body_form form, const char *s, size_t len, bool last)
{
	bool plain, ends = last && len == 1;

	if (form == BODY_QUOTED_PRINTABLE) {
		plain = *s == ' ' || *s == '\t' ? !ends : *s > ' ' && *s <= '~' && *s != '=';
	} else if (form == BODY_REPAIR_QUOTED_PRINTABLE && *s == '=') {
		if (is_escape(s, len))
			return quoted_add(q, s, 3) < 0 ? -1 : 3;
		/* at the end it is a soft line break; elsewhere decoders take it as it is */
		plain = ends;
	} else {
		plain = (*s >= ' ' && *s <= '~') || *s == '\t';
	}
	return (plain ? quoted_add(q, s, 1) : quoted_add_octet(q, *s)) < 0 ? -1 : 1;
}

static int
quoted_line(struct convert *c, const struct convert_line *line, enum body_form form)
{
	struct quoted q = { .c = c };
	uint64_t at = line->start;
	/* blanks at the end of a quoted-printable line are none of its text, and an escape
	 * or a soft line break may not make them so (section 6.7, rule 3) */
	uint64_t end = form == BODY_REPAIR_QUOTED_PRINTABLE ? line->text : line->end;

	while (at < end) {
		size_t len, i = 0;
		const char *s = convert_at(&c->input, at, end, &len);
		bool last;

		if (s == NULL)
			return -1;
		last = at + len == end;
		/* an escape is not taken apart at the end of the chunk */
		while (i < len && (last || len - i > 3)) {
			int n = quoted_take(&q, form, s + i, len - i, last);

			if (n < 0)
				return -1;
			i += (size_t)n;
		}
		if (i == 0) {
			errno = EIO; /* cannot be: pieces are longer */
			return -1;
		}
		at += i;
	}
	return put(c, q.line, q.len);
}

/* A line of base64 without what does not count in it. */
static int
base64_line(struct convert *c, const struct convert_line *line)
{
	char out[LINE + 2];
	size_t n = 0;

	for (uint64_t at = line->start; at < line->end;) {
		size_t len;
		const char *s = convert_at(&c->input, at, line->end, &len);

		if (s == NULL)
			return -1;
		for (size_t i = 0; i < len; i++) {
			if (s[i] == '\0' || (s[i] != '=' && strchr(alphabet, s[i]) == NULL))
				continue;
			if (n == LINE) {
				memcpy(out + n, "\r\n", 2);
				if (put(c, out, sizeof(out)) < 0)
					return -1;
				n = 0;
			}
			out[n++] = s[i];
		}
		at += len;
	}
	return put(c, out, n);
}

static int
lines_write(struct convert *c, uint64_t start, uint64_t end, enum body_form form)
{
	struct convert_line line;
	int r;

	for (;; start = line.next) {
		r = convert_line_next(&c->input, start, end, &line);
		if (r <= 0)
			return r;
		if (form != BODY_QUOTED_PRINTABLE && !line.eight_bit)
			r = range_copy(c, line.start, line.end);
		else if (form == BODY_REPAIR_BASE64)
			r = base64_line(c, &line);
		else
			r = quoted_line(c, &line, form);
		if (r < 0 || (line.next > line.end && put(c, "\r\n", 2) < 0))
			return -1;
	}
}

static void
base64_group(const unsigned char *s, size_t n, char *to)
{
	unsigned long bits = (unsigned long)s[0] << 16 | (n > 1 ? (unsigned long)s[1] << 8 : 0) |
			     (n > 2 ? s[2] : 0UL);

	to[0] = alphabet[bits >> 18];
	to[1] = alphabet[bits >> 12 & 63];
	to[2] = n > 1 ? alphabet[bits >> 6 & 63] : '=';
	to[3] = n > 2 ? alphabet[bits & 63] : '=';
}

static int
base64_write(struct convert *c, uint64_t start, uint64_t end)
{
	char out[LINE + 2];

	while (start < end) {
		unsigned char octets[BASE64_OCTETS];
		size_t n = 0, have = 0;

		/* a piece may end anywhere; a group may not */
		while (have < sizeof(octets) && start < end) {
			size_t len;
			const char *s = convert_at(&c->input, start, end, &len);

			if (s == NULL)
				return -1;
			len = len < sizeof(octets) - have ? len : sizeof(octets) - have;
			memcpy(octets + have, s, len);
			have += len;
			start += len;
		}
		for (size_t i = 0; i < have; i += 3, n += 4)
			base64_group(octets + i, have - i, out + n);
		if (start < end) {
			memcpy(out + n, "\r\n", 2);
			n += 2;
		}
		if (put(c, out, n) < 0)
			return -1;
	}
	return 0;
}

int
body_write(struct convert *c, uint64_t start, uint64_t end, enum body_form form)
{
	if (form == BODY_COPY)
		return range_copy(c, start, end);
	if (form == BODY_BASE64)
		return base64_write(c, start, end);
	return lines_write(c, start, end, form);
}
