/*
 * The content of one message on its way in: dot-stuffing removed (DATA only), counted, checked
 * against --strict, written to the store.  Works on whatever pieces the network delivers.  Only
 * CRLF.CRLF ends DATA; a bare CR or LF never does.
 */
#ifndef SMARTHOST_CONTENT_H
#define SMARTHOST_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;
struct store_file;

enum { CONTENT_LINE_MAX = 1000 }; /* octets with CRLF, RFC 5321 4.5.3.1.6 */

enum content_state { CONTENT_START, CONTENT_DOT, CONTENT_DOT_CR, CONTENT_TEXT, CONTENT_CR };

struct content {
	struct store *store;
	struct store_file *file; /* NULL when nothing is kept */
	uint64_t octets;
	uint64_t limit;
	bool discard;            /* the outcome is known: only find the end */
	bool store_failed;
	bool strict;
	enum content_state state;
	bool after_cr;           /* strict: previous octet was CR */
	size_t line;             /* strict: octets of this line so far */
	const char *fault;       /* strict: first thing found wrong, or NULL */
};

/* store may have no directory; then nothing is kept. */
void content_begin(struct content *content, struct store *store, uint64_t limit, bool strict);

/* Octets as they are (BDAT). */
void content_add(struct content *content, const unsigned char *bytes, size_t length);

/* Dot-stuffed octets (DATA); returns how many were used and whether the end was among them. */
size_t content_add_stuffed(struct content *content, const unsigned char *bytes, size_t length,
    bool *end);

/* No more will come: what was left open counts as a fault in strict mode. */
void content_end(struct content *content);

bool content_too_big(const struct content *content);

/* Forgets what was kept; harmless twice. */
void content_abandon(struct content *content);

#endif
