/*
 * The header as it is sent: blind copies removed, addresses of this host
 * mapped or completed, and what is missing added (RFC 5322 section 3.6, RFC 6409 section 8).
 */
#ifndef SENDMAIL_COMPLETE_H
#define SENDMAIL_COMPLETE_H

#include "base/buf.h"
#include "sendmail/header.h"
#include "sendmail/identity.h"
#include "spool/envelope.h"

struct completion {
	const struct settings *settings;
	const struct identity *identity;
	const struct envelope *envelope;
	const char *full_name; /* for a From that is missing; NULL: the account's */
	const char *from_host; /* whom it came from, "NAME (ADDRESS)"; NULL: this host */
	const char *protocol;  /* RFC 3848, as ESMTP; or NULL */
	const char *queue_id;  /* QUEUE_ID_LEN characters */
};

/* Appends the header that goes out, without the empty line behind it, to b; 0 or
 * -1 with errno. */
int complete_header(const struct header *h, const struct completion *c, struct buf *b);

#endif
