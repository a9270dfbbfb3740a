/*
 * What a bounce has of the message that it is about: all of it, its header, or five
 * fields of its header.
 */
#ifndef RELAYD_RETURNED_H
#define RELAYD_RETURNED_H

#include "spool/spool.h"

#define RETURNED_WHOLE_MAX (1 << 20)

struct returned {
	struct buf content;
	const char *type; /* its media type */
};

/* Reads m, whole if that is wanted and it has up to 1 MB, else its header.  0, or -1
 * with errno; returned_fini() follows in both cases. */
int returned_read(struct returned *r, const struct message *m, bool whole);
void returned_fini(struct returned *r);

/* Appends up to max octets of m's content, from its start.  0, or -1 with errno. */
int returned_add_content(const struct message *m, uint64_t max, struct buf *b);

/* Appends From, To, Subject, Date and Message-ID of the header that content begins
 * with, as ASCII: what is not, is encoded (RFC 2047). */
void returned_add_fields(const char *content, size_t len, struct buf *b);

#endif
