/*
 * Values are moved to other fields byte for byte, and only the octets of an address
 * are replaced: nothing is decoded, unfolded or repaired.  No line of LINE_OCTETS or
 * more is made that was not as long before: a field whose longer name would do that
 * is folded behind the colon; a display name is folded off the address, or dropped,
 * since Reply-To has it anyway.
 */
#include "relayd/session/rewrite.h"

#include <string.h>

#include "relayd/session/header_field.h"
#include "relayd/session/mailbox.h"

#define LINE_OCTETS 998 /* RFC 5322 section 2.1.1, without CRLF; ours stay below it */

bool
rewrite_find_body(const char *text, size_t len, size_t *at)
{
	const char *lf;
	size_t colon;

	while (*at < len && (lf = memchr(text + *at, '\n', len - *at)) != NULL) {
		const char *line = text + *at;
		size_t n = (size_t)(lf - line) + 1;

		if (n == 2 && line[0] == '\r') {
			*at += n;
			return true;
		}
		/* the first line cannot continue a field */
		if ((*at == 0 || (line[0] != ' ' && line[0] != '\t')) &&
		    field_name_length(line, n, &colon) == 0)
			return true;
		*at += n;
	}
	return false;
}

static size_t
line_length(const char *s, size_t len)
{
	const char *cr = memmem(s, len, "\r\n", 2);

	return cr == NULL ? len : (size_t)(cr - s);
}

static size_t
longest_line(const char *s, size_t len)
{
	size_t longest = 0;

	for (size_t at = 0; at < len;) {
		size_t n = line_length(s + at, len - at);

		longest = n > longest ? n : longest;
		at += n + 2;
	}
	return longest;
}

/* ---- the fields that change ------------------------------------------------- */

/* The field under another name. */
static void
renamed_add(const struct field *f, const char *name, struct buf *out)
{
	const char *value = f->value;
	size_t len = f->value_len;

	buf_addf(out, "%s:", name);
	if (strlen(name) + 1 + line_length(value, len) >= LINE_OCTETS) {
		while (len > 0 && (*value == ' ' || *value == '\t')) {
			value++;
			len--;
		}
		if (line_length(value, len) > 0)
			buf_add_string(out, "\r\n ");
	}
	buf_append(out, value, len);
}

/* From with name and comments of the mailbox, `gap` between them and the address. */
static void
mailbox_add(const struct mailbox *m, const char *from, const char *gap, struct buf *out)
{
	buf_add_string(out, "From: ");
	if (m->before.len > 0) {
		buf_append(out, m->before.text, m->before.len);
		buf_add_string(out, gap);
	}
	buf_addf(out, m->in_angle_brackets ? "<%s>" : "%s", from);
	if (m->after.len > 0) {
		buf_add_string(out, gap);
		buf_append(out, m->after.text, m->after.len);
	}
	buf_add_string(out, "\r\n");
}

/* From with the address replaced; m is NULL if there is none. */
static void
from_add(const struct mailbox *m, const char *from, struct buf *out)
{
	static const char *const gaps[] = { " ", "\r\n " };
	size_t start = out->len;

	for (size_t i = 0; m != NULL && i < sizeof(gaps) / sizeof(gaps[0]); i++) {
		mailbox_add(m, from, gaps[i], out);
		if (out->failed || longest_line(out->data + start, out->len - start) < LINE_OCTETS)
			return;
		buf_truncate(out, start);
	}
	buf_addf(out, "From: %s\r\n", from);
}

/* ---- the header --------------------------------------------------------------- */

struct survey {
	size_t from_count;
	bool reply_to;       /* there is one */
	bool found;          /* the first From has a mailbox */
	bool right;          /* it has just the address that is wanted */
	struct mailbox from; /* of the first From */
};

static void
header_survey(const char *header, size_t len, const char *from, struct survey *s)
{
	struct field f;
	size_t at = 0;

	*s = (struct survey){ .from_count = 0 };
	while (field_next(header, len, &at, &f)) {
		s->reply_to |= field_is(&f, "Reply-To");
		if (!field_is(&f, "From") || s->from_count++ > 0)
			continue;
		s->found = mailbox_find(f.value, f.value_len, &s->from);
		s->right = s->found && s->from.alone && mailbox_is(&s->from, from);
	}
}

static void
first_from_add(const struct survey *s, const struct field *f, const char *from, struct buf *out)
{
	bool reply = s->found && s->from.has_domain && !s->reply_to;

	if (s->right) {
		buf_append(out, f->text, f->len);
		return;
	}
	from_add(s->found ? &s->from : NULL, from, out);
	renamed_add(f, reply ? "Reply-To" : "X-Original-From", out);
}

int
rewrite_header(const char *header, size_t len, const char *from, struct buf *out)
{
	struct survey s;
	struct field f;
	size_t at = 0;
	bool first = true;

	header_survey(header, len, from, &s);
	if (s.right && s.from_count == 1)
		return buf_append(out, header, len);
	while (field_next(header, len, &at, &f)) {
		if (field_is(&f, "From") && first) {
			first_from_add(&s, &f, from, out);
			first = false;
		} else if (field_is(&f, "From")) {
			renamed_add(&f, "X-Original-From", out);
		} else if (field_is(&f, "Sender")) {
			renamed_add(&f, "X-Original-Sender", out);
		} else {
			buf_append(out, f.text, f.len);
		}
	}
	if (s.from_count == 0)
		from_add(NULL, from, out);
	/* the empty line: without it the body could continue a From that was added */
	if (at < len || s.from_count == 0)
		buf_add_string(out, "\r\n");
	return out->failed ? -1 : 0;
}
