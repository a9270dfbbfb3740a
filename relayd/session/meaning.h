/*
 * What a reply means: whose fault it is, and so what happens to the message.  How
 * long each kind of fault pauses the smarthost is relayd's to say (smarthost.c).
 */
#ifndef RELAYD_SESSION_MEANING_H
#define RELAYD_SESSION_MEANING_H

#include <stddef.h>

#include "relayd/ipc.h"
#include "relayd/session/reply.h"

enum phase {
	PHASE_GREETING = 1, /* banner, EHLO, STARTTLS */
	PHASE_AUTH = 2,
	PHASE_MAIL = 4,
	PHASE_RCPT = 8,
	PHASE_DATA = 16, /* the reply to DATA */
	PHASE_END = 32,  /* the reply to the end of the content */
};

enum meaning {
	MEANS_OK,
	MEANS_DEFERRED,       /* this message or recipient, later */
	MEANS_REFUSED,        /* this message or recipient, for good */
	MEANS_SENDER_REFUSED, /* our identity settings */
	MEANS_RECONNECT,      /* this connection has had its share: another one, at once */
	MEANS_CONNECTION,     /* the smarthost pauses */
	MEANS_FULL,           /* one connection less; it pauses if this is the only one */
	MEANS_RATE,           /* it pauses for seconds */
	MEANS_THROTTLE,       /* it pauses for minutes */
	MEANS_CREDENTIAL,     /* it pauses until somebody looks at the password */
	MEANS_QUOTA,          /* it pauses for hours */
};

enum meaning reply_meaning(enum phase phase, const struct reply *r);

/* The row of the table that decides, for its test; rows count from 0. */
size_t meaning_row(enum phase phase, const struct reply *r);
size_t meaning_row_count(void);

/* The kind of fault that is reported for what is the smarthost's. */
enum ipc_fault meaning_fault(enum meaning m);

#endif
