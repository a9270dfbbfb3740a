/*
 * What senders are told although nothing has failed: that a message is late, and
 * that it went where nobody confirms anything.
 */
#ifndef RELAYD_NOTICES_H
#define RELAYD_NOTICES_H

#include "relayd/relayd.h"

/* Warns the sender of e, once, of all recipients that want it (RFC 3461 section 4.1).
 * False if the warning cannot be written now. */
bool notice_delay(struct relayd *r, struct index_entry *e);

/* For recipients with NOTIFY=SUCCESS who were delivered to, without a server that
 * takes that over: one report that it was relayed (RFC 3461 section 5.2.2). */
void notice_relayed(struct relayd *r, const struct index_entry *e, const struct message *m,
    const struct results *results, const struct outcome_source *source);

/* The journal line that explains the state of e; text owns what *last points to.
 * False if there is none. */
bool notice_last(const struct relayd *r, const struct index_entry *e, struct journal_record *last,
    struct buf *text);

/* Does a line speak of that recipient? */
bool notice_is_about(const struct journal_record *line, size_t recipient);

#endif
