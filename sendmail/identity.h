/*
 * Who submits, and how this host is called: from the real uid, never from the
 * environment.
 */
#ifndef SENDMAIL_IDENTITY_H
#define SENDMAIL_IDENTITY_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/hostname.h"
#include "base/settings.h"

struct identity {
	uid_t uid;
	char user[65];       /* the account's name; "uid-1234" without a passwd entry */
	char full_name[129]; /* from the passwd entry, or "" */
	char hostname[HOSTNAME_SIZE];
	char domain[HOSTNAME_SIZE];
};

/* 0, or -1 if the account cannot be looked up now. */
int identity_init(struct identity *id, const struct settings *s);

/* Appends name as the phrase of a mailbox: atoms as they are, else a quoted
 * string, else (not ASCII) encoded words of RFC 2047.  Control characters become
 * blanks; what is longer than 128 octets is cut. */
void identity_add_phrase(struct buf *b, const char *name);

#endif
