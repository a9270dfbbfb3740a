/*
 * Content that is to be converted, at any offset of it: a beginning in memory, and
 * the rest of a message file behind it; either may be missing.
 */
#ifndef RELAYD_SESSION_CONVERT_INPUT_H
#define RELAYD_SESSION_CONVERT_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "spool/spool.h"

#define CONVERT_CONTIGUOUS (16 << 10)

struct convert_input {
	const char *head;
	size_t head_len;
	const struct message *m; /* NULL: there is no more than the head */
	uint64_t skipped;        /* octets of the file that the head stands for */
	uint64_t length;         /* of all */
	char *chunk;             /* of the file, or NULL */
	uint64_t start;          /* its offset */
	size_t len;
};

/* Sets the length.  0 or -1 with errno ENOMEM. */
int convert_input_init(struct convert_input *in);
void convert_input_fini(struct convert_input *in);

/* The octets at that offset, up to `end`: at least CONVERT_CONTIGUOUS of them, or all
 * of the head, or all.  They live until the next call.  NULL: errno. */
const char *convert_at(struct convert_input *in, uint64_t offset, uint64_t end, size_t *len);

struct convert_line {
	uint64_t start;
	uint64_t text; /* where its blanks at the end begin */
	uint64_t end;
	uint64_t next;  /* behind its CRLF; equal to `end` if it has none */
	bool eight_bit; /* an octet above 127 */
	bool odd;       /* NUL, or CR without LF */
};

/* The line that starts there, in a range that ends at `end`.  1; 0 at the end of the
 * range; -1 with errno. */
int convert_line_next(
    struct convert_input *in, uint64_t start, uint64_t end, struct convert_line *line);

#endif
