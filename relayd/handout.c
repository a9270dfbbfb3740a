/*
 * Which message goes to which session, and when one more session is worth its
 * connection.
 */
#include "relayd/sessions.h"

#include <errno.h>
#include <signal.h>
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
	struct queue_name name = index_name(e);
	bool left = false;
	struct stat st;

	switch (message_open(m, r->queue, name.text)) {
	case MESSAGE_OK:
		break;
	case MESSAGE_GONE:
		heap_remove(&r->heap, e);
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

/* Gives e to s; the journal has the doubt before the session has the job. */
static bool
job_give(struct relayd *r, struct session *s, struct index_entry *e, struct message *m)
{
	static struct ipc_job job;
	struct job *j = &s->job;

	job = (struct ipc_job){ .kind = IPC_JOB, .id = ++r->last_job };
	memcpy(job.name, index_name(e).text, NAME_LEN);
	for (size_t i = 0; i < m->envelope.recipient_count; i++)
		if (index_is_finished(&r->index, e, i))
			job.finished[i / 8] = (uint8_t)(job.finished[i / 8] | 1U << (i % 8));
	j->reason = index_reason(e);
	queue_record(r, e, EVENT_DOUBT, JOURNAL_ALL, 0, "");
	if (journal_commit(&r->journal, false) < 0)
		return false;
	heap_remove(&r->heap, e);
	e->state = STATE_ACTIVE;
	j->id = job.id;
	j->entry = e;
	j->message = *m;
	s->phase = SESSION_BUSY;
	if (ipc_send(s->watch.fd, &job, sizeof(job), m->fd) < 0) {
		int saved = errno;

		job_unsent(r, s, false);
		if (saved != EPIPE && saved != ECONNRESET)
			session_kill(s);
		session_set_phase(s, SESSION_CLOSING);
	}
	return true;
}

/* An idle session of the best smarthost that has one. */
static struct session *
session_ready(const struct relayd *r)
{
	struct session *best = NULL;

	for (struct session *s = r->sessions; s != NULL; s = s->next)
		if (s->phase == SESSION_READY && s->host != NULL &&
		    (best == NULL || s->host < best->host))
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
	return h->connecting == 0 && h->sessions < limit;
}

/* Due mail, and no session is free: one more is worth it if much waits, or
 * something for long. */
static void
session_want(struct relayd *r, int64_t now)
{
	int64_t until;
	struct smarthost *h = smarthost_choose(r, now, &until);
	size_t backlog;

	if (h == NULL || !has_room(h, now))
		return;
	backlog = BACKLOG_PER_SESSION * h->sessions;
	if (backlog == 0 || heap_top(&r->heap)->due + WAIT_LONG <= now ||
	    heap_count_due(&r->heap, now, backlog) == backlog)
		session_start(r, h);
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
	int64_t now = clock_boot();
	struct index_entry *e;

	while (r->stop_at == 0 && !r->journal.broken && (e = heap_top(&r->heap)) != NULL &&
	       e->due <= now) {
		struct session *s = session_ready(r);
		struct message m;

		if (s == NULL) {
			session_want(r, now);
			return;
		}
		if (!message_take(r, e, &m)) {
			message_close(&m);
		} else if (!job_give(r, s, e, &m)) {
			message_close(&m);
			return;
		}
	}
}
