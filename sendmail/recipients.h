/*
 * Who gets the message: from the command line, and with -t from the header.
 */
#ifndef SENDMAIL_RECIPIENTS_H
#define SENDMAIL_RECIPIENTS_H

#include "base/buf.h"
#include "sendmail/header.h"
#include "sendmail/options.h"
#include "spool/envelope.h"

struct recipients {
	struct envelope *envelope;
	const struct options *options;
	const char *domain; /* completes bare addresses */
	const char *source; /* where the list stands, for errors */
	void *seen;         /* for duplicates: tsearch(3) */
	struct buf error;   /* one line, without line end */
	int code;           /* the exit code of the error */
};

void recipients_init(
    struct recipients *r, struct envelope *e, const struct options *o, const char *domain);
void recipients_fini(struct recipients *r);

/* 0, or -1 with error and code. */
int recipients_from_arguments(struct recipients *r);
int recipients_from_header(struct recipients *r, const struct header *h);

/* The sender: an address, or "" or "<>" for the null sender. */
int recipients_set_sender(struct recipients *r, const char *sender);

#endif
