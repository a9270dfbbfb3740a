/*
 * The due messages are handed out: oldest first, each to the session that pick.c has for
 * it.  Where all smarthosts carry all mail they come straight from the heap; else by way
 * of the lanes.
 */
#include "relayd/sessions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/number.h"

#define LANES_A_TURN 500 /* messages that are read to find their lanes */

bool
message_take(struct relayd *r, struct index_entry *e, struct message *m)
{
	struct queue_name name = index_name(e);
	bool left = false;
	struct stat st;

	switch (message_open(m, r->queue, name.text)) {
	case MESSAGE_OK:
		break;
	case MESSAGE_GONE:
		queue_unschedule(r, e);
		watchers_end(r, index_name(e).text);
		index_remove(&r->index, e);
		return false;
	case MESSAGE_EMPTY:
		log_warn("%.*s: an empty file, left by a crash before its message was accepted; "
			 "removed",
		    QUEUE_ID_LEN, name.text);
		queue_record(r, e, EVENT_REMOVED, JOURNAL_ALL, 0, "");
		queue_finish(r, e, fstat(m->fd, &st) == 0 ? st.st_ino : 0);
		return false;
	case MESSAGE_NEWER:
		queue_set_aside(r, e, STATE_HELD, 0, "written by a newer version of postbag");
		return false;
	case MESSAGE_CORRUPT:
		queue_set_aside(r, e, STATE_CORRUPT, 0, m->error);
		return false;
	default:
		log_error_errno("%.*s: cannot read it now", QUEUE_ID_LEN, name.text);
		queue_wait(r, e, e->state, clock_boot() + (int64_t)r->settings.retry_first);
		return false;
	}
	for (size_t i = 0; i < m->envelope.recipient_count; i++)
		left |= !index_is_finished(&r->index, e, i);
	if (!left)
		outcome_apply(r, e, m, &(struct results){ .count = 0 },
		    &(struct outcome_source){ .smarthost = "" });
	return left;
}

static struct job *
job_add(struct session *s, const struct message *m)
{
	struct job *j = calloc(1, sizeof(*j)), **p = &s->jobs;

	if (j == NULL)
		return NULL;
	j->reported = calloc(m->envelope.recipient_count, sizeof(*j->reported));
	if (j->reported == NULL) {
		free(j);
		return NULL;
	}
	while (*p != NULL)
		p = &(*p)->next;
	*p = j;
	s->job_count++;
	s->octets += m->length;
	return j;
}

/* The recipients that are finished, or belong to another part, have a bit. */
static void
recipients_mask(const struct relayd *r, const struct session *s, const struct index_entry *e,
    struct job *j, struct ipc_job *packet)
{
	const struct message *m = &j->message;
	size_t count = m->envelope.recipient_count, host = (size_t)(s->host - r->smarthosts);

	packet->finished_length = (uint32_t)(count + 7) / 8;
	for (size_t i = 0; i < count; i++) {
		bool finished = index_is_finished(&r->index, e, i);

		j->reported[i] = finished || (r->routed && !parts_has(r, e, m, host, i));
		j->rest |= !finished && j->reported[i];
		if (j->reported[i])
			packet->finished[i / 8] =
			    (uint8_t)(packet->finished[i / 8] | 1U << (i % 8));
	}
}

/* Gives e to s; the journal has the doubt before the session has the job. */
static bool
job_give(struct relayd *r, struct session *s, struct index_entry *e, struct message *m)
{
	static struct ipc_job job;
	off_t reason = index_reason(e);
	struct job *j;

	job = (struct ipc_job){ .kind = IPC_JOB, .id = r->last_job + 1 };
	memcpy(job.name, index_name(e).text, NAME_LEN);
	queue_record(r, e, EVENT_DOUBT, JOURNAL_ALL, 0, "");
	if (journal_commit(&r->journal, false) < 0)
		return false;
	if ((j = job_add(s, m)) == NULL) {
		log_error_errno("%.*s: cannot be handed out now", QUEUE_ID_LEN, index_name(e).text);
		queue_record(r, e, EVENT_CLEAR, JOURNAL_ALL, 0, "");
		index_set_reason(e, reason);
		queue_wait(r, e, e->state, clock_boot() + (int64_t)r->settings.retry_first);
		return false;
	}
	r->last_job = job.id;
	s->given++;
	s->alone = pick_is_alone(e, m);
	queue_unschedule(r, e);
	e->state = STATE_ACTIVE;
	j->reason = reason;
	j->id = job.id;
	j->entry = e;
	j->message = *m;
	j->given_at = clock_boot();
	rate_take(&s->host->rate, j->given_at);
	recipients_mask(r, s, e, j, &job);
	s->phase = SESSION_BUSY;
	if (ipc_send(s->watch.fd, &job, IPC_JOB_SIZE(&job), m->fd) < 0) {
		int saved = errno;

		job_unsent(r, s, j, false);
		if (saved == EAGAIN && s->jobs != NULL) {
			/* it gets no more until it has come to the end of what it has */
			s->alone = true;
			return true;
		}
		if (saved != EPIPE && saved != ECONNRESET)
			session_kill(s);
		session_set_phase(s, SESSION_CLOSING);
	}
	return true;
}

static void
lane_enter(struct relayd *r, struct index_entry *e, uint64_t route, int64_t now)
{
	queue_unschedule(r, e);
	if (lanes_put(&r->lanes, route, e) != NULL)
		return;
	log_error_errno("%.*s: cannot find its place now", QUEUE_ID_LEN, index_name(e).text);
	queue_wait(r, e, e->state, now + (int64_t)r->settings.retry_first);
}

/* The first message of the heap is due.  True if it waits there no longer. */
static bool
first_give(struct relayd *r, uint64_t carriers, const struct heap *heap, int64_t now)
{
	struct index_entry *e = heap_top(heap);
	struct session *s = pick_session(r, carriers, heap, NULL, now);
	uint64_t route = carriers;
	struct message m;
	bool taken, given = false;

	if (s == NULL)
		return false;
	taken = message_take(r, e, &m);
	/* it may have been put here before some recipients were finished */
	if (taken && r->routed)
		route = parts_route(r, e, &m, now);
	if (taken && route == carriers) {
		/* it may be too much for those that have others already */
		s = pick_session(r, carriers, heap, &m, now);
		given = s != NULL && job_give(r, s, e, &m);
	} else if (taken && route != 0) {
		lane_enter(r, e, route, now);
	}
	if (!given)
		message_close(&m);
	return given || !taken || route != carriers;
}

/* Finds their lanes for messages that have become due; a slice, so that sessions and
 * clients get a turn, too. */
static void
lanes_fill(struct relayd *r, int64_t now)
{
	struct index_entry *e;

	for (int i = 0; i < LANES_A_TURN && (e = heap_top(&r->heap)) != NULL && e->due <= now;
	     i++) {
		struct message m;
		uint64_t route = message_take(r, e, &m) ? parts_route(r, e, &m, now) : 0;

		if (route != 0)
			lane_enter(r, e, route, now);
		message_close(&m);
	}
}

void
sessions_dispatch(struct relayd *r)
{
	const struct index_entry *e;
	int64_t now = r->dispatched = clock_boot();
	struct lane *lane;

	if (r->stop_at != 0 || r->journal.broken)
		return;
	if (!r->routed) {
		while ((e = heap_top(&r->heap)) != NULL && e->due <= now &&
		       first_give(r, ROUTE_ALL, &r->heap, now))
			continue;
		return;
	}
	lanes_fill(r, now);
	for (size_t i = 0; i < r->lanes.count; i++)
		r->lanes.list[i]->blocked = false;
	while (!r->journal.broken && (lane = lanes_first(&r->lanes)) != NULL)
		lane->blocked = !first_give(r, lane->carriers, &lane->heap, now);
}

int64_t
sessions_next_dispatch(struct relayd *r, int64_t now)
{
	int64_t next, at;

	if (!r->routed)
		return pick_next(r, ROUTE_ALL, &r->heap, now);
	next = heap_top(&r->heap) == NULL ? INT64_MAX : heap_top(&r->heap)->due;
	for (size_t i = 0; i < r->lanes.count; i++) {
		const struct lane *lane = r->lanes.list[i];

		at = pick_next(r, lane->carriers, &lane->heap, now);
		next = at < next ? at : next;
	}
	return next;
}
