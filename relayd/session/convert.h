/*
 * Content for a smarthost that takes less than the message has: without 8BITMIME it
 * is made 7-bit (RFC 6152 section 3, RFC 2045), and without SMTPUTF8 its header is made
 * ASCII (RFC 2047, RFC 2231).
 *
 * A pure function of the content: whoever decodes the result gets what was there
 * before, and each retry sends the same octets.
 */
#ifndef RELAYD_SESSION_CONVERT_H
#define RELAYD_SESSION_CONVERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relayd/session/convert_input.h"

enum convert_scope {
	CONVERT_NOTHING,
	CONVERT_HEADER, /* the header of the message itself */
	CONVERT_ALL,    /* the headers and bodies of all its parts */
};

struct convert {
	struct convert_input input;
	enum convert_scope scope;
	int (*write)(void *context, const char *data, size_t len); /* -1: no more is wanted */
	void *context;
	const char *refusal; /* why the message cannot be converted, a reply with its codes */
};

enum convert_result {
	CONVERT_DONE,
	CONVERT_IMPOSSIBLE, /* for good: see refusal */
	CONVERT_FAILED,     /* errno, or write() ended it */
};

/* Input, scope and write are set; the input is not initialised. */
enum convert_result convert_run(struct convert *c);

#endif
