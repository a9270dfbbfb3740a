/*
 * A message as this smarthost can take it: what of it must be converted, how long it
 * is then, and its way to the wire.
 */
#ifndef RELAYD_SESSION_CONVERSION_H
#define RELAYD_SESSION_CONVERSION_H

#include "relayd/session/capabilities.h"
#include "relayd/session/content.h"
#include "relayd/session/convert.h"

/* The zero value: nothing is converted. */
struct conversion {
	enum convert_scope scope;
	uint32_t check;      /* of what a streamed message becomes */
	const char *refusal; /* a reply with its codes */
};

/*
 * Behind content_prepare() that was well, with the same message, whole and header:
 * converts what is in `whole`, or counts what a larger message becomes, whose check value
 * is verified first.  CONTENT_REFUSED: it cannot be converted, see refusal.
 */
enum content_result conversion_prepare(struct conversion *v, const struct message *m,
    const struct capabilities *can, struct buf *whole, const struct content_header *h,
    uint64_t *length);

/* Converts a larger message again and streams it.  CONTENT_CORRUPT: it does not become
 * the same octets as before. */
enum content_result conversion_stream(struct conversion *v, const struct message *m,
    const struct content_header *h, struct stream *s, struct dot_stuffing *d);

#endif
