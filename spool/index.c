/*
 * A hash table with chains; the names' random part serves as the hash.
 */
#include "spool/index.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "spool/envelope.h"

#define BUCKETS_FIRST 64
#define ELAPSED_MAX (UINT64_C(100) * 365 * 86400 * 1000) /* ms */
#define MORE_WORDS (ENVELOPE_RECIPIENTS_MAX / 64)

static const char *const state_names[] = {
	[STATE_DUE] = "due",
	[STATE_DEFERRED] = "deferred",
	[STATE_DOUBT] = "in doubt",
	[STATE_ACTIVE] = "active",
	[STATE_HELD] = "held",
	[STATE_FAILED] = "failed",
	[STATE_CORRUPT] = "corrupt",
	[STATE_FINISHED] = "finished",
};

const char *
index_state_name(enum index_state state)
{
	return state_names[state];
}

int
index_init(struct index *x, uint64_t in_doubt_interval)
{
	*x =
	    (struct index){ .bucket_count = BUCKETS_FIRST, .in_doubt_interval = in_doubt_interval };
	x->buckets = calloc(BUCKETS_FIRST, sizeof(struct index_entry *));
	return x->buckets == NULL ? -1 : 0;
}

void
index_free(struct index *x)
{
	for (size_t i = 0; x->buckets != NULL && i < x->bucket_count; i++)
		while (x->buckets[i] != NULL)
			index_remove(x, x->buckets[i]);
	free(x->buckets);
	*x = (struct index){ .count = 0 };
}

/* 12 characters of 5 random bits each. */
static struct index_entry **
bucket(const struct index *x, const char *name)
{
	uint64_t hash = 0;

	for (int i = NAME_LEN - 12; i < NAME_LEN; i++)
		hash = hash << 5 ^ (uint64_t)(unsigned char)name[i] * 31;
	return &x->buckets[hash & (x->bucket_count - 1)];
}

struct index_entry *
index_find(const struct index *x, const char *name)
{
	struct index_entry *e = *bucket(x, name);

	while (e != NULL && memcmp(e->name, name, NAME_LEN) != 0)
		e = e->next;
	return e;
}

/* Without memory for more buckets the chains just get longer. */
static void
grow(struct index *x)
{
	struct index bigger = { .bucket_count = x->bucket_count * 2 };

	bigger.buckets = calloc(bigger.bucket_count, sizeof(struct index_entry *));
	if (bigger.buckets == NULL)
		return;
	for (size_t i = 0; i < x->bucket_count; i++) {
		struct index_entry *e, *next;

		for (e = x->buckets[i]; e != NULL; e = next) {
			struct index_entry **to = bucket(&bigger, e->name);

			next = e->next;
			e->next = *to;
			*to = e;
		}
	}
	free(x->buckets);
	x->buckets = bigger.buckets;
	x->bucket_count = bigger.bucket_count;
}

struct index_entry *
index_add(struct index *x, const char *name, int64_t due)
{
	struct index_entry *e = index_find(x, name), **to;

	if (e != NULL)
		return e;
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return NULL;
	if (x->count >= x->bucket_count)
		grow(x);
	memcpy(e->name, name, NAME_LEN);
	e->due = due;
	e->reason = -1;
	to = bucket(x, name);
	e->next = *to;
	*to = e;
	x->count++;
	return e;
}

void
index_remove(struct index *x, struct index_entry *e)
{
	struct index_entry **p = bucket(x, e->name);

	while (*p != e)
		p = &(*p)->next;
	*p = e->next;
	x->count--;
	free(e->more);
	free(e);
}

int
index_scan(struct index *x, int queue_fd, int64_t due)
{
	int fd = openat(queue_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;
	int saved;

	if (dir == NULL) {
		saved = errno;
		if (fd >= 0)
			close(fd);
		errno = saved;
		return -1;
	}
	errno = 0;
	while ((d = readdir(dir)) != NULL) {
		if (name_is_valid(d->d_name) && index_add(x, d->d_name, due) == NULL)
			break;
		errno = 0;
	}
	saved = errno;
	closedir(dir);
	errno = saved;
	return saved == 0 ? 0 : -1;
}

bool
index_is_finished(const struct index_entry *e, size_t recipient)
{
	if (recipient < 64)
		return e->finished >> recipient & 1;
	return recipient < ENVELOPE_RECIPIENTS_MAX && e->more != NULL &&
	       (e->more[recipient / 64] >> (recipient % 64) & 1);
}

int
index_set_finished(struct index_entry *e, size_t recipient)
{
	if (recipient < 64) {
		e->finished |= UINT64_C(1) << recipient;
		return 0;
	}
	if (recipient >= ENVELOPE_RECIPIENTS_MAX)
		return 0;
	if (e->more == NULL && (e->more = calloc(MORE_WORDS, sizeof(uint64_t))) == NULL)
		return -1;
	e->more[recipient / 64] |= UINT64_C(1) << (recipient % 64);
	return 0;
}

/* What is left of a pause (microseconds) that began at the calendar time
 * `start`, as a time on CLOCK_BOOTTIME. */
static int64_t
due_after(int64_t start, uint64_t pause)
{
	int64_t length = pause > INT64_MAX / 4 ? INT64_MAX / 4 : (int64_t)pause;
	int64_t past = clock_real() - start;

	if (past > 0)
		length = past < length ? length - past : 0;
	return clock_boot() + length;
}

/* One recipient is done with, or the whole message. */
static void
finished_apply(struct index_entry *e, const struct journal_record *r)
{
	if (r->recipient == JOURNAL_ALL) {
		e->state = STATE_FINISHED;
		return;
	}
	if (e->state == STATE_DOUBT) {
		e->state = STATE_DUE;
		e->due = 0;
		e->reason = -1;
	}
	/* without memory the recipient is tried again: a duplicate, not a loss */
	index_set_finished(e, (size_t)r->recipient);
}

void
index_apply(void *context, const struct journal_record *r, off_t at)
{
	struct index *x = context;
	struct index_entry *e = index_find(x, r->name);

	/* what is finished stays finished */
	if (e == NULL || e->state == STATE_FINISHED)
		return;
	/* every line carries what the attempts so far came to */
	if (r->attempts >= e->attempts && r->attempts > 0) {
		e->attempts = r->attempts;
		e->first = clock_boot() -
			   (int64_t)(r->elapsed > ELAPSED_MAX ? ELAPSED_MAX : r->elapsed) * 1000;
	}
	switch (r->event) {
	case EVENT_DOUBT:
		e->state = STATE_DOUBT;
		e->due = due_after(r->time, x->in_doubt_interval);
		e->reason = at;
		return;
	case EVENT_CLEAR:
	case EVENT_RETRY:
		e->state = STATE_DUE;
		e->due = 0;
		return;
	case EVENT_DONE:
	case EVENT_BOUNCED:
	case EVENT_DROPPED:
		finished_apply(e, r);
		return;
	case EVENT_DEFERRED:
		e->state = STATE_DEFERRED;
		e->due = due_after(r->time, r->pause * 1000);
		break;
	case EVENT_HELD:
		e->state = STATE_HELD;
		break;
	case EVENT_WARNED:
		e->warned = true;
		return;
	case EVENT_FAILED:
		e->state = STATE_FAILED;
		e->due = clock_boot();
		break;
	case EVENT_CORRUPT:
		e->state = STATE_CORRUPT;
		break;
	case EVENT_REMOVED:
		e->state = STATE_FINISHED;
		return;
	}
	e->reason = at;
}

static int
compare(const void *a, const void *b)
{
	const struct index_entry *const *x = a, *const *y = b;

	return memcmp((*x)->name, (*y)->name, NAME_LEN);
}

struct index_entry **
index_sorted(const struct index *x)
{
	struct index_entry **all = calloc(x->count + 1, sizeof(struct index_entry *));
	size_t n = 0;

	if (all == NULL)
		return NULL;
	for (size_t i = 0; i < x->bucket_count; i++)
		for (struct index_entry *e = x->buckets[i]; e != NULL; e = e->next)
			all[n++] = e;
	qsort(all, n, sizeof(struct index_entry *), compare);
	return all;
}
