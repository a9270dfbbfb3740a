/*
 * Buffered input and output over TCP or TLS; see stream.h.  The socket is non-blocking and every
 * wait is a poll(2) here, because the stream has to know when it really waits.  GnuTLS reads
 * through a buffer of ours: one recv(2) may bring many records.
 */
#include "stream.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tls.h"

enum { STREAM_LINGER_MS = 1000, STREAM_RECORD = 16384 };

void
stream_sleep(unsigned milliseconds)
{
	struct timespec left = { (time_t)(milliseconds / 1000),
		(long)(milliseconds % 1000) * 1000000 };

	while (nanosleep(&left, &left) == -1 && errno == EINTR)
		;
}

void
stream_init(struct stream *stream, int fd, unsigned delay, atomic_ullong *round_trips)
{
	stream->fd = fd;
	stream->tls = NULL;
	stream->delay = delay;
	stream->owed = stream->ended = stream->broken = false;
	stream->round_trips = 0;
	stream->total_round_trips = round_trips;
	stream->out_length = 0;
	stream->in.begin = stream->in.end = 0;
	stream->raw.begin = stream->raw.end = 0;
}

/* The events that came, 0 on timeout; timeout -1 waits for ever. */
static short
wait_for(int fd, short events, int timeout)
{
	struct pollfd pollfd = { .fd = fd, .events = events };
	int r;

	do
		r = poll(&pollfd, 1, timeout);
	while (r == -1 && errno == EINTR);
	return r > 0 ? pollfd.revents : 0;
}

static ssize_t
receive(int fd, void *bytes, size_t length)
{
	ssize_t n;

	do
		n = recv(fd, bytes, length, 0);
	while (n == -1 && errno == EINTR);
	return n;
}

/* Sends everything, waiting for room; false when the client is gone. */
static bool
send_all(int fd, const unsigned char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL);
		if (n >= 0) {
			bytes += n;
			length -= (size_t)n;
		} else if (errno == EAGAIN) {
			(void)wait_for(fd, POLLOUT, -1);
		} else if (errno != EINTR) {
			return false;
		}
	}
	return true;
}

static ssize_t
tls_push(gnutls_transport_ptr_t context, const void *bytes, size_t length)
{
	struct stream *stream = context;

	if (send_all(stream->fd, bytes, length))
		return (ssize_t)length;
	gnutls_transport_set_errno(stream->tls, EPIPE);
	return -1;
}

static ssize_t
tls_pull(gnutls_transport_ptr_t context, void *bytes, size_t length)
{
	struct stream *stream = context;
	struct stream_input *raw = &stream->raw;

	if (raw->begin == raw->end) {
		ssize_t n = receive(stream->fd, raw->bytes, sizeof raw->bytes);
		if (n <= 0) {
			gnutls_transport_set_errno(stream->tls, n == 0 ? 0 : errno);
			return n;
		}
		raw->begin = 0;
		raw->end = (size_t)n;
	}
	if (length > raw->end - raw->begin)
		length = raw->end - raw->begin;
	memcpy(bytes, raw->bytes + raw->begin, length);
	raw->begin += length;
	return (ssize_t)length;
}

/* To be called right before waiting for the client. */
static void
count_wait(struct stream *stream)
{
	if (!stream->owed)
		return;
	stream->owed = false;
	stream->round_trips++;
	atomic_fetch_add_explicit(stream->total_round_trips, 1, memory_order_relaxed);
}

int
stream_start_tls(struct stream *stream, const struct tls_config *config)
{
	stream_flush(stream);
	stream->in.begin = stream->in.end = 0;
	int r = tls_session_new(config, &stream->tls);
	if (r < 0)
		return r;
	gnutls_transport_set_ptr(stream->tls, stream);
	gnutls_transport_set_push_function(stream->tls, tls_push);
	gnutls_transport_set_pull_function(stream->tls, tls_pull);
	while ((r = gnutls_handshake(stream->tls)) < 0 && gnutls_error_is_fatal(r) == 0) {
		if (r != GNUTLS_E_AGAIN)
			continue;
		count_wait(stream);
		(void)wait_for(stream->fd, POLLIN, -1);
	}
	if (r < 0)
		(void)gnutls_alert_send_appropriate(stream->tls, r);
	return r;
}

/* Makes room and reads once: octets, 0 when nothing is there yet, -1 when the client is gone. */
static ssize_t
read_some(struct stream *stream)
{
	struct stream_input *in = &stream->in;
	ssize_t n;

	if (in->begin > 0 && sizeof in->bytes - in->end < STREAM_RECORD) {
		memmove(in->bytes, in->bytes + in->begin, in->end - in->begin);
		in->end -= in->begin;
		in->begin = 0;
	}
	if (stream->tls == NULL) {
		n = receive(stream->fd, in->bytes + in->end, sizeof in->bytes - in->end);
		if (n == -1 && errno == EAGAIN)
			return 0;
	} else {
		do
			n = gnutls_record_recv(stream->tls, in->bytes + in->end,
			    sizeof in->bytes - in->end);
		while (n < 0 && n != GNUTLS_E_AGAIN && gnutls_error_is_fatal((int)n) == 0);
		if (n == GNUTLS_E_AGAIN)
			return 0;
	}
	if (n <= 0) {
		stream->ended = true;
		return -1;
	}
	in->end += (size_t)n;
	return n;
}

bool
stream_fill(struct stream *stream)
{
	for (;;) {
		if (stream->ended)
			return false;
		ssize_t n = read_some(stream);
		if (n != 0)
			return n > 0;
		stream_flush(stream);
		count_wait(stream);
		(void)wait_for(stream->fd, POLLIN, -1);
	}
}

bool
stream_has_input(struct stream *stream)
{
	if (stream->in.begin < stream->in.end)
		return true;
	return !stream->ended && read_some(stream) > 0;
}

size_t
stream_peek(const struct stream *stream, const unsigned char **bytes)
{
	*bytes = stream->in.bytes + stream->in.begin;
	return stream->in.end - stream->in.begin;
}

void
stream_consume(struct stream *stream, size_t length)
{
	stream->in.begin += length;
	if (stream->in.begin == stream->in.end)
		stream->in.begin = stream->in.end = 0;
}

enum stream_line
stream_read_line(struct stream *stream, char *line, size_t size, size_t *length)
{
	bool too_long = false;

	for (;;) {
		const unsigned char *bytes;
		size_t available = stream_peek(stream, &bytes);
		const unsigned char *end = memchr(bytes, '\n', available);
		if (end != NULL) {
			size_t n = (size_t)(end - bytes) + 1;
			too_long = too_long || n >= size;
			if (!too_long) {
				memcpy(line, bytes, n);
				line[n] = '\0';
				*length = n;
			}
			stream_consume(stream, n);
			return too_long ? STREAM_LINE_TOO_LONG : STREAM_LINE;
		}
		if (available >= size) {
			too_long = true;
			stream_consume(stream, available);
		}
		if (!stream_fill(stream))
			return STREAM_LINE_CLOSED;
	}
}

static void
send_out(struct stream *stream, const unsigned char *bytes, size_t length)
{
	if (stream->tls == NULL) {
		if (!stream->broken && !send_all(stream->fd, bytes, length))
			stream->broken = true;
		return;
	}
	while (length > 0 && !stream->broken) {
		ssize_t n = gnutls_record_send(stream->tls, bytes, length);
		if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED)
			continue;
		if (n < 0) {
			stream->broken = true;
			return;
		}
		bytes += n;
		length -= (size_t)n;
	}
}

void
stream_flush(struct stream *stream)
{
	if (stream->out_length == 0)
		return;
	if (stream->delay > 0)
		stream_sleep(stream->delay);
	send_out(stream, stream->out, stream->out_length);
	stream->out_length = 0;
	stream->owed = true;
}

void
stream_put(struct stream *stream, const char *bytes, size_t length)
{
	while (length > 0) {
		if (stream->out_length == sizeof stream->out)
			stream_flush(stream);
		size_t n = sizeof stream->out - stream->out_length;
		if (n > length)
			n = length;
		memcpy(stream->out + stream->out_length, bytes, n);
		stream->out_length += n;
		bytes += n;
		length -= n;
	}
}

void
stream_dribble(struct stream *stream, unsigned milliseconds)
{
	for (size_t i = 0; i < stream->out_length && !stream->broken; i++) {
		stream_sleep(milliseconds);
		send_out(stream, stream->out + i, 1);
	}
	stream->out_length = 0;
	stream->owed = true;
}

/* Takes and forgets what the client sends until it closes, or for that long at most. */
static void
drain(struct stream *stream, int timeout)
{
	for (;;) {
		ssize_t n = receive(stream->fd, stream->raw.bytes, sizeof stream->raw.bytes);
		if (n == 0 || (n == -1 && errno != EAGAIN))
			return;
		if (n == -1 && wait_for(stream->fd, POLLIN, timeout) == 0)
			return;
	}
}

void
stream_hold(struct stream *stream, bool reading)
{
	stream_flush(stream);
	if (reading)
		drain(stream, -1);
	else
		(void)wait_for(stream->fd, POLLRDHUP, -1);
	stream->ended = true;
}

void
stream_finish(struct stream *stream)
{
	stream_flush(stream);
	if (stream->tls != NULL && !stream->broken)
		(void)gnutls_bye(stream->tls, GNUTLS_SHUT_WR);
	shutdown(stream->fd, SHUT_WR);
	if (!stream->ended)
		drain(stream, STREAM_LINGER_MS);
}

void
stream_drop(struct stream *stream)
{
	stream_flush(stream);
	shutdown(stream->fd, SHUT_WR);
	drain(stream, 0); /* unread input would make the close an RST */
}

void
stream_reset(struct stream *stream)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	stream_flush(stream);
	(void)setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

void
stream_fini(struct stream *stream)
{
	if (stream->tls != NULL)
		gnutls_deinit(stream->tls);
	stream->tls = NULL;
	close(stream->fd);
	stream->fd = -1;
}
