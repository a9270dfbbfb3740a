/*
 * A header field with octets above 127 as ASCII: encoded words in text and in names
 * (RFC 2047), A-labels in addresses, extended parameters in Content- fields (RFC 2231).
 */
#ifndef RELAYD_SESSION_CONVERT_FIELD_H
#define RELAYD_SESSION_CONVERT_FIELD_H

#include "base/buf.h"
#include "relayd/session/header_field.h"

/* Appends the field, whole lines, to out.  1; 0 if that cannot be done, and *refusal is
 * a reply that says so; -1 with errno. */
int convert_field(const struct field *f, struct buf *out, const char **refusal);

#endif
