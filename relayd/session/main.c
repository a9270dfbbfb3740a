/*
 * relayd-session: one connection to one smarthost.  relayd starts it with the
 * socket as standard input.
 *
 * It is one straight conversation: open, then a message for each job, until relayd or the
 * smarthost wants an end.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "relayd/ipc.h"
#include "relayd/session/conversation.h"
#include "relayd/session/lock.h"
#include "relayd/session/opening.h"
#include "relayd/session/report.h"
#include "relayd/session/transaction.h"
#include "relayd/session/window.h"

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
		report_outcomes(job, t);
	if (end == END_UNSENT && *excused)
		end = END_STALE;
	report_end(job, end,
	    error != NULL        ? error
	    : end == END_CORRUPT ? "its check value is wrong, or its lines do not end in CRLF"
	    : c->stream.error != STREAM_OK || c->closed || c->failing || t->broken ? c->problem
										   : "");
}

/* How many recipients it takes is of use at once. */
static void
limit_tell(struct session *s)
{
	if (s->recipients_max == s->conversation.recipients_max)
		return;
	s->recipients_max = s->conversation.recipients_max;
	report_peer(&s->conversation);
}

/* Runs one job, with nothing else in flight; false if the conversation ends with it. */
static bool
job_run(struct session *s, const struct ipc_job *job, struct message *m, bool *excused)
{
	struct conversation *c = &s->conversation;
	struct transaction t = { .outcomes = NULL };
	enum ipc_end end;

	if (transaction_init(&t, c, m, job->finished) < 0) {
		report_end(job->id, END_STALE, strerror(errno));
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
	int fd, r = ipc_receive(REPORT_SOCKET, &packet, &fd);

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
	struct pollfd fd = { .fd = REPORT_SOCKET, .events = POLLIN };

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
		report_end(w->job.id, END_STALE, "");
	}
}

/* After FAILED or CLOSING: whatever crosses it on the way comes back unsent. */
static void
wind_down(void)
{
	static union ipc_packet packet;
	int fd;

	while (ipc_receive(REPORT_SOCKET, &packet, &fd) == 1) {
		if (fd >= 0)
			close(fd);
		if (packet.kind != IPC_JOB)
			return;
		report_end(packet.job.id, END_UNSENT, "");
	}
}

static void
closing(const struct conversation *c, const char *why)
{
	struct ipc_report r = { .type = REPORT_CLOSING, .code = c->code };

	report_peer(c);
	report_send(&r, why);
	wind_down();
}

/* The smarthost speaks or closes while there is nothing to do. */
static void
idle_end(struct conversation *c)
{
	char line[400];

	stream_timeout(&c->stream, 100000);
	/* what ended it is known already, or comes with the reading */
	if (c->stream.error != STREAM_OK || conversation_reply(c) < 0)
		closing(c, c->stream.problem);
	else
		closing(c, reply_line(&c->reply, line, sizeof(line)));
}

/* Waits for a job.  False: the smarthost or relayd wants an end. */
static bool
job_await(struct session *s)
{
	struct conversation *c = &s->conversation;
	struct pollfd fds[2] = { { .fd = REPORT_SOCKET, .events = POLLIN },
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
		report_peer(c);
		report_failed(c);
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
		report_failed(c);
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
	report_peer(c);
	report_send(&ready, text);
	jobs_run(s);
}

int
main(int argc, char **argv)
{
	static struct session s;
	char text[400];

	(void)argv;
	if (argc != 1 || opening_receive(&s.settings) < 0) {
		fputs("relayd-session: relayd(8) starts this program; it has no use of its own\n",
		    stderr);
		return EX_USAGE;
	}
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	log_to_sink(report_log, NULL);
	lock_prepare();
	if (opening_run(&s.conversation, &s.settings, &s.secret, text, sizeof(text)) < 0) {
		report_failed(&s.conversation);
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
