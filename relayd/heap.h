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
	const struct index *index; /* whose entries these are */
	uint32_t *numbers;
	size_t count, size;
};

void heap_free(struct heap *h);

/* Adds e, or moves it if it is there: its `due` may have changed.  0 or -1 with
 * errno ENOMEM. */
int heap_put(struct heap *h, struct index_entry *e);
/* Takes e out if it is there. */
void heap_remove(struct heap *h, struct index_entry *e);
/* Is e in this heap? */
bool heap_has(const struct heap *h, const struct index_entry *e);
/* How many are due at `now`, counted up to limit. */
size_t heap_count_due(const struct heap *h, int64_t now, size_t limit);
/* The first, or NULL. */
struct index_entry *heap_top(const struct heap *h);

#endif
