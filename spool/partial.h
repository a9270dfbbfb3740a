/*
 * Which recipients of a message are finished while others are not.  Few messages have
 * such recipients, so this is no part of their entries.
 */
#ifndef SPOOL_PARTIAL_H
#define SPOOL_PARTIAL_H

#include "spool/index.h"

/* Forgets those of e. */
void partial_free(struct index *x, struct index_entry *e);
/* Forgets all, when the entries are about to go. */
void partials_free(struct index *x);

#endif
