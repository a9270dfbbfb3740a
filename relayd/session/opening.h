/*
 * From the settings that relayd sends to a conversation that is ready for MAIL.
 */
#ifndef RELAYD_SESSION_OPENING_H
#define RELAYD_SESSION_OPENING_H

#include "base/buf.h"
#include "relayd/ipc.h"
#include "relayd/session/conversation.h"

/* Takes the settings from relayd.  0, or -1 if what comes are none. */
int opening_receive(struct ipc_settings *settings);

/* Reads what the settings name (the secret into *secret), connects, locks the process in and
 * opens the conversation; all three must stay.  0 and how in ready, or -1 with the
 * conversation's fault, code and problem. */
int opening_run(struct conversation *c, struct ipc_settings *settings, struct buf *secret,
    char *ready, size_t size);

#endif
