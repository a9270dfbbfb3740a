/*
 * The journal, written anew in slices when most of it is of no use any more, or at once
 * when it is broken.
 */
#ifndef RELAYD_REWRITE_H
#define RELAYD_REWRITE_H

#include "relayd/relayd.h"

/* At the start: how much of the journal is of use. */
void rewrite_estimate(struct relayd *r);
/* At the end of a turn, when all that was appended is written: the next slice, if one is
 * needed. */
void rewrite_turn(struct relayd *r);
/* An event of e was appended to the journal; explains: it is the reason of e's state. */
void rewrite_note(struct relayd *r, const struct index_entry *e,
    const struct journal_record *record, bool explains);
/* The whole journal at once; 0, or -1 with errno. */
int rewrite_all(struct relayd *r);
void rewrite_cancel(struct relayd *r);

#endif
