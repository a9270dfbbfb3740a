/*
 * The content of a message on its way from the file to the wire: check value,
 * dot-stuffing (RFC 5321 section 4.5.2).
 */
#ifndef RELAYD_SESSION_CONTENT_H
#define RELAYD_SESSION_CONTENT_H

#include <stdbool.h>

#include "base/buf.h"
#include "relayd/session/stream.h"
#include "spool/spool.h"

#define CONTENT_WHOLE_MAX (1 << 20)  /* up to this size it is checked before it is sent */
#define CONTENT_HEADER_MAX (8 << 20) /* of a larger one, a header that is to be rewritten */

enum content_result {
	CONTENT_OK,
	CONTENT_CORRUPT, /* the file does not have its check value, or is not made of lines */
	CONTENT_READ,    /* it cannot be read: errno */
	CONTENT_BROKEN,  /* the stream says why */
	CONTENT_HEADER,  /* the header is longer than CONTENT_HEADER_MAX */
	CONTENT_REFUSED, /* it cannot be converted for this smarthost */
};

struct dot_stuffing {
	bool within_line;
};

/* Reads all of it into whole and checks it. */
enum content_result content_load(const struct message *m, struct buf *whole);

/* The header of a message that is too large to be held, rewritten. */
struct content_header {
	struct buf text;   /* to be freed by the caller */
	uint64_t original; /* octets of the message that it stands for */
	uint32_t crc;      /* of the message up to there */
};

/*
 * What must be done before MAIL: a message of up to CONTENT_WHOLE_MAX is read into
 * whole and checked; of a larger one that is to be rewritten, the header is read.
 * With `from` the header is rewritten (see rewrite.h); without (NULL) h is not used.
 * *length is what will be sent.
 */
enum content_result content_prepare(const struct message *m, const char *from, struct buf *whole,
    struct content_header *h, uint64_t *length);

/* Writes a piece with dots doubled at line starts. */
int content_write(struct stream *s, struct dot_stuffing *d, const char *piece, size_t len);

/* Streams and checks it, all but the end of the data. */
enum content_result content_stream(
    const struct message *m, struct stream *s, struct dot_stuffing *d);

/* The same with the header h: what is checked are the octets of the file. */
enum content_result content_stream_rewritten(const struct message *m,
    const struct content_header *h, struct stream *s, struct dot_stuffing *d);

/* The line with the dot. */
int content_end(struct stream *s);

#endif
