/*
 * Locks the process in, once it is connected and before it reads the first byte
 * from the network: from then on it can read and write the descriptors that it
 * has or is sent, and nothing else.
 */
#ifndef RELAYD_SESSION_LOCK_H
#define RELAYD_SESSION_LOCK_H

/* At the start: no core, not traceable, ends if relayd ends while it resolves and
 * connects. */
void lock_prepare(void);

/* 0, or -1 with errno if the kernel refuses what it should offer (seccomp). */
int lock_in(void);

#endif
