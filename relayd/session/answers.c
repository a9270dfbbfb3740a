/*
 * A reply that is the smarthost's fault ends the conversation; one about a message or
 * a recipient is an outcome.
 */
#include "relayd/session/answers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_OCTETS 400

void
outcome_set(struct outcome *o, enum ipc_outcome value, unsigned code, const char *text)
{
	free(o->text);
	o->text = strdup(text);
	o->value = value;
	o->code = code;
	o->known = o->fresh = true;
}

/* The same for all recipients that have none yet. */
enum step
outcome_set_all(struct transaction *t, enum ipc_outcome value, unsigned code, const char *text)
{
	for (size_t i = 0; i < t->message->envelope.recipient_count; i++)
		if (outcome_is_open(t, i))
			outcome_set(&t->outcomes[i], value, code, text);
	return STEP_DONE;
}

enum step
answers_for_all(struct transaction *t, enum ipc_outcome value)
{
	char line[LINE_OCTETS];

	return outcome_set_all(
	    t, value, t->c->reply.code, reply_line(&t->c->reply, line, sizeof(line)));
}

enum step
answers_broken(struct transaction *t)
{
	conversation_broken(t->c);
	t->broken = true;
	return STEP_UNSENT;
}

/* The replies that are the smarthost's fault, in any phase. */
enum step
answers_refused(struct transaction *t, enum meaning meaning, const char *to_what)
{
	conversation_refused(t->c, meaning_fault(meaning), to_what);
	t->broken = true;
	/* if it takes not even one, it is of no use */
	t->own_fault |= meaning == MEANS_RECONNECT && t->c->delivered > 0;
	return STEP_UNSENT;
}

/* Reads the reply to a command and says what it means. */
int
answers_read(struct transaction *t, enum phase phase, enum meaning *meaning)
{
	if (conversation_reply(t->c) < 0)
		return -1;
	t->answered = true;
	*meaning = reply_meaning(phase, &t->c->reply);
	return 0;
}

enum ipc_outcome
answers_outcome(enum meaning meaning)
{
	return meaning == MEANS_REFUSED          ? OUTCOME_REFUSED
	       : meaning == MEANS_SENDER_REFUSED ? OUTCOME_SENDER_REFUSED
						 : OUTCOME_DEFERRED;
}

/* The same where all of the message is judged: MAIL knows its size. */
static enum ipc_outcome
outcome_of_content(enum meaning meaning)
{
	return meaning == MEANS_REFUSED ? OUTCOME_CONTENT_REFUSED : answers_outcome(meaning);
}

enum step
answers_mail(struct transaction *t)
{
	enum meaning meaning;

	if (answers_read(t, PHASE_MAIL, &meaning) < 0)
		return answers_broken(t);
	switch (meaning) {
	case MEANS_OK:
		return STEP_ON;
	case MEANS_DEFERRED:
	case MEANS_REFUSED:
	case MEANS_SENDER_REFUSED:
		return answers_for_all(t, outcome_of_content(meaning));
	default:
		return answers_refused(t, meaning, "MAIL");
	}
}

enum step
answers_rcpt(struct transaction *t, struct outcome *o, bool *accepted)
{
	char line[LINE_OCTETS];
	enum meaning meaning;

	if (answers_read(t, PHASE_RCPT, &meaning) < 0)
		return answers_broken(t);
	if (meaning == MEANS_OK) {
		*accepted = true;
		return STEP_ON;
	}
	if (meaning != MEANS_DEFERRED && meaning != MEANS_REFUSED &&
	    meaning != MEANS_SENDER_REFUSED)
		return answers_refused(t, meaning, "RCPT");
	outcome_set(o, answers_outcome(meaning), t->c->reply.code,
	    reply_line(&t->c->reply, line, sizeof(line)));
	return STEP_ON;
}

enum step
answers_in_vain(struct transaction *t)
{
	if (conversation_reply(t->c) < 0)
		return answers_broken(t);
	return t->c->reply.code == 421 ? answers_refused(t, MEANS_CONNECTION, "RCPT") : STEP_ON;
}

/* The reply to the end of the data, or one that came before it. */
enum step
answers_end(struct transaction *t)
{
	enum meaning meaning = reply_meaning(PHASE_END, &t->c->reply);

	t->ended = true;
	switch (meaning) {
	case MEANS_OK:
		t->c->reset = false;
		return answers_for_all(t, OUTCOME_DELIVERED);
	case MEANS_DEFERRED:
	case MEANS_REFUSED:
	case MEANS_SENDER_REFUSED:
		t->c->reset = false;
		return answers_for_all(t, outcome_of_content(meaning));
	default:
		return answers_refused(t, meaning, "the end of the message");
	}
}

/* Without a clean start the next replies would speak of the last transaction. */
enum step
answers_reset(struct transaction *t)
{
	enum meaning meaning;

	if (answers_read(t, PHASE_GREETING, &meaning) < 0)
		return answers_broken(t);
	return meaning == MEANS_OK ? STEP_ON : answers_refused(t, meaning, "RSET");
}

enum step
answers_keep_refused(struct transaction *t)
{
	for (size_t i = 0; i < t->message->envelope.recipient_count; i++)
		if (t->outcomes[i].known && t->outcomes[i].value == OUTCOME_REFUSED)
			return outcome_set_all(t, OUTCOME_DEFERRED, t->c->code, t->c->problem);
	return STEP_UNSENT;
}

/* Is recipient i to stand in this transaction? */
bool
outcome_is_open(const struct transaction *t, size_t i)
{
	const struct outcome *o = &t->outcomes[i];

	return o->wanted && !o->known && !o->held;
}

size_t
outcome_next_open(const struct transaction *t, size_t i)
{
	while (i < t->message->envelope.recipient_count && !outcome_is_open(t, i))
		i++;
	return i;
}
