/*
 * Which session gets a message, and when one more session is worth its connection.
 *
 * The smarthosts are looked at in their order, and the first that works keeps the mail,
 * even if it has to wait for a session or its rate.  A later one gets it while the first
 * pauses, and if the first is being tried again after a failure and does not answer
 * within a second: nobody waits for a connection that most likely fails again.
 */
#include "relayd/sessions.h"

#include "base/clock.h"
#include "base/number.h"

#define BACKLOG_PER_SESSION 8             /* waiting messages that make one more session worth it */
#define WAIT_LONG ((int64_t)USEC_PER_SEC) /* so does a wait of one message */

bool
pick_is_alone(const struct index_entry *e, const struct message *m)
{
	return e->state == STATE_DOUBT || m->length > IPC_WINDOW_OCTETS;
}

/* Can s take one message more, this one or (m is NULL) any? */
static bool
takes_more(const struct session *s, const struct index_entry *e, const struct message *m)
{
	if (s->stopping || s->given >= smarthost_share(s->host))
		return false;
	if (s->phase == SESSION_READY)
		return true;
	if (s->phase != SESSION_BUSY || !s->windowed || s->alone || s->broken ||
	    s->job_count >= pace_window(s->host))
		return false;
	return m == NULL || (!pick_is_alone(e, m) && s->octets + m->length <= IPC_WINDOW_OCTETS);
}

/* Of the sessions of h that can take it the one that has the least to do. */
static struct session *
session_of(const struct relayd *r, const struct smarthost *h, const struct index_entry *e,
    const struct message *m)
{
	struct session *best = NULL;

	for (struct session *s = r->sessions; s != NULL; s = s->next)
		if (s->host == h && takes_more(s, e, m) &&
		    (best == NULL || s->job_count < best->job_count))
			best = s;
	return best;
}

/* May h have one more session? */
static bool
has_room(const struct smarthost *h, int64_t now)
{
	uint64_t limit = h->settings->connections;

	if (h->limit_until > now && h->limit < limit)
		limit = h->limit;
	/* while it is not well, one tries for all; and what is metered is in no hurry */
	return (h->connecting == 0 || (h->problem[0] == '\0' && h->rate.most == 0)) &&
	       h->sessions < limit;
}

/* Due mail, and no session is free: one more is worth it if much waits, or
 * something for long.  True if it was started. */
static bool
session_want(struct relayd *r, struct smarthost *h, const struct heap *heap, int64_t now)
{
	size_t backlog = BACKLOG_PER_SESSION * h->sessions * pace_window(h);

	if (h->paused_until > now || !has_room(h, now))
		return false;
	if (backlog > 0 && heap_count_due(heap, now, backlog) < backlog &&
	    (h->connecting > 0 || heap_top(heap)->due + WAIT_LONG > now))
		return false;
	session_start(r, h);
	return true;
}

/* It has failed, and nothing yet says that it works again. */
static bool
is_doubtful(const struct relayd *r, const struct smarthost *h)
{
	for (const struct session *s = r->sessions; s != NULL; s = s->next)
		if (s->host == h && (s->phase == SESSION_READY || s->phase == SESSION_BUSY))
			return false;
	return h->failures > 0;
}

/* Until when mail that has been due since then waits for a doubtful smarthost. */
static int64_t
patience_end(const struct smarthost *h, int64_t due)
{
	return (h->connecting > 0 && h->connecting_since < due ? h->connecting_since : due) +
	       WAIT_LONG;
}

struct session *
pick_session(struct relayd *r, uint64_t carriers, const struct heap *heap, const struct message *m,
    int64_t now)
{
	const struct index_entry *e = heap_top(heap);

	for (size_t i = 0; i < r->smarthost_count; i++) {
		struct smarthost *h = &r->smarthosts[i];
		struct session *s;

		if ((carriers >> i & 1) == 0)
			continue;
		if (rate_next(&h->rate, now) == 0) {
			if ((s = session_of(r, h, e, m)) != NULL)
				return s;
			/* if it cannot be started, what goes in parts has left the heap */
			while (session_want(r, h, heap, now))
				if (heap_top(heap) != e)
					return NULL;
		}
		/* starting it may have failed */
		if (h->paused_until <= now && (!is_doubtful(r, h) || patience_end(h, e->due) > now))
			return NULL;
	}
	return NULL;
}

static int64_t
earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t
pick_next(struct relayd *r, uint64_t carriers, const struct heap *heap, int64_t now)
{
	const struct index_entry *e = heap_top(heap);
	int64_t next = INT64_MAX, at;

	if (e == NULL || e->due > now)
		return e == NULL ? next : e->due;
	for (size_t i = 0; i < r->smarthost_count; i++) {
		struct smarthost *h = &r->smarthosts[i];
		const struct session *s;

		if ((carriers >> i & 1) == 0)
			continue;
		at = rate_next(&h->rate, now);
		/* it has become due since the last look; one that is busy will report */
		s = at == 0 ? session_of(r, h, e, NULL) : NULL;
		if (s != NULL && s->phase == SESSION_READY)
			return now;
		if (h->paused_until > now) {
			next = earlier(next, h->paused_until);
			continue;
		}
		if (at != 0)
			next = earlier(next, at);
		else if (h->connecting == 0 && has_room(h, now))
			next = earlier(next, h->sessions == 0 ? now : e->due + WAIT_LONG);
		if (!is_doubtful(r, h))
			break;
		if ((at = patience_end(h, e->due)) > now)
			return earlier(next, at);
	}
	return next;
}
