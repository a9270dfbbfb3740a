/*
 * The message that tells a sender what became of another: a delivery status
 * notification, RFC 3464 within the multipart/report of RFC 6522, with the null
 * sender.  Nothing is ever told about a message that has the null sender itself,
 * so there are no loops.
 */
#ifndef RELAYD_BOUNCE_H
#define RELAYD_BOUNCE_H

#include "spool/spool.h"

struct bounce_recipient {
	const struct recipient *recipient;
	unsigned code;      /* SMTP reply code, 0 if the reason is ours */
	const char *text;   /* one line: the reply, or the reason in words */
	const char *status; /* "5.1.1" */
};

enum bounce_action {
	BOUNCE_FAILED,
	BOUNCE_DELAYED, /* the warning of delay_warning */
	BOUNCE_RELAYED, /* RFC 3461 section 5.2.2: to a server that confirms nothing */
};

struct bounce {
	struct spool *spool;
	const char *hostname;          /* our name in the report */
	const char *domain;            /* of MAILER-DAEMON */
	const struct message *message; /* what could not be delivered, open */
	const char *queue_id;          /* its name */
	const char *smarthost;         /* who said so, or "" */
	enum bounce_action action;
	int64_t last_attempt; /* microseconds since 1970, 0: there was none */
	int64_t retry_until;  /* the same, of a BOUNCE_DELAYED */
	const struct bounce_recipient *recipients;
	size_t count;
};

/* Commits the bounce to the spool; its name is in *name.  0, or -1 with errno and
 * spool->problem. */
int bounce_send(const struct bounce *b, struct queue_name *name);

/*
 * For a bounce of ours that was refused for its content: commits another one that has
 * five fields of the original's header, encoded, where the first had the whole
 * original.  1 if refused is no such bounce; 0, or -1 as above.
 */
int bounce_send_smaller(struct spool *s, const struct message *refused, struct queue_name *name);

/* Where bounces of e go: NULL if nowhere, because it has no sender. */
const char *bounce_address(const struct envelope *e);

/* The enhanced status code of a failure, from the reply's text or its code. */
#define BOUNCE_STATUS_SIZE 12
const char *bounce_status(unsigned code, const char *text, char dst[static BOUNCE_STATUS_SIZE]);

#endif
