/*
 * The order is that of the errors: what the command line says is checked before
 * standard input is read.
 */
#include "sendmail/submit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "sendmail/outcome.h"
#include "sendmail/submission.h"

static int
arguments_apply(struct submission *s, const struct options *o)
{
	struct recipients *r = &s->recipients;

	if (o->recipient_count == 0 && !o->from_header)
		return submission_fail(s, EX_USAGE,
		    "no recipients: name them as arguments, or give -t to take "
		    "them from the header");
	s->full_name = o->full_name;
	s->hops = o->hops;
	s->protocol = *o->protocol != '\0' ? o->protocol : NULL;
	r->notify = o->notify;
	r->expansion.no_aliases = o->no_aliases;
	if (recipients_set_sender(r, o->sender != NULL ? o->sender : s->identity->user) < 0 ||
	    recipients_from_arguments(r, o->recipients, o->recipient_count) < 0)
		return submission_fail_recipients(s);
	s->envelope.ret = o->ret;
	if (o->envid != NULL && envelope_set_envid(&s->envelope, o->envid) < 0)
		return submission_fail(s, EX_TEMPFAIL, "out of memory");
	return 0;
}

/* Signals that come from here on wait for the end of the process, and change nothing:
 * exit code and queue agree. */
static void
signals_hold(void)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
}

static void
end_well(int number)
{
	(void)number;
	_exit(0);
}

/* The message is accepted: whoever does not want to wait for its outcome may go. */
static void
signals_end_well(void)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGALRM };
	sigset_t none;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		signal(numbers[i], end_well);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The rule of the lone dot has cut reports short before now. */
static void
dot_warn(const struct submission *s, const struct input *in)
{
	if (!input_has_more(in))
		return;
	fputs("sendmail: warning: a line with a single dot ended the message, and what follows it "
	      "is dropped; -i prevents that\n",
	    stderr);
	if (log_is_syslog())
		log_warn(
		    "%.*s: a line with a single dot ended the message, and what followed it was "
		    "dropped; the option -i or the setting ignore_dots prevents that",
		    QUEUE_ID_LEN, s->writer.name.text);
}

static int
message_submit(struct submission *s, const struct options *o)
{
	bool waits = o->wait || o->verbose;
	struct input in;
	int r, watch = -1;

	if (arguments_apply(s, o) < 0)
		return -1;
	if (spool_open_submission(s->spool, s->settings->spool_directory, s->settings->user,
		s->settings->spool_reserve, s->settings->runtime_directory, o->rights) < 0)
		return submission_fail_spool(s);
	if (input_init(&in, STDIN_FILENO, o->ignore_dots || s->settings->ignore_dots) < 0)
		return submission_fail(s, EX_TEMPFAIL, "out of memory");
	in.timeout = o->read_timeout;
	r = submission_read(s, &in, o->from_header);
	if (r == 0)
		dot_warn(s, &in);
	input_fini(&in);
	if (r < 0)
		return -1;
	if (waits)
		watch = outcome_watch(s->settings->runtime_directory, s->writer.name.text);
	signals_hold();
	r = submission_commit(s);
	rights_drop(o->rights);
	if (r == 0 && waits) {
		signals_end_well();
		outcome_wait(watch, o->verbose);
	}
	return r;
}

int
submit(const struct settings *settings, const struct options *o)
{
	struct spool spool = { .dir = -1, .queue = -1 };
	struct submission s;
	struct identity identity;

	if (identity_init(&identity, settings) < 0) {
		fputs("sendmail: cannot look up who submits; nothing is queued\n", stderr);
		return EX_TEMPFAIL;
	}
	submission_init(&s, settings, &identity, &spool);
	if (message_submit(&s, o) < 0 && !o->quiet)
		fprintf(stderr, "sendmail: %s\n", s.problem);
	/* with the right: a file under a dot name goes here */
	submission_fini(&s);
	rights_drop(o->rights);
	spool_close(&spool);
	return s.code;
}
