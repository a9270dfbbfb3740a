/*
 * Submission where queue/ is closed: no set-gid right (no_new_privs, a user
 * namespace, a nosuid mount), or a spool that is read-only or not there at all.
 * The message is completed in a file without a name somewhere else, and only then
 * its octets go to relayd, which commits them and answers.  For the writer only.
 */
#ifndef SPOOL_REMOTE_H
#define SPOOL_REMOTE_H

#include "spool/spool.h"

/* After place_create() or spool_open() has failed: opens w->fd elsewhere, if the
 * failure is one that relayd can help with.  0, or -1 with errno and spool->problem. */
int remote_create(struct message_writer *w);

/* Hands the written file to relayd.  0: it is durable; -1 with errno and
 * spool->problem. */
int remote_commit(struct message_writer *w);

#endif
