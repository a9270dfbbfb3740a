/*
 * The header with another identity, for a provider that takes only mail from the
 * account's own address: the setting rewrite_from.
 *
 * A pure function of the header and that address: each retry sends the same
 * octets, and what it has made it leaves alone.
 */
#ifndef RELAYD_SESSION_REWRITE_H
#define RELAYD_SESSION_REWRITE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/*
 * Looks for the end of the header in text, which has the first len octets of a
 * message with CRLF line ends.  *at, 0 at first, moves behind the lines of the
 * header that are there whole.  True when the end is found: *at is then where the
 * body begins, behind the empty line if there is one.  False: more is needed, or
 * all of the message is header.
 */
bool rewrite_find_body(const char *text, size_t len, size_t *at);

/* What rewrite_header() makes of len octets is not longer. */
#define REWRITE_OCTETS_MAX(len) (3 * (len) + 2048)

/*
 * Appends the header, up to *at of the above, to out:
 *
 *   From           its address becomes `from`; name and comments stay as written
 *   the old From   Reply-To; or X-Original-From, if there is a Reply-To already or
 *                  nothing in it can be replied to
 *   further From   X-Original-From
 *   Sender         X-Original-Sender
 *
 * A From that is missing is added.  A header whose one From has just this address
 * is not changed.  0, or -1 with errno ENOMEM.
 */
int rewrite_header(const char *header, size_t len, const char *from, struct buf *out);

#endif
