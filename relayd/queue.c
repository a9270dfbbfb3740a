/*
 * The queue in memory and on disk: entries come from inotify and the directory,
 * go through the journal, and end with an unlink.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/number.h"
#include "relayd/rewrite.h"

#define MEND_INTERVAL ((int64_t)(10 * USEC_PER_SEC))
#define RESCAN_A_TURN 1000 /* names */

void
queue_unschedule(struct relayd *r, struct index_entry *e)
{
	if (heap_has(&r->heap, e))
		heap_remove(&r->heap, e);
	else if (e->heap != 0)
		lanes_remove(&r->lanes, e);
}

void
queue_wait(struct relayd *r, struct index_entry *e, enum index_state state, int64_t due)
{
	if (!heap_has(&r->heap, e))
		queue_unschedule(r, e);
	e->state = (uint8_t)state;
	e->due = due;
	if (heap_put(&r->heap, e) < 0)
		log_error_errno("%.*s: cannot schedule; relayd must be restarted", QUEUE_ID_LEN,
		    index_name(e).text);
	if (r->next_expiry == INT64_MAX)
		r->next_expiry = 0;
}

void
queue_record(struct relayd *r, struct index_entry *e, enum journal_event event, long recipient,
    unsigned code, const char *text)
{
	struct queue_name name = index_name(e);
	int64_t now = clock_boot();
	bool explains = event == EVENT_DEFERRED || event == EVENT_HELD || event == EVENT_FAILED ||
			event == EVENT_CORRUPT || event == EVENT_DOUBT;
	struct journal_record record = {
		.time = clock_real(),
		.name = name.text,
		.recipient = recipient,
		.event = event,
		.attempts = e->attempts,
		.elapsed = index_elapsed(e),
		.pause =
		    event == EVENT_DEFERRED && e->due > now ? (uint64_t)(e->due - now) / 1000 : 0,
		.code = code,
		.text = text,
	};
	off_t at = journal_append(&r->journal, &record);

	if (explains)
		index_set_reason(e, at);
	rewrite_note(r, e, &record, explains);
}

void
queue_set_aside(struct relayd *r, struct index_entry *e, enum index_state state, unsigned code,
    const char *reason)
{
	enum journal_event event = state == STATE_HELD     ? EVENT_HELD
				   : state == STATE_FAILED ? EVENT_FAILED
							   : EVENT_CORRUPT;
	char quoted[LOG_VALUE_SIZE];

	queue_unschedule(r, e);
	e->state = (uint8_t)state;
	e->due = clock_boot();
	queue_record(r, e, event, JOURNAL_ALL, code, reason);
	log_error("%.*s: status=%s reason=%s", QUEUE_ID_LEN, index_name(e).text,
	    index_state_name(state), log_quote(reason, quoted));
	watchers_tell(r, index_name(e).text, "%s: %s", index_state_name(state), reason);
	watchers_end(r, index_name(e).text);
}

/* Only waiting entries are in the heap, so its place in an entry is free. */
static void
finished_push(struct relayd *r, struct index_entry *e)
{
	e->heap = r->finished;
	r->finished = index_number(e) + 1;
}

void
queue_finish(struct relayd *r, struct index_entry *e, ino_t inode)
{
	queue_unschedule(r, e);
	e->state = STATE_FINISHED;
	e->trouble = 0;
	e->inode = inode;
	/* it stays in the index, so that nobody takes the file for a new one */
	finished_push(r, e);
	r->finished_new = true;
	watchers_end(r, index_name(e).text);
}

/* The journal cannot be written: one new one is tried now, then every ten
 * seconds; until then nothing is handed out. */
static bool
journal_mend(struct relayd *r, int64_t now)
{
	if (now < r->next_mend)
		return false;
	if (r->next_mend == 0)
		log_error("journal: cannot be written: %s; writing a new one",
		    strerror(r->journal.error));
	if (rewrite_all(r) < 0) {
		if (r->next_mend == 0)
			log_error_errno("journal: %s/state/journal cannot be replaced either; "
					"nothing is sent until it can",
			    r->spool.directory);
		r->next_mend = now + MEND_INTERVAL;
		return false;
	}
	log_info("journal: written anew");
	r->next_mend = 0;
	return true;
}

static bool
journal_write(struct relayd *r, bool sync)
{
	if (!r->journal.broken && journal_commit(&r->journal, sync) == 0)
		return true;
	return journal_mend(r, clock_boot());
}

/* Removes a finished file.  True if its entry may go, too. */
static bool
finished_remove(struct relayd *r, struct index_entry *e)
{
	struct queue_name name = index_name(e);
	struct stat st;

	if (fstatat(r->queue, name.text, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == ENOENT)
			return true;
	} else if (st.st_ino != e->inode) {
		/* its name leads to another file than the one that was sent */
		errno = ESTALE;
	} else if (unlinkat(r->queue, name.text, 0) == 0) {
		return true;
	}
	if (e->trouble == 0)
		log_warn_errno("%.*s: finished, but cannot remove %s/queue/%s", QUEUE_ID_LEN,
		    name.text, r->spool.directory, name.text);
	e->trouble = 1;
	return false;
}

/* What cannot be removed now stays finished, is shown by mailq, and is tried
 * again. */
static void
finished_unlink(struct relayd *r)
{
	uint32_t next = r->finished;

	r->finished = 0;
	r->finished_new = false;
	r->next_unlink = INT64_MAX;
	while (next != 0) {
		struct index_entry *e = index_at(&r->index, next - 1);

		next = e->heap;
		if (finished_remove(r, e)) {
			index_remove(&r->index, e);
			continue;
		}
		finished_push(r, e);
		r->next_unlink = clock_boot() + MEND_INTERVAL;
	}
}

void
queue_commit(struct relayd *r)
{
	bool finished;

	if (r->journal.broken && !journal_mend(r, clock_boot()))
		return;
	/* also writes what has come together so far */
	sessions_dispatch(r);
	finished = r->finished != 0 && (r->finished_new || clock_boot() >= r->next_unlink);
	if (finished || r->journal.unsynced || r->journal.pending.len > 0) {
		if (!journal_write(r, true))
			return;
		finished_unlink(r);
	}
	rewrite_turn(r);
}

/* A name has appeared in queue/. */
static void
name_seen(struct relayd *r, const char *name)
{
	struct index_entry *e;

	if (!name_is_valid(name) || index_find(&r->index, name) != NULL)
		return;
	e = index_add(&r->index, name, 0);
	if (e == NULL)
		log_error_errno(
		    "%.*s: cannot be taken in; relayd must be restarted", QUEUE_ID_LEN, name);
	else
		queue_wait(r, e, STATE_DUE, clock_boot());
}

/* At the start: who waits, waits in the heap, and what was due already is due at the same
 * time, so that the oldest goes first; what was finished before the last end of relayd
 * goes now. */
static void
entries_schedule(struct relayd *r)
{
	int64_t now = clock_boot();
	struct index_entry *e;

	for (uint32_t at = 0; (e = index_next(&r->index, &at)) != NULL;) {
		struct stat st;

		if (e->state <= STATE_DOUBT)
			queue_wait(r, e, e->state, e->due > now ? e->due : now);
		if (e->state != STATE_FINISHED)
			continue;
		queue_finish(r, e,
		    fstatat(r->queue, index_name(e).text, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino
											 : 0);
	}
}

/* What is submitted after this has an event of its own. */
void
queue_rescan(struct relayd *r)
{
	int fd;

	if (r->rescan != NULL) {
		r->rescan_again = true;
		return;
	}
	r->rescan_again = false;
	fd = openat(r->queue, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r->rescan = fd < 0 ? NULL : fdopendir(fd);
	if (r->rescan != NULL)
		return;
	log_error_errno("cannot read %s/queue; relayd must be restarted", r->spool.directory);
	if (fd >= 0)
		close(fd);
}

void
queue_rescan_turn(struct relayd *r)
{
	const struct dirent *d = NULL;

	if (r->rescan == NULL)
		return;
	errno = 0;
	for (int i = 0; i < RESCAN_A_TURN && (d = readdir(r->rescan)) != NULL; i++) {
		spool_sweep(r->queue, d->d_name);
		name_seen(r, d->d_name);
		errno = 0;
	}
	if (d != NULL)
		return;
	if (errno != 0)
		log_error_errno(
		    "cannot read %s/queue; relayd must be restarted", r->spool.directory);
	closedir(r->rescan);
	r->rescan = NULL;
	if (r->rescan_again)
		queue_rescan(r);
}

static void
inotify_ready(struct relayd *r, struct watch *w)
{
	union {
		struct inotify_event event;
		char space[16 << 10];
	} buffer;
	ssize_t n;

	while ((n = read(w->fd, &buffer, sizeof(buffer))) > 0) {
		for (char *p = buffer.space; p < buffer.space + n;) {
			const struct inotify_event *event = (const void *)p;

			if (event->mask & IN_Q_OVERFLOW) {
				queue_rescan(r);
			} else if (event->len > 0 && (event->mask & IN_ISDIR) == 0) {
				name_seen(r, event->name);
			}
			p += sizeof(*event) + event->len;
		}
	}
}

/* First the watch, then the scan: what is linked in between is seen twice, never
 * not at all. */
static int
inotify_open(struct relayd *r)
{
	char path[64];

	r->inotify =
	    (struct watch){ .fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), .ready = inotify_ready };
	snprintf(path, sizeof(path), "/proc/self/fd/%d", r->queue);
	if (r->inotify.fd < 0 ||
	    inotify_add_watch(r->inotify.fd, path, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR) < 0 ||
	    relayd_watch(r, &r->inotify) < 0) {
		log_error_errno("cannot watch %s/queue", r->spool.directory);
		return -1;
	}
	return 0;
}

int
queue_open(struct relayd *r)
{
	size_t damaged = 0;

	if ((r->queue = spool_open_queue(&r->spool)) < 0 ||
	    (r->state = spool_open_state(&r->spool)) < 0) {
		log_error("%s", r->spool.problem);
		return -1;
	}
	r->lock = journal_lock(r->state);
	if (r->lock < 0) {
		if (errno == EWOULDBLOCK)
			log_error(
			    "another relayd (or spoolctl) is at work in %s", r->spool.directory);
		else
			log_error_errno("cannot lock %s/state/lock", r->spool.directory);
		return -1;
	}
	r->heap.index = r->lanes.index = &r->index;
	if (index_init(&r->index, r->settings.in_doubt_interval) < 0 || inotify_open(r) < 0)
		return -1;
	if (index_scan(&r->index, r->queue, clock_boot()) < 0) {
		log_error_errno("cannot read %s/queue", r->spool.directory);
		return -1;
	}
	if (journal_open(&r->journal, r->state, index_apply, &r->index, &damaged) < 0) {
		log_error_errno("cannot read and write %s/state/journal", r->spool.directory);
		return -1;
	}
	if (damaged > 0)
		log_warn("journal: %zu damaged lines skipped; what they said may be done twice",
		    damaged);
	entries_schedule(r);
	parts_release(r);
	rewrite_estimate(r);
	malloc_trim(0); /* what was only needed to read goes back */
	return 0;
}

void
queue_close(struct relayd *r)
{
	rewrite_cancel(r);
	journal_close(&r->journal);
	heap_free(&r->heap);
	lanes_free(&r->lanes);
	rounds_free(&r->rounds);
	index_free(&r->index);
	for (size_t i = 0; i < 3; i++) {
		int fd = i == 0 ? r->queue : i == 1 ? r->state : r->lock;

		if (fd >= 0)
			close(fd);
	}
	if (r->rescan != NULL)
		closedir(r->rescan);
	if (r->inotify.fd >= 0)
		close(r->inotify.fd);
	spool_close(&r->spool);
}
