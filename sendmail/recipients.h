/*
 * Who gets the message: from the command line, from the header, or one by one from
 * an SMTP client; aliases expanded, and each address once.
 */
#ifndef SENDMAIL_RECIPIENTS_H
#define SENDMAIL_RECIPIENTS_H

#include "base/buf.h"
#include "sendmail/address_set.h"
#include "sendmail/expand.h"
#include "sendmail/header.h"
#include "spool/envelope.h"

struct recipients {
	struct envelope *envelope;
	struct expansion expansion; /* no_aliases may be set (-n) */
	unsigned notify;            /* of the recipients to come: enum notify */
	const char *orcpt;          /* the same, or NULL */
	const char *source;         /* where the list stands, for errors */
	struct address_set seen;
	struct buf finals; /* of the recipient in hand, each with its NUL */
	struct buf error;  /* one line, without line end */
	int code;          /* the exit code of the error */
};

/* All are borrowed. */
void recipients_init(
    struct recipients *r, struct envelope *e, const struct settings *s, const struct identity *id);
void recipients_fini(struct recipients *r);

/* All return 0, or -1 with error and code. */
int recipients_from_arguments(struct recipients *r, char *const *list, size_t count);
int recipients_from_header(struct recipients *r, const struct header *h);
/* Exactly one; after a failure the envelope is as it was, and others can follow.  But an
 * alias that fills the envelope leaves what it has added, and no other may follow. */
int recipients_add(struct recipients *r, const char *address);

/*
 * The sender: an address, a local name (whoever submits, if nobody else is named), or
 * "" or "<>" for the null sender.  One of this host is replaced by its `map`, or
 * completed; and if its mail goes elsewhere, so do the bounces.
 */
int recipients_set_sender(struct recipients *r, const char *sender);

#endif
