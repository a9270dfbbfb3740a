/*
 * From an address to the addresses that its mail goes to.
 *
 * For an address of this host, in this order: its alias; its `map`; the alias
 * "default"; `local_mail_to`; else the address completed with `domain`.  Targets of
 * aliases that are of this host go the same way.  All others are final as they are,
 * and the alias file is not even opened for them.
 *
 * No mail is lost on the way: a name that leads back to itself, or too deep, is final;
 * what an alias cannot be used for goes to local_mail_to, or else the expansion fails.
 */
#ifndef SENDMAIL_EXPAND_H
#define SENDMAIL_EXPAND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/settings.h"
#include "sendmail/address.h"
#include "sendmail/address_set.h"
#include "sendmail/aliases.h"
#include "sendmail/identity.h"

/* Called for each final address, which can stand in an envelope; some may come more
 * than once.  -1 ends the expansion. */
typedef int expand_function(void *context, const char *address);

struct expansion {
	const struct settings *settings;
	const struct identity *identity;
	bool no_aliases; /* to be set after expand_init(): only `map`, local_mail_to, domain */

	/* after a failure: one line, without line end, and the exit code; empty if the
	 * function ended the expansion */
	struct buf error;
	int code;
	size_t troubles; /* since expand_begin(): targets that could not be used, and loops */

	/* for itself */
	struct aliases aliases;
	bool loaded;
	unsigned pass;
	size_t given; /* addresses of this expansion */
	struct address_set warnings;
	expand_function *function;
	void *context;
};

/* Both are borrowed. */
void expand_init(
    struct expansion *x, const struct settings *settings, const struct identity *identity);
void expand_fini(struct expansion *x);

/* Begins anew: until then each alias is expanded once, and what it led to is not given
 * again.  The alias file stays as it was read. */
void expand_begin(struct expansion *x);

/* a must be acceptable to expand_check().  0, or -1 with error and code. */
int expand_address(
    struct expansion *x, const struct address *a, expand_function *function, void *context);

/* NULL if the address, completed if it is of this host, can stand in an envelope; else
 * what is wrong (a constant).  whole: the completed address. */
const char *expand_check(const struct expansion *x, const struct address *a, struct buf *whole);

/* Reads the alias file, if that has not been done; -1 with error and code. */
int expand_load(struct expansion *x);

#endif
