/*
 * The life of session processes: started when due mail needs them, told to stop,
 * buried.
 */
#include "relayd/sessions.h"

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
#include "relayd/environment.h"
#include "relayd/secrets.h"

#define EARLY_END ((int64_t)USEC_PER_SEC) /* a connection that closes so soon is of no use */

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
		.srv = from->srv,
		.tls = (uint32_t)from->tls,
		.min_version = (uint32_t)from->tls_min_version,
		.pin_count = (uint32_t)from->tls_pin_count,
		.insecure_auth = from->insecure_auth,
		.rewrite_from = from->rewrite_from,
		.first_address = h->first_address,
		.window = (uint32_t)from->window,
		.ehlo = h->pace.ehlo,
		.peer = h->pace.peer,
		.recipients_max = h->pace.recipients_max,
		.connect_timeout = from->connect_timeout,
		.command_timeout = from->command_timeout };
	memcpy(s->pins, from->tls_pins, sizeof(s->pins));
	field_set(s->hostname, sizeof(s->hostname), r->hostname);
	field_set(s->host, sizeof(s->host), from->host);
	field_set(s->user, sizeof(s->user), from->user);
	field_set(s->password, sizeof(s->password), from->password);
	field_set(s->token, sizeof(s->token), from->token);
	field_set(s->auth, sizeof(s->auth), from->auth);
	field_set(s->trust_file, sizeof(s->trust_file), from->tls_trust_file);
	field_set(s->cert_file, sizeof(s->cert_file), from->tls_cert_file);
	field_set(s->key_file, sizeof(s->key_file), from->tls_key_file);
	field_set(s->from, sizeof(s->from), from->from);
}

/* In the child: the socket becomes standard input, and of the environment only
 * what is needed stays. */
__attribute__((noreturn)) static void
session_exec(const struct relayd *r, int socket)
{
	char *argv[] = { (char[]){ "relayd-session" }, NULL };
	char *env[ENVIRONMENT_MAX];
	sigset_t none;
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	environment_keep(env);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(socket, STDIN_FILENO) == STDIN_FILENO &&
	    dup2(null, STDOUT_FILENO) == STDOUT_FILENO)
		execve(r->session_path, argv, env);
	_exit(127);
}

static struct session *
session_new(struct relayd *r, struct smarthost *h, int socket)
{
	struct session *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->watch = (struct watch){ .fd = socket, .ready = session_packets_ready };
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
	h->connecting_since = clock_boot();
	return s;
}

void
session_start(struct relayd *r, struct smarthost *h)
{
	struct ipc_settings settings;
	struct session *s = NULL;
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		smarthost_fail(r, h, FAULT_CONNECTION, "cannot make a socket for a session");
		return;
	}
	s = session_new(r, h, pair[0]);
	secrets_note(h);
	pid = s == NULL ? -1 : fork();
	if (pid == 0)
		session_exec(r, pair[1]);
	close(pair[1]);
	if (pid < 0) {
		if (s == NULL)
			close(pair[0]);
		else
			session_end(r, s);
		smarthost_fail(r, h, FAULT_CONNECTION, "no memory or process for a session");
		return;
	}
	s->pid = pid;
	settings_fill(&settings, r, h);
	/* if it cannot start, its socket closes: session_packets_ready() sees it */
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	ipc_send(pair[0], &settings, sizeof(settings), -1);
	explicit_bzero(&settings, sizeof(settings));
}

/* ---- ending ---------------------------------------------------------------- */

void
session_set_phase(struct session *s, enum session_phase phase)
{
	if (s->host != NULL && s->phase == SESSION_CONNECTING && phase != SESSION_CONNECTING)
		s->host->connecting--;
	s->phase = phase;
}

static void
session_detach(struct session *s)
{
	if (s->host == NULL)
		return;
	if (s->phase == SESSION_CONNECTING)
		s->host->connecting--;
	s->host->sessions--;
	s->host = NULL;
}

void
session_stop(struct session *s)
{
	struct ipc_stop stop = { .kind = IPC_STOP };

	/* behind many jobs there may be no room; the end of the socket needs none */
	if (!s->stopping && ipc_send(s->watch.fd, &stop, sizeof(stop), -1) < 0)
		shutdown(s->watch.fd, SHUT_WR);
	s->stopping = true;
	session_set_phase(s, SESSION_CLOSING);
}

void
session_retire(struct session *s)
{
	session_detach(s);
	if (s->phase == SESSION_READY)
		session_stop(s);
}

/* Why the next session may end the same way, so that it had better wait; NULL if
 * this one ended well. */
static const char *
unexpected_end(const struct session *s)
{
	if (s->failed || s->pid == 0 || (s->stopping && !s->excused))
		return NULL;
	if (s->phase == SESSION_CONNECTING || s->phase == SESSION_BUSY)
		return "relayd-session ended unexpectedly";
	if (s->done == 0 && clock_boot() - s->idle_since < EARLY_END)
		return "the smarthost closes connections before use";
	return NULL;
}

/* The socket has closed. */
void
session_end(struct relayd *r, struct session *s)
{
	struct session **p = &r->sessions;
	const char *why = unexpected_end(s);

	while (s->jobs != NULL)
		job_doubt(r, s, s->jobs, "its session ended before the outcome was known");
	if (s->host != NULL && why != NULL)
		smarthost_fail(r, s->host, FAULT_CONNECTION, why);
	session_detach(s);
	while (*p != s)
		p = &(*p)->next;
	*p = s->next;
	relayd_bury(r, &s->watch);
}

/* Never a group of processes, whatever went wrong before. */
void
session_kill(const struct session *s)
{
	if (s->pid > 1)
		kill(s->pid, SIGKILL);
}

/* It does what no session of ours does. */
void
session_distrust(struct relayd *r, struct session *s, const char *why)
{
	log_error("session pid=%d smarthost=%s: %s; killed", (int)s->pid, s->name, why);
	session_kill(s);
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

int64_t
sessions_next_idle(const struct relayd *r)
{
	int64_t next = INT64_MAX;

	for (const struct session *s = r->sessions; s != NULL; s = s->next) {
		int64_t end = s->idle_since + (int64_t)s->idle_timeout;

		if (s->phase == SESSION_READY && end < next)
			next = end;
	}
	return next;
}

void
sessions_end_idle(struct relayd *r, int64_t now)
{
	for (struct session *s = r->sessions; s != NULL; s = s->next)
		if (s->phase == SESSION_READY &&
		    (s->idle_since + (int64_t)s->idle_timeout <= now ||
			(s->host != NULL && s->given >= smarthost_share(s->host))))
			session_stop(s);
}

void
sessions_stop(struct relayd *r)
{
	for (struct session *s = r->sessions; s != NULL; s = s->next) {
		bool connecting = s->phase == SESSION_CONNECTING;

		session_retire(s);
		if (r->stop_at != 0 && connecting)
			session_kill(s);
		else if (r->stop_at != 0)
			session_stop(s);
	}
}

void
sessions_kill(struct relayd *r)
{
	for (struct session *s = r->sessions; s != NULL; s = s->next)
		session_kill(s);
}

const struct session *
sessions_find(const struct relayd *r, const struct index_entry *e)
{
	for (const struct session *s = r->sessions; s != NULL; s = s->next)
		for (const struct job *j = s->jobs; j != NULL; j = j->next)
			if (j->entry == e)
				return s;
	return NULL;
}
