/*
 * The order is that of the errors: what the command line says is checked before
 * standard input is read, the header before a file is made, and only a commit
 * that came back makes the exit code 0.
 */
#include "sendmail/submit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "sendmail/complete.h"
#include "sendmail/header.h"
#include "sendmail/identity.h"
#include "sendmail/input.h"
#include "sendmail/recipients.h"
#include "spool/spool.h"

struct submission {
	const struct settings *settings;
	const struct options *options;
	struct identity identity;
	struct envelope envelope;
	struct recipients recipients;
	struct spool spool;
	struct input input;
	struct header header;
	struct message_writer writer;
};

static int
complain(int code, const char *what)
{
	fprintf(stderr, "sendmail: %s\n", what);
	return code;
}

static int
input_complain(const struct submission *s)
{
	fprintf(stderr,
	    "sendmail: cannot read the message from standard input: %s; nothing is queued\n",
	    strerror(s->input.error));
	return EX_TEMPFAIL;
}

static int
recipients_complain(const struct submission *s)
{
	const struct buf *error = &s->recipients.error;

	return complain(s->recipients.code, error->len == 0 ? "out of memory" : error->data);
}

/* Everything that the command line decides. */
static int
arguments_apply(struct submission *s)
{
	const struct options *o = s->options;
	const char *sender = o->sender != NULL ? o->sender : s->identity.user;

	if (o->recipient_count == 0 && !o->from_header)
		return complain(EX_USAGE,
		    "no recipients: name them as arguments, or give -t to take "
		    "them from the header");
	if (recipients_set_sender(&s->recipients, sender) < 0 ||
	    recipients_from_arguments(&s->recipients) < 0)
		return recipients_complain(s);
	s->envelope.ret = o->ret;
	if (o->envid != NULL && envelope_set_envid(&s->envelope, o->envid) < 0)
		return complain(EX_TEMPFAIL, "out of memory");
	return 0;
}

static int
header_apply(struct submission *s, struct piece *first, bool *has_first)
{
	int r = header_read(&s->header, &s->input, first);

	if (r < 0 && s->input.failed)
		return input_complain(s);
	if (r < 0 && errno == ENOBUFS)
		return complain(EX_DATAERR, "the header of the message is longer than 8 MB");
	if (r < 0)
		return complain(EX_TEMPFAIL, "out of memory");
	*has_first = r > 0;
	if (s->options->from_header && recipients_from_header(&s->recipients, &s->header) < 0)
		return recipients_complain(s);
	if (s->envelope.recipient_count == 0)
		return complain(EX_USAGE,
		    "no recipients: neither an argument nor a To, Cc or Bcc of "
		    "the message names one");
	return 0;
}

static int
spool_complain(const struct submission *s)
{
	return complain(EX_TEMPFAIL, s->spool.problem);
}

/* The limit is checked as the content passes. */
static int
size_check(const struct submission *s)
{
	uint64_t max = s->settings->max_message_size;

	if (max == 0 || s->writer.length <= max)
		return 0;
	fprintf(stderr, "sendmail: the message is larger than max_message_size (%llu octets)\n",
	    (unsigned long long)max);
	return EX_DATAERR;
}

static int
header_write(struct submission *s)
{
	struct completion c = { .settings = s->settings,
		.identity = &s->identity,
		.envelope = &s->envelope,
		.full_name = s->options->full_name,
		.queue_id = s->writer.name.text };
	struct buf text = BUF_INIT(4 * HEADER_OCTETS_MAX);
	int code = 0;

	if (complete_header(&s->header, &c, &text) < 0) {
		code = errno == ENOBUFS ? EX_DATAERR : EX_TEMPFAIL;
		fprintf(stderr, "sendmail: cannot complete the header: %s\n",
		    errno == ENOBUFS ? "it would be too long" : strerror(errno));
	}
	/* RFC 6531 section 3.4: raw UTF-8 in the header needs SMTPUTF8 */
	if (!text_is_ascii(text.data, text.len) && text_is_utf8(text.data, text.len))
		s->writer.flags |= MESSAGE_SMTPUTF8;
	buf_add_string(&text, "\r\n");
	if (code == 0 && message_write(&s->writer, buf_string(&text), text.len) < 0)
		code = spool_complain(s);
	buf_free(&text);
	return code == 0 ? size_check(s) : code;
}

static int
piece_write(struct submission *s, const struct piece *p)
{
	if (message_write(&s->writer, p->data, p->len) < 0 ||
	    (p->ends_line && message_write(&s->writer, "\r\n", 2) < 0))
		return spool_complain(s);
	return size_check(s);
}

static int
body_write(struct submission *s, struct piece *p, bool has_piece)
{
	int r = has_piece, code = 0;

	if (!has_piece)
		r = input_next(&s->input, p);
	for (; r > 0 && code == 0; r = code == 0 ? input_next(&s->input, p) : 0)
		code = piece_write(s, p);
	return r < 0 ? input_complain(s) : code;
}

static void
signals_ignore(void)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGALRM, SIGUSR1, SIGUSR2,
		SIGVTALRM, SIGPROF, SIGXCPU };

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], SIG_IGN);
}

/* Where there is a log, it says what was accepted; where there is none, nobody reads
 * standard error for that. */
static void
accepted_log(const struct submission *s)
{
	if (access("/dev/log", W_OK) < 0)
		return;
	log_to_syslog("sendmail");
	log_info("%.*s: status=accepted uid=%lu from=<%s> size=%llu recipients=%zu", QUEUE_ID_LEN,
	    s->writer.name.text, (unsigned long)s->identity.uid, s->envelope.sender,
	    (unsigned long long)s->writer.length, s->envelope.recipient_count);
}

/* The rule of the lone dot has cut reports short before now. */
static void
dot_warn(const struct submission *s)
{
	if (input_has_more(&s->input))
		fputs("sendmail: warning: a line with a single dot ended the message, and what "
		      "follows it is dropped; -i prevents that\n",
		    stderr);
}

static int
message_submit(struct submission *s)
{
	struct piece piece;
	bool has_piece = false;
	int code = arguments_apply(s);

	if (code != 0)
		return code;
	if (spool_open(&s->spool, s->settings->spool_directory, s->settings->user,
		s->settings->spool_reserve) < 0)
		return spool_complain(s);
	if (input_init(&s->input, STDIN_FILENO, s->options->ignore_dots) < 0)
		return complain(EX_TEMPFAIL, "out of memory");
	code = header_apply(s, &piece, &has_piece);
	if (code != 0)
		return code;
	if (message_begin(&s->writer, &s->spool, &s->envelope) < 0)
		return errno == ENOBUFS
			   ? complain(EX_DATAERR,
				 "the envelope is longer than 8 MB: too many or too long "
				 "addresses; send the message in parts")
			   : spool_complain(s);
	code = header_write(s);
	if (code == 0)
		code = body_write(s, &piece, has_piece);
	if (code == 0)
		dot_warn(s);
	if (code != 0)
		return code;
	/* whoever tells us to end from here on comes too late: exit code and queue agree */
	signals_ignore();
	if (message_commit(&s->writer) < 0)
		return spool_complain(s);
	accepted_log(s);
	return 0;
}

int
submit(const struct settings *settings, const struct options *o)
{
	struct submission s = { .settings = settings,
		.options = o,
		.spool = { .dir = -1, .queue = -1 },
		.writer = { .fd = -1 } };
	bool named = identity_init(&s.identity, settings) == 0;
	int code;

	envelope_init(&s.envelope);
	s.envelope.time = clock_real();
	s.envelope.uid = (uint32_t)s.identity.uid;
	recipients_init(&s.recipients, &s.envelope, o, settings, &s.identity);
	code = named ? message_submit(&s)
		     : complain(EX_TEMPFAIL, "cannot look up who submits; nothing is queued");
	message_abort(&s.writer);
	input_fini(&s.input);
	header_free(&s.header);
	recipients_fini(&s.recipients);
	envelope_free(&s.envelope);
	spool_close(&s.spool);
	return code;
}
