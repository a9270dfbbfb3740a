/*
 * The control socket and its clients, and whoever waits there for the outcome of a
 * message.
 */
#include "relayd/clients.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "spool/control.h"
#include "spool/listing.h"

#define CLIENTS_MAX 64
#define BACKLOG 128
#define OUT_MAX (256 << 10) /* octets of outcomes that a watcher has not taken yet */

static void
client_end(struct relayd *r, struct client *c)
{
	struct client **p = &r->clients;

	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	buf_free(&c->request);
	buf_free(&c->out);
	relayd_bury(r, &c->watch);
	r->client_count--;
}

void
client_answer(const struct client *c, const char *text)
{
	ssize_t n = send(c->watch.fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);

	(void)n; /* whoever does not read misses it */
}

void
client_refuse(const struct client *c, int code, const char *fmt, ...)
{
	struct buf b = BUF_INIT(4096);
	char text[1000];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_addf(&b, "error %d %s\n", code, text);
	client_answer(c, buf_string(&b));
	buf_free(&b);
}

bool
client_is_administrator(const struct client *c)
{
	return c->uid == 0 || c->uid == geteuid();
}

static bool
would_block(void)
{
	return errno == EAGAIN || errno == EINTR;
}

/* Takes what belongs to the request off the socket, and nothing behind its line end:
 * that is for a receiver.  1 if it is whole, 0 if not, -1 if there will be none. */
static int
request_read(struct client *c)
{
	char chunk[CONTROL_REQUEST_MAX], *end;
	ssize_t n = recv(c->watch.fd, chunk, sizeof(chunk), MSG_DONTWAIT | MSG_PEEK);

	if (n < 0 && would_block())
		return 0;
	if (n <= 0)
		return -1;
	end = memchr(chunk, '\n', (size_t)n);
	if (end != NULL)
		n = end + 1 - chunk;
	if (recv(c->watch.fd, chunk, (size_t)n, MSG_DONTWAIT) != n)
		return -1;
	if (buf_append(&c->request, chunk, (size_t)n) < 0 ||
	    (end == NULL && c->request.len == CONTROL_REQUEST_MAX)) {
		client_refuse(
		    c, EX_USAGE, "the request is longer than %d octets", CONTROL_REQUEST_MAX);
		return -1;
	}
	return end != NULL;
}

/* Runs a whole request, which has a line end.  True if the client stays. */
static bool
client_run(struct relayd *r, struct client *c)
{
	char *line = c->request.data;
	size_t len = c->request.len - 1;

	line[len] = '\0';
	if (strlen(line) == len)
		return control_run(r, c, line);
	client_refuse(c, EX_USAGE, "there is a NUL in the request");
	return false;
}

/* Sends what it takes now. */
static void
watcher_flush(struct relayd *r, struct client *c)
{
	ssize_t n = 0;

	if (c->out.len > 0)
		n = send(c->watch.fd, c->out.data, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n > 0)
		buf_consume(&c->out, (size_t)n);
	if ((n < 0 && !would_block()) || (c->leaving && c->out.len == 0)) {
		client_end(r, c);
		return;
	}
	if (c->full != (c->out.len > 0))
		relayd_watch_room(r, &c->watch, c->out.len > 0);
	c->full = c->out.len > 0;
}

/* A watcher has nothing more to say: whatever comes from it is its end. */
static void
watcher_ready(struct relayd *r, struct client *c)
{
	char octet;

	if (recv(c->watch.fd, &octet, 1, MSG_DONTWAIT | MSG_PEEK) >= 0 || !would_block())
		client_end(r, c);
	else
		watcher_flush(r, c);
}

static void
client_ready(struct relayd *r, struct watch *w)
{
	struct client *c = (struct client *)(void *)w;
	int whole;

	if (*c->watching != '\0' || c->leaving) {
		watcher_ready(r, c);
		return;
	}
	whole = request_read(c);
	if (whole < 0 || (whole > 0 && !client_run(r, c)))
		client_end(r, c);
}

/* Whoever has said nothing for the longest makes room for the newest; the
 * administrator last. */
static void
client_evict(struct relayd *r)
{
	struct client *oldest = NULL;

	for (struct client *c = r->clients; c != NULL; c = c->next)
		if (oldest == NULL || !client_is_administrator(c) ||
		    client_is_administrator(oldest))
			oldest = c;
	if (oldest == NULL)
		return;
	/* its request may be on its way: a submitter tries again */
	/* a watcher has had its answer */
	if (*oldest->watching == '\0')
		client_answer(oldest, "busy\n");
	client_end(r, oldest);
}

static void
client_begin(struct relayd *r, int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	struct client *c = calloc(1, sizeof(*c));

	if (c == NULL || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0) {
		close(fd);
		free(c);
		return;
	}
	*c = (struct client){ .watch = { .fd = fd, .ready = client_ready },
		.uid = peer.uid,
		.request = BUF_INIT(CONTROL_REQUEST_MAX),
		.out = BUF_INIT(OUT_MAX) };
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
	client_ready(r, &c->watch);
}

/* Takes all that wait, and reads what they have said: whoever asks for the outcomes of a
 * message before it is in queue/ is heard before a session can have delivered it. */
static void
connection_ready(struct relayd *r, struct watch *w)
{
	for (int i = 0; i < BACKLOG; i++) {
		int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0) {
			/* out of descriptors: somebody must go, or this would not wait */
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
			    errno == ENOBUFS)
				client_evict(r);
			return;
		}
		client_begin(r, fd);
	}
}

/* A socket that takes connections, under a name that nobody looks for. */
static int
socket_make(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	unlink(address->sun_path);
	if (fd >= 0 && (bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ||
			   chmod(address->sun_path, 0666) < 0 || listen(fd, BACKLOG) < 0)) {
		int saved = errno;

		close(fd);
		errno = saved;
		fd = -1;
	}
	return fd;
}

int
control_open(struct relayd *r)
{
	const char *directory = r->settings.runtime_directory;
	struct sockaddr_un address, hidden = { .sun_family = AF_UNIX };
	int fd = -1, n;

	n = snprintf(hidden.sun_path, sizeof(hidden.sun_path), "%s/.%s", directory, CONTROL_SOCKET);
	if (n < 0 || (size_t)n >= sizeof(hidden.sun_path)) {
		errno = ENAMETOOLONG;
		log_error_errno("runtime_directory %s", directory);
		return -1;
	}
	/* ours is the lock of the spool, so a socket that is there is a dead one; from one
	 * moment to the next it is one that answers */
	if (control_address(directory, &address) < 0 || (fd = socket_make(&hidden)) < 0 ||
	    rename(hidden.sun_path, address.sun_path) < 0) {
		log_error_errno("cannot listen on %s/%s", directory, CONTROL_SOCKET);
		unlink(hidden.sun_path);
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

/* ---- whoever waits for an outcome -------------------------------------------- */

static bool
is_watching(const struct client *c, const char *name)
{
	return memcmp(c->watching, name, NAME_LEN) == 0;
}

void
watchers_tell(struct relayd *r, const char *name, const char *fmt, ...)
{
	char raw[1000];
	struct buf line = BUF_INIT(4096);
	va_list ap;

	if (r->clients == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	text_add_printable(&line, raw, strlen(raw));
	buf_add_char(&line, '\n');
	for (struct client *c = r->clients; c != NULL; c = c->next)
		if (is_watching(c, name) && !c->out.failed)
			buf_append(&c->out, line.data, line.len);
	buf_free(&line);
}

void
watchers_end(struct relayd *r, const char *name)
{
	for (struct client *c = r->clients; c != NULL; c = c->next) {
		if (!is_watching(c, name))
			continue;
		/* without its end, what it was told is known not to be all */
		if (!c->out.failed)
			buf_add_string(&c->out, CONTROL_END);
		*c->watching = '\0';
		c->leaving = true;
	}
}

void
watchers_flush(struct relayd *r)
{
	struct client *next;
	char text[1024];

	for (const struct client *c = r->clients; c != NULL; c = c->next) {
		const struct index_entry *e =
		    *c->watching == '\0' ? NULL : index_find(&r->index, c->watching);
		struct listing_pause pause;

		if (e == NULL || e->state != STATE_DUE)
			continue;
		pause = control_pause(r, lanes_carriers(&r->lanes, e), text, sizeof(text));
		if (pause.reason != NULL && (pause.until == 0 || pause.until > clock_boot())) {
			watchers_tell(r, index_name(e).text, "waits for %s", pause.reason);
			watchers_end(r, index_name(e).text);
		}
	}
	for (struct client *c = r->clients; c != NULL; c = next) {
		next = c->next;
		if (!c->full && (c->leaving || c->out.len > 0))
			watcher_flush(r, c);
	}
}
