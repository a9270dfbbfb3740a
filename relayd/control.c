/*
 * The control socket.  A client may be slow or hostile: requests are short and
 * read without waiting, and whatever takes long to answer is written by a forked
 * child from its snapshot of the queue, so that delivery never waits for anyone.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "relayd/relayd.h"
#include "spool/control.h"
#include "spool/listing.h"

#define CLIENTS_MAX 64
#define CHILD_SECONDS 60
#define CHILDREN_A_USER 4

struct client {
	struct watch watch; /* must be first */
	struct client *next;
	uid_t uid;
	struct buf request;
};

static void
client_end(struct relayd *r, struct client *c)
{
	struct client **p = &r->clients;

	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	buf_free(&c->request);
	relayd_bury(r, &c->watch);
	r->client_count--;
}

/* A short answer: it fits into the socket's buffer. */
static void
answer(const struct client *c, const char *text)
{
	ssize_t n = send(c->watch.fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);

	(void)n; /* whoever does not read misses it */
}

__attribute__((format(printf, 3, 4))) static void
refuse(const struct client *c, int code, const char *fmt, ...)
{
	struct buf b = BUF_INIT(4096);
	char text[1000];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_addf(&b, "error %d %s\n", code, text);
	answer(c, buf_string(&b));
	buf_free(&b);
}

static bool
is_administrator(const struct client *c)
{
	return c->uid == 0 || c->uid == geteuid();
}

static struct listing_pause
pause_now(struct relayd *r, char *text, size_t size)
{
	int64_t until;
	struct listing_pause p = { .reason = NULL };

	if (r->journal.broken) {
		snprintf(
		    text, size, "the journal cannot be written: %s", strerror(r->journal.error));
		p.reason = text;
	} else if (r->smarthost_count == 0) {
		snprintf(text, size, "no smarthost is configured in %s", r->settings.path);
		p.reason = text;
	} else if (smarthost_choose(r, clock_boot(), &until) == NULL) {
		const struct smarthost *h = &r->smarthosts[0];

		for (size_t i = 1; i < r->smarthost_count; i++)
			if (r->smarthosts[i].paused_until < h->paused_until)
				h = &r->smarthosts[i];
		snprintf(text, size, "smarthost %s: %s", h->name, h->problem);
		p.reason = text;
		p.until = until;
	} else if (r->smarthosts[0].problem[0] != '\0') {
		/* it is being tried again */
		snprintf(text, size, "smarthost %s: %s", r->smarthosts[0].name,
		    r->smarthosts[0].problem);
		p.reason = text;
		p.until = clock_boot();
	}
	return p;
}

enum { CHILD_CLIENT, CHILD_QUEUE, CHILD_JOURNAL, CHILD_FDS };

/* In the child: only the three descriptors that it needs, so that neither the lock
 * nor another client nor a session depends on how long it lives. */
static void
child_strip(const struct relayd *r, int client)
{
	const int fds[CHILD_FDS] = { client, r->queue, r->journal.fd };
	int copies[CHILD_FDS];
	sigset_t none;

	for (int i = 0; i < CHILD_FDS; i++)
		copies[i] = fcntl(fds[i], F_DUPFD, CHILD_FDS);
	for (int i = 0; i < CHILD_FDS; i++)
		dup2(copies[i], i);
	close_range(CHILD_FDS, ~0U, 0);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(CHILD_SECONDS);
	file_set_nonblocking(CHILD_CLIENT, 0);
}

static int
list_write(const struct relayd *r, const struct index_entry *e, const struct listing_pause *pause)
{
	if (file_write(CHILD_CLIENT, "ok\n", 3) < 0)
		return -1;
	if (e == NULL
		? listing_queue(CHILD_CLIENT, &r->index, CHILD_QUEUE, CHILD_JOURNAL, pause) < 0
		: listing_message(CHILD_CLIENT, e, CHILD_QUEUE, CHILD_JOURNAL, pause) < 0)
		return -1;
	return file_write(CHILD_CLIENT, CONTROL_END, strlen(CONTROL_END));
}

/* A place for a child that answers c; users leave some to the administrator, and
 * each user some to the others. */
static struct control_child *
child_place(struct relayd *r, const struct client *c)
{
	struct control_child *place = NULL;
	size_t own = 0, all = 0;

	for (size_t i = 0; i < RELAYD_CHILDREN; i++) {
		struct control_child *child = &r->children[i];

		if (child->pid == 0)
			place = child;
		all += child->pid != 0;
		own += child->pid != 0 && child->uid == c->uid;
	}
	if (!is_administrator(c) &&
	    (own >= CHILDREN_A_USER || all >= RELAYD_CHILDREN - CHILDREN_A_USER))
		return NULL;
	return place;
}

/* Writes the answer in a child; e is NULL for the whole queue. */
static void
list(struct relayd *r, struct client *c, const struct index_entry *e)
{
	char text[1024];
	struct listing_pause pause = pause_now(r, text, sizeof(text));
	struct control_child *child = child_place(r, c);
	pid_t pid;

	if (child == NULL) {
		refuse(c, EX_TEMPFAIL, "relayd is busy with other listings; try again");
		return;
	}
	pid = fork();
	if (pid < 0) {
		refuse(c, EX_TEMPFAIL, "relayd cannot fork: %s", strerror(errno));
	} else if (pid > 0) {
		*child = (struct control_child){ .pid = pid, .uid = c->uid };
	} else {
		child_strip(r, c->watch.fd);
		_exit(list_write(r, e, &pause) < 0);
	}
}

/* The message that id names; if there is none, the client is told. */
static struct index_entry *
find(struct relayd *r, const struct client *c, const char *id)
{
	size_t matches;
	struct index_entry *e = listing_find(&r->index, id, &matches);
	struct buf b = BUF_INIT(2000);

	if (matches > 1) {
		listing_matches(&r->index, id, &b);
		refuse(c, EX_DATAERR, "%s names several messages; give a whole name:\n%s", id,
		    buf_string(&b));
	} else if (e == NULL) {
		refuse(c, EX_DATAERR, "there is no message %.*s", NAME_LEN, id);
	}
	buf_free(&b);
	return e;
}

static void
entry_retry(struct relayd *r, struct index_entry *e)
{
	e->trouble = 0;
	if (e->state == STATE_ACTIVE || e->state == STATE_FINISHED ||
	    (e->state == STATE_DUE && e->due <= clock_boot()))
		return;
	queue_record(r, e, EVENT_RETRY, JOURNAL_ALL, 0, "");
	queue_wait(r, e, STATE_DUE, clock_boot());
}

/* Everybody may flush, now and then; only the administrator also what is in doubt,
 * and smarthosts that refused our credential or are over a limit. */
static void
retry_all(struct relayd *r, const struct client *c)
{
	bool administrator = is_administrator(c);
	int64_t now = clock_boot();

	if (!administrator && r->last_flush != 0 &&
	    now - r->last_flush < (int64_t)r->settings.reconnect_first) {
		answer(c, "ok\n" CONTROL_END);
		return;
	}
	r->last_flush = now;
	for (size_t i = 0; i < r->index.bucket_count; i++)
		for (struct index_entry *e = r->index.buckets[i]; e != NULL; e = e->next)
			if (e->state == STATE_DUE || e->state == STATE_DEFERRED ||
			    (administrator && e->state == STATE_DOUBT))
				entry_retry(r, e);
	smarthosts_wake(r, administrator);
	answer(c, "ok\n" CONTROL_END);
}

static void
retry(struct relayd *r, const struct client *c, const char *id)
{
	struct index_entry *e;

	if (strcmp(id, "all") == 0) {
		retry_all(r, c);
		return;
	}
	if (!is_administrator(c)) {
		refuse(c, EX_NOPERM, "only root and relayd's own user may retry single messages");
		return;
	}
	if ((e = find(r, c, id)) == NULL)
		return;
	entry_retry(r, e);
	smarthosts_wake(r, true);
	answer(c, "ok\n" CONTROL_END);
}

static void
removal(struct relayd *r, const struct client *c, const char *id)
{
	struct index_entry *e;
	char name[NAME_LEN + 1];
	struct stat st;

	if (!is_administrator(c)) {
		refuse(c, EX_NOPERM, "only root and relayd's own user may remove messages");
		return;
	}
	if ((e = find(r, c, id)) == NULL)
		return;
	if (e->state == STATE_FINISHED) {
		refuse(
		    c, EX_TEMPFAIL, "message %s is finished, and its file about to be removed", id);
		return;
	}
	if (e->state == STATE_ACTIVE) {
		refuse(c, EX_TEMPFAIL, "message %s is being sent right now", id);
		return;
	}
	memcpy(name, e->name, NAME_LEN);
	name[NAME_LEN] = '\0';
	queue_record(r, e, EVENT_REMOVED, JOURNAL_ALL, 0, "");
	if (journal_commit(&r->journal, true) < 0) {
		refuse(c, EX_TEMPFAIL, "the journal cannot be written: %s", strerror(errno));
		return;
	}
	log_info("%.*s: status=removed uid=%u", QUEUE_ID_LEN, name, (unsigned)c->uid);
	queue_finish(r, e, fstatat(r->queue, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0);
	answer(c, "ok\n" CONTROL_END);
}

static void
request_run(struct relayd *r, struct client *c, char *line)
{
	char *argument = strchr(line, ' ');

	if (argument != NULL)
		*argument++ = '\0';
	if (strcmp(line, "list") == 0 && argument == NULL) {
		list(r, c, NULL);
	} else if (strcmp(line, "show") == 0 && argument != NULL) {
		struct index_entry *e;

		if (!is_administrator(c))
			refuse(c, EX_NOPERM, "only root and relayd's own user may read messages");
		else if ((e = find(r, c, argument)) != NULL)
			list(r, c, e);
	} else if (strcmp(line, "retry") == 0 && argument != NULL) {
		retry(r, c, argument);
	} else if (strcmp(line, "remove") == 0 && argument != NULL) {
		removal(r, c, argument);
	} else {
		refuse(c, EX_USAGE, "relayd does not know this request");
	}
}

static void
client_ready(struct relayd *r, struct watch *w)
{
	struct client *c = (struct client *)(void *)w;
	char chunk[CONTROL_REQUEST_MAX], *end;
	ssize_t n = recv(w->fd, chunk, sizeof(chunk), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0 && buf_append(&c->request, chunk, (size_t)n) == 0) {
		end = memchr(c->request.data, '\n', c->request.len);
		if (end == NULL)
			return;
		*end = '\0';
		request_run(r, c, c->request.data);
	}
	client_end(r, c);
}

/* Whoever has said nothing for the longest makes room for the newest; the
 * administrator last. */
static void
client_evict(struct relayd *r)
{
	struct client *oldest = NULL;

	for (struct client *c = r->clients; c != NULL; c = c->next)
		if (oldest == NULL || !is_administrator(c) || is_administrator(oldest))
			oldest = c;
	if (oldest != NULL)
		client_end(r, oldest);
}

static void
connection_ready(struct relayd *r, struct watch *w)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	struct client *c;
	int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		/* out of descriptors: somebody must go, or this would not wait */
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			client_evict(r);
		return;
	}
	c = calloc(1, sizeof(*c));
	if (c == NULL || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0) {
		close(fd);
		free(c);
		return;
	}
	*c = (struct client){ .watch = { .fd = fd, .ready = client_ready },
		.uid = peer.uid,
		.request = BUF_INIT(CONTROL_REQUEST_MAX) };
	if (r->client_count >= CLIENTS_MAX)
		client_evict(r);
	if (relayd_watch(r, &c->watch) < 0) {
		close(fd);
		free(c);
		return;
	}
	c->next = r->clients;
	r->clients = c;
	r->client_count++;
}

int
control_open(struct relayd *r)
{
	struct sockaddr_un address;
	int fd;

	if (control_address(r->settings.runtime_directory, &address) < 0) {
		log_error_errno("runtime_directory %s", r->settings.runtime_directory);
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* ours is the lock of the spool, so a socket that is there is a dead one */
	unlink(address.sun_path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(address.sun_path, 0666) < 0 || listen(fd, 128) < 0) {
		log_error_errno("cannot listen on %s", address.sun_path);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	r->control = (struct watch){ .fd = fd, .ready = connection_ready };
	return relayd_watch(r, &r->control);
}

void
control_close(struct relayd *r)
{
	struct sockaddr_un address;

	if (r->control.fd < 0)
		return;
	close(r->control.fd);
	if (control_address(r->settings.runtime_directory, &address) == 0)
		unlink(address.sun_path);
}
