/*
 * Which SASL mechanism is used: our ranking, and what each of them needs.
 */
#ifndef RELAYD_SESSION_MECHANISM_H
#define RELAYD_SESSION_MECHANISM_H

#include <stdbool.h>

#include "relayd/session/capabilities.h"

enum mechanism_credential { CREDENTIAL_PASSWORD, CREDENTIAL_TOKEN, CREDENTIAL_CERTIFICATE };

enum {
	MECHANISM_INITIAL = 1 << 0,  /* we speak first (RFC 4954: an initial response) */
	MECHANISM_SCRAM = 1 << 1,    /* RFC 5802 */
	MECHANISM_BINDING = 1 << 2,  /* proves that both ends see the same TLS channel */
	MECHANISM_IN_TLS = 1 << 3,   /* sends the secret itself */
	MECHANISM_EXPLICIT = 1 << 4, /* only if the setting auth names it */
};

struct mechanism {
	const char *name;
	enum mechanism_credential credential;
	unsigned flags;
};

/* What we have and may do. */
struct mechanism_means {
	const char *wanted; /* the mechanisms that `auth` names, or "" for our ranking */
	bool tls;
	bool in_clear; /* the secret may be sent without TLS */
	bool password, token, certificate;
};

/* The one that is used with a server that can do `c`; NULL: none.  Pure. */
const struct mechanism *mechanism_choose(
    const struct capabilities *c, const struct mechanism_means *means);

/* The SCRAM without channel binding that takes the place of m when m is refused: only one that
 * `auth` names behind m.  NULL: none. */
const struct mechanism *mechanism_fallback(
    const struct capabilities *c, const struct mechanism_means *means, const struct mechanism *m);

#endif
