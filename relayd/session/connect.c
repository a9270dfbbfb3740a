/*
 * Connecting: a race of a target's addresses, each of which begins a little later than
 * the one before (RFC 8305 section 5).  It has one deadline, and also ends when relayd
 * says so.
 */
#include "relayd/session/connect.h"

#include <arpa/inet.h>
#include <errno.h>
#include <idn2.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"

#define STAGGER 250000 /* microseconds; the time that RFC 8305 recommends */

int
connect_ascii_host(const char *host, char *dst, size_t size)
{
	char *ascii = NULL;
	int r;

	if (text_is_ascii(host, strlen(host))) {
		snprintf(dst, size, "%s", host);
		return 0;
	}
	/* never STD3 rules: they delete characters */
	r = idn2_to_ascii_8z(host, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (r == IDN2_OK &&
	    strspn(ascii, "abcdefghijklmnopqrstuvwxyz0123456789-._") != strlen(ascii))
		r = IDN2_DISALLOWED;
	snprintf(dst, size, "%s%s", r == IDN2_OK ? ascii : "the smarthost's name is not valid: ",
	    r == IDN2_OK ? "" : idn2_strerror(r));
	idn2_free(ascii);
	return r == IDN2_OK ? 0 : -1;
}

static void
address_name(const struct sockaddr_storage *sa, char dst[static CONNECT_PEER_SIZE])
{
	char text[INET6_ADDRSTRLEN] = "?";

	if (sa->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;

		inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
		snprintf(dst, CONNECT_PEER_SIZE, "[%s]:%u", text, ntohs(in6->sin6_port));
	} else {
		const struct sockaddr_in *in = (const void *)sa;

		inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
		snprintf(dst, CONNECT_PEER_SIZE, "[%s]:%u", text, ntohs(in->sin_port));
	}
}

/* The socket, or -1 and e->error says why. */
static int
attempt_begin(struct endpoint *e)
{
	int fd =
	    socket(e->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);

	e->error = ETIMEDOUT;
	if (fd >= 0 &&
	    (connect(fd, (struct sockaddr *)&e->address, e->length) == 0 || errno == EINPROGRESS))
		return fd;
	e->error = errno;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* fd is ready: true if it is connected, else it is closed. */
static bool
attempt_end(struct endpoint *e, int *fd)
{
	socklen_t len = sizeof(e->error);

	if (getsockopt(*fd, SOL_SOCKET, SO_ERROR, &e->error, &len) < 0)
		e->error = errno;
	if (e->error == 0)
		return true;
	close(*fd);
	*fd = -1;
	return false;
}

/*
 * One after the other, without waiting for it to fail: the first that answers is it.
 * Returns that one, with its socket in s->fd; NULL when all have failed, time is up,
 * or relayd says stop (then s->error).
 */
static struct endpoint *
race(struct stream *s, struct endpoint *const *run, size_t count, int64_t deadline)
{
	struct pollfd fds[ENDPOINTS_MAX + 1] = { { .fd = s->control, .events = POLLIN } };
	struct endpoint *winner = NULL;
	size_t begun = 0, open = 0;
	int64_t next = 0, now, until;

	while (winner == NULL && (now = clock_boot()) < deadline) {
		if (begun < count && (open == 0 || now >= next)) {
			struct pollfd *p = &fds[++begun];

			*p = (struct pollfd){ attempt_begin(run[begun - 1]), POLLOUT, 0 };
			open += p->fd >= 0;
			next = p->fd >= 0 ? now + STAGGER : now;
			continue;
		}
		if (open == 0)
			break;
		until = begun < count && next < deadline ? next : deadline;
		if (poll(fds, begun + 1, (int)((until - now) / 1000) + 1) <= 0)
			continue;
		if (fds[0].revents != 0 && stream_wait(s, 0) < 0)
			break;
		for (size_t i = 1; i <= begun && winner == NULL; i++) {
			if (fds[i].fd < 0 || fds[i].revents == 0)
				continue;
			if (attempt_end(run[i - 1], &fds[i].fd)) {
				winner = run[i - 1];
				s->fd = fds[i].fd;
			} else {
				open--;
				next = now;
			}
		}
	}
	for (size_t i = 1; i <= begun; i++)
		if (fds[i].fd >= 0 && fds[i].fd != s->fd)
			close(fds[i].fd);
	return winner;
}

static int
race_lost(struct stream *s, const struct endpoints *e)
{
	char name[CONNECT_PEER_SIZE] = "the smarthost";
	int error = ETIMEDOUT;

	if (s->error == STREAM_STOPPED)
		return -1;
	/* always the same one: the log gets a line for each change */
	for (size_t i = 0; i < e->count; i++)
		if (e->list[i].error != 0) {
			address_name(&e->list[i].address, name);
			error = e->list[i].error;
			break;
		}
	return stream_fail(s, error == ETIMEDOUT ? STREAM_TIMEOUT : STREAM_CLOSED,
	    "cannot connect to %s: %s", name,
	    error == ETIMEDOUT ? "it does not answer" : strerror(error));
}

const struct target *
connect_endpoints(struct stream *s, struct endpoints *e, unsigned first, int64_t deadline)
{
	struct endpoint *run[ENDPOINTS_MAX], *winner = NULL;
	size_t done = 0, count;
	int one = 1;

	while (winner == NULL && done < e->count && s->error == STREAM_OK) {
		size_t left = e->count - done;
		int64_t now = clock_boot();

		for (count = 0; count < left; count++) {
			run[count] = &e->list[(first + done + count) % e->count];
			if (run[count]->target != run[0]->target)
				break;
		}
		done += count;
		winner =
		    race(s, run, count, now + (deadline - now) * (int64_t)count / (int64_t)left);
	}
	if (winner == NULL) {
		race_lost(s, e);
		return NULL;
	}
	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return winner->target;
}

char *
connect_peer_name(int fd, char dst[static CONNECT_PEER_SIZE])
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	dst[0] = '\0';
	if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0)
		address_name(&peer, dst);
	return dst;
}

char *
connect_ehlo_name(int fd, const char *hostname, char *dst, size_t size)
{
	struct sockaddr_storage own;
	socklen_t len = sizeof(own);
	char text[INET6_ADDRSTRLEN] = "127.0.0.1";
	const char *prefix = "";

	if (strchr(hostname, '.') != NULL && text_is_ascii(hostname, strlen(hostname))) {
		snprintf(dst, size, "%s", hostname);
		return dst;
	}
	if (getsockname(fd, (struct sockaddr *)&own, &len) == 0) {
		if (own.ss_family == AF_INET6) {
			struct sockaddr_in6 *in6 = (void *)&own;

			if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
				inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], text, sizeof(text));
			} else {
				inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
				prefix = "IPv6:";
			}
		} else {
			inet_ntop(
			    AF_INET, &((struct sockaddr_in *)&own)->sin_addr, text, sizeof(text));
		}
	}
	snprintf(dst, size, "[%s%s]", prefix, text);
	return dst;
}
