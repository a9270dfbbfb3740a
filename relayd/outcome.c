/*
 * What an attempt came to, recipient by recipient.  The rules are those of the
 * table in postbag-spool(5):
 *
 *	delivered                  done
 *	refused for good           one bounce for all of them, then done; without a
 *	                           sender to tell: failed
 *	refused for now            deferred, unless the lifetime is over: bounced
 *	the sender is refused      held, or bounced, as on_sender_refused says
 *
 * A bounce is on disk before the journal says that a recipient was bounced.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "relayd/backoff.h"
#include "relayd/bounce.h"
#include "relayd/notices.h"
#include "relayd/relayd.h"

#define EXPIRED_TEXT "4.4.7 the message could not be delivered within queue_lifetime"

int
results_add(struct results *s, uint32_t recipient, enum ipc_outcome outcome, unsigned code,
    const char *text)
{
	struct result *r;

	if (s->count == s->size) {
		size_t size = s->size == 0 ? 4 : 2 * s->size;

		r = reallocarray(s->list, size, sizeof(*r));
		if (r == NULL)
			return -1;
		s->list = r;
		s->size = size;
	}
	r = &s->list[s->count];
	*r = (struct result){
		.recipient = recipient, .outcome = outcome, .code = code, .text = strdup(text)
	};
	if (r->text == NULL)
		return -1;
	s->count++;
	return 0;
}

void
results_free(struct results *s)
{
	for (size_t i = 0; i < s->count; i++)
		free(s->list[i].text);
	free(s->list);
	*s = (struct results){ .count = 0 };
}

/* What is done with the results of one message. */
struct attempt {
	struct relayd *r;
	struct index_entry *e;
	const struct message *m;
	const struct outcome_source *source;
	int64_t time; /* of the attempt, microseconds since 1970; 0: there was none */
	struct bounce_recipient *bounced;
	char (*statuses)[BOUNCE_STATUS_SIZE];
	uint32_t *indices; /* of the bounced, in the envelope */
	size_t bounced_count;
	unsigned code; /* of what is still to be delivered */
	const char *reason;
	bool content_refused; /* by the reply that is to be bounced */
	bool deferred, held, failed;
	bool incomplete; /* the session says nothing of some recipients */
};

static void
recipient_log(
    const struct attempt *a, const struct recipient *to, const char *what, const char *reason)
{
	char quoted[LOG_VALUE_SIZE];

	log_info("%.*s: to=<%s> status=%s reason=%s", QUEUE_ID_LEN, index_name(a->e).text,
	    to->address, what, log_quote(reason, quoted));
	watchers_tell(a->r, index_name(a->e).text, "<%s>: %s: %s", to->address, what, reason);
}

static void
recipient_done(
    struct attempt *a, uint32_t i, enum journal_event event, unsigned code, const char *text)
{
	/* a line about the only recipient is one about the message */
	queue_record(a->r, a->e, event, a->m->envelope.recipient_count == 1 ? JOURNAL_ALL : (long)i,
	    code, text);
	if (index_set_finished(&a->r->index, a->e, i) < 0)
		log_error_errno("%.*s: cannot remember a recipient; it may get the message twice",
		    QUEUE_ID_LEN, index_name(a->e).text);
}

static void
recipient_refused(struct attempt *a, uint32_t i, unsigned code, const char *text)
{
	const struct recipient *to = &a->m->envelope.recipients[i];
	size_t n = a->bounced_count;

	/* RFC 3461 section 4.1: whoever names other events does not want this one */
	if (to->notify != 0 && (to->notify & NOTIFY_FAILURE) == 0 &&
	    bounce_address(&a->m->envelope) != NULL) {
		recipient_log(a, to, "dropped", text);
		recipient_done(a, i, EVENT_DROPPED, code, text);
		return;
	}
	a->bounced[n] = (struct bounce_recipient){ .recipient = to,
		.code = code,
		.text = text,
		.status = bounce_status(code, text, a->statuses[n]) };
	a->indices[n] = i;
	a->bounced_count++;
}

/* Writes the bounce: one for all.  What has no sender gets none: 1; but a bounce of
 * ours that had too much of the original for the smarthost is made again, smaller. */
static int
bounce_write(const struct attempt *a, struct queue_name *name)
{
	struct relayd *r = a->r;
	struct queue_name id = index_name(a->e);
	struct bounce b = { .spool = &r->spool,
		.hostname = r->hostname,
		.domain = r->domain,
		.message = a->m,
		.queue_id = id.text,
		.smarthost = a->source->smarthost,
		.last_attempt = a->time,
		.recipients = a->bounced,
		.count = a->bounced_count };

	if (bounce_address(&a->m->envelope) != NULL)
		return bounce_send(&b, name);
	return a->content_refused ? bounce_send_smaller(&r->spool, a->m, name) : 1;
}

/* If the bounce cannot be written, they are tried again. */
static void
bounce(struct attempt *a)
{
	struct relayd *r = a->r;
	struct queue_name name;
	int written = a->bounced_count == 0 ? 0 : bounce_write(a, &name);

	if (written > 0) {
		a->failed = true;
		a->code = a->bounced[0].code;
		a->reason = a->bounced[0].text;
		return;
	}
	if (written < 0) {
		log_error("%.*s: cannot write its bounce: %s", QUEUE_ID_LEN, index_name(a->e).text,
		    r->spool.problem);
		a->deferred = true;
		a->reason = a->bounced[0].text;
		return;
	}
	for (size_t i = 0; i < a->bounced_count; i++) {
		char quoted[LOG_VALUE_SIZE];

		log_info("%.*s: to=<%s> status=bounced bounce=%.*s reason=%s", QUEUE_ID_LEN,
		    index_name(a->e).text, a->bounced[i].recipient->address, QUEUE_ID_LEN,
		    name.text, log_quote(a->bounced[i].text, quoted));
		watchers_tell(r, index_name(a->e).text, "<%s>: bounced: %s",
		    a->bounced[i].recipient->address, a->bounced[i].text);
		recipient_done(
		    a, a->indices[i], EVENT_BOUNCED, a->bounced[i].code, a->bounced[i].text);
	}
}

static bool
is_finished(const struct attempt *a)
{
	for (size_t i = 0; i < a->m->envelope.recipient_count; i++)
		if (!index_is_finished(&a->r->index, a->e, i))
			return false;
	return true;
}

/* What is left goes where the worst of its recipients says. */
static void
conclude(struct attempt *a)
{
	struct relayd *r = a->r;
	struct index_entry *e = a->e;
	int64_t now = clock_boot();
	struct stat st;
	uint64_t pause;

	e->trouble = 0;
	if (is_finished(a)) {
		if (a->m->envelope.recipient_count > 1)
			queue_record(r, e, EVENT_DONE, JOURNAL_ALL, 0, "");
		queue_finish(r, e, fstat(a->m->fd, &st) == 0 ? st.st_ino : 0);
		return;
	}
	if (a->deferred) {
		if (index_first(e) == 0)
			index_set_first(e, now);
		if (e->attempts < UINT16_MAX)
			e->attempts = (uint16_t)(e->attempts + !a->source->counted);
		pause = backoff_pause(r->settings.retry_first, r->settings.retry_max, e->attempts);
		queue_wait(
		    r, e, STATE_DEFERRED, now + (int64_t)backoff_jitter(pause, backoff_random()));
	} else if (a->source->rest) {
		/* the others have their attempt before this is judged */
		queue_wait(r, e, a->source->counted ? STATE_DEFERRED : STATE_DUE, now);
	} else if (a->held && !a->incomplete) {
		queue_set_aside(r, e, STATE_HELD, a->code, a->reason);
	} else if (a->failed && !a->incomplete) {
		queue_set_aside(r, e, STATE_FAILED, a->code, a->reason);
	} else {
		/* of whom nothing was said has another attempt before this is judged */
		a->deferred = true;
		queue_wait(r, e, STATE_DEFERRED, now + (int64_t)r->settings.retry_first);
	}
}

static int
attempt_init(struct attempt *a, struct relayd *r, struct index_entry *e, const struct message *m,
    const struct outcome_source *source, int64_t time)
{
	size_t n = m->envelope.recipient_count + 1;

	*a = (struct attempt){
		.r = r, .e = e, .m = m, .source = source, .time = time, .reason = ""
	};
	a->bounced = calloc(n, sizeof(*a->bounced));
	a->statuses = calloc(n, sizeof(*a->statuses));
	a->indices = calloc(n, sizeof(*a->indices));
	return a->bounced == NULL || a->statuses == NULL || a->indices == NULL ? -1 : 0;
}

static void
attempt_fini(struct attempt *a)
{
	free(a->bounced);
	free(a->statuses);
	free(a->indices);
}

/* The lifetime is over: what was refused for now is refused for good; what stood
 * in the way last is worth telling. */
static void
result_expire(struct result *s)
{
	char *text = NULL;

	if (s->outcome != OUTCOME_DEFERRED)
		return;
	s->outcome = OUTCOME_REFUSED;
	s->code = 0;
	if (asprintf(&text, "%s%s%s", EXPIRED_TEXT,
		*s->text == '\0' ? "" : "; the last answer: ", s->text) < 0)
		return;
	free(s->text);
	s->text = text;
}

static void
result_apply(struct attempt *a, const struct result *s)
{
	const struct recipient *to = &a->m->envelope.recipients[s->recipient];
	enum ipc_outcome outcome = s->outcome;

	/* a bounce has no sender that our settings could change */
	if (outcome == OUTCOME_SENDER_REFUSED &&
	    (a->source->refused == REFUSED_BOUNCE || *a->m->envelope.sender == '\0'))
		outcome = OUTCOME_REFUSED;
	switch (outcome) {
	case OUTCOME_DELIVERED:
		recipient_log(a, to, "delivered", s->text);
		recipient_done(a, s->recipient, EVENT_DONE, s->code, "");
		return;
	case OUTCOME_CONTENT_REFUSED:
		a->content_refused = true;
		/* fall through */
	case OUTCOME_REFUSED:
		recipient_refused(a, s->recipient, s->code, s->text);
		return;
	case OUTCOME_SENDER_REFUSED:
		a->held = true;
		break;
	default:
		recipient_log(a, to, "deferred", s->text);
		a->deferred = true;
		break;
	}
	a->code = s->code;
	a->reason = s->text;
}

static bool
is_deferred(const struct attempt *a, const struct result *s)
{
	return s->outcome != OUTCOME_DELIVERED &&
	       !index_is_finished(&a->r->index, a->e, s->recipient);
}

/* The journal's words for the deferred, when the time of the next attempt is
 * known: one line each if the replies differ, else one for all. */
static void
deferred_record(struct attempt *a, const struct results *results)
{
	const struct result *first = NULL;
	bool same = true;

	for (size_t i = 0; i < results->count; i++) {
		const struct result *s = &results->list[i];

		if (!is_deferred(a, s))
			continue;
		if (first == NULL)
			first = s;
		same = same && s->code == first->code && strcmp(s->text, first->text) == 0;
	}
	if (first == NULL || same)
		queue_record(a->r, a->e, EVENT_DEFERRED, JOURNAL_ALL,
		    first == NULL ? a->code : first->code, first == NULL ? a->reason : first->text);
	for (size_t i = 0; !same && i < results->count; i++)
		if (is_deferred(a, &results->list[i]))
			queue_record(a->r, a->e, EVENT_DEFERRED, (long)results->list[i].recipient,
			    results->list[i].code, results->list[i].text);
}

static void
attempt_run(struct attempt *a, struct results *results, bool expired)
{
	const struct index_entry *e = a->e;
	size_t open = 0;

	for (size_t i = 0; i < a->m->envelope.recipient_count; i++)
		open += !index_is_finished(&a->r->index, e, i);
	a->incomplete = results->count < open;
	for (size_t i = 0; i < results->count; i++) {
		if (expired)
			result_expire(&results->list[i]);
		result_apply(a, &results->list[i]);
	}
	bounce(a);
	notice_relayed(a->r, a->e, a->m, results, a->source);
	conclude(a);
	if (e->state == STATE_DEFERRED && a->deferred)
		deferred_record(a, results);
}

void
outcome_apply(struct relayd *r, struct index_entry *e, const struct message *m,
    struct results *results, const struct outcome_source *source)
{
	bool expired = queue_is_older(r, e, r->settings.queue_lifetime);
	struct attempt a;

	if (attempt_init(&a, r, e, m, source, clock_real()) == 0)
		attempt_run(&a, results, expired);
	else
		queue_wait(
		    r, e, STATE_DOUBT, clock_boot() + (int64_t)r->settings.in_doubt_interval);
	attempt_fini(&a);
	if (!source->rest)
		watchers_end(r, index_name(e).text);
}

void
outcome_apply_delivered(struct relayd *r, struct index_entry *e, const struct message *m,
    const struct results *results, const struct outcome_source *source)
{
	struct attempt a = { .r = r, .e = e, .m = m, .source = source };

	for (size_t i = 0; i < results->count; i++)
		if (results->list[i].outcome == OUTCOME_DELIVERED)
			result_apply(&a, &results->list[i]);
	notice_relayed(r, e, m, results, source);
}

int
outcome_expire(struct relayd *r, struct index_entry *e)
{
	static const struct outcome_source nobody = { .smarthost = "", .refused = REFUSED_BOUNCE };
	struct results results = { .count = 0 };
	struct journal_record last;
	struct buf text = BUF_INIT(0);
	struct attempt a = { .bounced = NULL };
	struct message m;
	int result = 0;

	/* where it is none, e may be gone */
	if (message_take(r, e, &m)) {
		bool known = notice_last(r, e, &last, &text);

		for (size_t i = 0; i < m.envelope.recipient_count; i++)
			if (!index_is_finished(&r->index, e, i))
				result |= results_add(&results, (uint32_t)i, OUTCOME_DEFERRED, 0,
				    known && notice_is_about(&last, i) ? last.text : "");
		result |= attempt_init(&a, r, e, &m, &nobody, known ? last.time : 0);
		if (result == 0)
			attempt_run(&a, &results, true);
		result = result == 0 && !a.deferred ? 1 : -1;
	}
	attempt_fini(&a);
	results_free(&results);
	buf_free(&text);
	message_close(&m);
	return result;
}
