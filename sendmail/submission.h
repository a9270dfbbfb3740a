/*
 * One message on its way into the spool, whoever hands it over: a command line
 * with standard input (submit.c), or an SMTP client (-bs).  Whole or not at all.
 *
 *	submission_init()      then the sender and the recipients are set
 *	submission_read()      header and body, into a file that nobody sees yet, and
 *	                       repaired where a smarthost would refuse them
 *	submission_commit()    it is durable
 *	submission_fini()      at any time; what is not committed is forgotten
 */
#ifndef SENDMAIL_SUBMISSION_H
#define SENDMAIL_SUBMISSION_H

#include "base/settings.h"
#include "sendmail/complete.h"
#include "sendmail/header.h"
#include "sendmail/identity.h"
#include "sendmail/input.h"
#include "sendmail/recipients.h"
#include "sendmail/scan.h"
#include "spool/spool.h"

struct submission {
	/* set by the caller after submission_init() */
	const char *full_name; /* for a From that is missing, or NULL */
	const char *from_host; /* of the Received field: "client.example ([192.0.2.1])", or NULL */
	const char *protocol;  /* the same, "with": or NULL */
	unsigned hops;         /* servers that it has passed, beside those in its header */

	const struct settings *settings;
	const struct identity *identity;
	struct spool *spool;
	struct envelope envelope;
	struct recipients recipients;
	struct header header;
	struct message_writer writer;
	struct scan header_scan, body_scan; /* of what went to the writer */

	int code;           /* the exit code of what went wrong */
	const char *status; /* the same of RFC 3463, where the code says too little; or NULL */
	char problem[4500]; /* the same in words, one line; fit for a terminal */
};

/* All are borrowed. */
void submission_init(struct submission *s, const struct settings *settings,
    const struct identity *identity, struct spool *spool);
void submission_fini(struct submission *s);

/* Reads the message; with from_header its To, Cc and Bcc are recipients, too.  0,
 * or -1 with code and problem. */
int submission_read(struct submission *s, struct input *in, bool from_header);

/* 0, or -1 with code and problem.  From here on the queue owns the message. */
int submission_commit(struct submission *s);

/* Sets code and problem; returns -1. */
int submission_fail(struct submission *s, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same from s->recipients or s->spool. */
int submission_fail_recipients(struct submission *s);
int submission_fail_spool(struct submission *s);

#endif
