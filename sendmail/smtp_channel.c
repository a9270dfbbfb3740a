/*
 * Every read is preceded by a flush: a client that waits for replies before it sends
 * more is never left waiting, and one that does not wait costs one write(2) for many
 * replies.
 */
#include "sendmail/smtp_channel.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"

#define CHUNK (64 << 10)
#define REPLIES_MAX (64 << 10)
#define REPLIES_FLUSH (32 << 10)
#define REPLY_TEXT_MAX 480 /* RFC 5321 section 4.5.3.1.5: 512 with code and line end */
/* Where poll(2) finds room, that much of it is written without blocking. */
#define WRITE_MAX 4096

int
smtp_channel_init(struct smtp_channel *c, int in, int out, uint64_t timeout)
{
	*c = (struct smtp_channel){ .in = in,
		.out = out,
		.timeout = timeout,
		.data = malloc(CHUNK),
		.replies = BUF_INIT(REPLIES_MAX) };
	return c->data == NULL ? -1 : 0;
}

void
smtp_channel_fini(struct smtp_channel *c)
{
	free(c->data);
	c->data = NULL;
	buf_free(&c->replies);
}

/* 1 when the descriptor is ready, 0 when the time is over, -1. */
static int
ready_wait(const struct smtp_channel *c, int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	uint64_t ms = c->timeout / 1000;
	int n;

	do
		n = poll(&p, 1, ms > INT_MAX ? INT_MAX : (int)ms);
	while (n < 0 && errno == EINTR);
	return n;
}

void
smtp_channel_flush(struct smtp_channel *c)
{
	const char *s = buf_string(&c->replies);
	size_t left = c->replies.len;

	while (left > 0 && c->state != CHANNEL_BROKEN) {
		ssize_t n = -1;

		if (ready_wait(c, c->out, POLLOUT) > 0)
			n = write(c->out, s, left < WRITE_MAX ? left : WRITE_MAX);
		else
			errno = ETIMEDOUT;
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0) {
			c->state = CHANNEL_BROKEN;
			break;
		}
		s += n;
		left -= (size_t)n;
	}
	buf_reset(&c->replies);
}

/* Reads on into the empty buffer. */
static bool
fill(struct smtp_channel *c)
{
	ssize_t n;

	c->at = c->len = 0;
	smtp_channel_flush(c);
	while (c->state == CHANNEL_OPEN) {
		int ready = ready_wait(c, c->in, POLLIN);

		if (ready == 0) {
			c->state = CHANNEL_TIMED_OUT;
			break;
		}
		n = ready < 0 ? -1 : file_read(c->in, c->data, CHUNK);
		if (n < 0 && errno == EAGAIN)
			continue;
		if (n > 0) {
			c->len = (size_t)n;
			return true;
		}
		c->state = CHANNEL_ENDED;
	}
	return false;
}

size_t
smtp_channel_peek(struct smtp_channel *c, const char **data)
{
	/* what was accepted could not be told any more */
	if (c->state == CHANNEL_BROKEN || (c->at == c->len && !fill(c)))
		return 0;
	*data = c->data + c->at;
	return c->len - c->at;
}

void
smtp_channel_take(struct smtp_channel *c, size_t n)
{
	c->at += n;
}

static enum smtp_line
line_judge(const struct buf *line, bool is_long)
{
	if (is_long)
		return SMTP_LINE_LONG;
	if (line->len > 0 && memchr(line->data, '\n', line->len) != NULL)
		return SMTP_LINE_BARE_LF;
	for (size_t i = 0; i < line->len; i++)
		if ((unsigned char)line->data[i] < ' ' || line->data[i] == 0x7f)
			return SMTP_LINE_CONTROL;
	return SMTP_LINE;
}

enum smtp_line
smtp_channel_line(struct smtp_channel *c, struct buf *line)
{
	bool is_long = false, cr = false;
	const char *s;

	buf_reset(line);
	while (smtp_channel_peek(c, &s) > 0) {
		smtp_channel_take(c, 1);
		if (*s == '\n' && (cr || c->line_ends != LINE_ENDS_CRLF)) {
			if (c->line_ends == LINE_ENDS_UNKNOWN)
				c->line_ends = cr ? LINE_ENDS_CRLF : LINE_ENDS_LF;
			if (cr && !is_long)
				buf_truncate(line, line->len - 1);
			return line_judge(line, is_long);
		}
		cr = *s == '\r';
		if (line->len == SMTP_LINE_MAX - 1)
			is_long = true;
		else if (buf_append(line, s, 1) < 0)
			is_long = true;
	}
	return SMTP_LINE_NONE;
}

/* One line of a reply: printable, no longer than a client must take, and ASCII unless
 * the client asked for more. */
static void
reply_line(struct smtp_channel *c, int code, char separator, const char *status, const char *raw)
{
	char text[REPLY_TEXT_MAX];

	text_copy_printable(text, sizeof(text), raw, strlen(raw));
	for (char *s = text; *s != '\0'; s++) {
		if (*s == '\t')
			*s = ' ';
		if ((unsigned char)*s >= 0x80 && !c->utf8)
			*s = '?';
	}
	if (c->replies.len > REPLIES_FLUSH)
		smtp_channel_flush(c);
	if (buf_addf(&c->replies, "%03d%c%s%s%s\r\n", code, separator, status != NULL ? status : "",
		status != NULL ? " " : "", text) < 0)
		c->state = CHANNEL_BROKEN;
}

void
smtp_reply(struct smtp_channel *c, int code, const char *status, const char *fmt, ...)
{
	char raw[4 * REPLY_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	reply_line(c, code, ' ', status, raw);
}

void
smtp_reply_more(struct smtp_channel *c, int code, const char *text)
{
	reply_line(c, code, '-', NULL, text);
}
