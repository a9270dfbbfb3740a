/*
 * One conversation with a smarthost, from the banner to QUIT.
 */
#ifndef RELAYD_SESSION_CONVERSATION_H
#define RELAYD_SESSION_CONVERSATION_H

#include <stdbool.h>

#include "relayd/ipc.h"
#include "relayd/session/auth.h"
#include "relayd/session/capabilities.h"
#include "relayd/session/reply.h"
#include "relayd/session/stream.h"
#include "relayd/session/tls.h"

struct conversation {
	const struct ipc_settings *settings;
	struct stream stream;
	struct tls tls;
	struct auth auth;
	struct capabilities can;
	struct reply reply; /* the last one read */
	char host[256];     /* A-labels */
	char domain[256];   /* that the host was found for; the certificate may be for it; or "" */
	char ehlo[300];
	bool implicit_tls;       /* TLS comes first */
	bool secured;            /* TLS is on */
	bool closed;             /* a reply has ended it */
	bool lost;               /* replies are missing */
	bool failing;            /* … or will have, when the replies that are due have come */
	bool reset;              /* a transaction was left open: RSET before the next MAIL */
	unsigned delivered;      /* messages, in this conversation */
	unsigned awaited;        /* replies to commands that were written */
	bool answered;           /* there was one since that was 0 */
	unsigned peer;           /* enum ipc_peer: what was found out about the smarthost */
	unsigned recipients_max; /* that a transaction may have, 0: not known */

	/* why it cannot go on */
	enum ipc_fault fault;
	unsigned code;
	char problem[512];
};

/* From the banner to a state in which MAIL may follow.  0, or -1 with fault, code
 * and problem. */
int conversation_open(struct conversation *c, char *ready, size_t size);

/* Says QUIT and does not wait for the answer. */
void conversation_quit(struct conversation *c);

/* Takes the stream's problem as the conversation's; returns -1. */
int conversation_broken(struct conversation *c);

/* Takes the last reply as the problem: "PHASE: 454 4.7.0 …"; returns -1. */
int conversation_refused(struct conversation *c, enum ipc_fault fault, const char *to_what);

/* Appends a command line. */
int conversation_command(struct conversation *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Sends what was appended and reads a reply into c->reply. */
int conversation_reply(struct conversation *c);
/* The stream has failed while a reply was due; conversation_reply() says so itself. */
void conversation_unanswered(struct conversation *c);

#endif
