/*
 * A line belongs to the header if it begins a field (printable ASCII and a colon,
 * RFC 5322 section 2.2, with blanks before the colon as section 4.5 has it), or
 * continues one.  The first line that does neither ends it, whether an empty line
 * stands before the body or not.
 */
#include "sendmail/header.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NAME_MAX_OCTETS 998

size_t
header_name_length(const char *line, size_t len)
{
	size_t n = 0, at;

	while (n < len && n < NAME_MAX_OCTETS && line[n] > 32 && line[n] < 127 && line[n] != ':')
		n++;
	at = n;
	while (at < len && (line[at] == ' ' || line[at] == '\t'))
		at++;
	return n > 0 && at < len && line[at] == ':' ? n : 0;
}

static int
field_add(struct header *h, size_t start, size_t name_len)
{
	const char *colon = memchr(h->text.data + start, ':', h->text.len - start);
	struct field *all;

	if (h->count == h->size) {
		size_t size = h->size == 0 ? 32 : 2 * h->size;

		all = reallocarray(h->fields, size, sizeof(*all));
		if (all == NULL)
			return -1;
		h->fields = all;
		h->size = size;
	}
	h->fields[h->count++] = (struct field){
		.start = start, .name_len = name_len, .value = (size_t)(colon - h->text.data) + 1
	};
	return 0;
}

/* "From root Mon …" of a mailbox file, before the first field: the word behind the
 * address is a day of the week.  "From now on …" is text. */
static bool
is_mbox_line(const struct header *h, const struct piece *p)
{
	static const char days[] = "Sun Mon Tue Wed Thu Fri Sat ";
	char start[512], word[8], day[8], *s = start;

	if (h->count > 0)
		return false;
	snprintf(
	    start, sizeof(start), "%.*s", (int)(p->len < sizeof(start) ? p->len : 511), p->data);
	if (*s == '>')
		s++;
	if (sscanf(s, "%7s %*s %7s", word, day) != 2 || strcmp(word, "From") != 0)
		return false;
	return strlen(day) == 3 && strstr(days, day) != NULL;
}

enum header_line
header_line_kind(const struct header *h, const struct piece *p)
{
	if (p->len == 0 && p->ends_line)
		return HEADER_LINE_EMPTY;
	if (is_mbox_line(h, p))
		return HEADER_LINE_MBOX;
	if (h->count > 0 && (p->data[0] == ' ' || p->data[0] == '\t'))
		return HEADER_LINE_CONTINUATION;
	return header_name_length(p->data, p->len) > 0 ? HEADER_LINE_FIELD : HEADER_LINE_BODY;
}

int
header_add(struct header *h, const struct piece *p, enum header_line kind)
{
	size_t start = h->text.len;

	if (buf_append(&h->text, p->data, p->len) < 0 ||
	    (p->ends_line && buf_append(&h->text, "\r\n", 2) < 0))
		return -1;
	if (kind == HEADER_LINE_FIELD && p->begins_line &&
	    field_add(h, start, header_name_length(p->data, p->len)) < 0)
		return -1;
	h->fields[h->count - 1].len = h->text.len - h->fields[h->count - 1].start;
	return 0;
}

int
header_read(struct header *h, struct input *in, struct piece *first)
{
	enum header_line kind = HEADER_LINE_EMPTY;
	int r;

	*h = (struct header){ .text = BUF_INIT(HEADER_OCTETS_MAX) };
	/* what a line is cannot be told from a part of its field name */
	in->whole_lines = true;
	while ((r = input_next(in, first)) > 0) {
		if (first->begins_line)
			kind = header_line_kind(h, first);
		if (kind == HEADER_LINE_EMPTY || kind == HEADER_LINE_BODY)
			break;
		if (kind != HEADER_LINE_MBOX && header_add(h, first, kind) < 0)
			return -1;
	}
	in->whole_lines = false;
	if (r < 0)
		errno = in->error;
	return r > 0 ? kind == HEADER_LINE_BODY : r;
}

void
header_free(struct header *h)
{
	buf_free(&h->text);
	free(h->fields);
	*h = (struct header){ .count = 0 };
}

bool
header_is(const struct header *h, const struct field *f, const char *name)
{
	return strlen(name) == f->name_len &&
	       strncasecmp(h->text.data + f->start, name, f->name_len) == 0;
}

const struct field *
header_find(const struct header *h, const char *name)
{
	for (size_t i = 0; i < h->count; i++)
		if (header_is(h, &h->fields[i], name))
			return &h->fields[i];
	return NULL;
}

/* The fields of which a block has one at most.  Addresses are not among them: some
 * programs write a field for each, and to stop at the second would drop recipients. */
static const char *const once_in_a_block[] = { "Resent-Date", "Resent-From", "Resent-Sender",
	"Resent-Message-ID" };

bool
header_resent_block(const struct header *h, size_t *begin, size_t *end)
{
	static const char prefix[] = "Resent-";
	unsigned seen = 0;
	bool found = false;

	for (size_t i = 0; i < h->count; i++) {
		const struct field *f = &h->fields[i];

		if (found && header_is(h, f, "Received"))
			break;
		for (unsigned k = 0; k < 4; k++) {
			if (!header_is(h, f, once_in_a_block[k]))
				continue;
			if (seen & 1U << k)
				return true;
			seen |= 1U << k;
		}
		if (f->name_len < sizeof(prefix) ||
		    strncasecmp(h->text.data + f->start, prefix, sizeof(prefix) - 1) != 0)
			continue;
		if (!found)
			*begin = i;
		found = true;
		*end = i + 1;
	}
	return found;
}
