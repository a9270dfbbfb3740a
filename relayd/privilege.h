/*
 * Becoming the user that relayd runs as.
 */
#ifndef RELAYD_PRIVILEGE_H
#define RELAYD_PRIVILEGE_H

#include "relayd/relayd.h"

/* Started as root: prepares the directories, becomes settings.user for good, and
 * checks that there is no way back.  Started as anybody else: prepares the
 * directories of that user's private instance.  0, or an exit code, logged. */
int privilege_settle(struct relayd *r);

#endif
