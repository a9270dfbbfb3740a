/*
 * A new journal with nothing but what is still of use, once most of the old one is not.
 *
 * It is written in slices, between which relayd does its work.  Entries are taken in the
 * order of their numbers; each event meanwhile goes to both journals.  What a message's
 * lines come to is the same whether its events stand before what is written of it here or
 * behind, for that says all that memory knows.  The old journal is the one that counts
 * until the new one, synced, has its name.
 */
#include "relayd/rewrite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/number.h"

#define ENTRIES_A_TURN 1000
#define WRITE_AT (64 << 10)  /* octets held in memory */
#define SYNC_AT (1 << 20)    /* so that the last sync is as short as the others */
#define EMPTY_AT (1 << 20)   /* size of a journal of nothing that is begun anew */
#define GROWTH_MIN (4 << 20) /* that makes one of something worth it */
#define LINE_ESTIMATE 128    /* octets that an entry needs */
#define RETRY_AFTER ((int64_t)(60 * USEC_PER_SEC))

/* The lines that say of e what the old journal says.  Returns the offset of the one
 * that explains its state, or -1. */
static off_t
entry_rewrite(const struct relayd *r, struct journal *to, const struct index_entry *e)
{
	static const enum journal_event events[] = {
		[STATE_DUE] = EVENT_CLEAR,
		[STATE_DEFERRED] = EVENT_DEFERRED,
		[STATE_DOUBT] = EVENT_DOUBT,
		[STATE_ACTIVE] = EVENT_DOUBT,
		[STATE_HELD] = EVENT_HELD,
		[STATE_FAILED] = EVENT_FAILED,
		[STATE_CORRUPT] = EVENT_CORRUPT,
		[STATE_FINISHED] = EVENT_DONE,
	};
	struct queue_name name = index_name(e);
	size_t end = index_finished_end(&r->index, e);
	int64_t now = clock_boot();
	struct buf text = BUF_INIT(0);
	off_t at, reason = index_reason(e);
	struct journal_record old, record = {
		.time = clock_real(),
		.name = name.text,
		.recipient = JOURNAL_ALL,
		.attempts = e->attempts,
		.elapsed = index_elapsed(e),
		.text = "",
	};

	for (size_t i = 0; i < end; i++) {
		record.event = EVENT_DONE;
		record.recipient = (long)i;
		if (index_is_finished(&r->index, e, i))
			journal_append(to, &record);
	}
	record.recipient = JOURNAL_ALL;
	record.event = EVENT_WARNED;
	if (e->warned)
		journal_append(to, &record);
	if (e->state == STATE_DUE && e->attempts == 0)
		return -1;
	record.event = events[e->state];
	if (e->state == STATE_DEFERRED && e->due > now)
		record.pause = (uint64_t)(e->due - now) / 1000;
	/* of a finished message all is said */
	if (e->state != STATE_FINISHED && reason >= 0 && reason < r->journal.size &&
	    journal_read_at(r->journal.fd, reason, &old, &text) == 0 &&
	    memcmp(old.name, name.text, NAME_LEN) == 0) {
		/* keep_failed counts from there */
		if (e->state == STATE_FAILED)
			record.time = old.time;
		record.recipient = old.recipient;
		record.code = old.code;
		record.text = old.text;
	}
	at = journal_append(to, &record);
	buf_free(&text);
	return e->state == STATE_DUE || e->state == STATE_FINISHED ? -1 : at;
}

/* Until the new journal is in place, the entries keep their offsets into the old one. */
static int
reason_keep(struct rewrite *w, uint32_t number, off_t reason)
{
	if (number >= w->reason_count) {
		uint32_t count = number + number / 4 + 64;
		uint32_t *all = reallocarray(w->reasons, count, sizeof(*all));

		if (all == NULL)
			return -1;
		memset(all + w->reason_count, 0, (count - w->reason_count) * sizeof(*all));
		w->reasons = all;
		w->reason_count = count;
	}
	/* behind 4 GB they are forgotten */
	w->reasons[number] = reason >= 0 && reason < UINT32_MAX ? (uint32_t)(reason + 1) : 0;
	return 0;
}

static void
reasons_apply(struct relayd *r)
{
	const struct rewrite *w = &r->rewrite;
	struct index_entry *e;

	for (uint32_t at = 0; (e = index_next(&r->index, &at)) != NULL;)
		if (index_reason(e) >= 0)
			index_set_reason(
			    e, at <= w->reason_count ? (off_t)w->reasons[at - 1] - 1 : -1);
}

static int
rewrite_begin(struct relayd *r)
{
	struct rewrite *w = &r->rewrite;

	*w = (struct rewrite){ .live = w->live };
	if (journal_replace_begin(&r->journal, &w->next) < 0)
		return -1;
	w->active = true;
	return 0;
}

/* 1 if there is more. */
static int
rewrite_slice(struct relayd *r, size_t limit)
{
	struct rewrite *w = &r->rewrite;
	const struct index_entry *e = NULL;

	while (limit-- > 0 && (e = index_next(&r->index, &w->at)) != NULL) {
		off_t reason = entry_rewrite(r, &w->next, e);
		bool full = w->next.pending.len > WRITE_AT;

		if ((reason >= 0 && reason_keep(w, index_number(e), reason) < 0) ||
		    (full && journal_commit(&w->next, false) < 0))
			return -1;
		if (w->next.size - w->synced > SYNC_AT) {
			if (journal_commit(&w->next, true) < 0)
				return -1;
			w->synced = w->next.size;
		}
	}
	return e != NULL;
}

/* 0; or -1 with errno: the journal is the old one, or one in place that is broken. */
static int
rewrite_end(struct relayd *r)
{
	struct rewrite *w = &r->rewrite;
	int fd = w->next.fd, result = journal_replace_end(&r->journal, &w->next, r->queue);
	int saved = errno;

	w->active = false;
	if (r->journal.fd == fd) {
		reasons_apply(r);
		w->live = r->journal.size;
	}
	free(w->reasons);
	w->reasons = NULL;
	w->reason_count = 0;
	errno = saved;
	return result;
}

void
rewrite_cancel(struct relayd *r)
{
	struct rewrite *w = &r->rewrite;

	if (!w->active)
		return;
	journal_replace_cancel(&w->next);
	free(w->reasons);
	*w = (struct rewrite){ .live = w->live, .next_try = clock_boot() + RETRY_AFTER };
}

void
rewrite_estimate(struct relayd *r)
{
	const struct index_entry *e;

	r->rewrite.live = 0;
	for (uint32_t at = 0; (e = index_next(&r->index, &at)) != NULL;)
		if (e->state != STATE_DUE || e->attempts > 0 || e->partial != 0)
			r->rewrite.live += LINE_ESTIMATE;
}

void
rewrite_note(struct relayd *r, const struct index_entry *e, const struct journal_record *record,
    bool explains)
{
	struct rewrite *w = &r->rewrite;
	off_t at;

	if (!w->active)
		return;
	at = journal_append(&w->next, record);
	if (explains && reason_keep(w, index_number(e), at) < 0)
		rewrite_cancel(r);
}

int
rewrite_all(struct relayd *r)
{
	int saved;

	rewrite_cancel(r);
	if (rewrite_begin(r) < 0)
		return -1;
	if (rewrite_slice(r, SIZE_MAX) == 0)
		return rewrite_end(r);
	saved = errno;
	rewrite_cancel(r);
	errno = saved;
	return -1;
}

/* What is due goes out first. */
static bool
is_worth_it(const struct relayd *r)
{
	const struct index_entry *top = heap_top(&r->heap);
	int64_t now = clock_boot();

	if (r->index.count == 0 ? r->journal.size <= EMPTY_AT
				: r->journal.size < 2 * r->rewrite.live + GROWTH_MIN)
		return false;
	return now >= r->rewrite.next_try && (r->last_job != 0 || top == NULL || top->due > now);
}

void
rewrite_turn(struct relayd *r)
{
	struct rewrite *w = &r->rewrite;
	int result;

	if (r->journal.broken || r->stop_at != 0 || (!w->active && !is_worth_it(r)))
		return;
	result = w->active || rewrite_begin(r) == 0 ? rewrite_slice(r, ENTRIES_A_TURN) : -1;
	/* the old one may have space for a full disk: then so must the new one */
	if (result == 0 && !journal_reserve(&w->next))
		result = -1;
	if (result == 0)
		result = rewrite_end(r);
	if (result >= 0)
		return;
	log_warn_errno("journal: cannot be written anew; the old one stays");
	w->next_try = clock_boot() + RETRY_AFTER;
	rewrite_cancel(r);
}
