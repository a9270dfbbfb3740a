/*
 * The values of a report's fields: RFC 3464 wants them in ASCII, RFC 6533 says what
 * an address becomes that is not.
 */
#ifndef RELAYD_REPORT_TEXT_H
#define RELAYD_REPORT_TEXT_H

#include <stdbool.h>

#include "base/buf.h"

/* Appends text; where the line that b ends with would pass 76 characters, newline is
 * put before the blanks of it.  Words stay whole. */
void report_add_folded(struct buf *b, const char *text, const char *newline);

/* Appends "Name: type;text", printable and folded; in ASCII unless utf8. */
void report_add_field(
    struct buf *b, const char *name, const char *type, const char *text, bool utf8);

/* Appends an xtext (RFC 3461 section 4), decoded as far as that gives printable
 * ASCII. */
void report_add_xtext(struct buf *b, const char *xtext);

/* Appends "rfc822;…" or, for what is not ASCII, "utf-8;…" (RFC 6533 section 3), which
 * is UTF-8 only if utf8. */
void report_add_address(struct buf *b, const char *address, bool utf8);

/* Appends "dns;…": a name, or an address in brackets. */
void report_add_host(struct buf *b, const char *host, bool utf8);

#endif
