/*
 * SASL over SMTP (RFC 4954), with libgsasl.
 */
#ifndef RELAYD_SESSION_AUTH_H
#define RELAYD_SESSION_AUTH_H

#include <gsasl.h>
#include <stdbool.h>

#include "base/buf.h"
#include "relayd/session/capabilities.h"
#include "relayd/session/reply.h"
#include "relayd/session/stream.h"

struct auth {
	Gsasl *library;
	const char *user;
	const struct buf *secret;
	const char *wanted; /* the mechanisms that `auth` names, or "" for our ranking */
	bool in_clear;      /* PLAIN and LOGIN are allowed without TLS */
};

enum auth_result {
	AUTH_OK,
	AUTH_REJECTED,  /* the server does not take the credential; reply says why */
	AUTH_TEMPORARY, /* it cannot tell now; reply says why */
	AUTH_NONE,      /* no mechanism that both sides have; problem says which */
	AUTH_BROKEN,    /* the connection, or the server's proof: the stream says why */
};

/* Loads the library; before the process is locked.  0 or -1. */
int auth_init(struct auth *a);
void auth_fini(struct auth *a);

/* Picks one mechanism and runs it; *mechanism is its name.  After a rejection no
 * other one is tried with the same secret. */
enum auth_result auth_run(struct auth *a, struct stream *s, const struct capabilities *c,
    struct reply *r, const char **mechanism);

/* The mechanism that would be used: a constant, or NULL.  Pure. */
const char *auth_choose(const struct capabilities *c, const char *wanted, bool tls, bool in_clear);

#endif
