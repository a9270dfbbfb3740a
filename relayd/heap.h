/*
 * The messages that wait for their next attempt, the earliest first; among equals
 * the oldest.  Each entry knows its place, so that any can be taken out.
 */
#ifndef RELAYD_HEAP_H
#define RELAYD_HEAP_H

#include <stdbool.h>
#include <stddef.h>

#include "spool/index.h"

struct heap {
	struct index_entry **entries;
	size_t count, size;
};

void heap_free(struct heap *h);

/* Adds e, or moves it if it is there: its `due` may have changed.  0 or -1 with
 * errno ENOMEM. */
int heap_put(struct heap *h, struct index_entry *e);
/* Takes e out if it is there. */
void heap_remove(struct heap *h, struct index_entry *e);
/* The first, or NULL. */
struct index_entry *heap_top(const struct heap *h);

#endif
