/*
 * What a session tells relayd, see relayd/ipc.h.
 */
#ifndef RELAYD_SESSION_REPORT_H
#define RELAYD_SESSION_REPORT_H

#include <unistd.h>

#include "base/log.h"
#include "relayd/ipc.h"
#include "relayd/session/transaction.h"

#define REPORT_SOCKET STDIN_FILENO /* to relayd */

/* r says what; text is copied into it. */
void report_send(struct ipc_report *r, const char *text);
/* A line for relayd's log: a sink of base/log. */
void report_log(void *context, enum log_level level, const char *line);
void report_end(uint32_t job, enum ipc_end end, const char *text);
/* Why the conversation cannot go on. */
void report_failed(const struct conversation *c);
/* All outcomes that are known. */
void report_outcomes(uint32_t job, const struct transaction *t);
/* What was found out about the smarthost, for the sessions that follow. */
void report_peer(const struct conversation *c);

#endif
