/*
 * One message from MAIL to its end.  Each has a submission of its own, so that a
 * session of many thousands needs the memory of one.
 *
 * submission_read() pulls the content: behind DATA through the decoder of dots, behind
 * BDAT chunk by chunk, where the conversation goes on between two chunks (RFC 3030).
 * Whatever becomes of the message, its content is read to the end first.
 */
#include "sendmail/smtp_session.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/log.h"
#include "base/text.h"

#define RECIPIENTS_MAX 10000 /* one alias may lead past it */

void
smtp_transaction_end(struct smtp_session *s)
{
	struct smtp_transaction *t = &s->transaction;

	if (t->open) {
		submission_fini(&t->submission);
		spool_close(&t->spool);
	}
	*t = (struct smtp_transaction){ .open = false };
	s->channel.utf8 = false;
}

/* A reply that says no to a message or a recipient: nobody's mistake, so it is not
 * counted, but it is worth a line in the log. */
static void
refuse(struct smtp_session *s, int code, const char *status, const char *what, const char *why)
{
	char client[LOG_VALUE_SIZE], reason[LOG_VALUE_SIZE];

	smtp_reply(&s->channel, code, status, "%s", why);
	if (log_is_syslog())
		log_warn("SMTP %s refused: code=%s uid=%lu client=%s reason=%s", what, status,
		    (unsigned long)s->setup->identity->uid, log_quote(s->peer.text, client),
		    log_quote(why, reason));
}

static bool
is_ascii(const char *s)
{
	return text_is_ascii(s, strlen(s));
}

/* MAIL */

static int
submission_begin(struct smtp_session *s, const struct smtp_mail *m)
{
	const struct smtp_setup *setup = s->setup;
	struct smtp_transaction *t = &s->transaction;
	struct submission *b = &t->submission;

	t->spool = (struct spool){ .dir = -1, .queue = -1 };
	submission_init(b, setup->settings, setup->identity, &t->spool);
	t->open = true;
	snprintf(t->from_host, sizeof(t->from_host), "%s (%s)",
	    *s->helo != '\0' ? s->helo : "unknown", s->peer.text);
	b->from_host = t->from_host;
	b->protocol = m->utf8 ? "UTF8SMTP" : s->extended ? "ESMTP" : "SMTP";
	b->recipients.expansion.no_aliases = setup->no_aliases;
	b->envelope.ret = m->ret;
	if (recipients_set_sender(&b->recipients, m->address) < 0)
		return submission_fail_recipients(b);
	if (m->envid != NULL && envelope_set_envid(&b->envelope, m->envid) < 0)
		return submission_fail(b, EX_TEMPFAIL, "out of memory");
	if (spool_open_submission(&t->spool, setup->settings->spool_directory,
		setup->settings->user, setup->settings->spool_reserve,
		setup->settings->runtime_directory, setup->rights) < 0)
		return submission_fail_spool(b);
	return 0;
}

void
smtp_transaction_mail(struct smtp_session *s)
{
	uint64_t max = s->setup->settings->max_message_size;
	struct smtp_transaction *t = &s->transaction;
	struct smtp_problem problem;
	struct smtp_mail m;

	/* who goes on all the same must not get the sender, nor the chunks, of the message
	 * before */
	if (t->open) {
		smtp_transaction_end(s);
		smtp_session_error(
		    s, 503, "5.5.1", "a message was under way; it is forgotten, begin anew");
		return;
	}
	if (smtp_mail_parse(s->command.argument, &m, &problem) < 0) {
		smtp_session_error(s, problem.code, problem.status, problem.text);
		return;
	}
	if (!m.utf8 && !is_ascii(m.address)) {
		refuse(s, 553, "5.6.7", "sender", "an address that is not ASCII needs SMTPUTF8");
		return;
	}
	if (max > 0 && m.size > max) {
		refuse(s, 552, "5.3.4", "sender", "the message is larger than max_message_size");
		return;
	}
	s->channel.utf8 = m.utf8;
	if (submission_begin(s, &m) == 0) {
		smtp_reply(&s->channel, 250, "2.1.0", "sender accepted");
		return;
	}
	if (t->submission.code == EX_TEMPFAIL)
		refuse(s, 451, "4.3.0", "sender", t->submission.problem);
	else
		refuse(s, 553, "5.1.7", "sender", t->submission.problem);
	smtp_transaction_end(s);
}

/* RCPT */

/* An alias of many addresses can fail half-way, when the envelope is full.  Those that
 * it has gained go again; but they count as seen, so no recipient may follow. */
static void
recipients_undo(struct smtp_transaction *t, size_t count)
{
	struct envelope *e = &t->submission.envelope;

	while (e->recipient_count > count) {
		struct recipient *last = &e->recipients[--e->recipient_count];

		free(last->address);
		free(last->orcpt);
		t->full = true;
	}
}

static void
recipient_refuse(struct smtp_session *s)
{
	const struct smtp_transaction *t = &s->transaction;
	const struct recipients *all = &t->submission.recipients;
	const char *problem = t->submission.problem;

	if (t->full)
		refuse(s, 452, "4.5.3", "recipient", problem);
	else if (all->code == EX_TEMPFAIL)
		refuse(s, 451, "4.3.0", "recipient", problem);
	else if (all->expansion.error.len > 0)
		refuse(s, 550, "5.2.4", "recipient", problem);
	else
		refuse(s, 553, "5.1.3", "recipient", problem);
}

static void
recipient_take(struct smtp_session *s, const struct smtp_rcpt *r)
{
	struct smtp_transaction *t = &s->transaction;
	struct recipients *all = &t->submission.recipients;
	size_t before = t->submission.envelope.recipient_count;
	struct buf orcpt = BUF_INIT(ENVELOPE_ORCPT_MAX);

	if (r->orcpt != NULL && smtp_orcpt_encode(r->orcpt, &orcpt) < 0) {
		smtp_session_error(s, 501, "5.5.4", "ORCPT is too long");
		buf_free(&orcpt);
		return;
	}
	all->notify = r->notify;
	all->orcpt = r->orcpt != NULL ? orcpt.data : NULL;
	if (recipients_add(all, r->address) == 0) {
		smtp_reply(&s->channel, 250, "2.1.5", "recipient accepted");
	} else {
		submission_fail_recipients(&t->submission);
		recipients_undo(t, before);
		recipient_refuse(s);
	}
	all->orcpt = NULL;
	buf_free(&orcpt);
}

void
smtp_transaction_rcpt(struct smtp_session *s)
{
	struct smtp_transaction *t = &s->transaction;
	struct smtp_problem problem;
	struct smtp_rcpt r;

	if (!t->open)
		smtp_session_error(s, 503, "5.5.1", "MAIL must come first");
	else if (t->chunks)
		smtp_session_error(s, 503, "5.5.1", "chunks of the message are under way");
	else if (smtp_rcpt_parse(s->command.argument, &r, &problem) < 0)
		smtp_session_error(s, problem.code, problem.status, problem.text);
	else if (!s->channel.utf8 &&
		 (!is_ascii(r.address) || (r.orcpt != NULL && !is_ascii(r.orcpt))))
		refuse(s, 553, "5.6.7", "recipient",
		    "an address that is not ASCII needs SMTPUTF8 in MAIL");
	else if (t->full || t->submission.envelope.recipient_count >= RECIPIENTS_MAX)
		refuse(s, 452, "4.5.3", "recipient",
		    "too many recipients; send the message to the others in parts");
	else
		recipient_take(s, &r);
}

/* The end of the content */

static void
failure_reply(struct smtp_session *s)
{
	const struct submission *b = &s->transaction.submission;
	int code = 554;
	const char *status = b->status;

	if (status == NULL)
		status = b->code == EX_TEMPFAIL ? "4.3.0" : b->code == EX_USAGE ? "5.5.0" : "5.6.0";
	if (strcmp(status, "5.3.4") == 0)
		code = 552;
	else if (strcmp(status, "4.3.1") == 0)
		code = 452;
	else if (*status == '4')
		code = 451;
	refuse(s, code, status, "message", b->problem);
}

/* From the commit until the client has been told, nothing ends this process but
 * SIGKILL: what the client knows and what the queue has shall agree. */
static void
commit(struct smtp_session *s)
{
	struct submission *b = &s->transaction.submission;
	char id[QUEUE_ID_LEN + 1];
	sigset_t all, before;

	snprintf(id, sizeof(id), "%.*s", QUEUE_ID_LEN, b->writer.name.text);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	if (submission_commit(b) == 0)
		smtp_reply(&s->channel, 250, "2.0.0", "queued as %s", id);
	else
		failure_reply(s);
	smtp_channel_flush(&s->channel);
	sigprocmask(SIG_SETMASK, &before, NULL);
}

static int
message_read(struct smtp_session *s, input_source *source)
{
	struct submission *b = &s->transaction.submission;
	struct input in;
	int r;

	if (input_init_source(&in, source, s) < 0)
		return submission_fail(b, EX_TEMPFAIL, "out of memory");
	r = submission_read(b, &in, false);
	input_fini(&in);
	return r;
}

/* DATA */

static ssize_t
data_source(void *context, char *data, size_t size)
{
	struct smtp_session *s = context;
	struct smtp_content *c = &s->transaction.content;
	const char *come;
	size_t n = 0, taken;

	while (n == 0 && !c->ended) {
		size_t len = smtp_channel_peek(&s->channel, &come);

		if (len == 0) {
			errno = ECONNABORTED;
			return -1;
		}
		n = smtp_content_decode(c, come, len, &taken, data, size);
		smtp_channel_take(&s->channel, taken);
	}
	return (ssize_t)n;
}

void
smtp_transaction_data(struct smtp_session *s)
{
	struct smtp_transaction *t = &s->transaction;
	char rest[4096];
	int r;

	if (!t->open || t->chunks) {
		smtp_session_error(s, 503, "5.5.1",
		    t->open ? "chunks of the message are under way" : "MAIL must come first");
		return;
	}
	if (t->submission.envelope.recipient_count == 0) {
		smtp_session_error(s, 554, "5.5.1", "no valid recipients");
		return;
	}
	t->content = (struct smtp_content){ .lf = s->channel.line_ends == LINE_ENDS_LF };
	smtp_reply(&s->channel, 354, NULL, "go on; a line with a single dot ends the message");
	r = message_read(s, data_source);
	while (!t->content.ended && data_source(s, rest, sizeof(rest)) >= 0)
		;
	/* what became of the connection is found at the next command */
	if (!t->content.ended)
		return;
	if (r == 0)
		commit(s);
	else
		failure_reply(s);
	smtp_transaction_end(s);
}

/* BDAT */

static bool
chunk_begin(struct smtp_session *s)
{
	struct smtp_chunk *chunk = &s->transaction.chunk;

	if (smtp_chunk_parse(s->command.argument, chunk))
		return true;
	*chunk = (struct smtp_chunk){ .size = 0 };
	smtp_session_close(s, "4.7.0", "the size of a chunk cannot be understood");
	return false;
}

/* Between two chunks of a message: true at the next one.  A command that forgets the
 * message, or the end, is left to the session. */
static bool
chunk_wait(struct smtp_session *s)
{
	smtp_reply(&s->channel, 250, "2.0.0", "chunk accepted");
	while (smtp_session_read(s)) {
		switch (s->command.verb) {
		case VERB_BDAT:
			return chunk_begin(s);
		case VERB_HELO:
		case VERB_EHLO:
		case VERB_MAIL:
		case VERB_RSET:
		case VERB_QUIT:
			s->pending = true;
			return false;
		default:
			smtp_session_execute(s);
			break;
		}
	}
	return false;
}

static ssize_t
chunk_source(void *context, char *data, size_t size)
{
	struct smtp_session *s = context;
	struct smtp_chunk *chunk = &s->transaction.chunk;
	const char *come;
	size_t n;

	while (chunk->size == 0) {
		if (chunk->last)
			return 0;
		if (!chunk_wait(s)) {
			errno = ECANCELED;
			return -1;
		}
	}
	n = smtp_channel_peek(&s->channel, &come);
	if (n == 0) {
		errno = ECONNABORTED;
		return -1;
	}
	if (n > size)
		n = size;
	if (n > chunk->size)
		n = (size_t)chunk->size;
	memcpy(data, come, n);
	smtp_channel_take(&s->channel, n);
	chunk->size -= n;
	return (ssize_t)n;
}

/* What is left of the chunk; false when it does not come. */
static bool
chunk_drop(struct smtp_session *s)
{
	char rest[4096];

	while (s->transaction.chunk.size > 0)
		if (chunk_source(s, rest, sizeof(rest)) < 0)
			return false;
	return true;
}

/* A chunk of no message. */
static void
chunk_refuse(struct smtp_session *s)
{
	struct smtp_transaction *t = &s->transaction;

	if (!chunk_drop(s))
		return;
	if (!t->open)
		smtp_session_error(s, 503, "5.5.1", "MAIL must come first");
	else if (t->refused)
		/* not counted: a pipelining client has sent it before it could know */
		smtp_reply(&s->channel, 503, "5.5.1", "the message is refused; RSET goes on");
	else
		smtp_session_error(s, 554, "5.5.1", "no valid recipients");
	t->chunks = t->refused = t->open;
	if (t->chunk.last)
		smtp_transaction_end(s);
}

void
smtp_transaction_bdat(struct smtp_session *s)
{
	struct smtp_transaction *t = &s->transaction;
	int r;

	if (!chunk_begin(s))
		return;
	if (!t->open || t->refused || t->submission.envelope.recipient_count == 0) {
		chunk_refuse(s);
		return;
	}
	t->chunks = true;
	r = message_read(s, chunk_source);
	/* whatever comes now, this message gets no further chunk */
	t->refused = true;
	if (s->pending || s->ended || !chunk_drop(s))
		return;
	if (r == 0)
		commit(s);
	else
		failure_reply(s);
	if (t->chunk.last)
		smtp_transaction_end(s);
}
