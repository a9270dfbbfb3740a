/*
 * Receivers: processes that take a message from the control socket into the spool,
 * for submitters that may not write to queue/ themselves.  Each is relayd's own
 * program, executed anew in that role (receiver.c), so that a submitter's octets
 * are never read by the process that owns the delivery state.
 */
#ifndef RELAYD_RECEIVERS_H
#define RELAYD_RECEIVERS_H

#include <sys/types.h>

#include "relayd/relayd.h"

/* The first argument of the program in that role. */
#define RECEIVER_ROLE "receive"

/* Starts one for the connected socket, whose peer is uid and has announced a file of
 * that name and length.  0; -1 with errno EAGAIN (there are too many), or that of
 * fork(2). */
int receiver_start(struct relayd *r, int socket, uid_t uid, const char *name, const char *length);

/* A child process has ended; was it one of them? */
bool receiver_reap(struct relayd *r, pid_t pid);

/* main() of a receiver; returns its exit code. */
int receiver_main(int argc, char **argv);

#endif
