/*
 * Where the file of a message that is being written lies; for the writer only.
 * The calls return 0, or -1 with errno and spool->problem.
 */
#ifndef SPOOL_PLACE_H
#define SPOOL_PLACE_H

#include "spool/spool.h"

/* Opens w->fd in queue/, empty. */
int place_create(struct message_writer *w);

/* Gives the file, which is written, its mode and its name and makes both durable. */
int place_settle(struct message_writer *w);

/* Removes what has a name but is no message yet. */
void place_forget(struct message_writer *w);

#endif
