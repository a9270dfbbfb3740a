/*
 * Where the entries of an index lie: in chunks that never move, found by name through a
 * hash table of their numbers.
 *
 * A chunk begins at a multiple of its size, so that an entry's address leads to it, and
 * from there to the entry's number.  A chunk without entries is freed.
 */
#include "spool/index.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "spool/partial.h"

#define CHUNK_OCTETS ((size_t)256 << 10)
#define CHUNK_ENTRIES 5460
#define ENTRIES_FEW 256
#define SLOTS_FIRST 64
#define SLOTS_LONG 4096
#define STATE_NONE 0xff /* of a place without an entry */

struct index_chunk {
	uint32_t first; /* number of its first entry */
	uint16_t live;
	uint16_t used; /* all places behind are untouched */
	uint16_t free; /* 1 + a place that was used before, which says the next in `heap` */
	struct index_entry entries[CHUNK_ENTRIES];
};
/* 16 octets stay for malloc(3), so that chunks can lie side by side */
_Static_assert(
    sizeof(struct index_chunk) <= CHUNK_OCTETS - 16, "chunks have room for their entries");

int
index_init(struct index *x, uint64_t in_doubt_interval)
{
	*x = (struct index){ .slot_count = SLOTS_FIRST, .in_doubt_interval = in_doubt_interval };
	/* without a seed, names only collide as they please */
	if (getrandom(&x->seed, sizeof(x->seed), GRND_NONBLOCK) < 0)
		x->seed = UINT64_C(0x9e3779b97f4a7c15);
	x->seed |= 1;
	x->slots = calloc(SLOTS_FIRST, sizeof(*x->slots));
	return x->slots == NULL ? -1 : 0;
}

void
index_free(struct index *x)
{
	partials_free(x);
	for (uint32_t i = 0; i < x->chunk_count; i++)
		free(x->chunks[i]);
	free(x->chunks);
	free(x->slots);
	*x = (struct index){ .count = 0 };
}

/* ---- numbers ----------------------------------------------------------------- */

static struct index_chunk *
chunk_of(const struct index_entry *e)
{
	return (void *)((uintptr_t)e & ~(uintptr_t)(CHUNK_OCTETS - 1));
}

uint32_t
index_number(const struct index_entry *e)
{
	const struct index_chunk *c = chunk_of(e);

	return c->first + (uint32_t)(e - c->entries);
}

struct index_entry *
index_at(const struct index *x, uint32_t number)
{
	return &x->chunks[number / CHUNK_ENTRIES]->entries[number % CHUNK_ENTRIES];
}

struct index_entry *
index_next(const struct index *x, uint32_t *at)
{
	uint32_t i = *at / CHUNK_ENTRIES, k = *at % CHUNK_ENTRIES;

	for (; i < x->chunk_count; i++, k = 0) {
		struct index_chunk *c = x->chunks[i];

		for (; c != NULL && k < c->used; k++) {
			if (c->entries[k].state == STATE_NONE)
				continue;
			*at = c->first + k + 1;
			return &c->entries[k];
		}
	}
	return NULL;
}

/* ---- chunks ------------------------------------------------------------------ */

static struct index_chunk *
chunk_new(struct index *x)
{
	uint32_t i = 0;
	struct index_chunk *c;
	void *memory;
	int error;

	while (i < x->chunk_count && x->chunks[i] != NULL)
		i++;
	if (i == x->chunk_count) {
		struct index_chunk **all =
		    reallocarray(x->chunks, i + 1, sizeof(struct index_chunk *));

		if (all == NULL)
			return NULL;
		x->chunks = all;
		x->chunks[x->chunk_count++] = NULL;
	}
	/* aligned_alloc(3) would not take this size */
	if ((error = posix_memalign(&memory, CHUNK_OCTETS, CHUNK_OCTETS - 16)) != 0) {
		errno = error;
		return NULL;
	}
	c = memory;
	/* its places are touched when they are used */
	c->first = i * CHUNK_ENTRIES;
	c->live = c->used = c->free = 0;
	x->chunks[i] = c;
	x->room = i;
	return c;
}

static struct index_entry *
entry_take(struct index *x)
{
	struct index_chunk *c = NULL;
	struct index_entry *e;

	for (; x->room < x->chunk_count; x->room++) {
		c = x->chunks[x->room];
		if (c != NULL && c->live < CHUNK_ENTRIES)
			break;
	}
	if (x->room == x->chunk_count && (c = chunk_new(x)) == NULL)
		return NULL;
	if (c->free != 0) {
		e = &c->entries[c->free - 1];
		c->free = (uint16_t)e->heap;
	} else {
		e = &c->entries[c->used++];
	}
	c->live++;
	return e;
}

static void
entry_give(struct index *x, struct index_entry *e)
{
	struct index_chunk *c = chunk_of(e);
	uint32_t i = c->first / CHUNK_ENTRIES;

	if (--c->live == 0) {
		/* a small one stays, for a queue that fills and empties all the time */
		if (x->count == 0 && c->used <= ENTRIES_FEW) {
			c->used = c->free = 0;
		} else {
			x->chunks[i] = NULL;
			free(c);
		}
	} else {
		e->state = STATE_NONE;
		e->heap = c->free;
		c->free = (uint16_t)(e - c->entries + 1);
	}
	if (i < x->room)
		x->room = i;
}

/* ---- the hash table ---------------------------------------------------------- */

static uint32_t
home(const struct index *x, const unsigned char *packed)
{
	uint64_t words[2], hash;

	memcpy(words, packed, sizeof(words));
	hash = (words[0] * x->seed ^ words[0] >> 32) + words[1] + packed[NAME_PACKED_LEN - 1];
	hash *= x->seed;
	return (uint32_t)(hash >> 32) & (x->slot_count - 1);
}

/* The slot of that name, or the free one where it belongs. */
static uint32_t
slot_find(const struct index *x, const unsigned char *packed)
{
	uint32_t i = home(x, packed);

	while (x->slots[i] != 0 &&
	       memcmp(index_at(x, x->slots[i] - 1)->packed, packed, NAME_PACKED_LEN) != 0)
		i = (i + 1) & (x->slot_count - 1);
	return i;
}

static int
slots_resize(struct index *x, uint32_t count)
{
	uint32_t *old = x->slots, old_count = x->slot_count;

	x->slots = calloc(count, sizeof(*x->slots));
	if (x->slots == NULL) {
		x->slots = old;
		return -1;
	}
	x->slot_count = count;
	for (uint32_t i = 0; i < old_count; i++)
		if (old[i] != 0)
			x->slots[slot_find(x, index_at(x, old[i] - 1)->packed)] = old[i];
	free(old);
	return 0;
}

/* Closes the hole at i: what lies behind and could not go there before, does now. */
static void
slot_clear(struct index *x, uint32_t i)
{
	uint32_t mask = x->slot_count - 1, k = i;

	for (;;) {
		uint32_t wanted;

		k = (k + 1) & mask;
		if (x->slots[k] == 0)
			break;
		wanted = home(x, index_at(x, x->slots[k] - 1)->packed);
		if (((k - wanted) & mask) >= ((k - i) & mask)) {
			x->slots[i] = x->slots[k];
			i = k;
		}
	}
	x->slots[i] = 0;
}

struct index_entry *
index_find(const struct index *x, const char *name)
{
	unsigned char packed[NAME_PACKED_LEN];
	uint32_t number;

	name_pack(name, packed);
	number = x->slots[slot_find(x, packed)];
	return number == 0 ? NULL : index_at(x, number - 1);
}

struct index_entry *
index_add(struct index *x, const char *name, int64_t due)
{
	unsigned char packed[NAME_PACKED_LEN];
	struct index_entry *e;
	uint32_t i;

	name_pack(name, packed);
	i = slot_find(x, packed);
	if (x->slots[i] != 0)
		return index_at(x, x->slots[i] - 1);
	/* at most four of five are taken; without memory for more it is just slower, while
	 * one is left free, where a search ends */
	if (x->count >= x->slot_count / 5 * 4) {
		if (slots_resize(x, 2 * x->slot_count) < 0 && x->count + 2 > x->slot_count)
			return NULL;
		i = slot_find(x, packed);
	}
	if ((e = entry_take(x)) == NULL)
		return NULL;
	*e = (struct index_entry){ .due = due, .state = STATE_DUE };
	memcpy(e->packed, packed, sizeof(packed));
	x->slots[i] = index_number(e) + 1;
	x->count++;
	return e;
}

/* A long queue has left something to give back; without memory for a smaller table the old
 * one stays. */
static void
slots_shrink(struct index *x)
{
	uint32_t count = x->count == 0 ? SLOTS_FIRST : x->slot_count / 4;

	if (x->slot_count < SLOTS_LONG || (x->count > 0 && count < SLOTS_LONG) ||
	    x->count >= x->slot_count / 8)
		return;
	if (slots_resize(x, count) == 0)
		malloc_trim(0);
}

void
index_remove(struct index *x, struct index_entry *e)
{
	partial_free(x, e);
	slot_clear(x, slot_find(x, e->packed));
	x->count--;
	entry_give(x, e);
	slots_shrink(x);
}

static int
compare(const void *a, const void *b)
{
	const struct index_entry *const *x = a, *const *y = b;

	return memcmp((*x)->packed, (*y)->packed, NAME_PACKED_LEN);
}

struct index_entry **
index_sorted(const struct index *x)
{
	struct index_entry **all = calloc(x->count + 1, sizeof(struct index_entry *)), *e;
	size_t n = 0;

	if (all == NULL)
		return NULL;
	for (uint32_t at = 0; (e = index_next(x, &at)) != NULL;)
		all[n++] = e;
	qsort(all, n, sizeof(struct index_entry *), compare);
	return all;
}
