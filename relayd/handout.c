/*
 * Which message goes to which session, and when one more session is worth its
 * connection.
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

#define BACKLOG_PER_SESSION 8             /* waiting messages that make one more session worth it */
#define WAIT_LONG ((int64_t)USEC_PER_SEC) /* so does a wait of one message */

bool
message_take(struct relayd *r, struct index_entry *e, struct message *m)
{
	char name[NAME_LEN + 1];
	bool left = false;
	struct stat st;

	memcpy(name, e->name, NAME_LEN);
	name[NAME_LEN] = '\0';
	switch (message_open(m, r->queue, name)) {
	case MESSAGE_OK:
		break;
	case MESSAGE_GONE:
		heap_remove(&r->heap, e);
		watchers_end(r, e->name);
		index_remove(&r->index, e);
		return false;
	case MESSAGE_EMPTY:
		log_warn("%.*s: an empty file, left by a crash before its message was accepted; "
			 "removed",
		    QUEUE_ID_LEN, name);
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
		log_error_errno("%.*s: cannot read it now", QUEUE_ID_LEN, name);
		queue_wait(r, e, e->state, clock_boot() + (int64_t)r->settings.retry_first);
		return false;
	}
	for (size_t i = 0; i < m->envelope.recipient_count; i++)
		left |= !index_is_finished(e, i);
	if (!left)
		outcome_apply(r, e, m, &(struct results){ .count = 0 },
		    &(struct outcome_source){ .smarthost = "" });
	return left;
}

/* Such a message goes without others: one that may have been delivered, and one that
 * is checked only while it is sent. */
static bool
goes_alone(const struct index_entry *e, const struct message *m)
{
	return e->state == STATE_DOUBT || m->length > IPC_WINDOW_OCTETS;
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

/* Gives e to s; the journal has the doubt before the session has the job. */
static bool
job_give(struct relayd *r, struct session *s, struct index_entry *e, struct message *m)
{
	static struct ipc_job job;
	off_t reason = e->reason;
	struct job *j;

	job = (struct ipc_job){ .kind = IPC_JOB, .id = r->last_job + 1 };
	memcpy(job.name, e->name, NAME_LEN);
	job.finished_length = (uint32_t)(m->envelope.recipient_count + 7) / 8;
	for (size_t i = 0; i < m->envelope.recipient_count; i++)
		if (index_is_finished(e, i))
			job.finished[i / 8] = (uint8_t)(job.finished[i / 8] | 1U << (i % 8));
	queue_record(r, e, EVENT_DOUBT, JOURNAL_ALL, 0, "");
	if (journal_commit(&r->journal, false) < 0 || (j = job_add(s, m)) == NULL)
		return false;
	r->last_job = job.id;
	s->alone = goes_alone(e, m);
	heap_remove(&r->heap, e);
	e->state = STATE_ACTIVE;
	j->reason = reason;
	j->id = job.id;
	j->entry = e;
	j->message = *m;
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

/* Can s take one message more, this one or (m is NULL) any? */
static bool
takes_more(const struct session *s, const struct index_entry *e, const struct message *m)
{
	if (s->host == NULL || s->stopping)
		return false;
	if (s->phase == SESSION_READY)
		return true;
	if (s->phase != SESSION_BUSY || !s->windowed || s->alone || s->broken ||
	    s->job_count >= pace_window(s->host))
		return false;
	return m == NULL || (!goes_alone(e, m) && s->octets + m->length <= IPC_WINDOW_OCTETS);
}

/* The session of the best smarthost that can take m, or any message; of several the
 * one that has the least to do. */
static struct session *
session_ready(const struct relayd *r, const struct index_entry *e, const struct message *m)
{
	struct session *best = NULL;

	for (struct session *s = r->sessions; s != NULL; s = s->next)
		if (takes_more(s, e, m) &&
		    (best == NULL || s->host < best->host ||
			(s->host == best->host && s->job_count < best->job_count)))
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
	/* while it is not well, one tries for all */
	return (h->connecting == 0 || h->problem[0] == '\0') && h->sessions < limit;
}

/* Due mail, and no session is free: one more is worth it if much waits, or
 * something for long.  True if it was started. */
static bool
session_want(struct relayd *r, int64_t now)
{
	int64_t until;
	struct smarthost *h = smarthost_choose(r, now, &until);
	size_t backlog;

	if (h == NULL || !has_room(h, now))
		return false;
	backlog = BACKLOG_PER_SESSION * h->sessions * pace_window(h);
	if (backlog > 0 && heap_count_due(&r->heap, now, backlog) < backlog &&
	    (h->connecting > 0 || heap_top(&r->heap)->due + WAIT_LONG > now))
		return false;
	session_start(r, h);
	return true;
}

int64_t
sessions_next_start(struct relayd *r, int64_t now)
{
	int64_t until;
	const struct smarthost *h = smarthost_choose(r, now, &until);
	int64_t due = heap_top(&r->heap)->due + WAIT_LONG;

	return h != NULL && has_room(h, now) && due > now ? due : INT64_MAX;
}

void
sessions_dispatch(struct relayd *r)
{
	int64_t now = r->dispatched = clock_boot();
	struct index_entry *e;

	while (r->stop_at == 0 && !r->journal.broken && (e = heap_top(&r->heap)) != NULL &&
	       e->due <= now) {
		struct session *s = session_ready(r, e, NULL);
		struct message m;

		if (s == NULL) {
			while (session_want(r, now))
				;
			return;
		}
		if (!message_take(r, e, &m)) {
			message_close(&m);
			continue;
		}
		/* it may be too much for those that have others already */
		s = session_ready(r, e, &m);
		if (s == NULL || !job_give(r, s, e, &m)) {
			message_close(&m);
			return;
		}
	}
}
