/*
 * Address lists as they stand in header fields and on command lines: RFC 5322
 * section 3.4 with the obsolete forms of section 4.4, and raw UTF-8 (RFC 6532).
 */
#ifndef SENDMAIL_ADDRESS_H
#define SENDMAIL_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

#define ADDRESS_COMMENT_DEPTH_MAX 50

/* One mailbox of a list.  The places are octets of the list's text: begin to end is
 * the local part (a domain that is missing belongs behind it), domain to domain_end
 * the domain; comments and blanks stand in neither, but may stand between the words
 * of each. */
struct address {
	const char *text; /* local-part[@domain], without comments, blanks and route */
	bool bare;        /* without a domain */
	bool escaped;     /* a backslash stood in front: no aliases */
	size_t begin, end;
	size_t domain, domain_end; /* 0 if it is bare */
};

/* Called for each mailbox in order; what it is given lives until it returns.  -1
 * ends the parse. */
typedef int address_function(void *context, const struct address *a);

/*
 * Parses a list of len octets: mailboxes, groups, empty elements.  0; or -1, and
 * *error says what is wrong (a constant), NULL if the function ended it, or there is
 * no memory.
 */
int address_list_parse(
    const char *text, size_t len, address_function *function, void *context, const char **error);

#endif
