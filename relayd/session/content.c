/*
 * A message of up to 1 MB is checked before its MAIL command, so that a damaged
 * one costs the smarthost nothing.  A larger one is checked while it passes; on a
 * mismatch the caller closes the connection before the end of the data.
 */
#include "relayd/session/content.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"

#define CHUNK (64 << 10)

static ssize_t
chunk_read(const struct message *m, uint64_t done, char *to, size_t max)
{
	size_t want = m->length - done < max ? (size_t)(m->length - done) : max;
	ssize_t n;

	do
		n = pread(m->fd, to, want, m->content + (off_t)done);
	while (n < 0 && errno == EINTR);
	return n;
}

/* Does every line end in CRLF?  A bare LF would end a line for one server and not
 * for the next, and so the message. */
static bool
is_made_of_lines(const char *s, size_t len)
{
	const char *at = s, *lf;

	while ((lf = memchr(at, '\n', len - (size_t)(at - s))) != NULL) {
		if (lf == s || lf[-1] != '\r')
			return false;
		at = lf + 1;
	}
	return at == s + len;
}

enum content_result
content_load(const struct message *m, struct buf *whole)
{
	uint32_t crc;

	*whole = BUF_INIT(CONTENT_WHOLE_MAX);
	if (message_check_begin(m, &crc) < 0)
		return CONTENT_READ;
	while (whole->len < m->length) {
		char *to = buf_reserve(whole, m->length - whole->len);
		ssize_t n = to == NULL ? -1 : chunk_read(m, whole->len, to, m->length - whole->len);

		if (n < 0)
			return CONTENT_READ;
		if (n == 0)
			return CONTENT_CORRUPT; /* it has become shorter */
		crc = crc32c(crc, to, (size_t)n);
		buf_added(whole, (size_t)n);
	}
	return message_check_end(m, crc) && is_made_of_lines(buf_string(whole), whole->len)
		   ? CONTENT_OK
		   : CONTENT_CORRUPT;
}

int
content_write(struct stream *s, struct dot_stuffing *d, const char *piece, size_t len)
{
	while (len > 0) {
		const char *end = memchr(piece, '\n', len);
		size_t n = end == NULL ? len : (size_t)(end - piece) + 1;

		if (!d->within_line && *piece == '.' && stream_write(s, ".", 1) < 0)
			return -1;
		if (stream_write(s, piece, n) < 0)
			return -1;
		if (end != NULL && (n > 1 ? end[-1] != '\r' : !d->after_cr))
			d->malformed = true;
		d->within_line = end == NULL;
		d->after_cr = piece[n - 1] == '\r';
		piece += n;
		len -= n;
	}
	return 0;
}

enum content_result
content_stream(const struct message *m, struct stream *s, struct dot_stuffing *d)
{
	char chunk[CHUNK];
	uint64_t done = 0;
	uint32_t crc;

	if (message_check_begin(m, &crc) < 0)
		return CONTENT_READ;
	while (done < m->length) {
		ssize_t n = chunk_read(m, done, chunk, sizeof(chunk));

		if (n < 0)
			return CONTENT_READ;
		if (n == 0)
			return CONTENT_CORRUPT;
		crc = crc32c(crc, chunk, (size_t)n);
		if (content_write(s, d, chunk, (size_t)n) < 0)
			return CONTENT_BROKEN;
		if (d->malformed)
			return CONTENT_CORRUPT;
		done += (uint64_t)n;
	}
	return message_check_end(m, crc) && !d->within_line ? CONTENT_OK : CONTENT_CORRUPT;
}

int
content_end(struct stream *s)
{
	return stream_write(s, ".\r\n", 3);
}
