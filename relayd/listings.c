/*
 * Children that read the queue for a client: a snapshot of the index, the directory
 * and the journal are all that they have.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "relayd/clients.h"
#include "spool/control.h"
#include "spool/listing.h"

#define CHILD_SECONDS 3600 /* a million messages take minutes */
#define CLIENT_SECONDS 60  /* that a client may take nothing */
#define CHILDREN_A_USER 4

enum { CHILD_CLIENT, CHILD_QUEUE, CHILD_JOURNAL, CHILD_FDS };

/* In the child: only the three descriptors that it needs, so that neither the lock
 * nor another client nor a session depends on how long it lives. */
static void
child_strip(const struct relayd *r, int client)
{
	const int fds[CHILD_FDS] = { client, r->queue, r->journal.fd };
	int copies[CHILD_FDS];
	const struct timeval patience = { .tv_sec = CLIENT_SECONDS };
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
	/* a pipe has no such limit: relayd itself is at its end */
	setsockopt(CHILD_CLIENT, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	file_set_nonblocking(CHILD_CLIENT, 0);
}

static int
list_write(const struct relayd *r, const struct index_entry *e, const struct listing_pause *pause,
    int64_t uid)
{
	if (file_write(CHILD_CLIENT, "ok\n", 3) < 0)
		return -1;
	if (e == NULL
		? listing_queue(CHILD_CLIENT, &r->index, CHILD_QUEUE, CHILD_JOURNAL, pause, uid) < 0
		: listing_message(CHILD_CLIENT, &r->index, e, CHILD_QUEUE, CHILD_JOURNAL, pause) <
		      0)
		return -1;
	return file_write(CHILD_CLIENT, CONTROL_END, strlen(CONTROL_END));
}

/* A place for a child that answers c; users leave some to the administrator, and
 * each user some to the others. */
static struct child *
child_place(struct relayd *r, const struct client *c)
{
	struct child *place = NULL;
	size_t own = 0, all = 0;

	for (size_t i = 0; i < RELAYD_CHILDREN; i++) {
		struct child *child = &r->children[i];

		if (child->pid == 0)
			place = child;
		all += child->pid != 0;
		own += child->pid != 0 && child->uid == c->uid;
	}
	if (!client_is_administrator(c) &&
	    (own >= CHILDREN_A_USER || all >= RELAYD_CHILDREN - CHILDREN_A_USER))
		return NULL;
	return place;
}

/* What the child asks for each message. */
struct reasons {
	struct relayd *r;
	char text[1024];
};

static struct listing_pause
reason_of(void *context, const struct index_entry *e)
{
	struct reasons *s = context;

	return control_pause(s->r, lanes_carriers(&s->r->lanes, e), s->text, sizeof(s->text));
}

/* Writes the answer in a child; e is NULL for the whole queue. */
void
listing_start(struct relayd *r, const struct client *c, const struct index_entry *e)
{
	struct reasons reasons = { .r = r };
	struct listing_pause pause = { .of = reason_of, .context = &reasons };
	struct child *child = child_place(r, c);
	bool all = client_is_administrator(c) || r->settings.mailq_visibility == VISIBILITY_ALL;
	pid_t pid;

	if (child == NULL) {
		client_refuse(c, EX_TEMPFAIL, "relayd is busy with other listings; try again");
		return;
	}
	pid = fork();
	if (pid < 0) {
		client_refuse(c, EX_TEMPFAIL, "relayd cannot fork: %s", strerror(errno));
	} else if (pid > 0) {
		*child = (struct child){ .pid = pid, .uid = c->uid };
	} else {
		child_strip(r, c->watch.fd);
		_exit(list_write(r, e, &pause, all ? LISTING_ALL : (int64_t)c->uid) < 0);
	}
}

bool
listing_reap(struct relayd *r, pid_t pid)
{
	for (size_t i = 0; i < RELAYD_CHILDREN; i++) {
		if (r->children[i].pid == pid) {
			r->children[i].pid = 0;
			return true;
		}
	}
	return false;
}

/* ---- selections -------------------------------------------------------------- */

/* The child writes names, NAME_LEN octets each, into a pipe. */
struct choice {
	struct watch watch; /* must be first */
	struct choice *next;
	bool administrator;
	char name[NAME_LEN + 1];
	size_t len;
};

static int
choice_write(const struct relayd *r, const struct selection *s)
{
	const struct index_entry *e;

	for (uint32_t at = 0; (e = index_next(&r->index, &at)) != NULL;)
		if (e->state <= STATE_DOUBT && selection_matches(s, &r->index, e, CHILD_QUEUE) &&
		    file_write(CHILD_CLIENT, index_name(e).text, NAME_LEN) < 0)
			return -1;
	return 0;
}

static void
choice_end(struct relayd *r, struct choice *c)
{
	struct choice **p = &r->choices;

	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	smarthosts_wake(r, c->administrator);
	relayd_bury(r, &c->watch);
}

static void
choice_ready(struct relayd *r, struct watch *w)
{
	struct choice *c = (struct choice *)(void *)w;
	char chunk[100 * NAME_LEN];
	ssize_t n = file_read(w->fd, chunk, sizeof(chunk));

	if (n < 0 && errno == EAGAIN)
		return;
	for (ssize_t i = 0; i < n; i++) {
		struct index_entry *e;

		c->name[c->len++] = chunk[i];
		if (c->len < NAME_LEN)
			continue;
		c->len = 0;
		/* it may have gone meanwhile */
		if ((e = index_find(&r->index, c->name)) != NULL)
			control_flush(r, e, c->administrator);
	}
	if (n <= 0)
		choice_end(r, c);
}

void
selection_start(struct relayd *r, const struct client *c, const struct selection *s)
{
	struct child *child = child_place(r, c);
	struct choice *choice = calloc(1, sizeof(*choice));
	int ends[2] = { -1, -1 };
	pid_t pid = -1;

	if (child != NULL && choice != NULL && pipe2(ends, O_CLOEXEC) == 0)
		pid = fork();
	if (pid == 0) {
		child_strip(r, ends[1]);
		_exit(choice_write(r, s) < 0);
	}
	if (ends[1] >= 0)
		close(ends[1]);
	if (pid > 0) {
		*child = (struct child){ .pid = pid, .uid = c->uid };
		file_set_nonblocking(ends[0], 1);
		*choice = (struct choice){ .watch = { .fd = ends[0], .ready = choice_ready },
			.administrator = client_is_administrator(c) };
		if (relayd_watch(r, &choice->watch) == 0) {
			choice->next = r->choices;
			r->choices = choice;
			client_answer(c, "ok\n" CONTROL_END);
			return;
		}
	}
	if (ends[0] >= 0)
		close(ends[0]);
	free(choice);
	client_refuse(c, EX_TEMPFAIL, "relayd is busy; try again");
}
