/*
 * What the header of a MIME entity says of its body (RFC 2045, RFC 2046), read
 * leniently, as readers of mail do.
 */
#ifndef RELAYD_SESSION_CONVERT_MIME_H
#define RELAYD_SESSION_CONVERT_MIME_H

#include "base/buf.h"
#include "relayd/session/header_field.h"

#define MIME_BOUNDARY_MAX 256 /* with NUL; 70 octets in RFC 2046, some programs write more */

enum entity_kind {
	ENTITY_TEXT,      /* people may read it: text/..., and what has no valid type */
	ENTITY_DATA,      /* any other leaf */
	ENTITY_MULTIPART, /* parts between boundary lines */
	ENTITY_SIGNED,    /* the same, and no octet may change */
	ENTITY_MESSAGE,   /* the body is an entity again */
	ENTITY_FIXED,     /* must be 7-bit, and may not be encoded */
};

enum entity_encoding {
	ENTITY_IDENTITY, /* none given, 7bit, 8bit, binary */
	ENTITY_QUOTED_PRINTABLE,
	ENTITY_BASE64,
	ENTITY_OTHER,
};

struct entity_type {
	enum entity_kind kind;
	enum entity_encoding encoding;
	bool digest; /* its parts are messages by default */
	bool report; /* multipart/report */
	bool has_version, has_type, has_encoding;
	char boundary[MIME_BOUNDARY_MAX];
};

/* Reads a header.  `in_digest`: it is of a part of a multipart/digest.  0 or -1 with
 * errno. */
int entity_type_read(const char *header, size_t len, bool in_digest, struct entity_type *t);

/* Appends a field's value in one line: line ends are dropped, and blanks around it. */
int field_unfold(const struct field *f, struct buf *to);

/* Removes NUL, which readers pass over, from the value of a Content- field. */
void value_remove_nul(struct buf *value);

/* One parameter of a Content- field. */
struct parameter {
	const char *text; /* all of it, without blanks around */
	size_t len;
	size_t name_len;
	const char *value; /* may be in quotes; NULL: there is none */
	size_t value_len;
};

/* The parameter behind the semicolon that *s is at, or that follows; *s moves behind
 * it.  False at the end. */
bool parameter_next(const char **s, struct parameter *p);
bool parameter_is(const struct parameter *p, const char *name);

/* Appends text without the quotes around it, and without backslashes within them. */
int text_dequote(const char *s, size_t len, struct buf *to);

#endif
