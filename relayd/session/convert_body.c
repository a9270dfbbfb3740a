/*
 * What is plain text becomes quoted-printable or base64; of what is in one of these
 * forms only lines with 8-bit octets are written anew.
 */
#include "relayd/session/convert_body.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/encoding.h"

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

static bool
is_escape(const char *s, size_t len)
{
	return len >= 3 && s[0] == '=' && isxdigit((unsigned char)s[1]) &&
	       isxdigit((unsigned char)s[2]);
}

/* Takes the next octets of a line, of which len are at hand; `last`: they are all that
 * the line has.  How many were taken, or -1. */
static int
quoted_take(struct quoted_line *q, enum body_form form, const char *s, size_t len, bool last)
{
	bool plain, ends = last && len == 1;

	if (form == BODY_QUOTED_PRINTABLE) {
		plain = *s == ' ' || *s == '\t' ? !ends : *s > ' ' && *s <= '~' && *s != '=';
	} else if (form == BODY_REPAIR_QUOTED_PRINTABLE && *s == '=') {
		if (is_escape(s, len))
			return quoted_line_add(q, s, 3) < 0 ? -1 : 3;
		/* at the end it is a soft line break; elsewhere decoders take it as it is */
		plain = ends;
	} else {
		plain = (*s >= ' ' && *s <= '~') || *s == '\t';
	}
	return (plain ? quoted_line_add(q, s, 1) : quoted_line_escape(q, *s)) < 0 ? -1 : 1;
}

static int
quoted_line(struct convert *c, const struct convert_line *line, enum body_form form)
{
	struct quoted_line q = { .write = c->write, .context = c->context };
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
	return quoted_line_end(&q);
}

/* A line of base64 without what does not count in it. */
static int
base64_line(struct convert *c, const struct convert_line *line)
{
	char out[ENCODING_LINE + 2];
	size_t n = 0;

	for (uint64_t at = line->start; at < line->end;) {
		size_t len;
		const char *s = convert_at(&c->input, at, line->end, &len);

		if (s == NULL)
			return -1;
		for (size_t i = 0; i < len; i++) {
			if (!base64_counts(s[i]))
				continue;
			if (n == ENCODING_LINE) {
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

static int
base64_write(struct convert *c, uint64_t start, uint64_t end)
{
	char out[ENCODING_LINE + 2];

	while (start < end) {
		unsigned char octets[BASE64_OCTETS];
		size_t n, have = 0;

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
		n = base64_encode(octets, have, out);
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
