/*
 * Who gets the message: from the command line, and with -t from the header; aliases
 * expanded, and each address once.
 */
#ifndef SENDMAIL_RECIPIENTS_H
#define SENDMAIL_RECIPIENTS_H

#include "base/buf.h"
#include "sendmail/address_set.h"
#include "sendmail/expand.h"
#include "sendmail/header.h"
#include "sendmail/options.h"
#include "spool/envelope.h"

struct recipients {
	struct envelope *envelope;
	const struct options *options;
	struct expansion expansion; /* no_aliases may be set (-n) */
	const char *source;         /* where the list stands, for errors */
	struct address_set seen;
	struct buf error; /* one line, without line end */
	int code;         /* the exit code of the error */
};

/* All are borrowed. */
void recipients_init(struct recipients *r, struct envelope *e, const struct options *o,
    const struct settings *s, const struct identity *id);
void recipients_fini(struct recipients *r);

/* 0, or -1 with error and code. */
int recipients_from_arguments(struct recipients *r);
int recipients_from_header(struct recipients *r, const struct header *h);

/*
 * The sender: an address, a local name (whoever submits, if nobody else is named), or
 * "" or "<>" for the null sender.  One of this host is replaced by its `map`, or
 * completed; and if its mail goes elsewhere, so do the bounces.
 */
int recipients_set_sender(struct recipients *r, const char *sender);

#endif
