/*
 * The conversation about one message.  With PIPELINING, MAIL, a batch of RCPT
 * and, behind the last batch, DATA go out together; without it the same commands
 * go one by one: only the points at which replies are read differ.
 *
 * The invariant that decides between "unsent" and "in doubt": the reply to the
 * end of the data is waited for only when the last byte has been handed to the
 * kernel, and nothing counts as sent before.
 */
#include "relayd/session/transaction.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "relayd/session/answers.h"
#include "relayd/session/commands.h"

#define RCPT_BATCH 100

int
transaction_init(
    struct transaction *t, struct conversation *c, struct message *m, const uint8_t *finished)
{
	*t = (struct transaction){ .c = c, .message = m };
	t->outcomes = calloc(m->envelope.recipient_count + 1, sizeof(*t->outcomes));
	if (t->outcomes == NULL)
		return -1;
	for (size_t i = 0; i < m->envelope.recipient_count; i++)
		t->outcomes[i].wanted = (finished[i / 8] >> (i % 8) & 1) == 0;
	return 0;
}

void
transaction_fini(struct transaction *t)
{
	for (size_t i = 0; t->outcomes != NULL && i < t->message->envelope.recipient_count; i++)
		free(t->outcomes[i].text);
	free(t->outcomes);
	t->outcomes = NULL;
	buf_free(&t->header.text);
}

static int
rcpt_write(struct transaction *t, size_t i)
{
	int r = command_rcpt(t->c, &t->message->envelope.recipients[i]);

	if (r > 0)
		outcome_set(&t->outcomes[i], OUTCOME_REFUSED, 553, COMMAND_NEEDS_SMTPUTF8);
	return r < 0 ? -1 : 0;
}

/* Those that are too many for one transaction wait for the next. */
static void
recipients_limit(struct transaction *t)
{
	size_t room = t->c->recipients_max;

	for (size_t i = 0; room > 0 && i < t->message->envelope.recipient_count; i++)
		if (outcome_is_open(t, i) && --room == 0)
			while (++i < t->message->envelope.recipient_count)
				t->outcomes[i].held =
				    t->outcomes[i].wanted && !t->outcomes[i].known;
}

/*
 * RCPT for all, in batches; the MAIL command is written already, and with
 * PIPELINING its reply is still to be read.  *accepted is set if there is at
 * least one; with PIPELINING the DATA command is written behind the last batch.
 */
static enum step
recipients_send(struct transaction *t, bool pipelining, bool *accepted, bool *data_written)
{
	size_t count = t->message->envelope.recipient_count, batch = pipelining ? RCPT_BATCH : 1;
	bool mail_open = pipelining;
	size_t i = outcome_next_open(t, 0);
	enum step step, mail = STEP_ON;

	recipients_limit(t);
	while (i < count) {
		size_t sent[RCPT_BATCH], n = 0;

		for (; i < count && n < batch; i = outcome_next_open(t, i + 1)) {
			if (rcpt_write(t, i) < 0)
				return answers_broken(t);
			if (outcome_is_open(t, i))
				sent[n++] = i;
		}
		*data_written = pipelining && i == count;
		if (*data_written && conversation_command(t->c, "DATA") < 0)
			return answers_broken(t);
		if (mail_open && (mail = answers_mail(t)) == STEP_UNSENT)
			return mail;
		mail_open = false;
		for (size_t k = 0; k < n; k++) {
			step = mail == STEP_ON ? answers_rcpt(t, &t->outcomes[sent[k]], accepted)
					       : answers_in_vain(t);
			if (step != STEP_ON)
				return step;
		}
		if (mail != STEP_ON && !*data_written)
			return mail;
	}
	return mail;
}

/* The connection broke while content was written.  A server that refuses a
 * message may say so and close before it has read all of it. */
static enum step
content_broken(struct transaction *t)
{
	struct conversation *c = t->c;
	enum meaning meaning;

	answers_broken(t);
	if (c->stream.error != STREAM_CLOSED || !stream_has_input(&c->stream))
		return STEP_UNSENT;
	buf_reset(&c->stream.out);
	if (conversation_reply(c) < 0 || c->reply.code < 400)
		return STEP_UNSENT;
	meaning = reply_meaning(PHASE_END, &c->reply);
	return meaning == MEANS_OK ? STEP_UNSENT : answers_end(t);
}

/* It waits as if the smarthost had deferred it: the next attempt may fare no better. */
static enum step
transaction_unreadable(struct transaction *t)
{
	return outcome_set_all(
	    t, OUTCOME_DEFERRED, 0, "the message file cannot be read now, or there is no memory");
}

static enum step
content_send(struct transaction *t, const struct buf *whole)
{
	struct conversation *c = t->c;
	struct dot_stuffing dots = { .within_line = false };
	uint64_t timeout = c->settings->command_timeout;
	enum content_result r = CONTENT_OK;

	stream_timeout(&c->stream, timeout / 5 * 3);
	if (whole != NULL) {
		if (content_write(&c->stream, &dots, buf_string(whole), whole->len) < 0)
			r = CONTENT_BROKEN;
	} else if (t->conversion.scope != CONVERT_NOTHING) {
		r = conversion_stream(&t->conversion, t->message, &t->header, &c->stream, &dots);
	} else if (c->settings->rewrite_from) {
		r = content_stream_rewritten(t->message, &t->header, &c->stream, &dots);
	} else {
		r = content_stream(t->message, &c->stream, &dots);
	}
	if (r == CONTENT_CORRUPT || r == CONTENT_READ) {
		stream_fail(&c->stream, STREAM_CLOSED,
		    "the message file %s; closing the connection "
		    "so that the smarthost drops what it has",
		    r == CONTENT_CORRUPT ? "is damaged" : "cannot be read");
		answers_broken(t);
		t->own_fault = true;
		return r == CONTENT_CORRUPT ? STEP_CORRUPT : transaction_unreadable(t);
	}
	if (r == CONTENT_OK && stream_has_input(&c->stream)) {
		/* before the end of the data: a refusal, or somebody's trick */
		stream_fail(&c->stream, STREAM_CLOSED, "the smarthost answers before the end");
		r = CONTENT_BROKEN;
	}
	if (r == CONTENT_BROKEN || content_end(&c->stream) < 0 || stream_flush(&c->stream) < 0)
		return content_broken(t);
	stream_timeout(&c->stream, timeout * 2);
	c->stream.last_reply = true;
	if (conversation_reply(c) < 0) {
		answers_broken(t);
		return STEP_DOUBT;
	}
	c->stream.last_reply = false;
	if (c->reply.code < 400 && c->reply.code >= 300) {
		stream_fail(&c->stream, STREAM_PROTOCOL,
		    "the smarthost answers %u to a whole message", c->reply.code);
		answers_broken(t);
		return STEP_DOUBT;
	}
	return answers_end(t);
}

/* DATA has been written behind the last RCPT, or is written here. */
static enum step
data_send(struct transaction *t, bool written, bool accepted, const struct buf *whole)
{
	struct conversation *c = t->c;
	enum meaning meaning;

	if (!written && !accepted)
		return STEP_DONE;
	stream_timeout(&c->stream, c->settings->command_timeout / 5 * 2);
	if (!written && conversation_command(c, "DATA") < 0)
		return answers_broken(t);
	if (answers_read(t, PHASE_DATA, &meaning) < 0)
		return answers_broken(t);
	if (meaning == MEANS_OK && !accepted) {
		/* RFC 2920 section 3.1: an empty message ends what nobody gets */
		if (stream_write(&c->stream, ".\r\n", 3) < 0 || conversation_reply(c) < 0)
			return answers_broken(t);
		return STEP_DONE;
	}
	if (!accepted)
		return STEP_DONE;
	switch (meaning) {
	case MEANS_OK:
		return content_send(t, whole);
	case MEANS_DEFERRED:
	case MEANS_REFUSED:
	case MEANS_SENDER_REFUSED:
		return answers_for_all(t, answers_outcome(meaning));
	default:
		return answers_refused(t, meaning, "DATA");
	}
}

enum step
transaction_sender(struct transaction *t, const char **sender, char *room, size_t size)
{
	const struct conversation *c = t->c;
	const char *own = t->message->envelope.sender, *from = c->settings->from;

	*sender = own;
	if (*own != '\0')
		*sender = command_address(c, *from != '\0' ? from : own, room, size);
	return *sender != NULL
		   ? STEP_ON
		   : outcome_set_all(t, OUTCOME_SENDER_REFUSED, 553,
			 "553 5.6.7 the sender needs SMTPUTF8, which the smarthost does not offer");
}

enum step
transaction_size_check(struct transaction *t)
{
	const struct capabilities *can = &t->c->can;

	if ((can->set & CAN_SIZE) && can->size > 0 && t->length > can->size)
		return outcome_set_all(t, OUTCOME_CONTENT_REFUSED, 552,
		    "552 5.3.4 the message is larger than the smarthost takes");
	return STEP_ON;
}

static enum step
envelope_send(struct transaction *t, const struct buf *whole)
{
	struct conversation *c = t->c;
	bool pipelining = (c->can.set & CAN_PIPELINING) != 0, accepted = false, written = false;
	const char *sender;
	char ascii[600];
	enum step step;

	if ((step = transaction_sender(t, &sender, ascii, sizeof(ascii))) != STEP_ON ||
	    (step = transaction_size_check(t)) != STEP_ON)
		return step;
	stream_timeout(&c->stream, c->settings->command_timeout);
	if (c->reset && conversation_command(c, "RSET") < 0)
		return answers_broken(t);
	if (c->reset && !pipelining && (step = answers_reset(t)) != STEP_ON)
		return step;
	if (command_mail(c, t->message, sender, t->length) < 0)
		return answers_broken(t);
	if (c->reset && pipelining && (step = answers_reset(t)) != STEP_ON)
		return step;
	c->reset = true;
	step = pipelining ? STEP_ON : answers_mail(t);
	if (step == STEP_ON)
		step = recipients_send(t, pipelining, &accepted, &written);
	if (step == STEP_UNSENT)
		return step;
	/* after a refused MAIL there is still the reply to a DATA that was sent ahead */
	return data_send(t, written, accepted && step == STEP_ON, whole);
}

static bool
is_too_many(const struct outcome *o)
{
	return o->fresh && o->value == OUTCOME_DEFERRED && (o->code == 452 || o->code == 552);
}

/* How many recipients the last transaction delivered to, how many were too many for it (and
 * with the enhanced code that says so), and how many were held back. */
struct tally {
	size_t delivered, too_many, named, held;
};

static struct tally
transaction_tally(const struct transaction *t)
{
	struct tally n = { 0, 0, 0, 0 };

	for (size_t i = 0; i < t->message->envelope.recipient_count; i++) {
		const struct outcome *o = &t->outcomes[i];

		n.delivered += o->fresh && o->value == OUTCOME_DELIVERED;
		n.too_many += is_too_many(o);
		n.named += is_too_many(o) && o->text != NULL && strstr(o->text, ".5.3 ") != NULL;
		n.held += o->held;
	}
	return n;
}

/* Said of some recipients, of which others were accepted; or, late, of all that were. */
static bool
are_too_many(const struct transaction *t, const struct tally *n)
{
	return n->delivered > 0 ? n->too_many > 0 : t->ended && n->named > 1;
}

bool
transaction_wants_more(const struct transaction *t)
{
	struct tally n = transaction_tally(t);

	return (are_too_many(t, &n) || n.held > 0) && !t->broken;
}

/* RFC 5321 section 4.5.3.1.10: "too many recipients" is about this transaction
 * only.  If it delivered to some, the others get one of their own, at once; and the next
 * transactions have no more than that. */
static bool
too_many_reopen(struct transaction *t)
{
	bool more = transaction_wants_more(t);
	struct tally n = transaction_tally(t);

	for (size_t i = 0; i < t->message->envelope.recipient_count; i++) {
		struct outcome *o = &t->outcomes[i];

		if (more && are_too_many(t, &n) && is_too_many(o))
			o->known = false;
		o->fresh = o->held = false;
	}
	if (more && n.named > 0 && are_too_many(t, &n))
		t->c->recipients_max = (unsigned)(n.delivered > 0 ? n.delivered : n.named / 2);
	t->ended = false;
	return more;
}

/* Further transactions for recipients that were too many.  What becomes of them
 * does not change what is known of the others: if it is unknown, only they are in
 * doubt; those that still waited for a transaction wait for the next connection. */
static enum step
too_many_send(struct transaction *t, const struct buf *whole)
{
	enum step step = STEP_DONE;

	while (!t->broken && too_many_reopen(t))
		step = envelope_send(t, whole);
	if (!t->broken)
		return STEP_DONE;
	for (size_t i = 0; i < t->message->envelope.recipient_count; i++) {
		struct outcome *o = &t->outcomes[i];

		if (o->held || (outcome_is_open(t, i) && step != STEP_DOUBT))
			outcome_set(o, OUTCOME_DEFERRED, 452, t->c->problem);
	}
	return step == STEP_DOUBT ? STEP_DOUBT : STEP_DONE;
}

static enum ipc_end
end_of(enum step step)
{
	switch (step) {
	case STEP_UNSENT:
		return END_UNSENT;
	case STEP_DOUBT:
		return END_DOUBT;
	case STEP_CORRUPT:
		return END_CORRUPT;
	default:
		return END_COMPLETE;
	}
}

enum step
transaction_prepare(struct transaction *t, struct buf *whole, enum content_result *r)
{
	const struct ipc_settings *settings = t->c->settings;

	buf_free(&t->header.text);
	*r = content_prepare(t->message, settings->rewrite_from ? settings->from : NULL, whole,
	    &t->header, &t->length);
	if (*r == CONTENT_OK)
		*r = conversion_prepare(
		    &t->conversion, t->message, &t->c->can, whole, &t->header, &t->length);
	if (*r == CONTENT_HEADER)
		return outcome_set_all(t, OUTCOME_CONTENT_REFUSED, 552,
		    "552 5.3.4 the header is larger than rewrite_from can hold, 8 MB");
	if (*r == CONTENT_REFUSED)
		return outcome_set_all(t, OUTCOME_REFUSED, 554, t->conversion.refusal);
	if (*r == CONTENT_READ)
		return transaction_unreadable(t);
	return *r == CONTENT_OK ? STEP_ON : STEP_CORRUPT;
}

enum ipc_end
transaction_run(struct transaction *t)
{
	struct buf whole = BUF_INIT(0);
	bool small = t->message->length <= CONTENT_WHOLE_MAX;
	enum content_result r;
	enum step step;

	if (outcome_next_open(t, 0) == t->message->envelope.recipient_count)
		return END_COMPLETE;
	if (stream_has_input(&t->c->stream)) {
		/* each reply must belong to a command */
		stream_fail(&t->c->stream, STREAM_CLOSED, "the smarthost speaks out of turn");
		answers_broken(t);
		return END_UNSENT;
	}
	step = transaction_prepare(t, &whole, &r);
	if (r == CONTENT_CORRUPT) {
		buf_free(&whole);
		return END_CORRUPT;
	}
	if (step == STEP_ON)
		step = envelope_send(t, small ? &whole : NULL);
	if (step == STEP_UNSENT)
		step = answers_keep_refused(t);
	if (step == STEP_DONE)
		step = too_many_send(t, small ? &whole : NULL);
	buf_free(&whole);
	return end_of(step);
}

enum ipc_end
transaction_more(struct transaction *t)
{
	struct buf whole = BUF_INIT(0);
	enum content_result r;
	enum step step = STEP_DONE;

	if (transaction_prepare(t, &whole, &r) == STEP_ON)
		step = too_many_send(t, &whole);
	buf_free(&whole);
	return end_of(step);
}
