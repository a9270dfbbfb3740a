/*
 * A heap in which each place has four children: of a long one nothing is in the processor's
 * cache, and the entries of the children are fetched at the same time.  Position 0 in an
 * entry means that it is not in the heap, so the places count from 1.
 */
#include "relayd/heap.h"

#include <stdlib.h>
#include <string.h>

#define SIZE_FIRST 64
#define CHILDREN 4

void
heap_free(struct heap *h)
{
	free(h->numbers);
	*h = (struct heap){ .index = h->index };
}

static bool
before(const struct index_entry *a, const struct index_entry *b)
{
	return a->due != b->due ? a->due < b->due
				: memcmp(a->packed, b->packed, sizeof(a->packed)) < 0;
}

static struct index_entry *
entry_at(const struct heap *h, size_t at)
{
	return index_at(h->index, h->numbers[at]);
}

static void
place(struct heap *h, size_t at, struct index_entry *e)
{
	h->numbers[at] = index_number(e);
	e->heap = (uint32_t)at;
}

static size_t
parent(size_t at)
{
	return (at + CHILDREN - 2) / CHILDREN;
}

static size_t
first_child(size_t at)
{
	return CHILDREN * (at - 1) + 2;
}

/* The child at `at` that comes first; 0: there is none. */
static size_t
least_child(const struct heap *h, size_t at)
{
	size_t first = first_child(at), end = first + CHILDREN, least = first;

	if (first > h->count)
		return 0;
	if (end > h->count + 1)
		end = h->count + 1;
	for (size_t i = first; i < end; i++)
		__builtin_prefetch(entry_at(h, i), 1);
	for (size_t i = first + 1; i < end; i++)
		if (before(entry_at(h, i), entry_at(h, least)))
			least = i;
	return least;
}

/* Moves e from the hole at `at` to where it belongs. */
static void
sift(struct heap *h, size_t at, struct index_entry *e)
{
	size_t child;

	while (at > 1 && before(e, entry_at(h, parent(at)))) {
		place(h, at, entry_at(h, parent(at)));
		at = parent(at);
	}
	while ((child = least_child(h, at)) != 0 && before(entry_at(h, child), e)) {
		place(h, at, entry_at(h, child));
		at = child;
	}
	place(h, at, e);
}

static int
resize(struct heap *h, size_t size)
{
	uint32_t *all = reallocarray(h->numbers, size, sizeof(*all));

	if (all == NULL)
		return -1;
	h->numbers = all;
	h->size = size;
	return 0;
}

int
heap_put(struct heap *h, struct index_entry *e)
{
	if (e->heap != 0) {
		sift(h, e->heap, e);
		return 0;
	}
	if (h->count + 2 > h->size && resize(h, h->size == 0 ? SIZE_FIRST : 2 * h->size) < 0)
		return -1;
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
	last = entry_at(h, h->count--);
	if (last != e)
		sift(h, at, last);
	/* the old one stays if there is no smaller one */
	if (h->size > SIZE_FIRST && h->count < h->size / 8)
		resize(h, h->size / 4 > SIZE_FIRST ? h->size / 4 : SIZE_FIRST);
}

bool
heap_has(const struct heap *h, const struct index_entry *e)
{
	return e->heap != 0 && e->heap <= h->count && h->numbers[e->heap] == index_number(e);
}

struct index_entry *
heap_top(const struct heap *h)
{
	return h->count == 0 ? NULL : entry_at(h, 1);
}

/* Those that are due hang together below the top. */
static size_t
count_due(const struct heap *h, size_t at, int64_t now, size_t limit)
{
	size_t n = 1;

	if (at > h->count || limit == 0 || entry_at(h, at)->due > now)
		return 0;
	for (size_t i = 0; i < CHILDREN; i++)
		n += count_due(h, first_child(at) + i, now, limit - n);
	return n;
}

size_t
heap_count_due(const struct heap *h, int64_t now, size_t limit)
{
	return count_due(h, 1, now, limit);
}
