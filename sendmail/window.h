/*
 * A window on content that has been written and not yet committed: any offset of
 * it, in constant memory, and its lines.
 */
#ifndef SENDMAIL_WINDOW_H
#define SENDMAIL_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sendmail/scan.h"
#include "spool/spool.h"

#define WINDOW_CONTIGUOUS (16 << 10)

struct window {
	struct message_writer *from;
	char *chunk;
	uint64_t start; /* the offset of the chunk */
	size_t len;
};

/* All fail with -1, errno and the spool's problem. */
int window_init(struct window *w, struct message_writer *from);
void window_fini(struct window *w);

/* The octets at that offset, up to `end`, which is at most the content's length: at
 * least WINDOW_CONTIGUOUS of them, or all.  They live until the next call.  NULL: it
 * failed. */
const char *window_at(struct window *w, uint64_t offset, uint64_t end, size_t *len);

/* Copies a range to another message. */
int window_copy(struct window *w, uint64_t start, uint64_t end, struct message_writer *to);

struct line {
	uint64_t start;
	uint64_t text; /* where its blanks at the end begin */
	uint64_t end;  /* of its content */
	uint64_t next; /* behind CRLF or LF; equal to `end` if it has none */
};

/* The line that starts there, in a range that ends at `end`; its content is added to
 * the scan.  1; 0 at the end of the range; -1. */
int window_line(struct window *w, uint64_t start, uint64_t end, struct scan *s, struct line *line);

#endif
