/*
 * SASL over SMTP (RFC 4954), with libgsasl.
 */
#ifndef RELAYD_SESSION_AUTH_H
#define RELAYD_SESSION_AUTH_H

#include <gsasl.h>
#include <stdbool.h>

#include "base/buf.h"
#include "relayd/session/capabilities.h"
#include "relayd/session/mechanism.h"
#include "relayd/session/reply.h"
#include "relayd/session/stream.h"

struct auth {
	Gsasl *library;
	const char *user;
	const char *host;         /* the smarthost's name, for DIGEST-MD5 */
	const struct buf *secret; /* a password or a token */
	struct mechanism_means means;
};

enum auth_result {
	AUTH_OK,
	AUTH_REJECTED,  /* the server does not take the credential; reply says why */
	AUTH_TEMPORARY, /* it cannot tell now; reply says why */
	AUTH_NONE,      /* no mechanism that both sides have; problem says which */
	AUTH_UNBOUND,   /* a -PLUS mechanism, and TLS has no channel binding */
	AUTH_BROKEN,    /* the connection, or the server's proof: the stream says why */
};

/* Loads the library; before the process is locked.  0 or -1. */
int auth_init(struct auth *a);
void auth_fini(struct auth *a);

/* Picks one mechanism and runs it; *mechanism is its name.  After a rejection no
 * other one is tried with the same secret, but for a -PLUS mechanism with another SCRAM behind
 * it in the setting auth: that one is tried, and a line in the log says so. */
enum auth_result auth_run(struct auth *a, struct stream *s, const struct capabilities *c,
    struct reply *r, const char **mechanism);

#endif
