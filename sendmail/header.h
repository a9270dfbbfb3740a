/*
 * The header of a message: RFC 5322 as real programs write it.
 *
 * The header is kept whole in memory (at most HEADER_OCTETS_MAX), because the
 * recipients in it go into the envelope, which stands before it in the file.
 */
#ifndef SENDMAIL_HEADER_H
#define SENDMAIL_HEADER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "sendmail/input.h"

#define HEADER_OCTETS_MAX (8 << 20)

struct field {
	size_t start, len; /* in the text, with its line ends */
	size_t value;      /* where its value starts, behind the colon */
	size_t name_len;
};

struct header {
	struct buf text; /* the fields as they came, CRLF line ends */
	struct field *fields;
	size_t count, size;
};

/* Reads the header off the input.  What follows it (an empty line is consumed)
 * is the body; if the header ends with a line that is no field, that line is the
 * start of the body, and *first is its first piece, to be treated before the
 * next.  1: there is such a piece; 0: there is none; -1 with errno: ENOBUFS (too
 * long), ENOMEM, or the input failed. */
int header_read(struct header *h, struct input *in, struct piece *first);
void header_free(struct header *h);

/* The same, line by line, for headers that come from elsewhere. */
enum header_line {
	HEADER_LINE_FIELD, /* begins one */
	HEADER_LINE_CONTINUATION,
	HEADER_LINE_MBOX,  /* "From " of a mailbox file, before the first field */
	HEADER_LINE_EMPTY, /* ends the header */
	HEADER_LINE_BODY,  /* ends the header, and belongs to what follows */
};

/* What a line is: p is its first piece, long enough to hold a field name. */
enum header_line header_line_kind(const struct header *h, const struct piece *p);

/* Adds a piece of a field or continuation, and CRLF where its line ends; 0 or -1 with
 * errno ENOBUFS or ENOMEM. */
int header_add(struct header *h, const struct piece *p, enum header_line kind);

/* Is f a field of that name?  Case does not matter. */
bool header_is(const struct header *h, const struct field *f, const char *name);

/* The first field of that name, or NULL. */
const struct field *header_find(const struct header *h, const char *name);

/* The topmost block of Resent- fields (RFC 5322 section 3.6.6; each time a message is
 * resent, a block is put on top): fields[begin] to fields[end - 1], among which others
 * may stand.  False if there is none. */
bool header_resent_block(const struct header *h, size_t *begin, size_t *end);

/* How long the name is at the start of a line that begins a field; 0 if it does
 * not.  len may end within the line. */
size_t header_name_length(const char *line, size_t len);

#endif
