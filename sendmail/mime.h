/*
 * What the header of a MIME entity says of its body (RFC 2045, RFC 2046).
 */
#ifndef SENDMAIL_MIME_H
#define SENDMAIL_MIME_H

#include "sendmail/header.h"

#define MIME_BOUNDARY_SIZE 256 /* 70 octets in RFC 2046; some programs write more */

enum mime_kind {
	MIME_TEXT,      /* people may read it: text/..., and what has no valid type */
	MIME_DATA,      /* any other leaf */
	MIME_MULTIPART, /* parts between boundary lines */
	MIME_MESSAGE,   /* the body is an entity again */
	MIME_OPAQUE,    /* signed, encrypted, or never to be encoded: not to be touched */
};

enum mime_encoding {
	MIME_IDENTITY, /* none given, 7bit, 8bit, binary */
	MIME_QUOTED_PRINTABLE,
	MIME_BASE64,
	MIME_ENCODING_UNKNOWN,
};

/* The kind of an entity; within multipart/digest the default is message/rfc822.  Of a
 * multipart, the boundary.  0 or -1 with errno. */
int mime_kind(const struct header *h, bool digest, enum mime_kind *kind,
    char boundary[static MIME_BOUNDARY_SIZE]);
bool mime_is_digest(const struct header *h);

enum mime_encoding mime_encoding(const struct header *h);

#endif
