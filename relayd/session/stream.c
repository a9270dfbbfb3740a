/*
 * The socket does not block; all waiting is in stream_wait().
 */
#include "relayd/session/stream.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/number.h"

#define IN_OCTETS_MAX (1 << 20) /* replies that the peer may send ahead of our reading */
#define OUT_OCTETS_MAX (256 << 10)
#define OUT_FLUSH_AT (64 << 10)
#define LAST_REPLY_WAIT (3 * USEC_PER_SEC)

void
stream_init(struct stream *s, int fd, int control)
{
	*s = (struct stream){ .fd = fd,
		.control = control,
		.in = BUF_INIT(IN_OCTETS_MAX),
		.out = BUF_INIT(OUT_OCTETS_MAX) };
}

void
stream_close(struct stream *s)
{
	if (s->tls != NULL)
		gnutls_deinit(s->tls);
	s->tls = NULL;
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	buf_free(&s->in);
	buf_free(&s->out);
}

void
stream_timeout(struct stream *s, uint64_t usec)
{
	s->timeout = s->stopping && usec > LAST_REPLY_WAIT ? LAST_REPLY_WAIT : usec;
	s->deadline = clock_boot() + (int64_t)s->timeout;
}

int
stream_fail(struct stream *s, enum stream_error error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	s->error = error;
	vsnprintf(s->problem, sizeof(s->problem), fmt, ap);
	va_end(ap);
	return -1;
}

/* relayd has something to say, or has ended.  A reply that decides about a message is
 * worth a short wait; nothing else is. */
static int
control_take(struct stream *s)
{
	int r = s->control_read == NULL ? -2 : s->control_read(s->control_context);

	if (r == 0)
		return 0;
	s->stopping = true;
	if (r == -1 && s->last_reply) {
		int64_t limit = clock_boot() + (int64_t)LAST_REPLY_WAIT;

		if (s->deadline > limit) {
			s->deadline = limit;
			s->timeout = LAST_REPLY_WAIT;
		}
		return 0;
	}
	return stream_fail(s, STREAM_STOPPED, "relayd is stopping");
}

int
stream_wait(struct stream *s, short events)
{
	struct pollfd fds[2] = { { .fd = s->fd, .events = events },
		{ .fd = s->stopping ? -1 : s->control, .events = POLLIN } };
	char length[DURATION_SIZE];

	for (;;) {
		int64_t left = s->deadline - clock_boot();
		int ms = left <= 0 ? 0 : left > 1000000000 ? 1000000 : (int)(left / 1000) + 1;
		int n = poll(fds, 2, ms);

		if (n < 0 && errno != EINTR)
			return stream_fail(s, STREAM_CLOSED, "poll: %s", strerror(errno));
		if (n < 0)
			continue;
		if (fds[1].revents != 0 && !s->stopping)
			return control_take(s);
		if (fds[0].revents != 0)
			return 0;
		if (n == 0 && clock_boot() >= s->deadline)
			return stream_fail(s, STREAM_TIMEOUT, "no answer within %s",
			    duration_format(s->timeout, length));
	}
}

static int
tls_fail(struct stream *s, int error)
{
	if (error == GNUTLS_E_PREMATURE_TERMINATION)
		return stream_fail(s, STREAM_CLOSED, "the smarthost closed the connection");
	if (error == GNUTLS_E_PUSH_ERROR || error == GNUTLS_E_PULL_ERROR)
		return stream_fail(s, STREAM_CLOSED, "the connection broke: %s", strerror(errno));
	/* with TLS 1.3 the handshake is over before the smarthost looks at our certificate */
	if (error == GNUTLS_E_FATAL_ALERT_RECEIVED)
		return stream_fail(s, STREAM_CLOSED, "TLS: the smarthost says: %s",
		    gnutls_alert_get_name(gnutls_alert_get(s->tls)));
	return stream_fail(s, STREAM_CLOSED, "TLS: %s", gnutls_strerror(error));
}

/* Takes in what has arrived: the number of octets, 0 if there is none now, -1. */
static ssize_t
receive(struct stream *s)
{
	size_t want = 16384;
	char *to;
	ssize_t n;

	if (s->in.len == s->parsed) {
		buf_reset(&s->in);
		s->parsed = 0;
	}
	to = buf_reserve(&s->in, want);
	if (to == NULL)
		return stream_fail(s, STREAM_PROTOCOL, "the smarthost sends replies without end");
	if (s->tls != NULL) {
		n = gnutls_record_recv(s->tls, to, want);
		if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED)
			return 0;
		if (n < 0 && !gnutls_error_is_fatal((int)n))
			return 0;
		if (n < 0)
			return tls_fail(s, (int)n);
	} else {
		n = recv(s->fd, to, want, 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n < 0)
			return stream_fail(
			    s, STREAM_CLOSED, "the connection broke: %s", strerror(errno));
	}
	if (n == 0)
		return stream_fail(s, STREAM_CLOSED, "the smarthost closed the connection");
	buf_added(&s->in, (size_t)n);
	return n;
}

static ssize_t
transmit(struct stream *s)
{
	ssize_t n;

	if (s->tls != NULL) {
		n = gnutls_record_send(s->tls, s->out.data, s->out.len);
		if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED)
			return 0;
		return n < 0 ? tls_fail(s, (int)n) : n;
	}
	n = send(s->fd, s->out.data, s->out.len, MSG_NOSIGNAL);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return n < 0 ? stream_fail(s, STREAM_CLOSED, "the connection broke: %s", strerror(errno))
		     : n;
}

/* A peer that refuses may close while we write: what it said last is worth more
 * than EPIPE. */
static int
last_words(struct stream *s)
{
	enum stream_error error = s->error;
	char problem[sizeof(s->problem)];

	memcpy(problem, s->problem, sizeof(problem));
	while (receive(s) > 0)
		;
	memcpy(s->problem, problem, sizeof(problem));
	s->error = error;
	return -1;
}

int
stream_flush(struct stream *s)
{
	s->deadline = clock_boot() + (int64_t)s->timeout;
	while (s->out.len > 0) {
		ssize_t n = transmit(s);

		if (n < 0)
			return s->error == STREAM_CLOSED ? last_words(s) : -1;
		if (n > 0) {
			buf_consume(&s->out, (size_t)n);
			s->sent += (uint64_t)n;
			s->deadline = clock_boot() + (int64_t)s->timeout;
			continue;
		}
		if (stream_wait(s, POLLOUT | POLLIN) < 0 || receive(s) < 0)
			return -1;
		/* what comes in does not prolong the wait */
		if (clock_boot() >= s->deadline && stream_wait(s, 0) < 0)
			return -1;
	}
	return 0;
}

int
stream_write(struct stream *s, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		size_t n = len < OUT_FLUSH_AT ? len : OUT_FLUSH_AT;

		if (buf_append(&s->out, p, n) < 0)
			return stream_fail(s, STREAM_PROTOCOL, "out of memory");
		s->written += n;
		if (s->out.len >= OUT_FLUSH_AT && stream_flush(s) < 0)
			return -1;
		p += n;
		len -= n;
	}
	return 0;
}

int
stream_await(struct stream *s)
{
	if (s->out.len > 0 && stream_flush(s) < 0)
		return -1;
	s->deadline = clock_boot() + (int64_t)s->timeout;
	return 0;
}

int
stream_take(struct stream *s)
{
	ssize_t n = receive(s);

	return n < 0 ? -1 : n > 0;
}

int
stream_read_line(struct stream *s, char **line, size_t *len)
{
	for (;;) {
		size_t have = s->in.len - s->parsed;
		char *start = have == 0 ? NULL : s->in.data + s->parsed;
		char *end = have == 0 ? NULL : memchr(start, '\n', have);
		ssize_t n;

		if (end != NULL && end - start <= STREAM_LINE_MAX) {
			s->parsed += (size_t)(end - start) + 1;
			if (end > start && end[-1] == '\r')
				end--;
			*end = '\0';
			*line = start;
			*len = (size_t)(end - start);
			return 0;
		}
		if (have > STREAM_LINE_MAX)
			return stream_fail(
			    s, STREAM_PROTOCOL, "the smarthost sends a line without end");
		if (s->tls == NULL || gnutls_record_check_pending(s->tls) == 0)
			if (stream_wait(s, POLLIN) < 0)
				return -1;
		n = receive(s);
		if (n < 0)
			return -1;
		/* what TLS keeps to itself does not prolong the wait */
		if (n == 0 && clock_boot() >= s->deadline && stream_wait(s, 0) < 0)
			return -1;
	}
}

bool
stream_has_input(const struct stream *s)
{
	return s->in.len > s->parsed || (s->tls != NULL && gnutls_record_check_pending(s->tls) > 0);
}
