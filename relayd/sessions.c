/*
 * The session processes: started when due mail needs them, given one message
 * after the other, believed in nothing.
 *
 * A message belongs to a session from the hand-out to its END report.  If the
 * socket closes in between, its outcome is unknown: it is in doubt, and the
 * journal has said so since the hand-out.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/number.h"
#include "base/text.h"
#include "relayd/backoff.h"
#include "relayd/relayd.h"

#define PACKETS_A_TURN 512
#define BACKLOG_PER_SESSION 8 /* waiting messages that make one more session worth it */
#define TROUBLE_MAX 20
#define EARLY_END ((int64_t)USEC_PER_SEC) /* a connection that closes so soon is of no use */

enum phase { CONNECTING, READY, BUSY, CLOSING };

struct job {
	uint32_t id;
	struct index_entry *entry; /* NULL: no job */
	struct message message;
	struct results results;
	uint8_t reported[ENVELOPE_RECIPIENTS_MAX / 8];
};

struct session {
	struct watch watch; /* must be first */
	struct session *next;
	struct smarthost *host; /* NULL: its settings are no longer in force */
	char name[300], host_name[256];
	uint64_t idle_timeout;
	enum settings_refused refused;
	pid_t pid;
	enum phase phase;
	bool failed;       /* it has said why */
	bool stopping;     /* it was told to stop */
	unsigned done;     /* jobs */
	int64_t idle_since;
	struct job job;
};

/* ---- starting -------------------------------------------------------------- */

static void
field_set(char *field, size_t size, const char *value)
{
	snprintf(field, size, "%s", value == NULL ? "" : value);
}

static void
settings_fill(struct ipc_settings *s, const struct relayd *r, const struct smarthost *h)
{
	const struct settings_smarthost *from = h->settings;

	*s = (struct ipc_settings){ .kind = IPC_SETTINGS,
		.port = (uint32_t)from->port,
		.implicit_tls = from->implicit_tls,
		.tls = (uint32_t)from->tls,
		.insecure_auth = from->insecure_auth,
		.first_address = h->first_address,
		.connect_timeout = from->connect_timeout,
		.command_timeout = from->command_timeout };
	field_set(s->hostname, sizeof(s->hostname), r->hostname);
	field_set(s->host, sizeof(s->host), from->host);
	field_set(s->user, sizeof(s->user), from->user);
	field_set(s->password, sizeof(s->password), from->password);
	field_set(s->auth, sizeof(s->auth), from->auth);
	field_set(s->trust_file, sizeof(s->trust_file), from->tls_trust_file);
}

/* In the child: the socket becomes standard input, and of the environment only
 * what is needed stays. */
__attribute__((noreturn)) static void
session_exec(const struct relayd *r, int socket)
{
	static const char *const kept[] = { "CREDENTIALS_DIRECTORY", "ASAN_OPTIONS",
		"UBSAN_OPTIONS", "LSAN_OPTIONS" };
	char *argv[] = { (char[]){ "relayd-session" }, NULL };
	char *env[sizeof(kept) / sizeof(kept[0]) + 1];
	size_t n = 0;
	sigset_t none;
	int null = open("/dev/null", O_WRONLY);

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		const char *value = getenv(kept[i]);
		char *entry;

		if (value != NULL && asprintf(&entry, "%s=%s", kept[i], value) >= 0)
			env[n++] = entry;
	}
	env[n] = NULL;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(socket, STDIN_FILENO) == STDIN_FILENO && dup2(null, STDOUT_FILENO) == STDOUT_FILENO)
		execve(r->session_path, argv, env);
	_exit(127);
}

static void packets_ready(struct relayd *r, struct watch *w);

static struct session *
session_new(struct relayd *r, struct smarthost *h, int socket)
{
	struct session *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->watch = (struct watch){ .fd = socket, .ready = packets_ready };
	s->host = h;
	snprintf(s->name, sizeof(s->name), "%s", h->name);
	field_set(s->host_name, sizeof(s->host_name), h->settings->host);
	s->idle_timeout = h->settings->idle_timeout;
	s->refused = (enum settings_refused)h->settings->on_sender_refused;
	if (relayd_watch(r, &s->watch) < 0) {
		free(s);
		return NULL;
	}
	s->next = r->sessions;
	r->sessions = s;
	h->sessions++;
	h->connecting++;
	return s;
}

static void
session_start(struct relayd *r, struct smarthost *h)
{
	struct ipc_settings settings;
	struct session *s = NULL;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		smarthost_fail(r, h, FAULT_CONNECTION, "cannot make a socket for a session");
		return;
	}
	s = session_new(r, h, pair[0]);
	if (s != NULL)
		s->pid = fork();
	if (s != NULL && s->pid == 0)
		session_exec(r, pair[1]);
	close(pair[1]);
	if (s == NULL) {
		close(pair[0]);
		smarthost_fail(r, h, FAULT_CONNECTION, "no memory for a session");
		return;
	}
	settings_fill(&settings, r, h);
	/* if it cannot start, its socket closes: packets_ready() sees it */
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	ipc_send(pair[0], &settings, sizeof(settings), -1);
	explicit_bzero(&settings, sizeof(settings));
}

/* ---- ending ---------------------------------------------------------------- */

static void
phase_set(struct session *s, enum phase phase)
{
	if (s->host != NULL && s->phase == CONNECTING && phase != CONNECTING)
		s->host->connecting--;
	s->phase = phase;
}

static void
session_detach(struct session *s)
{
	if (s->host == NULL)
		return;
	if (s->phase == CONNECTING)
		s->host->connecting--;
	s->host->sessions--;
	s->host = NULL;
}

static void
stop_send(struct session *s)
{
	struct ipc_stop stop = { .kind = IPC_STOP };

	if (!s->stopping)
		ipc_send(s->watch.fd, &stop, sizeof(stop), -1);
	s->stopping = true;
	phase_set(s, CLOSING);
}

static void
job_end(struct job *j)
{
	message_close(&j->message);
	results_free(&j->results);
	memset(j->reported, 0, sizeof(j->reported));
	j->entry = NULL;
}

/* The message was not sent, and is not to blame; but if connections break on it
 * again and again, others go first. */
static void
job_unsent(struct relayd *r, struct session *s, bool blamed)
{
	struct index_entry *e = s->job.entry;
	int64_t due = clock_boot();

	if (blamed && e->trouble < TROUBLE_MAX)
		e->trouble++;
	if (blamed && e->trouble > 1)
		due += (int64_t)backoff_pause(
		    r->settings.retry_first, r->settings.retry_max, e->trouble - 1U);
	queue_record(r, e, EVENT_CLEAR, JOURNAL_ALL, 0, "");
	queue_wait(r, e, STATE_DUE, due);
	job_end(&s->job);
}

static void
job_doubt(struct relayd *r, struct session *s, const char *why)
{
	struct index_entry *e = s->job.entry;

	log_warn("%.*s: in doubt: %s; retried in %llus", QUEUE_ID_LEN, e->name, why,
	    (unsigned long long)(r->settings.in_doubt_interval / USEC_PER_SEC));
	queue_record(r, e, EVENT_DOUBT, JOURNAL_ALL, 0, why);
	queue_wait(r, e, STATE_DOUBT, clock_boot() + (int64_t)r->settings.in_doubt_interval);
	job_end(&s->job);
}

/* Did it end in a way that the next one would, too? */
static bool
ended_early(const struct session *s)
{
	if (s->failed || s->stopping)
		return false;
	return s->phase == CONNECTING ||
	    (s->done == 0 && clock_boot() - s->idle_since < EARLY_END);
}

/* The socket has closed. */
static void
session_end(struct relayd *r, struct session *s)
{
	struct session **p = &r->sessions;

	if (s->job.entry != NULL)
		job_doubt(r, s, "its session ended before the outcome was known");
	if (s->host != NULL && ended_early(s))
		smarthost_fail(r, s->host, FAULT_CONNECTION,
		    s->phase == CONNECTING ? "relayd-session ended unexpectedly"
		                           : "the smarthost closes connections before use");
	session_detach(s);
	relayd_unwatch(r, &s->watch);
	close(s->watch.fd);
	while (*p != s)
		p = &(*p)->next;
	*p = s->next;
	free(s);
}

/* It does what no session of ours does. */
static void
session_distrust(struct relayd *r, struct session *s, const char *why)
{
	log_error("session pid=%d smarthost=%s: %s; killed", (int)s->pid, s->name, why);
	kill(s->pid, SIGKILL);
	session_end(r, s);
}

void
sessions_reap(const struct relayd *r, pid_t pid, int status)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		log_error("session pid=%d ended by signal %d", (int)pid, WTERMSIG(status));
	else if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		log_error("cannot run %s: is it installed?", r->session_path);
}

/* ---- reports --------------------------------------------------------------- */

static void
recipient_reported(struct relayd *r, struct session *s, const struct ipc_report *p)
{
	struct job *j = &s->job;
	uint32_t i = p->recipient;

	if (j->entry == NULL || p->job != j->id || p->value >= OUTCOMES || p->code > 999 ||
	    i >= j->message.envelope.recipient_count || index_is_finished(j->entry, i) ||
	    (j->reported[i / 8] >> (i % 8) & 1) != 0) {
		session_distrust(r, s, "it reports on a recipient that it was not given");
		return;
	}
	j->reported[i / 8] = (uint8_t)(j->reported[i / 8] | 1U << (i % 8));
	if (results_add(&j->results, i, (enum ipc_outcome)p->value, p->code, p->text) < 0)
		log_error_errno("%.*s: cannot keep an outcome", QUEUE_ID_LEN, j->entry->name);
}

static void
end_reported(struct relayd *r, struct session *s, const struct ipc_report *p)
{
	struct job *j = &s->job;

	if (j->entry == NULL || p->job != j->id || p->value >= ENDS) {
		session_distrust(r, s, "it reports the end of a message that it was not given");
		return;
	}
	switch ((enum ipc_end)p->value) {
	case END_COMPLETE:
		outcome_apply(r, j->entry, &j->message, &j->results, s->refused, s->host_name);
		job_end(j);
		s->done++;
		if (s->host != NULL)
			smarthost_well(s->host);
		break;
	case END_UNSENT:
		job_unsent(r, s, s->phase == BUSY && !s->stopping);
		break;
	case END_DOUBT:
		job_doubt(r, s, p->text);
		break;
	default:
		queue_set_aside(r, j->entry, STATE_CORRUPT, 0, p->text);
		job_end(j);
		break;
	}
	if (s->phase == BUSY) {
		s->phase = READY;
		s->idle_since = clock_boot();
		if (s->host == NULL)
			stop_send(s);
	}
}

static void
report_apply(struct relayd *r, struct session *s, struct ipc_report *p)
{
	char text[sizeof(p->text)];

	text_copy_printable(text, sizeof(text), p->text, strlen(p->text));
	memcpy(p->text, text, sizeof(text));
	switch ((enum ipc_report_type)p->type) {
	case REPORT_READY:
		log_info("smarthost=%s session=%d connected=\"%s\"", s->name, (int)s->pid, text);
		if (s->phase == CONNECTING)
			phase_set(s, READY);
		s->idle_since = clock_boot();
		if (s->host == NULL)
			stop_send(s);
		break;
	case REPORT_RECIPIENT:
		recipient_reported(r, s, p);
		break;
	case REPORT_END:
		end_reported(r, s, p);
		break;
	case REPORT_FAILED:
		s->failed = true;
		if (s->host != NULL && !s->stopping && p->value < FAULTS)
			smarthost_fail(r, s->host, (enum ipc_fault)p->value, text);
		stop_send(s);
		break;
	case REPORT_CLOSING:
		log_info("smarthost=%s session=%d closed=\"%s\"", s->name, (int)s->pid, text);
		stop_send(s);
		/* told to stop by its own wish: an early end still counts as a failure */
		s->stopping = s->done > 0;
		break;
	default:
		log_info("smarthost=%s session=%d: %s", s->name, (int)s->pid, text);
		break;
	}
}

static bool
session_is_there(const struct relayd *r, const struct session *s)
{
	for (const struct session *x = r->sessions; x != NULL; x = x->next)
		if (x == s)
			return true;
	return false;
}

static void
packets_ready(struct relayd *r, struct watch *w)
{
	static union ipc_packet packet;
	struct session *s = (struct session *)(void *)w;
	int fd;

	for (int i = 0; i < PACKETS_A_TURN && session_is_there(r, s); i++) {
		int n = ipc_receive(w->fd, &packet, &fd);

		if (n < 0 && errno == EAGAIN)
			return;
		if (fd >= 0)
			close(fd);
		if (n <= 0) {
			session_end(r, s);
			return;
		}
		if (packet.kind != IPC_REPORT || packet.report.type >= REPORT_TYPES ||
		    !ipc_is_string(packet.report.text, sizeof(packet.report.text))) {
			session_distrust(r, s, "it sends what no session sends");
			return;
		}
		report_apply(r, s, &packet.report);
	}
}

/* ---- handing out ----------------------------------------------------------- */

/* What is not a whole message is set aside.  True if e can be handed out. */
static bool
message_take(struct relayd *r, struct index_entry *e, struct message *m)
{
	char name[NAME_LEN + 1];
	bool left = false;

	memcpy(name, e->name, NAME_LEN);
	name[NAME_LEN] = '\0';
	switch (message_open(m, r->queue, name)) {
	case MESSAGE_OK:
		break;
	case MESSAGE_GONE:
		heap_remove(&r->heap, e);
		index_remove(&r->index, e);
		return false;
	case MESSAGE_EMPTY:
		log_warn("%.*s: an empty file, left by a crash before its message was accepted; "
		         "removed", QUEUE_ID_LEN, name);
		queue_finish(r, e, 0);
		unlinkat(r->queue, name, 0);
		return false;
	case MESSAGE_NEWER:
		queue_set_aside(r, e, STATE_HELD, 0, "written by a newer version of postbag");
		return false;
	case MESSAGE_CORRUPT:
		queue_set_aside(r, e, STATE_CORRUPT, 0, m->error);
		return false;
	default:
		log_error_errno("%.*s: cannot read it now", QUEUE_ID_LEN, name);
		queue_wait(r, e, e->state, clock_boot() + (int64_t)r->settings.retry_first);
		return false;
	}
	for (size_t i = 0; i < m->envelope.recipient_count; i++)
		left |= !index_is_finished(e, i);
	if (!left)
		outcome_apply(r, e, m, &(struct results){ .count = 0 }, REFUSED_HOLD, "");
	return left;
}

/* Gives e to s; the journal has the doubt before the session has the job. */
static bool
job_give(struct relayd *r, struct session *s, struct index_entry *e, struct message *m)
{
	static struct ipc_job job;
	struct job *j = &s->job;

	job = (struct ipc_job){ .kind = IPC_JOB, .id = ++r->last_job };
	memcpy(job.name, e->name, NAME_LEN);
	for (size_t i = 0; i < m->envelope.recipient_count; i++)
		if (index_is_finished(e, i))
			job.finished[i / 8] = (uint8_t)(job.finished[i / 8] | 1U << (i % 8));
	queue_record(r, e, EVENT_DOUBT, JOURNAL_ALL, 0, "");
	if (journal_commit(&r->journal, false) < 0)
		return false;
	heap_remove(&r->heap, e);
	e->state = STATE_ACTIVE;
	j->id = job.id;
	j->entry = e;
	j->message = *m;
	s->phase = BUSY;
	if (ipc_send(s->watch.fd, &job, sizeof(job), m->fd) < 0) {
		int saved = errno;

		job_unsent(r, s, false);
		if (saved != EPIPE && saved != ECONNRESET)
			kill(s->pid, SIGKILL);
		phase_set(s, CLOSING);
	}
	return true;
}

/* An idle session of the best smarthost that has one. */
static struct session *
session_ready(const struct relayd *r)
{
	struct session *best = NULL;

	for (struct session *s = r->sessions; s != NULL; s = s->next)
		if (s->phase == READY && s->host != NULL && (best == NULL || s->host < best->host))
			best = s;
	return best;
}

/* Due mail, and no session is free: is one more worth it? */
static void
session_want(struct relayd *r, int64_t now)
{
	int64_t until;
	struct smarthost *h = smarthost_choose(r, now, &until);

	if (h == NULL || h->connecting > 0 || h->sessions >= h->settings->connections)
		return;
	if (h->sessions == 0 || r->heap.count >= BACKLOG_PER_SESSION * h->sessions)
		session_start(r, h);
}

void
sessions_dispatch(struct relayd *r)
{
	int64_t now = clock_boot();
	struct index_entry *e;

	while (r->stop_at == 0 && !r->journal.broken && (e = heap_top(&r->heap)) != NULL &&
	    e->due <= now) {
		struct session *s = session_ready(r);
		struct message m;

		if (s == NULL) {
			session_want(r, now);
			return;
		}
		if (!message_take(r, e, &m)) {
			message_close(&m);
		} else if (!job_give(r, s, e, &m)) {
			message_close(&m);
			return;
		}
	}
}

int64_t
sessions_idle(struct relayd *r, int64_t now)
{
	int64_t next = INT64_MAX;

	for (struct session *s = r->sessions; s != NULL; s = s->next) {
		int64_t end = s->idle_since + (int64_t)s->idle_timeout;

		if (s->phase != READY)
			continue;
		if (end <= now)
			stop_send(s);
		else if (end < next)
			next = end;
	}
	return next;
}

void
sessions_stop(struct relayd *r)
{
	for (struct session *s = r->sessions; s != NULL; s = s->next) {
		bool connecting = s->phase == CONNECTING;

		session_detach(s);
		if (r->stop_at != 0 && connecting)
			kill(s->pid, SIGKILL);
		else if (r->stop_at != 0 || s->phase == READY)
			stop_send(s);
	}
}

void
sessions_kill(struct relayd *r)
{
	for (struct session *s = r->sessions; s != NULL; s = s->next)
		kill(s->pid, SIGKILL);
}

const struct session *
sessions_find(const struct relayd *r, const struct index_entry *e)
{
	const struct session *s = r->sessions;

	while (s != NULL && s->job.entry != e)
		s = s->next;
	return s;
}
