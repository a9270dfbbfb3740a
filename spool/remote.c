/*
 * No descriptor crosses the socket: whoever kept one that can write could change
 * a message after it was accepted.
 */
#include "spool/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/number.h"
#include "spool/control.h"
#include "spool/place.h"

#define CHUNK 16384                             /* on a stack that the caller may have limited */
#define PATIENCE ((int64_t)(30 * USEC_PER_SEC)) /* while relayd is busy */
#define PAUSE_NS 200000000

int
remote_create(struct message_writer *w)
{
	static const char *const places[] = { "/var/tmp", "/tmp" };
	struct spool *s = w->spool;

	/* what spool_open() said is in s->problem, too, and it was one of these errors */
	if (s->runtime_directory == NULL || (s->queue >= 0 && !spool_is_closed(errno)))
		return -1;
	place_forget(w);
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	w->remote = true;
	for (size_t i = 0; w->fd < 0 && i < sizeof(places) / sizeof(places[0]); i++)
		w->fd = open(places[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (w->fd < 0)
		w->fd = memfd_create("message", MFD_CLOEXEC);
	return w->fd < 0 ? spool_fail(s, "hold a message for", "queue") : 0;
}

/* relayd may have answered, and gone, before it has all: its answer says why. */
static int
file_send(int fd, int socket, const char *request)
{
	char chunk[CHUNK];
	ssize_t n;
	int r;

	if (lseek(fd, 0, SEEK_SET) < 0)
		return -1;
	r = file_write(socket, request, strlen(request));
	while (r == 0 && (n = file_read(fd, chunk, sizeof(chunk))) != 0)
		r = n < 0 ? -1 : file_write(socket, chunk, (size_t)n);
	return r == 0 || errno == EPIPE || errno == ECONNRESET ? 0 : -1;
}

static int
unreachable(struct spool *s)
{
	int saved = errno;
	char before[sizeof(s->problem)];

	snprintf(before, sizeof(before), "%s", s->problem);
	snprintf(s->problem, sizeof(s->problem),
	    "%.*s; and relayd, which takes messages where that is so, does not answer at %s/%s: %s",
	    (int)sizeof(s->problem) / 2, before, s->runtime_directory, CONTROL_SOCKET,
	    strerror(saved));
	errno = saved;
	return -1;
}

/* One attempt: 0, or the exit code of the answer, or CONTROL_BUSY; -1 with errno. */
static int
attempt(struct message_writer *w, struct buf *error)
{
	char request[CONTROL_REQUEST_MAX];
	int socket = control_connect(w->spool->runtime_directory), r = -1;
	off_t size = lseek(w->fd, 0, SEEK_END);

	if (socket < 0)
		return -1;
	snprintf(request, sizeof(request), "submit %s %lld\n", w->name.text, (long long)size);
	if (file_send(w->fd, socket, request) == 0)
		r = control_answer(socket, STDERR_FILENO, error);
	close(socket);
	return r;
}

int
remote_commit(struct message_writer *w)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	int64_t patience = clock_boot() + PATIENCE;
	struct spool *s = w->spool;
	struct buf error = BUF_INIT(0);
	int r;

	while ((r = attempt(w, &error)) == CONTROL_BUSY && clock_boot() < patience) {
		buf_free(&error);
		nanosleep(&pause, NULL);
	}
	if (r < 0)
		unreachable(s);
	else if (r > 0)
		snprintf(s->problem, sizeof(s->problem), "relayd does not take the message: %s",
		    r == CONTROL_BUSY ? "it is busy with others" : buf_string(&error));
	/* 65: the message is at fault */
	if (r > 0)
		errno = r == EX_DATAERR ? EBADMSG : r == EX_NOPERM ? EPERM : EAGAIN;
	buf_free(&error);
	return r == 0 ? 0 : -1;
}
