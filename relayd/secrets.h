/*
 * The files with a smarthost's credential.  After a refused one a change of them ends the
 * pause at once.
 */
#ifndef RELAYD_SECRETS_H
#define RELAYD_SECRETS_H

#include <stdbool.h>

#include "relayd/relayd.h"

/* Remembers what the files are like: a session begins that will read them. */
void secrets_note(struct smarthost *h);

/* h begins a pause for its credential: watches the files.  True if they have changed
 * since secrets_note(), so that the pause makes no sense. */
bool secrets_watch(struct relayd *r, struct smarthost *h);

/* No pause depends on them any longer. */
void secrets_unwatch(struct relayd *r);

#endif
