/*
 * Repair on octets in memory: what a program in front of sendmail/submit does with a
 * message, for the tests of repair.
 */
#ifndef TESTS_UNIT_REPAIR_RUN_H
#define TESTS_UNIT_REPAIR_RUN_H

#include <stdlib.h>
#include <string.h>

#include "sendmail/input.h"
#include "sendmail/repair.h"

/* Writers need a spool only for its directory: the files are never committed. */
struct repaired {
	struct message_writer from, to;
	struct scan header, body;
	bool needed;
	enum repair_result result;
	char problem[REPAIR_PROBLEM_SIZE];
};

/* Lines as sendmail stores them: every LF behind a CR, the last line ended. */
static inline char *
lines_canonical(const void *data, size_t size, size_t *len)
{
	const char *s = data;
	char *to = malloc(2 * size + 3);

	*len = 0;
	for (size_t i = 0; to != NULL && i < size; i++) {
		if (s[i] == '\n' && (i == 0 || s[i - 1] != '\r'))
			to[(*len)++] = '\r';
		to[(*len)++] = s[i];
	}
	if (to != NULL && (*len < 2 || memcmp(to + *len - 2, "\r\n", 2) != 0)) {
		memcpy(to + *len, "\r\n", 2);
		*len += 2;
	}
	return to;
}

/* Where the body begins, and the fields before it. */
static inline size_t
header_split(struct header *h, const char *data, size_t len)
{
	size_t at = 0;

	*h = (struct header){ .text = BUF_INIT(4 * HEADER_OCTETS_MAX) };
	while (at < len) {
		const char *lf = memchr(data + at, '\n', len - at);
		size_t next = lf == NULL ? len : (size_t)(lf - data) + 1;
		size_t end = lf == NULL ? len : next - 1 - (lf > data + at && lf[-1] == '\r');
		struct piece p = {
			.data = data + at, .len = end - at, .begins_line = true, .ends_line = true
		};
		enum header_line kind = header_line_kind(h, &p);

		if (kind == HEADER_LINE_EMPTY)
			return next;
		if (kind == HEADER_LINE_BODY)
			return at;
		if (kind != HEADER_LINE_MBOX && header_add(h, &p, kind) < 0)
			abort();
		at = next;
	}
	return at;
}

/* 0 or -1: the writers failed.  repaired_end() follows in both cases. */
static inline int
repaired_begin(
    struct repaired *r, struct spool *spool, const struct envelope *e, const char *data, size_t len)
{
	struct header h;
	size_t body = header_split(&h, data, len);

	*r = (struct repaired){ .from = { .fd = -1 }, .to = { .fd = -1 } };
	scan_add(&r->header, data, body);
	scan_add(&r->body, data + body, len - body);
	r->needed = repair_needed(&h, &r->header, &r->body);
	header_free(&h);
	if (message_begin(&r->from, spool, e) < 0 || message_write(&r->from, data, len) < 0)
		return -1;
	if (!r->needed)
		return 0;
	if (message_begin_again(&r->to, &r->from, e) < 0)
		return -1;
	r->result = repair_run(&r->from, &r->to, r->problem);
	return r->result == REPAIR_FAILED ? -1 : 0;
}

/* What would be committed, to be freed. */
static inline char *
repaired_content(struct repaired *r, size_t *len)
{
	struct message_writer *w = r->needed ? &r->to : &r->from;
	char *data = malloc(w->length + 1);
	uint64_t at = 0;

	while (data != NULL && at < w->length) {
		ssize_t n = message_reread(w, at, data + at, w->length - at);

		if (n <= 0)
			abort();
		at += (uint64_t)n;
	}
	if (data != NULL)
		data[at] = '\0';
	*len = at;
	return data;
}

static inline void
repaired_end(struct repaired *r)
{
	message_abort(&r->from);
	message_abort(&r->to);
}

#endif
