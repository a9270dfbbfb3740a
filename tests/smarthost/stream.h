/*
 * One client connection, plain or TLS, read and written through buffers.
 *
 * Replies are queued and leave only when the server is about to wait for the client (or when it
 * must: before a handshake, a fault, the end).  That makes pipelined mail fast and lets the stream
 * count round trips: one for every wait that follows at least one flushed reply.  TLS handshake
 * flights are not replies and are not counted.
 */
#ifndef SMARTHOST_STREAM_H
#define SMARTHOST_STREAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gnutls/gnutls.h>

struct tls_config;

enum { STREAM_IN = 65536, STREAM_OUT = 32768 };

struct stream_input {
	size_t begin, end;
	unsigned char bytes[STREAM_IN];
};

struct stream {
	int fd;
	gnutls_session_t tls; /* NULL while in the clear */
	unsigned delay;       /* milliseconds before every flush */
	bool owed;            /* a reply was flushed since the last wait */
	bool ended;           /* nothing more will come */
	bool broken;          /* nothing more can be sent */
	uint64_t round_trips;
	atomic_ullong *total_round_trips;
	size_t out_length;
	unsigned char out[STREAM_OUT];
	struct stream_input in;  /* what the dialogue reads */
	struct stream_input raw; /* TLS records not yet decrypted */
};

enum stream_line { STREAM_LINE, STREAM_LINE_TOO_LONG, STREAM_LINE_CLOSED };

/* Takes over fd, which must be non-blocking. */
void stream_init(struct stream *stream, int fd, unsigned delay, atomic_ullong *round_trips);

/* Handshake as server; input received in the clear is thrown away.  0 or a GnuTLS error. */
int stream_start_tls(struct stream *stream, const struct tls_config *config);

/* Waits until there is input; false when the client is gone. */
bool stream_fill(struct stream *stream);

/* Has the client sent anything not yet read?  Does not wait, does not flush. */
bool stream_has_input(struct stream *stream);

/*
 * Reads up to LF, at most size - 1 octets; the line is NUL-terminated and has its line end, so
 * length includes it.  A longer line is read to its end and thrown away.
 */
enum stream_line stream_read_line(struct stream *stream, char *line, size_t size, size_t *length);

/* Buffered input, may be empty; consume says how much of it was used. */
size_t stream_peek(const struct stream *stream, const unsigned char **bytes);
void stream_consume(struct stream *stream, size_t length);

void stream_put(struct stream *stream, const char *bytes, size_t length);
void stream_flush(struct stream *stream);

/* Sends what is queued one octet at a time. */
void stream_dribble(struct stream *stream, unsigned milliseconds);

/* Holds until the client closes; reading tells whether to take and forget what it sends. */
void stream_hold(struct stream *stream, bool reading);

/* Ends of a connection; each leaves only stream_fini() to call. */
void stream_finish(struct stream *stream); /* flush, close_notify, FIN, let the client read */
void stream_drop(struct stream *stream);   /* FIN, without a word */
void stream_reset(struct stream *stream);  /* RST */

void stream_fini(struct stream *stream);

void stream_sleep(unsigned milliseconds);

#endif
