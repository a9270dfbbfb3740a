/*
 * Octets as printable text: the lines of quoted-printable and base64 (RFC 2045 sections
 * 6.7 and 6.8), octets of the Q encoding (RFC 2047 section 4.2).
 *
 * No line that is made here may look like a boundary line: base64 has no "-", and behind
 * a soft line break "-" is written as =2D.
 */
#ifndef BASE_ENCODING_H
#define BASE_ENCODING_H

#include <stdbool.h>
#include <stddef.h>

#define ENCODING_LINE 76 /* octets of a line */
#define BASE64_OCTETS 57 /* make one */

/* One line of text that becomes as many as it needs.  Begins with write and context set and
 * the rest 0; write takes what is ready: 0, or -1. */
struct quoted_line {
	int (*write)(void *context, const char *data, size_t len);
	void *context;
	char line[ENCODING_LINE + 2];
	size_t len;
	bool broken; /* the line began behind a soft line break */
};

/* All return 0, or -1 if write did. */

/* Octets that stay as they are, and together: at most 4. */
int quoted_line_add(struct quoted_line *q, const char *token, size_t n);
/* One octet as =XX. */
int quoted_line_escape(struct quoted_line *q, char octet);
/* Writes what is left; the line end is the caller's. */
int quoted_line_end(struct quoted_line *q);

/* n octets, at most BASE64_OCTETS, as base64, padded; returns how long it is. */
size_t base64_encode(const unsigned char *s, size_t n, char to[static ENCODING_LINE]);
/* Does it stand for something in base64, the padding included? */
bool base64_counts(char c);

/* One octet of an encoded word; only what may stand in every place (RFC 2047 section 5 (3))
 * stays as it is.  Returns how long it is; the rest of `to` is of no use. */
size_t q_encode(char c, char to[static 4]);

#endif
