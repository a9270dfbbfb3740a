/*
 * Line by line, as sendmail/header reads the header of the message itself: the first
 * line that is neither a field nor the continuation of one ends a header.
 */
#include "sendmail/entity.h"

#include <errno.h>
#include <string.h>

/* Is it a boundary line?  Blanks at its end do not count. */
static int
boundary_match(
    struct window *w, const struct boundaries *outer, const struct line *line, struct region *r)
{
	size_t len;
	const char *s;

	if (line->text - line->start < 3 || line->text - line->start > MIME_BOUNDARY_SIZE + 4)
		return 0;
	s = window_at(w, line->start, line->text, &len);
	if (s == NULL)
		return -1;
	if (s[0] != '-' || s[1] != '-')
		return 0;
	for (size_t i = outer->count; i-- > 0;) {
		size_t n = strlen(outer->text[i]);

		if (len < n + 2 || memcmp(s + 2, outer->text[i], n) != 0)
			continue;
		r->closes = len == n + 4 && s[n + 2] == '-' && s[n + 3] == '-';
		if (len != n + 2 && !r->closes)
			continue;
		r->level = i;
		r->boundary = *line;
		return 1;
	}
	return 0;
}

int
region_find(struct window *w, uint64_t start, const struct boundaries *outer, struct region *r)
{
	struct line line = { .end = start, .next = start };
	int found = 0;

	*r = (struct region){ .start = start, .end = start };
	for (;;) {
		struct scan before = r->scan;
		uint64_t end = line.end;
		int any;

		/* the line end before a boundary line is not of the body */
		scan_add(&r->scan, &"\r\n"[2 - (line.next - end)], (size_t)(line.next - end));
		any = window_line(w, line.next, w->from->length, &r->scan, &line);
		if (any > 0)
			found = boundary_match(w, outer, &line, r);
		if (any < 0 || found < 0)
			return -1;
		if (any > 0 && found == 0)
			continue;
		r->at_end = any == 0;
		r->end = any == 0 ? line.next : end;
		if (found > 0)
			r->scan = before;
		return 0;
	}
}

/* A line of the header in pieces.  The kind of line that it is, or -1. */
static int
line_add(struct window *w, const struct line *line, struct entity *e)
{
	enum header_line kind = HEADER_LINE_EMPTY;
	uint64_t at = line->start;

	do {
		struct piece p = { .begins_line = at == line->start };

		p.data = window_at(w, at, line->end, &p.len);
		if (p.data == NULL)
			return -1;
		at += p.len;
		p.ends_line = at == line->end;
		if (p.begins_line)
			kind = header_line_kind(&e->header, &p);
		if (kind == HEADER_LINE_FIELD || kind == HEADER_LINE_CONTINUATION)
			if (header_add(&e->header, &p, kind) < 0)
				return spool_fail(w->from->spool,
				    "hold the header of a part of a message for", "queue");
	} while (at < line->end && kind <= HEADER_LINE_CONTINUATION);
	return (int)kind;
}

int
entity_read(struct window *w, uint64_t start, const struct boundaries *outer, struct entity *e)
{
	struct line line = { .next = start };
	struct region r;
	int kind, any, found;

	/* that of the message itself has been completed */
	*e = (struct entity){ .header = { .text = BUF_INIT(start == 0 ? 4 * HEADER_OCTETS_MAX
								      : HEADER_OCTETS_MAX) },
		.start = start,
		.fields = start };
	for (;;) {
		struct scan s = { .line = 0 };

		any = window_line(w, line.next, w->from->length, &s, &line);
		found = any > 0 ? boundary_match(w, outer, &line, &r) : any;
		if (any < 0 || found < 0)
			return -1;
		e->body = line.start;
		if (any == 0 || found > 0)
			return 0;
		kind = line_add(w, &line, e);
		if (kind < 0)
			return -1;
		if (kind == HEADER_LINE_MBOX)
			e->fields = line.next;
		if (kind == HEADER_LINE_EMPTY || kind == HEADER_LINE_BODY)
			break;
	}
	e->separated = kind == HEADER_LINE_EMPTY;
	if (e->separated)
		e->body = line.next;
	return 0;
}
