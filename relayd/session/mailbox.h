/*
 * The first mailbox in the value of a From field (RFC 5322 section 3.4, and what
 * programs write instead), found without decoding anything.
 */
#ifndef RELAYD_SESSION_MAILBOX_H
#define RELAYD_SESSION_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>

/* Octets of the value. */
struct mailbox_part {
	const char *text;
	size_t len;
};

struct mailbox {
	struct mailbox_part before;  /* the display name or comments, as they are written */
	struct mailbox_part address; /* without angle brackets, else as it is written */
	struct mailbox_part after;   /* comments */
	bool in_angle_brackets;
	bool has_domain; /* there is an @ in the address */
	bool alone;      /* nothing else stands in the value */
};

/* False if no mailbox can be found in the value.  Where several are, the first
 * that has an @ or angle brackets: in "Doe, Joe <joe@host>" that is Joe. */
bool mailbox_find(const char *value, size_t len, struct mailbox *m);

/* Is it `address`?  The case of the domain does not matter. */
bool mailbox_is(const struct mailbox *m, const char *address);

#endif
