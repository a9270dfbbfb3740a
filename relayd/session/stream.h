/*
 * The connection to a smarthost: bytes in, bytes out, in the clear or through
 * TLS, each wait with a deadline.
 *
 * Commands are only appended to an output buffer; reading a line flushes it.
 * While a flush waits to write, it takes in what has arrived, or both ends could
 * block.  Every wait also watches the socket to relayd.
 */
#ifndef RELAYD_SESSION_STREAM_H
#define RELAYD_SESSION_STREAM_H

#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define STREAM_LINE_MAX 8192 /* octets of a line from the peer */

enum stream_error {
	STREAM_OK,
	STREAM_TIMEOUT,
	STREAM_CLOSED,   /* by the peer, or by the network */
	STREAM_PROTOCOL, /* the peer sends what no peer may send */
	STREAM_STOPPED,  /* relayd wants an end, or is gone */
};

/* Called when the socket to relayd is readable: 0 to go on; -1 when relayd wants an end;
 * -2 when it is gone. */
typedef int stream_control(void *context);

struct stream {
	int fd;
	int control; /* the socket to relayd */
	stream_control *control_read;
	void *control_context;
	gnutls_session_t tls; /* NULL in the clear */
	struct buf in, out;
	size_t parsed;    /* octets of `in` that have been read */
	uint64_t written; /* octets so far */
	uint64_t sent;    /* … that the kernel has */
	int64_t deadline; /* CLOCK_BOOTTIME */
	uint64_t timeout; /* that each wait begins with */
	enum stream_error error;
	bool stopping;     /* relayd wants an end, or is gone */
	bool last_reply;   /* that end waits (shortly) for the reply that is due */
	char problem[500]; /* in words */
};

/* All that return int: 0, or -1 with error and problem set, after which only
 * stream_close() makes sense. */

/* control_read is called in every wait; NULL: whatever comes means the end. */
void stream_init(struct stream *s, int fd, int control);
void stream_close(struct stream *s);

/* How long the following waits may take, each, microseconds. */
void stream_timeout(struct stream *s, uint64_t usec);

int stream_fail(struct stream *s, enum stream_error error, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Waits until the socket allows `events` (poll(2)) or the deadline; it may also come back
 * because relayd had something to say. */
int stream_wait(struct stream *s, short events);

/* Appends; flushes when much has come together. */
int stream_write(struct stream *s, const void *data, size_t len);
int stream_flush(struct stream *s);

/* Reads a line, until the deadline: NUL-terminated, without its end, valid until the
 * next call. */
int stream_read_line(struct stream *s, char **line, size_t *len);

/* Takes in what has arrived, without waiting: 1 if there is something to read, 0 if
 * it was nothing (TLS has messages of its own), -1. */
int stream_take(struct stream *s);

/* Begins the wait for a reply: flushes, and sets the deadline of all its lines. */
int stream_await(struct stream *s);

/* True if something has arrived that was not read. */
bool stream_has_input(const struct stream *s);

#endif
