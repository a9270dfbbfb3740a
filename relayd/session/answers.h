/*
 * What the replies to the commands of a transaction mean for its recipients; for
 * whoever writes those commands, one after the other or many ahead.
 */
#ifndef RELAYD_SESSION_ANSWERS_H
#define RELAYD_SESSION_ANSWERS_H

#include "relayd/session/meaning.h"
#include "relayd/session/transaction.h"

/* What the phases below come back with. */
enum step {
	STEP_ON,     /* go on */
	STEP_DONE,   /* all outcomes are known */
	STEP_UNSENT, /* the conversation's fault says why */
	STEP_DOUBT,
	STEP_CORRUPT,
};

/* Sets an outcome; the same for all recipients that have none yet (STEP_DONE). */
void outcome_set(struct outcome *o, enum ipc_outcome value, unsigned code, const char *text);
enum step outcome_set_all(
    struct transaction *t, enum ipc_outcome value, unsigned code, const char *text);
/* With the last reply. */
enum step answers_for_all(struct transaction *t, enum ipc_outcome value);

/* The stream has failed: STEP_UNSENT. */
enum step answers_broken(struct transaction *t);
/* The last reply is the smarthost's fault: STEP_UNSENT. */
enum step answers_refused(struct transaction *t, enum meaning meaning, const char *to_what);

/* What a reply about a message or a recipient means for it. */
enum ipc_outcome answers_outcome(enum meaning meaning);

/* Each reads the reply to one command.  STEP_ON: go on; STEP_DONE: it decides about all
 * recipients; STEP_UNSENT. */
int answers_read(struct transaction *t, enum phase phase, enum meaning *meaning);
enum step answers_reset(struct transaction *t);
enum step answers_mail(struct transaction *t);
enum step answers_rcpt(struct transaction *t, struct outcome *o, bool *accepted);
/* … that was refused with the command before it: only an end is news. */
enum step answers_in_vain(struct transaction *t);
/* Of the reply to the whole message, which has been read. */
enum step answers_end(struct transaction *t);

/* transaction.c: what can be said before MAIL.  STEP_ON: *sender is what it has, perhaps
 * in room; STEP_DONE: the smarthost cannot take this sender, or this size. */
enum step transaction_sender(struct transaction *t, const char **sender, char *room, size_t size);
enum step transaction_size_check(struct transaction *t);
/* Reads, checks, rewrites and converts what is to be sent: into whole, if the message can
 * be held.  What the smarthost cannot take is an outcome (STEP_DONE); *r is set in both
 * cases. */
enum step transaction_prepare(struct transaction *t, struct buf *whole, enum content_result *r);

/* The connection ended, and the message was not sent.  Some servers end it because of refused
 * recipients, and would do so again each time: what was refused stays so, and the others are
 * deferred (STEP_DONE).  STEP_UNSENT if nobody was refused. */
enum step answers_keep_refused(struct transaction *t);

/* Is recipient i to stand in this transaction?  The next one that is, from i on. */
bool outcome_is_open(const struct transaction *t, size_t i);
size_t outcome_next_open(const struct transaction *t, size_t i);

#endif
