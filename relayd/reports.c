/*
 * What sessions report, and what relayd makes of it.  A session has talked to the
 * network, so each field is checked again: it can only speak of the message it
 * was given, of each recipient once, and its words are made printable.
 */
#include "relayd/sessions.h"

#include <errno.h>
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
job_end(struct job *j)
{
	message_close(&j->message);
	results_free(&j->results);
	memset(j->reported, 0, sizeof(j->reported));
	j->entry = NULL;
}

void
job_unsent(struct relayd *r, struct session *s, bool blamed)
{
	struct index_entry *e = s->job.entry;
	int64_t due = clock_boot();

	if (blamed && e->trouble < TROUBLE_MAX)
		e->trouble++;
	if (blamed && e->trouble > 1)
		due += (int64_t)backoff_pause(
		    r->settings.retry_first, r->settings.retry_max, e->trouble - 1U);
	queue_record(r, e, EVENT_CLEAR, JOURNAL_ALL, 0, "");
	index_set_reason(e, s->job.reason);
	queue_wait(r, e, STATE_DUE, due);
	job_end(&s->job);
}

static struct outcome_source
outcome_source(const struct session *s)
{
	return (struct outcome_source){
		.smarthost = s->host_name, .refused = s->refused, .has_dsn = s->has_dsn
	};
}

void
job_doubt(struct relayd *r, struct session *s, const char *why)
{
	struct index_entry *e = s->job.entry;
	char length[DURATION_SIZE], quoted[LOG_VALUE_SIZE];
	struct outcome_source source = outcome_source(s);

	log_warn("%.*s: status=in-doubt retry=%s reason=%s", QUEUE_ID_LEN, index_name(e).text,
	    duration_format(r->settings.in_doubt_interval, length), log_quote(why, quoted));
	/* in this order: the line of a recipient that is done would end the doubt */
	outcome_apply_delivered(r, e, &s->job.message, &s->job.results, &source);
	watchers_tell(r, index_name(e).text, "in doubt: %s", why);
	watchers_end(r, index_name(e).text);
	queue_record(r, e, EVENT_DOUBT, JOURNAL_ALL, 0, why);
	queue_wait(r, e, STATE_DOUBT, clock_boot() + (int64_t)r->settings.in_doubt_interval);
	job_end(&s->job);
}

static void
recipient_reported(struct relayd *r, struct session *s, const struct ipc_report *p)
{
	struct job *j = &s->job;
	uint32_t i = p->recipient;

	if (j->entry == NULL || p->job != j->id || p->value >= OUTCOMES || p->code > 999 ||
	    i >= j->message.envelope.recipient_count || index_is_finished(&r->index, j->entry, i) ||
	    (j->reported[i / 8] >> (i % 8) & 1) != 0) {
		session_distrust(r, s, "it reports on a recipient that it was not given");
		return;
	}
	j->reported[i / 8] = (uint8_t)(j->reported[i / 8] | 1U << (i % 8));
	if (results_add(&j->results, i, (enum ipc_outcome)p->value, p->code, p->text) < 0)
		log_error_errno(
		    "%.*s: cannot keep an outcome", QUEUE_ID_LEN, index_name(j->entry).text);
}

static void
end_reported(struct relayd *r, struct session *s, const struct ipc_report *p)
{
	struct job *j = &s->job;
	struct outcome_source source;

	if (j->entry == NULL || p->job != j->id || p->value >= ENDS) {
		session_distrust(r, s, "it reports the end of a message that it was not given");
		return;
	}
	switch ((enum ipc_end)p->value) {
	case END_COMPLETE:
		source = outcome_source(s);
		outcome_apply(r, j->entry, &j->message, &j->results, &source);
		job_end(j);
		s->done++;
		/* a session from before the last failure proves nothing about it */
		if (s->host != NULL && s->ready_at >= s->host->failed_at)
			smarthost_well(s->host);
		break;
	case END_UNSENT:
		job_unsent(r, s, s->phase == SESSION_BUSY && !s->stopping);
		break;
	case END_STALE:
		job_unsent(r, s, false);
		break;
	case END_DOUBT:
		job_doubt(r, s, p->text);
		break;
	default:
		queue_set_aside(r, j->entry, STATE_CORRUPT, 0, p->text);
		job_end(j);
		break;
	}
	if (s->phase == SESSION_BUSY) {
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
		s->has_dsn = p->value != 0;
		if (s->host == NULL)
			session_stop(s);
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
