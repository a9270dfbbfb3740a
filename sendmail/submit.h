/*
 * From standard input to the spool: the message with its envelope, whole or not
 * at all.
 */
#ifndef SENDMAIL_SUBMIT_H
#define SENDMAIL_SUBMIT_H

#include "base/settings.h"
#include "sendmail/options.h"

/* Returns the exit code; what went wrong is on standard error. */
int submit(const struct settings *s, const struct options *o);

#endif
