/*
 * Waiting for the outcome of a message's first attempt (-odi, -v).  The message is
 * accepted whatever comes of it; nothing here can fail.
 */
#ifndef SENDMAIL_OUTCOME_H
#define SENDMAIL_OUTCOME_H

#include <stdbool.h>

/* Asks relayd for the outcomes of the message that will have this name, before it is
 * committed: afterwards it may be gone already.  A socket, or -1. */
int outcome_watch(const char *runtime_directory, const char *name);

/* Waits, for at most 30 seconds, until the first attempt is over, and prints each
 * outcome on standard error if verbose.  Closes watch. */
void outcome_wait(int watch, bool verbose);

#endif
