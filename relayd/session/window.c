/*
 * A message that was written to its last octet, and whose reply has not come when the
 * connection breaks, is in doubt; so the stream counts the octets that the kernel has
 * taken.  Behind a reply that closes the conversation (421) nothing was accepted.
 */
#include "relayd/session/window.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relayd/session/answers.h"
#include "relayd/session/commands.h"

#define RECIPIENTS_MAX 100 /* that each server takes: RFC 5321 section 4.5.3.1.8 */

bool
window_takes(const struct window *w, const struct message *m)
{
	size_t max = w->conversation->recipients_max;

	if (max == 0 || max > RECIPIENTS_MAX)
		max = RECIPIENTS_MAX;
	return m->length <= CONTENT_WHOLE_MAX && m->envelope.recipient_count <= max;
}

/* ---- the probe -------------------------------------------------------------- */

/*
 * The chunk is a command that would be answered 250 if it ran.  The second, empty one
 * marks the end: if its refusal comes fourth, no reply too many came before it.
 */
static int
probe_run(struct conversation *c)
{
	static const unsigned wanted[] = { 2, 5, 2, 5 };

	if (conversation_command(c, "RSET") < 0 || conversation_command(c, "BDAT 6 LAST") < 0 ||
	    stream_write(&c->stream, "NOOP\r\n", 6) < 0 || conversation_command(c, "RSET") < 0 ||
	    conversation_command(c, "BDAT 0 LAST") < 0)
		return -1;
	c->reset = true;
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		if (conversation_reply(c) < 0)
			return -1;
		if (c->reply.code == 421) {
			c->closed = true;
			return conversation_refused(
			    c, meaning_fault(reply_meaning(PHASE_GREETING, &c->reply)), "RSET");
		}
		if (c->reply.code / 100 != wanted[i])
			return stream_fail(&c->stream, STREAM_PROTOCOL,
			    "the smarthost does not discard a chunk that it refuses; the next "
			    "connection does without");
	}
	return 1;
}

int
window_probe(struct conversation *c)
{
	int r;

	if (c->settings->window < 2 || (c->can.set & CAN_PIPELINING) == 0 ||
	    (c->can.set & CAN_CHUNKING) == 0)
		return 0;
	/* nor is another server asked behind one that did not: of many behind one name each
	 * could be another one, and the mail would wait */
	if ((c->settings->peer & PEER_NO_CHUNKS) != 0)
		return 0;
	if ((c->peer & PEER_CHUNKS) != 0)
		return 1;
	r = probe_run(c);
	c->peer = r > 0                                            ? PEER_CHUNKS
		  : c->stream.error == STREAM_STOPPED || c->closed ? 0
								   : PEER_NO_CHUNKS;
	return r;
}

/* ---- writing ---------------------------------------------------------------- */

static int
content_put(struct slot *slot, const struct buf *whole)
{
	struct conversation *c = slot->transaction.c;

	if (conversation_command(c, "BDAT %zu LAST", whole->len) < 0 ||
	    stream_write(&c->stream, buf_string(whole), whole->len) < 0)
		return -1;
	slot->end = c->stream.written;
	return 0;
}

static int
recipients_put(struct slot *slot)
{
	struct transaction *t = &slot->transaction;
	size_t count = t->message->envelope.recipient_count;

	for (size_t i = outcome_next_open(t, 0); i < count; i = outcome_next_open(t, i + 1)) {
		int r = command_rcpt(t->c, &t->message->envelope.recipients[i]);

		if (r < 0)
			return -1;
		if (r > 0)
			outcome_set(&t->outcomes[i], OUTCOME_REFUSED, 553, COMMAND_NEEDS_SMTPUTF8);
		else
			slot->recipients[slot->recipient_count++] = i;
	}
	return 0;
}

/* True if there is something to write: what can be said without the smarthost is. */
static bool
sender_find(struct slot *slot, const char **sender, char *room, size_t size)
{
	struct transaction *t = &slot->transaction;
	const struct conversation *c = t->c;

	return transaction_sender(t, sender, room, size) == STEP_ON &&
	       transaction_size_check(t) == STEP_ON && c->stream.error == STREAM_OK;
}

static void
slot_write(struct slot *slot)
{
	struct transaction *t = &slot->transaction;
	struct conversation *c = t->c;
	struct buf whole = BUF_INIT(0);
	const char *sender;
	char room[600];
	enum content_result r;
	enum step step;

	if (outcome_next_open(t, 0) == t->message->envelope.recipient_count)
		return;
	step = transaction_prepare(t, &whole, &r);
	if (r == CONTENT_CORRUPT) {
		slot->result = END_CORRUPT;
	} else if (step == STEP_ON && sender_find(slot, &sender, room, sizeof(room))) {
		stream_timeout(&c->stream, c->settings->command_timeout);
		slot->reset = c->reset;
		slot->written = true;
		slot->end = UINT64_MAX;
		c->reset = true;
		/* a failure shows when the replies are read */
		if ((!slot->reset || conversation_command(c, "RSET") == 0) &&
		    command_mail(c, t->message, sender, t->length) == 0 &&
		    recipients_put(slot) == 0)
			content_put(slot, &whole);
	}
	buf_free(&whole);
}

void
window_put_result(struct window *w, uint32_t job, struct message *m, enum ipc_end result)
{
	struct slot *slot = &w->slots[(w->first + w->count++) % IPC_WINDOW_MAX];

	*slot = (struct slot){ .job = job, .message = *m, .result = result };
}

void
window_put(struct window *w, uint32_t job, struct message *m, const uint8_t *finished)
{
	struct slot *slot = &w->slots[(w->first + w->count++) % IPC_WINDOW_MAX];

	*slot = (struct slot){ .job = job, .message = *m, .result = END_COMPLETE };
	slot->recipients =
	    calloc(slot->message.envelope.recipient_count + 1, sizeof(*slot->recipients));
	if (slot->recipients == NULL ||
	    transaction_init(&slot->transaction, w->conversation, &slot->message, finished) < 0)
		slot->result = END_STALE;
	else if (w->conversation->stream.error != STREAM_OK)
		slot->result = END_UNSENT;
	else
		slot_write(slot);
}

/* ---- reading ---------------------------------------------------------------- */

/*
 * The messages behind this one are with the server already, so a reply that is the
 * smarthost's fault does not end the reading: the conversation is over when all replies
 * have come.  Only 421 says that there will be none.
 */
static bool
is_over(const struct conversation *c)
{
	return c->stream.error != STREAM_OK || c->reply.code == 421;
}

static enum step
fault_note(struct slot *slot)
{
	struct conversation *c = slot->transaction.c;

	if (is_over(c))
		return STEP_UNSENT;
	c->failing = true;
	return STEP_ON;
}

static enum step
recipient_read(struct slot *slot, struct outcome *o, bool mail, bool *accepted)
{
	struct transaction *t = &slot->transaction;

	if (!mail)
		return answers_in_vain(t);
	if (answers_rcpt(t, o, accepted) == STEP_ON)
		return STEP_ON;
	/* of this one nothing is known, whatever becomes of the others */
	o->held = true;
	return fault_note(slot);
}

/* The reply to the content. */
static enum step
end_read(struct slot *slot, bool accepted)
{
	struct transaction *t = &slot->transaction;
	struct conversation *c = t->c;
	enum step step;

	stream_timeout(&c->stream, c->settings->command_timeout * 2);
	if (conversation_reply(c) < 0)
		return answers_broken(t);
	t->answered = true;
	if (!accepted && c->reply.code != 421 && c->reply.code >= 400)
		return STEP_DONE;
	if ((!accepted && c->reply.code < 400) || (c->reply.code >= 300 && c->reply.code < 400)) {
		stream_fail(&c->stream, STREAM_PROTOCOL, "the smarthost answers %u to a message %s",
		    c->reply.code, accepted ? "that is whole" : "without recipients");
		return answers_broken(t);
	}
	step = answers_end(t);
	/* the next message has a RSET before it, or will have */
	c->reset = true;
	return step == STEP_UNSENT ? fault_note(slot) : step;
}

static enum step
slot_read(struct slot *slot)
{
	struct transaction *t = &slot->transaction;
	struct conversation *c = t->c;
	bool accepted = false, refused;
	enum step mail;

	refused = slot->reset && answers_reset(t) != STEP_ON;
	if (refused && fault_note(slot) == STEP_UNSENT)
		return STEP_UNSENT;
	mail = answers_mail(t);
	/* RSET is refused by a server that is about to end it all, as with 421: Exim says
	 * 554 when it has had enough */
	if (refused && c->stream.error == STREAM_CLOSED)
		c->closed = true;
	if (mail == STEP_UNSENT && fault_note(slot) == STEP_UNSENT)
		return STEP_UNSENT;
	for (size_t k = 0; k < slot->recipient_count; k++)
		if (recipient_read(slot, &t->outcomes[slot->recipients[k]], mail == STEP_ON,
			&accepted) != STEP_ON)
			return STEP_UNSENT;
	return end_read(slot, accepted);
}

/* The connection broke before the reply to this message, on it or on one before. */
static enum ipc_end
slot_lost(const struct slot *slot)
{
	return slot->transaction.c->stream.sent >= slot->end ? END_DOUBT : END_UNSENT;
}

/* May there be replies to the oldest message that has none?  What a server said before it
 * closed counts; but where a reply is missing, those behind it say nothing. */
static bool
is_readable(struct conversation *c)
{
	if (c->closed || c->lost)
		return false;
	/* reading does it, too; but then its failure would look like that of the reading */
	if (c->stream.error == STREAM_OK && stream_flush(&c->stream) == 0)
		return true;
	buf_reset(&c->stream.out);
	return c->stream.error == STREAM_CLOSED && stream_has_input(&c->stream);
}

/* How many recipients' outcomes are known, and how many are not. */
static void
outcomes_count(const struct transaction *t, size_t *known, size_t *open)
{
	*known = *open = 0;
	for (size_t i = 0; i < t->message->envelope.recipient_count; i++) {
		*known += t->outcomes[i].wanted && t->outcomes[i].known;
		*open += t->outcomes[i].wanted && !t->outcomes[i].known;
	}
}

static void
slot_settle(struct slot *slot)
{
	struct transaction *t = &slot->transaction;
	struct conversation *c = t->c;
	size_t known, open;
	enum step step;

	if (!slot->written || slot->settled)
		return;
	slot->settled = true;
	/* it may be accepted already: its reply is worth a wait */
	c->stream.last_reply = true;
	stream_timeout(&c->stream, c->settings->command_timeout);
	if (is_readable(c)) {
		step = slot_read(slot);
	} else {
		/* the wait for its first reply has failed already */
		step = STEP_UNSENT;
		if (!c->closed && !c->lost) {
			conversation_unanswered(c);
			answers_broken(t);
		}
	}
	c->stream.last_reply = false;
	outcomes_count(t, &known, &open);
	if (step != STEP_UNSENT) {
		/* recipients of which nothing is known are tried again */
		slot->result = known > 0 ? END_COMPLETE : END_UNSENT;
		return;
	}
	/* a reply that ends the conversation accepts nothing, here and behind */
	if (t->broken && c->stream.error == STREAM_OK)
		c->closed = true;
	c->lost |= c->stream.error != STREAM_OK;
	slot->result = open == 0                              ? END_COMPLETE
		       : !c->closed                           ? slot_lost(slot)
		       : answers_keep_refused(t) == STEP_DONE ? END_COMPLETE
							      : END_UNSENT;
}

bool
window_waits(const struct window *w)
{
	const struct slot *slot = &w->slots[w->first];

	return w->count > 0 && slot->written && !slot->settled;
}

struct slot *
window_oldest(struct window *w)
{
	struct slot *slot = &w->slots[w->first];

	slot_settle(slot);
	if (slot->settled && slot->result == END_COMPLETE &&
	    transaction_wants_more(&slot->transaction)) {
		/* for this, nothing else may be in flight */
		for (size_t i = 1; i < w->count; i++)
			slot_settle(&w->slots[(w->first + i) % IPC_WINDOW_MAX]);
		if (is_readable(w->conversation) && w->conversation->stream.error == STREAM_OK)
			slot->result = transaction_more(&slot->transaction);
		/* replies to what it had sent ahead may be left: what came next would be
		 * answered by them, or be content */
		w->conversation->closed |= slot->transaction.broken;
	}
	return slot;
}

void
window_take(struct window *w)
{
	struct slot *slot = &w->slots[w->first];

	if (slot->transaction.outcomes != NULL)
		transaction_fini(&slot->transaction);
	free(slot->recipients);
	message_close(&slot->message);
	w->first = (w->first + 1) % IPC_WINDOW_MAX;
	w->count--;
}
