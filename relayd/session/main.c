/*
 * relayd-session: one connection to one smarthost.  relayd starts it with the
 * socket as standard input.
 *
 * The order is what makes it safe: settings, secret and trust store are read, the
 * name is resolved, the connection is made, and only then, before the first byte
 * from the network is read, the process locks itself in.  From there it is one
 * straight conversation: open, then a message for each job, until relayd or the
 * smarthost wants an end.
 */
#include <errno.h>
#include <gnutls/gnutls.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/number.h"
#include "base/settings.h"
#include "base/text.h"
#include "relayd/ipc.h"
#include "relayd/session/connect.h"
#include "relayd/session/conversation.h"
#include "relayd/session/lock.h"
#include "relayd/session/secret.h"
#include "relayd/session/srv.h"
#include "relayd/session/transaction.h"
#include "relayd/session/window.h"

#define CONTROL STDIN_FILENO

/* A job that has come and waits for its turn. */
struct waiting {
	struct ipc_job job;
	int fd;
};

struct session {
	struct ipc_settings settings;
	struct conversation conversation;
	struct buf secret;
	struct window window;
	bool windowed;           /* several messages may be in flight */
	unsigned recipients_max; /* that relayd was told */
	struct waiting waiting[IPC_WINDOW_MAX];
	size_t first, waiting_count;
};

/* What is said if the lookup takes too long. */
static struct ipc_report late = {
	.kind = IPC_REPORT, .type = REPORT_FAILED, .value = FAULT_CONNECTION
};

static void
report_send(struct ipc_report *r, const char *text)
{
	r->kind = IPC_REPORT;
	snprintf(r->text, sizeof(r->text), "%s", text);
	/* if relayd is gone, nobody is there to know */
	ipc_send(CONTROL, r, sizeof(*r), -1);
}

static void
log_report(void *context, enum log_level level, const char *line)
{
	struct ipc_report r = { .type = REPORT_LOG, .value = level };

	(void)context;
	report_send(&r, line);
}

static void
end_report(uint32_t job, enum ipc_end end, const char *text)
{
	struct ipc_report r = { .type = REPORT_END, .job = job, .value = end };

	report_send(&r, text);
}

static void
failed_report(const struct conversation *c)
{
	struct ipc_report r = { .type = REPORT_FAILED, .value = c->fault, .code = c->code };

	report_send(&r, c->problem);
}

static int
fault(struct session *s, enum ipc_fault value)
{
	s->conversation.fault = value;
	s->conversation.code = 0;
	return -1;
}

static int
settings_receive(struct ipc_settings *settings)
{
	static union ipc_packet packet;
	int fd;

	if (ipc_receive(CONTROL, &packet, &fd) != 1 || packet.kind != IPC_SETTINGS || fd >= 0)
		return -1;
	*settings = packet.settings;
	return ipc_is_string(settings->host, sizeof(settings->host)) &&
		       ipc_is_string(settings->hostname, sizeof(settings->hostname)) &&
		       ipc_is_string(settings->user, sizeof(settings->user)) &&
		       ipc_is_string(settings->password, sizeof(settings->password)) &&
		       ipc_is_string(settings->token, sizeof(settings->token)) &&
		       (settings->password[0] == '\0' || settings->token[0] == '\0') &&
		       ipc_is_string(settings->auth, sizeof(settings->auth)) &&
		       ipc_is_string(settings->trust_file, sizeof(settings->trust_file)) &&
		       ipc_is_string(settings->cert_file, sizeof(settings->cert_file)) &&
		       ipc_is_string(settings->key_file, sizeof(settings->key_file)) &&
		       settings->pin_count <= SETTINGS_PINS_MAX &&
		       settings->min_version <= TLS_VERSION_1_3 &&
		       (settings->cert_file[0] != '\0') == (settings->key_file[0] != '\0') &&
		       ipc_is_string(settings->from, sizeof(settings->from)) &&
		       (!settings->rewrite_from || settings->from[0] != '\0')
		   ? 0
		   : -1;
}

/* The setting from, with the domain as A-labels if that makes it ASCII, so that it
 * needs no SMTPUTF8.  0, or -1 with the conversation's problem. */
static int
from_settle(struct session *s)
{
	struct conversation *c = &s->conversation;
	char *from = s->settings.from, domain[256];
	const char *error = *from == '\0' ? NULL : envelope_address_check(from);
	size_t local = error != NULL || *from == '\0' ? 0 : (size_t)(strrchr(from, '@') - from);

	if (error == NULL && local > 0 && text_is_ascii(from, local)) {
		if (connect_ascii_host(from + local + 1, domain, sizeof(domain)) < 0)
			error = "its domain is not valid";
		else
			snprintf(
			    from + local + 1, sizeof(s->settings.from) - local - 1, "%s", domain);
	}
	if (error == NULL)
		return 0;
	snprintf(c->problem, sizeof(c->problem), "the setting from, %.300s: %s", from, error);
	return fault(s, FAULT_CONNECTION);
}

/* The password or token, and what libgsasl needs to use it. */
static int
login_prepare(struct session *s)
{
	struct conversation *c = &s->conversation;
	const struct ipc_settings *settings = &s->settings;
	bool password = settings->password[0] != '\0', token = settings->token[0] != '\0';
	bool certificate = settings->cert_file[0] != '\0';

	c->auth = (struct auth){ .user = settings->user,
		.host = c->host,
		.secret = &s->secret,
		.means = { .wanted = settings->auth,
		    .in_clear = settings->insecure_auth,
		    .password = password,
		    .token = token,
		    .certificate = certificate } };
	if ((password || token) && secret_read(token ? SECRET_TOKEN : SECRET_PASSWORD,
				       token ? settings->token : settings->password, &s->secret,
				       c->problem, sizeof(c->problem)) < 0)
		return fault(s, FAULT_CREDENTIAL);
	if ((password || token || certificate) && auth_init(&c->auth) < 0) {
		snprintf(c->problem, sizeof(c->problem), "cannot set up libgsasl");
		return fault(s, FAULT_CONNECTION);
	}
	return 0;
}

/* Everything that needs a file: secret, trust store, certificate, libraries. */
static int
files_read(struct session *s)
{
	struct conversation *c = &s->conversation;
	const struct ipc_settings *settings = &s->settings;
	const struct tls_wishes wishes = { .verify = settings->tls == TLS_REQUIRED,
		.only_1_3 = settings->min_version == TLS_VERSION_1_3,
		.pins = settings->pins,
		.pin_count = settings->pin_count,
		.trust_file = settings->trust_file,
		.cert_file = settings->cert_file,
		.key_file = settings->key_file };

	if (connect_ascii_host(settings->host, c->host, sizeof(c->host)) < 0) {
		snprintf(c->problem, sizeof(c->problem), "%s", c->host);
		return fault(s, FAULT_CONNECTION);
	}
	if (from_settle(s) < 0 || login_prepare(s) < 0)
		return -1;
	if (settings->tls != TLS_NONE && tls_init(&c->tls, &wishes) < 0) {
		snprintf(c->problem, sizeof(c->problem), "%s", c->tls.problem);
		return fault(s, FAULT_CONNECTION);
	}
	return 0;
}

/* The resolver has no deadline of its own.  What it is at cannot be continued, so this is
 * the end. */
static void
lookup_late(int number)
{
	(void)number;
	ipc_send(CONTROL, &late, sizeof(late), -1);
	_exit(0);
}

static int
lookup(struct session *s, struct endpoints *e)
{
	struct conversation *c = &s->conversation;
	const struct ipc_settings *settings = &s->settings;
	struct itimerval timer = {
		.it_value = { .tv_sec = (time_t)(settings->connect_timeout / USEC_PER_SEC),
		    .tv_usec = (suseconds_t)(settings->connect_timeout % USEC_PER_SEC) }
	};
	char length[DURATION_SIZE];
	int r;

	snprintf(late.text, sizeof(late.text), "cannot find the address of %s: no answer within %s",
	    c->host, duration_format(settings->connect_timeout, length));
	signal(SIGALRM, lookup_late);
	setitimer(ITIMER_REAL, &timer, NULL);
	r = endpoints_find(e, &c->stream, settings, c->host);
	timer.it_value = (struct timeval){ 0, 0 };
	setitimer(ITIMER_REAL, &timer, NULL);
	return r;
}

static int
session_connect(struct session *s)
{
	struct conversation *c = &s->conversation;
	int64_t deadline = clock_boot() + (int64_t)s->settings.connect_timeout;
	struct endpoints endpoints = { .count = 0 };
	const struct target *target = NULL;

	if (lookup(s, &endpoints) == 0)
		target =
		    connect_endpoints(&c->stream, &endpoints, s->settings.first_address, deadline);
	if (target == NULL)
		return conversation_broken(c);
	c->implicit_tls = target->implicit_tls;
	/* Whoever forges a record can name any host.  So the certificate is that of the
	 * domain (RFC 6186 section 6); a host below it is the domain's own. */
	if (s->settings.srv && srv_is_below(target->name, c->host)) {
		memcpy(c->domain, c->host, sizeof(c->domain));
		memcpy(c->host, target->name, sizeof(c->host));
	}
	return 0;
}

static int
session_open(struct session *s, char *ready, size_t size)
{
	struct conversation *c = &s->conversation;

	c->settings = &s->settings;
	stream_init(&c->stream, -1, CONTROL);
	if (files_read(s) < 0 || session_connect(s) < 0)
		return -1;
	if (lock_in() < 0) {
		snprintf(c->problem, sizeof(c->problem), "cannot lock the session in: %s",
		    strerror(errno));
		return fault(s, FAULT_CONNECTION);
	}
	return conversation_open(c, ready, size);
}

static void
outcomes_report(uint32_t job, const struct transaction *t)
{
	for (size_t i = 0; i < t->message->envelope.recipient_count; i++) {
		const struct outcome *o = &t->outcomes[i];
		struct ipc_report r = { .type = REPORT_RECIPIENT,
			.job = job,
			.recipient = (uint32_t)i,
			.value = o->value,
			.code = o->code };

		if (o->wanted && o->known)
			report_send(&r, o->text == NULL ? "" : o->text);
	}
}

/* What became of a message; *excused: that the conversation ends with it is not the
 * smarthost's fault. */
static void
end_tell(const struct session *s, uint32_t job, const struct transaction *t, enum ipc_end end,
    const char *error, bool *excused)
{
	const struct conversation *c = &s->conversation;

	/* so is a connection that went stale while it was idle */
	*excused = t->own_fault || (t->broken && end == END_UNSENT && !t->answered &&
				       c->delivered > 0 && c->stream.error == STREAM_CLOSED);
	if (t->outcomes != NULL && (end == END_COMPLETE || end == END_DOUBT))
		outcomes_report(job, t);
	if (end == END_UNSENT && *excused)
		end = END_STALE;
	end_report(job, end,
	    error != NULL        ? error
	    : end == END_CORRUPT ? "its check value is wrong, or its lines do not end in CRLF"
	    : c->stream.error != STREAM_OK || c->closed || c->failing || t->broken ? c->problem
										   : "");
}

/* What was found out about the smarthost, for the sessions that follow. */
static void
peer_report(const struct conversation *c)
{
	struct ipc_report r = { .type = REPORT_PEER,
		.job = c->can.check,
		.value = c->peer,
		.recipient = c->recipients_max };

	report_send(&r, "");
}

/* How many recipients it takes is of use at once. */
static void
limit_tell(struct session *s)
{
	if (s->recipients_max == s->conversation.recipients_max)
		return;
	s->recipients_max = s->conversation.recipients_max;
	peer_report(&s->conversation);
}

/* Runs one job, with nothing else in flight; false if the conversation ends with it. */
static bool
job_run(struct session *s, const struct ipc_job *job, struct message *m, bool *excused)
{
	struct conversation *c = &s->conversation;
	struct transaction t = { .outcomes = NULL };
	enum ipc_end end;

	if (transaction_init(&t, c, m, job->finished) < 0) {
		end_report(job->id, END_STALE, strerror(errno));
		message_close(m);
		return true;
	}
	end = transaction_run(&t);
	end_tell(s, job->id, &t, end, NULL, excused);
	c->delivered += end == END_COMPLETE;
	limit_tell(s);
	transaction_fini(&t);
	message_close(m);
	return !t.broken;
}

/* The oldest message in flight comes to its end; false if the conversation does. */
static bool
window_run(struct session *s, bool *excused)
{
	struct conversation *c = &s->conversation;
	const struct slot *slot = window_oldest(&s->window);
	bool mine = false, goes_on = c->stream.error == STREAM_OK && !c->closed && !c->failing;

	end_tell(s, slot->job, &slot->transaction, slot->result,
	    slot->result == END_CORRUPT ? slot->message.error : NULL, &mine);
	/* it is the first that tells why */
	if (!goes_on && slot->transaction.broken)
		*excused = mine;
	c->delivered += slot->result == END_COMPLETE;
	limit_tell(s);
	window_take(&s->window);
	return goes_on;
}

/* relayd says something: a job; that it wants an end (-1); or that it is gone (-2). */
static int
control_ready(void *context)
{
	static union ipc_packet packet;
	struct session *s = context;
	struct waiting *place;
	int fd, r = ipc_receive(CONTROL, &packet, &fd);

	if (r == 1 && packet.kind == IPC_JOB && fd >= 0 && s->waiting_count < IPC_WINDOW_MAX) {
		place = &s->waiting[(s->first + s->waiting_count++) % IPC_WINDOW_MAX];
		place->job = packet.job;
		place->fd = fd;
		return 0;
	}
	if (fd >= 0)
		close(fd);
	return r == 1 && packet.kind == IPC_STOP ? -1 : -2;
}

static struct waiting *
waiting_take(struct session *s)
{
	struct waiting *w = &s->waiting[s->first];

	s->first = (s->first + 1) % IPC_WINDOW_MAX;
	s->waiting_count--;
	return w;
}

/* Takes in all that has come. */
static void
jobs_take(struct session *s)
{
	struct pollfd fd = { .fd = CONTROL, .events = POLLIN };

	while (!s->conversation.stream.stopping && s->waiting_count < IPC_WINDOW_MAX &&
	       poll(&fd, 1, 0) > 0)
		if (control_ready(s) < 0)
			s->conversation.stream.stopping = true;
}

/* What was not begun when the conversation ended. */
static void
waiting_return(struct session *s)
{
	while (s->waiting_count > 0) {
		const struct waiting *w = waiting_take(s);

		close(w->fd);
		end_report(w->job.id, END_STALE, "");
	}
}

/* After FAILED or CLOSING: whatever crosses it on the way comes back unsent. */
static void
wind_down(void)
{
	static union ipc_packet packet;
	int fd;

	while (ipc_receive(CONTROL, &packet, &fd) == 1) {
		if (fd >= 0)
			close(fd);
		if (packet.kind != IPC_JOB)
			return;
		end_report(packet.job.id, END_UNSENT, "");
	}
}

static void
closing(const struct conversation *c, const char *why)
{
	struct ipc_report r = { .type = REPORT_CLOSING, .code = c->code };

	peer_report(c);
	report_send(&r, why);
	wind_down();
}

/* The smarthost speaks or closes while there is nothing to do. */
static void
idle_end(struct conversation *c)
{
	char line[400];

	stream_timeout(&c->stream, 100000);
	if (conversation_reply(c) < 0)
		closing(c, c->stream.problem);
	else
		closing(c, reply_line(&c->reply, line, sizeof(line)));
}

/* Waits for a job.  False: the smarthost or relayd wants an end. */
static bool
job_await(struct session *s)
{
	struct conversation *c = &s->conversation;
	struct pollfd fds[2] = { { .fd = CONTROL, .events = POLLIN },
		{ .fd = c->stream.fd, .events = POLLIN } };

	while (s->waiting_count == 0 && !c->stream.stopping) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return false;
		/* what the smarthost says comes first: it may be its farewell */
		if (fds[1].revents != 0 && stream_take(&c->stream) != 0) {
			idle_end(c);
			return false;
		}
		if (fds[0].revents != 0)
			jobs_take(s);
	}
	if (!c->stream.stopping)
		return true;
	waiting_return(s);
	conversation_quit(c);
	return false;
}

/* Brings a job under way; false if the conversation ends with it. */
static bool
job_begin(struct session *s, bool *excused)
{
	const struct waiting *w = waiting_take(s);
	const struct conversation *c = &s->conversation;
	struct message m;
	enum message_status status = message_open_fd(&m, w->fd);

	if (status != MESSAGE_OK) {
		window_put_result(
		    &s->window, w->job.id, &m, status == MESSAGE_CORRUPT ? END_CORRUPT : END_STALE);
	} else if (s->windowed && window_takes(&s->window, &m) &&
		   (s->window.count > 0 || !stream_has_input(&c->stream))) {
		/* a reply that belongs to no command is for job_run() */
		window_put(&s->window, w->job.id, &m, w->job.finished);
	} else {
		while (s->window.count > 0) {
			if (!window_run(s, excused)) {
				window_put_result(&s->window, w->job.id, &m, END_STALE);
				return false;
			}
		}
		return job_run(s, &w->job, &m, excused);
	}
	return true;
}

/* Waits for the reply to the oldest message in flight.  False if there is something to do
 * before it comes: another job. */
static bool
reply_await(struct session *s)
{
	struct stream *stream = &s->conversation.stream;
	struct slot *oldest = &s->window.slots[s->window.first];
	bool idle = true;

	if (!window_waits(&s->window))
		return true;
	stream->last_reply = true;
	stream_timeout(stream, s->conversation.settings->command_timeout);
	if (stream->error == STREAM_OK && stream_await(stream) == 0) {
		/* neither a job in between nor what TLS keeps to itself prolongs the wait */
		if (oldest->deadline == 0)
			oldest->deadline = stream->deadline;
		stream->deadline = oldest->deadline;
		while (idle && !stream->stopping && !stream_has_input(stream))
			idle = s->waiting_count == 0 && stream_wait(stream, POLLIN) == 0 &&
			       stream_take(stream) >= 0 &&
			       (stream_has_input(stream) || clock_boot() < stream->deadline ||
				   stream_wait(stream, 0) == 0);
	}
	stream->last_reply = false;
	return stream->error != STREAM_OK || stream->stopping || s->waiting_count == 0 ||
	       stream_has_input(stream);
}

static void
jobs_run(struct session *s)
{
	struct conversation *c = &s->conversation;
	bool excused = false, goes_on = true;

	while (goes_on && !c->stream.stopping) {
		if (s->window.count == 0 && !job_await(s))
			return;
		jobs_take(s);
		while (goes_on && s->waiting_count > 0 && s->window.count < IPC_WINDOW_MAX &&
		       !c->stream.stopping)
			goes_on = job_begin(s, &excused);
		if (goes_on && s->window.count > 0 && reply_await(s))
			goes_on = window_run(s, &excused);
	}
	while (s->window.count > 0)
		window_run(s, &excused);
	waiting_return(s);
	if (c->stream.stopping) {
		conversation_quit(c);
	} else if (excused) {
		closing(c, c->problem);
	} else {
		peer_report(c);
		failed_report(c);
		wind_down();
	}
}

/* Ready: with what it can do. */
static void
session_run(struct session *s, const char *text)
{
	struct conversation *c = &s->conversation;
	struct ipc_report ready = { .type = REPORT_READY };
	int chunks = window_probe(c);

	s->window.conversation = c;
	c->stream.control_read = control_ready;
	c->stream.control_context = s;
	if (chunks < 0 && c->closed) {
		failed_report(c);
		wind_down();
		return;
	}
	if (chunks < 0) {
		closing(c, c->stream.problem);
		return;
	}
	s->windowed = chunks > 0;
	s->recipients_max = c->recipients_max;
	ready.value =
	    (s->windowed ? READY_WINDOWED : 0U) | ((c->can.set & CAN_DSN) != 0 ? READY_DSN : 0U);
	peer_report(c);
	report_send(&ready, text);
	jobs_run(s);
}

int
main(int argc, char **argv)
{
	static struct session s;
	char text[400];

	(void)argv;
	if (argc != 1 || settings_receive(&s.settings) < 0) {
		fputs("relayd-session: relayd(8) starts this program; it has no use of its own\n",
		    stderr);
		return EX_USAGE;
	}
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	log_to_sink(log_report, NULL);
	lock_prepare();
	if (session_open(&s, text, sizeof(text)) < 0) {
		failed_report(&s.conversation);
		wind_down();
	} else {
		session_run(&s, text);
	}
	stream_close(&s.conversation.stream);
	auth_fini(&s.conversation.auth);
	tls_fini(&s.conversation.tls);
	reply_free(&s.conversation.reply);
	buf_free(&s.secret);
	/* atexit() handlers of libraries would find a locked process */
	_exit(0);
}
