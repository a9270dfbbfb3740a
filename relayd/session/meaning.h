/*
 * What a reply means: whose fault it is, and so what happens to the message.
 */
#ifndef RELAYD_SESSION_MEANING_H
#define RELAYD_SESSION_MEANING_H

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
	MEANS_CONNECTION,     /* the smarthost pauses */
	MEANS_CREDENTIAL,     /* it pauses until somebody looks at the password */
	MEANS_QUOTA,          /* it pauses for long */
};

enum meaning reply_meaning(enum phase phase, const struct reply *r);

#endif
