/*
 * What sessions report, and what relayd makes of it.  A session has talked to the
 * network, so each field is checked again: it can only speak of the message it
 * was given, of each recipient once, and its words are made printable.
 */
#include "relayd/sessions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/number.h"
#include "base/text.h"
#include "relayd/backoff.h"

#define PACKETS_A_TURN 512
#define TROUBLE_MAX 20

void
job_end(struct session *s, struct job *j)
{
	struct job **p = &s->jobs;

	while (*p != j)
		p = &(*p)->next;
	*p = j->next;
	s->job_count--;
	s->octets -= j->message.length;
	message_close(&j->message);
	results_free(&j->results);
	free(j->reported);
	free(j);
	if (s->jobs == NULL)
		s->alone = false;
}

/* The attempt is over: other parts of the message have theirs. */
static void
part_note(struct relayd *r, const struct session *s, const struct job *j)
{
	if (r->routed && s->host != NULL)
		parts_note(r, j->entry, (size_t)(s->host - r->smarthosts), j->rest);
}

void
job_unsent(struct relayd *r, struct session *s, struct job *j, bool blamed)
{
	struct index_entry *e = j->entry;
	int64_t due = clock_boot();

	if (s->host != NULL)
		rate_return(&s->host->rate, j->given_at);
	if (blamed && e->trouble < TROUBLE_MAX)
		e->trouble++;
	if (blamed && e->trouble > 1)
		due += (int64_t)backoff_pause(
		    r->settings.retry_first, r->settings.retry_max, e->trouble - 1U);
	queue_record(r, e, EVENT_CLEAR, JOURNAL_ALL, 0, "");
	index_set_reason(e, j->reason);
	queue_wait(r, e, STATE_DUE, due);
	if (blamed)
		part_note(r, s, j);
	job_end(s, j);
}

static struct outcome_source
outcome_source(const struct session *s)
{
	return (struct outcome_source){
		.smarthost = s->host_name, .refused = s->refused, .has_dsn = s->has_dsn
	};
}

void
job_doubt(struct relayd *r, struct session *s, struct job *j, const char *why)
{
	struct index_entry *e = j->entry;
	char length[DURATION_SIZE], quoted[LOG_VALUE_SIZE];
	struct outcome_source source = outcome_source(s);

	log_warn("%.*s: status=in-doubt retry=%s reason=%s", QUEUE_ID_LEN, index_name(e).text,
	    duration_format(r->settings.in_doubt_interval, length), log_quote(why, quoted));
	/* in this order: the line of a recipient that is done would end the doubt */
	outcome_apply_delivered(r, e, &j->message, &j->results, &source);
	watchers_tell(r, index_name(e).text, "in doubt: %s", why);
	watchers_end(r, index_name(e).text);
	queue_record(r, e, EVENT_DOUBT, JOURNAL_ALL, 0, why);
	queue_wait(r, e, STATE_DOUBT, clock_boot() + (int64_t)r->settings.in_doubt_interval);
	part_note(r, s, j);
	job_end(s, j);
}

/* The job that a report is about: always the oldest. */
static struct job *
job_reported(const struct session *s, const struct ipc_report *p)
{
	return s->jobs != NULL && s->jobs->id == p->job ? s->jobs : NULL;
}

static void
recipient_reported(struct relayd *r, struct session *s, const struct ipc_report *p)
{
	struct job *j = job_reported(s, p);
	uint32_t i = p->recipient;

	if (j == NULL || p->value >= OUTCOMES || p->code > 999 ||
	    i >= j->message.envelope.recipient_count || j->reported[i]) {
		session_distrust(r, s, "it reports on a recipient that it was not given");
		return;
	}
	j->reported[i] = true;
	if (results_add(&j->results, i, (enum ipc_outcome)p->value, p->code, p->text) < 0)
		log_error_errno(
		    "%.*s: cannot keep an outcome", QUEUE_ID_LEN, index_name(j->entry).text);
}

/* The window was too much for the smarthost, or the network failed. */
static void
session_broken(struct session *s)
{
	if (!s->broken && !s->stopping && s->host != NULL)
		pace_broken(s->host);
	s->broken = true;
}

static bool
results_delivered(const struct results *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->list[i].outcome == OUTCOME_DELIVERED)
			return true;
	return false;
}

static void
end_reported(struct relayd *r, struct session *s, const struct ipc_report *p)
{
	struct job *j = job_reported(s, p);
	struct outcome_source source;
	bool delivered;

	if (j == NULL || p->value >= ENDS) {
		session_distrust(r, s, "it reports the end of a message that it was not given");
		return;
	}
	switch ((enum ipc_end)p->value) {
	case END_COMPLETE:
		source = outcome_source(s);
		delivered = results_delivered(&j->results);
		source.rest = j->rest;
		source.counted = parts_are_deferred(r, j->entry);
		index_set_reason(j->entry, j->reason);
		outcome_apply(r, j->entry, &j->message, &j->results, &source);
		part_note(r, s, j);
		job_end(s, j);
		s->done++;
		/* a session from before the last failure proves nothing about it */
		if (s->host != NULL && s->ready_at >= s->host->failed_at)
			smarthost_well(s->host);
		if (s->host != NULL && delivered)
			pace_clean(s->host);
		else if (s->host != NULL)
			pace_refused(s->host);
		break;
	case END_UNSENT:
		/* of several only the oldest can be what broke the connection */
		job_unsent(r, s, j, s->phase == SESSION_BUSY && !s->stopping && !s->broken);
		session_broken(s);
		break;
	case END_STALE:
		job_unsent(r, s, j, false);
		break;
	case END_DOUBT:
		job_doubt(r, s, j, p->text);
		session_broken(s);
		break;
	default:
		queue_set_aside(r, j->entry, STATE_CORRUPT, 0, p->text);
		job_end(s, j);
		break;
	}
	if (s->phase == SESSION_BUSY && s->jobs == NULL) {
		s->phase = SESSION_READY;
		s->idle_since = clock_boot();
		if (s->host == NULL)
			session_stop(s);
	}
}

static void
failed_reported(struct relayd *r, struct session *s, const struct ipc_report *p, const char *text)
{
	struct smarthost *h = s->host;
	bool connecting = s->phase == SESSION_CONNECTING;
	enum ipc_fault fault;
	bool full;

	s->failed = true;
	if (h != NULL && !s->stopping && p->value < FAULTS) {
		fault = (enum ipc_fault)p->value;
		full = fault == FAULT_FULL
			   ? h->sessions > 1
			   : fault <= FAULT_THROTTLE && connecting && h->sessions > h->connecting;
		if (full)
			smarthost_full(h, text);
		else
			smarthost_fail(r, h, fault, text);
		if (fault == FAULT_CONNECTION && p->code == 421)
			smarthost_closed(h, s->done);
		/* a limit or a refused credential is not this connection's alone */
		for (struct session *x = r->sessions;
		     !full && fault != FAULT_CONNECTION && x != NULL; x = x->next)
			if (x->host == h && x != s)
				session_retire(x);
	}
	session_stop(s);
}

static void
report_apply(struct relayd *r, struct session *s, struct ipc_report *p)
{
	char text[sizeof(p->text)], quoted[LOG_VALUE_SIZE];

	text_copy_printable(text, sizeof(text), p->text, strlen(p->text));
	memcpy(p->text, text, sizeof(text));
	switch ((enum ipc_report_type)p->type) {
	case REPORT_READY:
		log_info("smarthost=%s session=%d connected=%s", s->name, (int)s->pid,
		    log_quote(text, quoted));
		if (s->phase == SESSION_CONNECTING)
			session_set_phase(s, SESSION_READY);
		s->idle_since = s->ready_at = clock_boot();
		s->windowed = (p->value & READY_WINDOWED) != 0;
		s->has_dsn = (p->value & READY_DSN) != 0;
		if (s->host == NULL)
			session_stop(s);
		break;
	case REPORT_PEER:
		if (p->value >= PEER_FLAGS || p->recipient > ENVELOPE_RECIPIENTS_MAX)
			session_distrust(r, s, "it knows more of its smarthost than can be");
		else if (s->host != NULL)
			pace_learn(s->host, s->ready_at, p->job, p->value, p->recipient);
		break;
	case REPORT_RECIPIENT:
		recipient_reported(r, s, p);
		break;
	case REPORT_END:
		end_reported(r, s, p);
		break;
	case REPORT_FAILED:
		failed_reported(r, s, p, text);
		break;
	case REPORT_CLOSING:
		log_info("smarthost=%s session=%d closed=%s", s->name, (int)s->pid,
		    log_quote(text, quoted));
		if (s->host != NULL && p->code != 0)
			smarthost_closed(s->host, s->done);
		session_stop(s);
		s->excused = true;
		break;
	default:
		log_info("smarthost=%s session=%d: %s", s->name, (int)s->pid, text);
		break;
	}
}

static bool
session_is_there(const struct relayd *r, const struct session *s)
{
	for (const struct session *x = r->sessions; x != NULL; x = x->next)
		if (x == s)
			return true;
	return false;
}

void
session_packets_ready(struct relayd *r, struct watch *w)
{
	static union ipc_packet packet;
	struct session *s = (struct session *)(void *)w;
	int fd;

	for (int i = 0; i < PACKETS_A_TURN && session_is_there(r, s); i++) {
		int n = ipc_receive(w->fd, &packet, &fd);

		if (n < 0 && errno == EAGAIN)
			return;
		/* it ended with jobs unread; the kernel says so once, before what it has reported
		 */
		if (n < 0 && errno == ECONNRESET)
			continue;
		if (fd >= 0)
			close(fd);
		if (n <= 0) {
			session_end(r, s);
			return;
		}
		if (packet.kind != IPC_REPORT || packet.report.type >= REPORT_TYPES ||
		    !ipc_is_string(packet.report.text, sizeof(packet.report.text))) {
			session_distrust(r, s, "it sends what no session sends");
			return;
		}
		report_apply(r, s, &packet.report);
	}
}
