/*
 * What time alone does to messages: a warning when they are late, a bounce when they
 * are too old, removal when they have failed long ago.  All of it by age, since a
 * smarthost that is down makes messages late without an attempt.
 *
 * A pass looks at all messages, in slices, so it comes up to a hundredth late.
 *
 * Two clocks must agree: the calendar, by which the spool counts, and one that
 * nobody sets; so a wrong clock alone returns and removes nothing.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/number.h"
#include "relayd/notices.h"

#define A_TURN 10 /* messages; each costs a bounce */
#define LOOKS_A_TURN 20000
#define QUEUE_SHORT 10000
#define INTERVAL_MAX ((int64_t)USEC_PER_HOUR)
#define INTERVAL_MIN ((int64_t)(100 * USEC_PER_MS))
#define AFTER_FAILURE ((int64_t)(10 * USEC_PER_SEC)) /* the spool may be full */

/* A slice. */
struct look {
	struct relayd *r;
	unsigned acts; /* done */
	bool failed;   /* the spool takes nothing now */
};

static bool
is_over(int64_t since_real, int64_t since_boot, uint64_t duration)
{
	if (duration == SETTINGS_NEVER || clock_real() - since_real < (int64_t)duration)
		return false;
	return clock_boot() - since_boot >= (int64_t)duration || clock_is_synchronised();
}

bool
queue_is_older(const struct relayd *r, const struct index_entry *e, uint64_t age)
{
	return is_over(index_time(e), index_first(e) != 0 ? index_first(e) : r->started, age);
}

/* A failed message that has been kept for long enough goes. */
static void
failed_remove(struct look *l, struct index_entry *e)
{
	struct relayd *r = l->r;
	struct queue_name name = index_name(e);
	struct journal_record last;
	struct buf text;
	struct stat st;
	bool over = notice_last(r, e, &last, &text) && last.event == EVENT_FAILED &&
		    is_over(last.time, e->due, r->settings.keep_failed);

	buf_free(&text);
	if (!over)
		return;
	l->acts++;
	queue_record(r, e, EVENT_REMOVED, JOURNAL_ALL, 0, "keep_failed is over");
	log_info("%.*s: status=removed reason=\"failed, and keep_failed is over\"", QUEUE_ID_LEN,
	    name.text);
	queue_finish(
	    r, e, fstatat(r->queue, name.text, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0);
}

static void
entry_look(struct look *l, struct index_entry *e)
{
	const struct settings *s = &l->r->settings;

	if (e->state == STATE_FAILED) {
		failed_remove(l, e);
	} else if (e->state > STATE_DOUBT) {
		return;
	} else if (queue_is_older(l->r, e, s->queue_lifetime)) {
		int result = outcome_expire(l->r, e);

		l->acts += result > 0;
		l->failed = result < 0;
	} else if (!e->warned && queue_is_older(l->r, e, s->delay_warning)) {
		l->failed = !notice_delay(l->r, e);
		l->acts += e->warned;
	}
}

static int64_t
shortest(const struct settings *s)
{
	uint64_t least = s->queue_lifetime;

	least = s->delay_warning < least ? s->delay_warning : least;
	return (int64_t)(s->keep_failed < least ? s->keep_failed : least);
}

/* True if there is more. */
static bool
slice(struct look *l, int64_t least)
{
	struct pass *p = &l->r->expiry;
	int64_t real = clock_real();

	for (int i = 0; i < LOOKS_A_TURN && l->acts < A_TURN && !l->failed; i++) {
		struct index_entry *e = index_next(&l->r->index, &p->at);
		int64_t left;

		if (e == NULL)
			return false;
		left = least - (real - index_time(e));
		if (left <= 0) {
			entry_look(l, e);
			continue;
		}
		left = left > least / 100 ? left : least / 100;
		p->next = left < p->next ? left : p->next;
	}
	return true;
}

void
queue_expire(struct relayd *r)
{
	int64_t now = clock_boot(), least = shortest(&r->settings);
	struct look l = { .r = r };
	struct pass *p = &r->expiry;

	if (now < r->next_expiry || r->stop_at != 0)
		return;
	if (r->journal.broken) {
		r->next_expiry = now + AFTER_FAILURE;
		return;
	}
	if (!p->active)
		*p = (struct pass){ .active = true,
			.next = least / 10 > INTERVAL_MAX ? INTERVAL_MAX : least / 10 };
	/* the journal and everybody else gets a turn, too */
	r->next_expiry = now;
	if (slice(&l, least) && !l.failed)
		return;
	p->active = false;
	/* nothing else needs to read a long queue again */
	if (r->index.count < QUEUE_SHORT || now >= r->next_sweep) {
		queue_rescan(r);
		r->next_sweep = now + INTERVAL_MAX;
	}
	if (p->next < INTERVAL_MIN)
		p->next = INTERVAL_MIN;
	if (l.failed)
		p->next = AFTER_FAILURE;
	r->next_expiry = r->index.count == 0 ? INT64_MAX : now + p->next;
}
