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
#include "relayd/session/rewrite.h"
#include "spool/format.h"

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

/* Does every line end in CRLF, and the last one, too? */
static bool
is_made_of_lines(const char *s, size_t len)
{
	return format_is_lines('\n', s, len) && (len == 0 || s[len - 1] == '\n');
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

/* Appends the message with its header rewritten to out; 0 or -1 with errno. */
static int
whole_rewrite(const struct buf *whole, const char *from, struct buf *out)
{
	const char *text = buf_string(whole);
	size_t body = 0;

	rewrite_find_body(text, whole->len, &body);
	if (rewrite_header(text, body, from, out) < 0)
		return -1;
	return buf_append(out, text + body, whole->len - body);
}

static enum content_result
load_rewritten(const struct message *m, const char *from, struct buf *whole)
{
	enum content_result result = content_load(m, whole);
	struct buf out = BUF_INIT(REWRITE_OCTETS_MAX(CONTENT_WHOLE_MAX));

	if (result != CONTENT_OK)
		return result;
	if (whole_rewrite(whole, from, &out) < 0) {
		buf_free(&out);
		return CONTENT_READ;
	}
	buf_free(whole);
	*whole = out;
	return CONTENT_OK;
}

/* Reads until the end of the header, which *body is the place of. */
static enum content_result
header_read(const struct message *m, struct buf *text, size_t *body)
{
	bool more = true;

	while (more && text->len < m->length) {
		char *to = buf_reserve(text, CHUNK);
		ssize_t n = to == NULL ? -1 : chunk_read(m, text->len, to, CHUNK);

		if (to == NULL && errno == ENOBUFS)
			return CONTENT_HEADER;
		if (n < 0)
			return CONTENT_READ;
		if (n == 0)
			return CONTENT_CORRUPT;
		buf_added(text, (size_t)n);
		more = !rewrite_find_body(text->data, text->len, body);
	}
	if (*body > CONTENT_HEADER_MAX)
		return CONTENT_HEADER;
	return is_made_of_lines(buf_string(text), *body) ? CONTENT_OK : CONTENT_CORRUPT;
}

/* The whole of it must be made of lines; the rest is checked while it is streamed. */
static enum content_result
header_load(const struct message *m, const char *from, struct content_header *h)
{
	struct buf text = BUF_INIT(CONTENT_HEADER_MAX + CHUNK);
	enum content_result result = CONTENT_READ;
	size_t body = 0;

	*h = (struct content_header){ .text = BUF_INIT(REWRITE_OCTETS_MAX(CONTENT_HEADER_MAX)) };
	if (message_check_begin(m, &h->crc) == 0)
		result = header_read(m, &text, &body);
	if (result == CONTENT_OK) {
		h->original = body;
		h->crc = crc32c(h->crc, buf_string(&text), body);
		if (rewrite_header(buf_string(&text), body, from, &h->text) < 0)
			result = CONTENT_READ;
	}
	buf_free(&text);
	return result;
}

enum content_result
content_prepare(const struct message *m, const char *from, struct buf *whole,
    struct content_header *h, uint64_t *length)
{
	enum content_result r = CONTENT_OK;

	*length = m->length;
	if (m->length <= CONTENT_WHOLE_MAX) {
		r = from == NULL ? content_load(m, whole) : load_rewritten(m, from, whole);
		*length = whole->len;
	} else if (from != NULL) {
		r = header_load(m, from, h);
		*length = m->length - h->original + h->text.len;
	}
	return r;
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
		d->within_line = end == NULL;
		piece += n;
		len -= n;
	}
	return 0;
}

/* Streams what is behind the first `done` octets, whose check value is crc. */
static enum content_result
rest_stream(
    const struct message *m, uint64_t done, uint32_t crc, struct stream *s, struct dot_stuffing *d)
{
	char chunk[CHUNK], last = '\n';

	while (done < m->length) {
		ssize_t n = chunk_read(m, done, chunk, sizeof(chunk));

		if (n < 0)
			return CONTENT_READ;
		if (n == 0)
			return CONTENT_CORRUPT;
		crc = crc32c(crc, chunk, (size_t)n);
		/* before any of it is sent: what follows such a line could be a command */
		if (!format_is_lines(last, chunk, (size_t)n))
			return CONTENT_CORRUPT;
		if (content_write(s, d, chunk, (size_t)n) < 0)
			return CONTENT_BROKEN;
		last = chunk[n - 1];
		done += (uint64_t)n;
	}
	return message_check_end(m, crc) && !d->within_line ? CONTENT_OK : CONTENT_CORRUPT;
}

enum content_result
content_stream(const struct message *m, struct stream *s, struct dot_stuffing *d)
{
	uint32_t crc;

	if (message_check_begin(m, &crc) < 0)
		return CONTENT_READ;
	return rest_stream(m, 0, crc, s, d);
}

enum content_result
content_stream_rewritten(const struct message *m, const struct content_header *h, struct stream *s,
    struct dot_stuffing *d)
{
	if (content_write(s, d, buf_string(&h->text), h->text.len) < 0)
		return CONTENT_BROKEN;
	return rest_stream(m, h->original, h->crc, s, d);
}

int
content_end(struct stream *s)
{
	return stream_write(s, ".\r\n", 3);
}
