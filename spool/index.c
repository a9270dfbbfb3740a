/*
 * What the directory and the journal say of the entries; where those lie is the
 * business of entries.c.
 */
#include "spool/index.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/number.h"

#define SECOND ((int64_t)USEC_PER_SEC)
#define STARTED_ZERO (INT64_C(1) << 31)                 /* index_entry.started at boot */
#define ELAPSED_MAX (UINT64_C(60) * 365 * 86400 * 1000) /* ms; so that it fits there */
#define REASON_MAX ((INT64_C(1) << 48) - 1)

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

struct queue_name
index_name(const struct index_entry *e)
{
	return name_unpack(e->packed);
}

int64_t
index_time(const struct index_entry *e)
{
	return name_packed_time(e->packed);
}

/* A journal of another day can name a time before this start of the host. */
int64_t
index_first(const struct index_entry *e)
{
	return e->started == 0 ? 0 : ((int64_t)e->started - STARTED_ZERO) * SECOND;
}

/* Rather later than earlier, so that no lifetime is over too soon. */
void
index_set_first(struct index_entry *e, int64_t boot)
{
	int64_t seconds = boot / SECOND + (boot % SECOND > 0) + STARTED_ZERO;

	e->started = seconds < 1 ? 1 : seconds > UINT32_MAX ? UINT32_MAX : (uint32_t)seconds;
}

uint64_t
index_elapsed(const struct index_entry *e)
{
	int64_t now = clock_boot(), first = index_first(e);

	return first != 0 && now > first ? (uint64_t)(now - first) / 1000 : 0;
}

off_t
index_reason(const struct index_entry *e)
{
	return (off_t)((uint64_t)e->reason_high << 32 | e->reason_low) - 1;
}

/* What is beyond 256 TB cannot be said. */
void
index_set_reason(struct index_entry *e, off_t reason)
{
	uint64_t n = reason < REASON_MAX ? (uint64_t)(reason + 1) : 0;

	e->reason_low = (uint32_t)n;
	e->reason_high = (uint16_t)(n >> 32);
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

/* The file is still to be looked at: no inode yet. */
static void
finish(struct index_entry *e)
{
	e->state = STATE_FINISHED;
	e->inode = 0;
}

/* One recipient is done with, or the whole message. */
static void
finished_apply(struct index *x, struct index_entry *e, const struct journal_record *r)
{
	if (r->recipient == JOURNAL_ALL) {
		finish(e);
		return;
	}
	if (e->state == STATE_DOUBT) {
		e->state = STATE_DUE;
		e->due = 0;
		index_set_reason(e, -1);
	}
	/* without memory the recipient is tried again: a duplicate, not a loss */
	index_set_finished(x, e, (size_t)r->recipient);
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
		e->attempts = r->attempts > UINT16_MAX ? UINT16_MAX : (uint16_t)r->attempts;
		index_set_first(
		    e, clock_boot() -
			   (int64_t)(r->elapsed > ELAPSED_MAX ? ELAPSED_MAX : r->elapsed) * 1000);
	}
	switch (r->event) {
	case EVENT_DOUBT:
		e->state = STATE_DOUBT;
		e->due = due_after(r->time, x->in_doubt_interval);
		index_set_reason(e, at);
		return;
	case EVENT_CLEAR:
	case EVENT_RETRY:
		e->state = STATE_DUE;
		e->due = 0;
		return;
	case EVENT_DONE:
	case EVENT_BOUNCED:
	case EVENT_DROPPED:
		finished_apply(x, e, r);
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
		finish(e);
		return;
	}
	index_set_reason(e, at);
}
