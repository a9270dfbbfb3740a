/*
 * There are as many lanes as there are different sets of smarthosts in the queue, which
 * is few; one that is empty is used again for another set.  An entry does not know its
 * lane: it is the one that has it at its place.
 */
#include "relayd/lanes.h"

#include <stdlib.h>

#define SIZE_FIRST 8

void
lanes_free(struct lanes *l)
{
	for (size_t i = 0; i < l->count; i++) {
		heap_free(&l->list[i]->heap);
		free(l->list[i]);
	}
	free(l->list);
	*l = (struct lanes){ .index = l->index };
}

static struct lane *
lane_new(struct lanes *l)
{
	struct lane *lane;

	if (l->count == l->size) {
		size_t size = l->size == 0 ? SIZE_FIRST : 2 * l->size;
		struct lane **list = reallocarray(l->list, size, sizeof(struct lane *));

		if (list == NULL)
			return NULL;
		l->list = list;
		l->size = size;
	}
	lane = calloc(1, sizeof(*lane));
	if (lane == NULL)
		return NULL;
	lane->heap.index = l->index;
	l->list[l->count++] = lane;
	return lane;
}

struct lane *
lanes_put(struct lanes *l, uint64_t carriers, struct index_entry *e)
{
	struct lane *lane = NULL, *empty = NULL;

	for (size_t i = 0; i < l->count; i++) {
		if (l->list[i]->carriers == carriers)
			lane = l->list[i];
		if (l->list[i]->heap.count == 0)
			empty = l->list[i];
	}
	if (lane == NULL) {
		lane = empty != NULL ? empty : lane_new(l);
		if (lane == NULL)
			return NULL;
		lane->carriers = carriers;
		lane->blocked = false;
	}
	return heap_put(&lane->heap, e) < 0 ? NULL : lane;
}

static struct lane *
lane_of(const struct lanes *l, const struct index_entry *e)
{
	for (size_t i = 0; i < l->count; i++)
		if (heap_has(&l->list[i]->heap, e))
			return l->list[i];
	return NULL;
}

void
lanes_remove(struct lanes *l, struct index_entry *e)
{
	struct lane *lane = lane_of(l, e);

	if (lane != NULL)
		heap_remove(&lane->heap, e);
}

uint64_t
lanes_carriers(const struct lanes *l, const struct index_entry *e)
{
	const struct lane *lane = lane_of(l, e);

	return lane == NULL ? ROUTE_ALL : lane->carriers;
}

struct lane *
lanes_first(const struct lanes *l)
{
	struct lane *first = NULL;

	for (size_t i = 0; i < l->count; i++) {
		struct lane *lane = l->list[i];
		const struct index_entry *e = heap_top(&lane->heap);

		if (e != NULL && !lane->blocked &&
		    (first == NULL || e->due < heap_top(&first->heap)->due))
			first = lane;
	}
	return first;
}

int
lanes_dissolve(struct lanes *l, struct heap *to)
{
	for (size_t i = 0; i < l->count; i++) {
		struct heap *h = &l->list[i]->heap;
		struct index_entry *e;

		while ((e = heap_top(h)) != NULL) {
			heap_remove(h, e);
			if (heap_put(to, e) < 0)
				return -1;
		}
	}
	return 0;
}
