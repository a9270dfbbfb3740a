/*
 * Both directions of an SMTP conversation: commands and content come out of one
 * buffer, and replies are collected until the next read, so that a pipelining
 * client (RFC 2920) gets them in one piece.
 *
 * When the other side is gone, or takes or sends nothing for too long, the channel
 * is closed for good: reading gives nothing more, and replies are dropped.
 */
#ifndef SENDMAIL_SMTP_CHANNEL_H
#define SENDMAIL_SMTP_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

#define SMTP_LINE_MAX 2048 /* octets of a command with its line end: RFC 5321 and extensions */

enum smtp_channel_state {
	CHANNEL_OPEN,
	CHANNEL_ENDED,     /* the client has ended its direction, or reading failed */
	CHANNEL_TIMED_OUT, /* nothing came */
	CHANNEL_BROKEN,    /* nothing can be written */
};

/* The end of the first line says which ends count: a client of the network has CRLF,
 * a program on a pipe may have LF (the Linux Standard Base allows it). */
enum smtp_line_ends { LINE_ENDS_UNKNOWN, LINE_ENDS_CRLF, LINE_ENDS_LF };

struct smtp_channel {
	int in, out;
	uint64_t timeout; /* for each read and write, microseconds */
	enum smtp_channel_state state;
	enum smtp_line_ends line_ends;
	bool utf8; /* replies may have more than ASCII (RFC 6531 section 3.7.4) */
	char *data;
	size_t at, len;
	struct buf replies;
};

enum smtp_line {
	SMTP_LINE,
	SMTP_LINE_LONG,    /* its start is given, the rest is dropped */
	SMTP_LINE_BARE_LF, /* a LF stands in a line that ends in CRLF */
	SMTP_LINE_CONTROL, /* a control character */
	SMTP_LINE_NONE,    /* the channel is not open any more */
};

/* 0 or -1 with errno ENOMEM. */
int smtp_channel_init(struct smtp_channel *c, int in, int out, uint64_t timeout);
void smtp_channel_fini(struct smtp_channel *c);

/* The next command line, without its line end.  line needs a cap of SMTP_LINE_MAX. */
enum smtp_line smtp_channel_line(struct smtp_channel *c, struct buf *line);

/* What has come: *data with its length, at least one octet; 0 when the channel is not
 * open any more.  smtp_channel_take() removes it. */
size_t smtp_channel_peek(struct smtp_channel *c, const char **data);
void smtp_channel_take(struct smtp_channel *c, size_t n);

/* A reply; status is the enhanced code (RFC 3463) or NULL. */
void smtp_reply(struct smtp_channel *c, int code, const char *status, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* A line of a reply that goes on. */
void smtp_reply_more(struct smtp_channel *c, int code, const char *text);

void smtp_channel_flush(struct smtp_channel *c);

#endif
