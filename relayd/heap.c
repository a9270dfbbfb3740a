/*
 * A binary heap; position 0 in an entry means that it is not in the heap, so the
 * places count from 1.
 */
#include "relayd/heap.h"

#include <stdlib.h>
#include <string.h>

#define SIZE_FIRST 64

void
heap_free(struct heap *h)
{
	free(h->entries);
	*h = (struct heap){ .count = 0 };
}

static bool
before(const struct index_entry *a, const struct index_entry *b)
{
	return a->due != b->due ? a->due < b->due : memcmp(a->name, b->name, NAME_LEN) < 0;
}

static void
place(struct heap *h, size_t at, struct index_entry *e)
{
	h->entries[at] = e;
	e->heap = (uint32_t)at;
}

/* Moves e from the hole at `at` to where it belongs. */
static void
sift(struct heap *h, size_t at, struct index_entry *e)
{
	while (at > 1 && before(e, h->entries[at / 2])) {
		place(h, at, h->entries[at / 2]);
		at /= 2;
	}
	for (;;) {
		size_t child = 2 * at;

		if (child > h->count)
			break;
		if (child < h->count && before(h->entries[child + 1], h->entries[child]))
			child++;
		if (!before(h->entries[child], e))
			break;
		place(h, at, h->entries[child]);
		at = child;
	}
	place(h, at, e);
}

int
heap_put(struct heap *h, struct index_entry *e)
{
	if (e->heap != 0) {
		sift(h, e->heap, e);
		return 0;
	}
	if (h->count + 2 > h->size) {
		size_t size = h->size == 0 ? SIZE_FIRST : 2 * h->size;
		struct index_entry **all = reallocarray(h->entries, size, sizeof(*all));

		if (all == NULL)
			return -1;
		h->entries = all;
		h->size = size;
	}
	h->count++;
	sift(h, h->count, e);
	return 0;
}

void
heap_remove(struct heap *h, struct index_entry *e)
{
	struct index_entry *last;
	size_t at = e->heap;

	if (at == 0)
		return;
	e->heap = 0;
	last = h->entries[h->count--];
	if (last != e)
		sift(h, at, last);
}

bool
heap_has(const struct heap *h, const struct index_entry *e)
{
	return e->heap != 0 && e->heap <= h->count && h->entries[e->heap] == e;
}

struct index_entry *
heap_top(const struct heap *h)
{
	return h->count == 0 ? NULL : h->entries[1];
}

/* Those that are due hang together below the top. */
static size_t
count_due(const struct heap *h, size_t at, int64_t now, size_t limit)
{
	size_t n = 1;

	if (at > h->count || limit == 0 || h->entries[at]->due > now)
		return 0;
	n += count_due(h, 2 * at, now, limit - n);
	return n + count_due(h, 2 * at + 1, now, limit - n);
}

size_t
heap_count_due(const struct heap *h, int64_t now, size_t limit)
{
	return count_due(h, 1, now, limit);
}
