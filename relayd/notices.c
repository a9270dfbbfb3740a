/*
 * A warning is on disk before the journal says so, as with bounces: if relayd dies in
 * between, there is a second one.  A message that nobody wants to be warned of counts
 * as warned, so that its file is not opened again and again.
 */
#include "relayd/notices.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "relayd/bounce.h"

bool
notice_last(const struct relayd *r, const struct index_entry *e, struct journal_record *last,
    struct buf *text)
{
	*text = BUF_INIT(0);
	return index_reason(e) >= 0 &&
	       journal_read_at(r->journal.fd, index_reason(e), last, text) == 0 &&
	       memcmp(last->name, index_name(e).text, NAME_LEN) == 0;
}

bool
notice_is_about(const struct journal_record *line, size_t recipient)
{
	return line->recipient == JOURNAL_ALL || line->recipient == (long)recipient;
}

/* Why it is late: the last answer, or what stands in the way of all mail. */
static void
delay_explain(struct relayd *r, const struct index_entry *e, const struct journal_record *last,
    struct bounce_recipient *why, char status[static BOUNCE_STATUS_SIZE], char *room, size_t size)
{
	struct listing_pause pause = control_pause(r, lanes_carriers(&r->lanes, e), room, size);

	if (last != NULL && last->event == EVENT_DOUBT) {
		why->text = "nobody knows yet whether the last attempt succeeded";
	} else if (last != NULL && *last->text != '\0') {
		why->code = last->code;
		why->text = last->text;
	} else {
		why->text = pause.reason != NULL ? pause.reason : "it waits for its turn";
	}
	why->status = bounce_status(why->code, why->text, status);
	/* RFC 3464 section 2.3.4: not for good, whatever the digits of the reply */
	if (why->code == 0)
		memcpy(status, "4.0.0", 6);
	status[0] = '4';
}

/* 0: written; 1: nobody wants it; -1: it cannot be written, logged. */
static int
delay_send(
    struct relayd *r, const struct index_entry *e, const struct message *m, struct queue_name *name)
{
	struct queue_name id = index_name(e);
	struct bounce_recipient *list = calloc(m->envelope.recipient_count, sizeof(*list));
	struct bounce_recipient why = { .code = 0 };
	static const struct bounce_recipient other = { .text = "it was refused for now",
		.status = "4.0.0" };
	struct journal_record last;
	struct buf text;
	char room[1024], status[BOUNCE_STATUS_SIZE];
	bool known = notice_last(r, e, &last, &text);
	struct bounce b = { .spool = &r->spool,
		.hostname = r->hostname,
		.domain = r->domain,
		.message = m,
		.queue_id = id.text,
		.smarthost = "",
		.action = BOUNCE_DELAYED,
		.last_attempt = known ? last.time : 0,
		.retry_until = index_time(e) + (int64_t)r->settings.queue_lifetime,
		.recipients = list };
	int result = 1;

	delay_explain(r, e, known ? &last : NULL, &why, status, room, sizeof(room));
	for (size_t i = 0; list != NULL && i < m->envelope.recipient_count; i++) {
		const struct recipient *to = &m->envelope.recipients[i];

		if (index_is_finished(&r->index, e, i) ||
		    (to->notify != 0 && (to->notify & NOTIFY_DELAY) == 0))
			continue;
		list[b.count] = known && !notice_is_about(&last, i) ? other : why;
		list[b.count++].recipient = to;
	}
	if (list == NULL)
		result = spool_fail(&r->spool, "make a warning for", "queue");
	else if (b.count > 0 && bounce_address(&m->envelope) != NULL)
		result = bounce_send(&b, name);
	if (result < 0)
		log_error("%.*s: cannot write its warning: %s", QUEUE_ID_LEN, index_name(e).text,
		    r->spool.problem);
	free(list);
	buf_free(&text);
	return result;
}

bool
notice_delay(struct relayd *r, struct index_entry *e)
{
	struct queue_name name = index_name(e), warning;
	struct message m;
	enum message_status status;
	int result = 1;

	status = message_open(&m, r->queue, name.text);
	if (status == MESSAGE_OK)
		result = delay_send(r, e, &m, &warning);
	message_close(&m);
	/* whatever else it is, is found when it is handed out */
	if (result < 0 || status != MESSAGE_OK)
		return status != MESSAGE_OK;
	e->warned = true;
	if (result == 0) {
		queue_record(r, e, EVENT_WARNED, JOURNAL_ALL, 0, "");
		log_info("%.*s: status=delayed warning=%.*s", QUEUE_ID_LEN, name.text, QUEUE_ID_LEN,
		    warning.text);
	}
	return true;
}

void
notice_relayed(struct relayd *r, const struct index_entry *e, const struct message *m,
    const struct results *results, const struct outcome_source *source)
{
	struct bounce_recipient *list;
	struct queue_name id = index_name(e), name;
	struct bounce b = { .spool = &r->spool,
		.hostname = r->hostname,
		.domain = r->domain,
		.message = m,
		.queue_id = id.text,
		.smarthost = source->smarthost,
		.action = BOUNCE_RELAYED,
		.last_attempt = clock_real() };

	if (source->has_dsn || results->count == 0 || bounce_address(&m->envelope) == NULL)
		return;
	b.recipients = list = calloc(results->count, sizeof(*list));
	for (size_t i = 0; list != NULL && i < results->count; i++) {
		const struct result *s = &results->list[i];
		const struct recipient *to = &m->envelope.recipients[s->recipient];

		if (s->outcome == OUTCOME_DELIVERED && (to->notify & NOTIFY_SUCCESS) != 0)
			list[b.count++] = (struct bounce_recipient){
				.recipient = to, .code = s->code, .text = s->text, .status = "2.0.0"
			};
	}
	if (list == NULL)
		log_error_errno("%.*s: cannot confirm it", QUEUE_ID_LEN, index_name(e).text);
	else if (b.count > 0 && bounce_send(&b, &name) < 0)
		log_error("%.*s: cannot confirm it: %s", QUEUE_ID_LEN, index_name(e).text,
		    r->spool.problem);
	else if (b.count > 0)
		log_info("%.*s: status=relayed confirmation=%.*s", QUEUE_ID_LEN, index_name(e).text,
		    QUEUE_ID_LEN, name.text);
	free(list);
}
