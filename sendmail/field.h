/*
 * Header fields that a smarthost would refuse, made fit without loss (RFC 5322
 * section 2.2.3, RFC 2047).
 */
#ifndef SENDMAIL_FIELD_H
#define SENDMAIL_FIELD_H

#include "sendmail/header.h"

/* Is there a line over 998 octets, a CR without LF, or a NUL in it? */
bool field_is_refused(const struct header *h, const struct field *f);

/*
 * Appends the field, whole lines, to b: folded where it has blanks (lists of addresses
 * also behind commas, Content- fields behind semicolons); where that does not help, free
 * text in encoded words.  0; or -1, and *reason says why it cannot be done (a constant),
 * NULL if there is no memory: errno.
 */
int field_repair(const struct header *h, const struct field *f, struct buf *b, const char **reason);

#endif
