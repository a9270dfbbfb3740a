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
#include "relayd/session/commands.h"
#include "relayd/session/meaning.h"

#define RCPT_BATCH 100
#define LINE_OCTETS 400

/* What the phases below come back with. */
enum step {
	STEP_ON,     /* go on */
	STEP_DONE,   /* all outcomes are known */
	STEP_UNSENT, /* the conversation's fault says why */
	STEP_DOUBT,
	STEP_CORRUPT,
};

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

static void
outcome_set(struct outcome *o, enum ipc_outcome value, unsigned code, const char *text)
{
	free(o->text);
	o->text = strdup(text);
	o->value = value;
	o->code = code;
	o->known = o->fresh = true;
}

/* The same for all recipients that have none yet. */
static enum step
outcome_set_all(struct transaction *t, enum ipc_outcome value, unsigned code, const char *text)
{
	for (size_t i = 0; i < t->message->envelope.recipient_count; i++)
		if (t->outcomes[i].wanted && !t->outcomes[i].known)
			outcome_set(&t->outcomes[i], value, code, text);
	return STEP_DONE;
}

static enum step
reply_for_all(struct transaction *t, enum ipc_outcome value)
{
	char line[LINE_OCTETS];

	return outcome_set_all(
	    t, value, t->c->reply.code, reply_line(&t->c->reply, line, sizeof(line)));
}

static enum step
broken(struct transaction *t)
{
	conversation_broken(t->c);
	t->broken = true;
	return STEP_UNSENT;
}

/* The replies that are the smarthost's fault, in any phase. */
static enum step
refused(struct transaction *t, enum meaning meaning, const char *to_what)
{
	conversation_refused(t->c, meaning_fault(meaning), to_what);
	t->broken = true;
	/* if it takes not even one, it is of no use */
	t->own_fault |= meaning == MEANS_RECONNECT && t->c->delivered > 0;
	return STEP_UNSENT;
}

/* Reads the reply to a command and says what it means. */
static int
reply(struct transaction *t, enum phase phase, enum meaning *meaning)
{
	if (conversation_reply(t->c) < 0)
		return -1;
	t->answered = true;
	*meaning = reply_meaning(phase, &t->c->reply);
	return 0;
}

static enum ipc_outcome
outcome_of(enum meaning meaning)
{
	return meaning == MEANS_REFUSED          ? OUTCOME_REFUSED
	       : meaning == MEANS_SENDER_REFUSED ? OUTCOME_SENDER_REFUSED
						 : OUTCOME_DEFERRED;
}

/* The same where all of the message is judged: MAIL knows its size. */
static enum ipc_outcome
outcome_of_content(enum meaning meaning)
{
	return meaning == MEANS_REFUSED ? OUTCOME_CONTENT_REFUSED : outcome_of(meaning);
}

static enum step
mail_answered(struct transaction *t)
{
	enum meaning meaning;

	if (reply(t, PHASE_MAIL, &meaning) < 0)
		return broken(t);
	switch (meaning) {
	case MEANS_OK:
		return STEP_ON;
	case MEANS_DEFERRED:
	case MEANS_REFUSED:
	case MEANS_SENDER_REFUSED:
		return reply_for_all(t, outcome_of_content(meaning));
	default:
		return refused(t, meaning, "MAIL");
	}
}

static enum step
rcpt_answered(struct transaction *t, struct outcome *o, bool *accepted)
{
	char line[LINE_OCTETS];
	enum meaning meaning;

	if (reply(t, PHASE_RCPT, &meaning) < 0)
		return broken(t);
	if (meaning == MEANS_OK) {
		*accepted = true;
		return STEP_ON;
	}
	if (meaning != MEANS_DEFERRED && meaning != MEANS_REFUSED &&
	    meaning != MEANS_SENDER_REFUSED)
		return refused(t, meaning, "RCPT");
	outcome_set(
	    o, outcome_of(meaning), t->c->reply.code, reply_line(&t->c->reply, line, sizeof(line)));
	return STEP_ON;
}

static int
rcpt_write(struct transaction *t, size_t i)
{
	int r = command_rcpt(t->c, &t->message->envelope.recipients[i]);

	if (r > 0)
		outcome_set(&t->outcomes[i], OUTCOME_REFUSED, 553,
		    "553 5.6.7 the address needs SMTPUTF8, which the smarthost does not offer");
	return r < 0 ? -1 : 0;
}

/* Is recipient i to stand in this transaction? */
static bool
is_open(const struct transaction *t, size_t i)
{
	return t->outcomes[i].wanted && !t->outcomes[i].known;
}

static size_t
next_open(const struct transaction *t, size_t i)
{
	while (i < t->message->envelope.recipient_count && !is_open(t, i))
		i++;
	return i;
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
	size_t i = next_open(t, 0);
	enum step step, mail = STEP_ON;

	while (i < count) {
		size_t sent[RCPT_BATCH], n = 0;

		for (; i < count && n < batch; i = next_open(t, i + 1)) {
			if (rcpt_write(t, i) < 0)
				return broken(t);
			if (is_open(t, i))
				sent[n++] = i;
		}
		*data_written = pipelining && i == count;
		if (*data_written && conversation_command(t->c, "DATA") < 0)
			return broken(t);
		if (mail_open && (mail = mail_answered(t)) == STEP_UNSENT)
			return mail;
		mail_open = false;
		for (size_t k = 0; k < n; k++) {
			/* after a refused MAIL these replies say nothing new */
			struct outcome *o = &t->outcomes[sent[k]];
			struct outcome ignored = { .known = false };
			bool yes = false;

			step = rcpt_answered(t, mail == STEP_ON ? o : &ignored, &yes);
			free(ignored.text);
			if (step != STEP_ON && mail == STEP_ON)
				return step;
			*accepted |= yes && mail == STEP_ON;
		}
		if (mail != STEP_ON && i < count)
			return mail;
	}
	return mail;
}

/* The reply to the end of the data, or one that came before it. */
static enum step
end_answered(struct transaction *t)
{
	enum meaning meaning = reply_meaning(PHASE_END, &t->c->reply);

	switch (meaning) {
	case MEANS_OK:
		t->c->reset = false;
		return reply_for_all(t, OUTCOME_DELIVERED);
	case MEANS_DEFERRED:
	case MEANS_REFUSED:
	case MEANS_SENDER_REFUSED:
		t->c->reset = false;
		return reply_for_all(t, outcome_of_content(meaning));
	default:
		return refused(t, meaning, "the end of the message");
	}
}

/* The connection broke while content was written.  A server that refuses a
 * message may say so and close before it has read all of it. */
static enum step
content_broken(struct transaction *t)
{
	struct conversation *c = t->c;
	enum meaning meaning;

	broken(t);
	if (c->stream.error != STREAM_CLOSED || !stream_has_input(&c->stream))
		return STEP_UNSENT;
	buf_reset(&c->stream.out);
	if (conversation_reply(c) < 0 || c->reply.code < 400)
		return STEP_UNSENT;
	meaning = reply_meaning(PHASE_END, &c->reply);
	return meaning == MEANS_OK ? STEP_UNSENT : end_answered(t);
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
		broken(t);
		t->own_fault = true;
		return r == CONTENT_CORRUPT ? STEP_CORRUPT : STEP_UNSENT;
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
		broken(t);
		return STEP_DOUBT;
	}
	c->stream.last_reply = false;
	if (c->reply.code < 400 && c->reply.code >= 300) {
		stream_fail(&c->stream, STREAM_PROTOCOL,
		    "the smarthost answers %u to a whole message", c->reply.code);
		broken(t);
		return STEP_DOUBT;
	}
	return end_answered(t);
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
		return broken(t);
	if (reply(t, PHASE_DATA, &meaning) < 0)
		return broken(t);
	if (meaning == MEANS_OK && !accepted) {
		/* RFC 2920 section 3.1: an empty message ends what nobody gets */
		if (stream_write(&c->stream, ".\r\n", 3) < 0 || conversation_reply(c) < 0)
			return broken(t);
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
		return reply_for_all(t, outcome_of(meaning));
	default:
		return refused(t, meaning, "DATA");
	}
}

/* Without a clean start the next replies would speak of the last transaction. */
static enum step
reset_answered(struct transaction *t)
{
	enum meaning meaning;

	if (reply(t, PHASE_GREETING, &meaning) < 0)
		return broken(t);
	return meaning == MEANS_OK ? STEP_ON : refused(t, meaning, "RSET");
}

static enum step
envelope_send(struct transaction *t, const struct buf *whole)
{
	struct conversation *c = t->c;
	bool pipelining = (c->can.set & CAN_PIPELINING) != 0, accepted = false, written = false;
	const char *sender = t->message->envelope.sender, *from = c->settings->from;
	char ascii[600];
	enum step step;

	if (*sender != '\0')
		sender = command_address(c, *from != '\0' ? from : sender, ascii, sizeof(ascii));
	if (sender == NULL)
		return outcome_set_all(t, OUTCOME_SENDER_REFUSED, 553,
		    "553 5.6.7 the sender needs SMTPUTF8, which the smarthost does not offer");
	if ((c->can.set & CAN_SIZE) && c->can.size > 0 && t->length > c->can.size)
		return outcome_set_all(t, OUTCOME_CONTENT_REFUSED, 552,
		    "552 5.3.4 the message is larger than the smarthost takes");
	stream_timeout(&c->stream, c->settings->command_timeout);
	if (c->reset && conversation_command(c, "RSET") < 0)
		return broken(t);
	if (c->reset && !pipelining && (step = reset_answered(t)) != STEP_ON)
		return step;
	if (command_mail(c, t->message, sender, t->length) < 0)
		return broken(t);
	if (c->reset && pipelining && (step = reset_answered(t)) != STEP_ON)
		return step;
	c->reset = true;
	step = pipelining ? STEP_ON : mail_answered(t);
	if (step == STEP_ON)
		step = recipients_send(t, pipelining, &accepted, &written);
	if (step == STEP_UNSENT)
		return step;
	/* after a refused MAIL there is still the reply to a DATA that was sent ahead */
	return data_send(t, written, accepted && step == STEP_ON, whole);
}

/* RFC 5321 section 4.5.3.1.10: "too many recipients" is about this transaction
 * only.  If it delivered to some, the others get one of their own, at once. */
static bool
too_many_reopen(struct transaction *t)
{
	size_t count = t->message->envelope.recipient_count;
	bool some = false, more = false;

	for (size_t i = 0; i < count; i++)
		some |= t->outcomes[i].fresh && t->outcomes[i].value == OUTCOME_DELIVERED;
	for (size_t i = 0; i < count; i++) {
		struct outcome *o = &t->outcomes[i];

		if (some && o->fresh && o->value == OUTCOME_DEFERRED &&
		    (o->code == 452 || o->code == 552)) {
			o->known = false;
			more = true;
		}
		o->fresh = false;
	}
	return more;
}

/* Further transactions for recipients that were too many.  What becomes of them
 * does not change what is known of the others: if it is unknown, only they are in
 * doubt. */
static enum step
too_many_send(struct transaction *t, const struct buf *whole)
{
	while (!t->broken && too_many_reopen(t)) {
		enum step step = envelope_send(t, whole);

		if (step == STEP_DOUBT)
			return step;
		if (step != STEP_DONE)
			outcome_set_all(t, OUTCOME_DEFERRED, 452, t->c->problem);
	}
	return STEP_DONE;
}

/* The connection ended behind refused recipients.  Some servers end it because of
 * them, and would do so again each time: what was refused stays so, and the others
 * are deferred. */
static enum step
refused_keep(struct transaction *t)
{
	for (size_t i = 0; i < t->message->envelope.recipient_count; i++)
		if (t->outcomes[i].known && t->outcomes[i].value == OUTCOME_REFUSED)
			return outcome_set_all(t, OUTCOME_DEFERRED, t->c->code, t->c->problem);
	return STEP_UNSENT;
}

enum ipc_end
transaction_run(struct transaction *t)
{
	struct buf whole = BUF_INIT(0);
	bool small = t->message->length <= CONTENT_WHOLE_MAX;
	const struct ipc_settings *settings = t->c->settings;
	enum content_result r;
	enum step step;

	if (next_open(t, 0) == t->message->envelope.recipient_count)
		return END_COMPLETE;
	if (stream_has_input(&t->c->stream)) {
		/* each reply must belong to a command */
		stream_fail(&t->c->stream, STREAM_CLOSED, "the smarthost speaks out of turn");
		broken(t);
		return END_UNSENT;
	}
	r = content_prepare(t->message, settings->rewrite_from ? settings->from : NULL, &whole,
	    &t->header, &t->length);
	if (r == CONTENT_OK)
		r = conversion_prepare(
		    &t->conversion, t->message, &t->c->can, &whole, &t->header, &t->length);
	if (r == CONTENT_CORRUPT || r == CONTENT_READ) {
		buf_free(&whole);
		return r == CONTENT_CORRUPT ? END_CORRUPT : END_STALE;
	}
	if (r == CONTENT_HEADER)
		step = outcome_set_all(t, OUTCOME_CONTENT_REFUSED, 552,
		    "552 5.3.4 the header is larger than rewrite_from can hold, 8 MB");
	else if (r == CONTENT_REFUSED)
		step = outcome_set_all(t, OUTCOME_REFUSED, 554, t->conversion.refusal);
	else
		step = envelope_send(t, small ? &whole : NULL);
	if (step == STEP_UNSENT)
		step = refused_keep(t);
	if (step == STEP_DONE)
		step = too_many_send(t, small ? &whole : NULL);
	buf_free(&whole);
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
