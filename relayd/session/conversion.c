/*
 * A message of up to 1 MB is converted in memory.  A larger one is read three times:
 * its check value is verified, since a damaged message must not even be looked at as
 * MIME; it is converted to count its octets for SIZE; and again, to the wire.  What is
 * sent must then have the check value of what was counted.
 */
#include "relayd/session/conversion.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"

#define CHUNK (64 << 10)
#define WHOLE_MAX (64 << 20) /* what 1 MB may become: headers grow, bodies by up to 3 */

struct sink {
	struct buf *whole;     /* or NULL */
	struct stream *stream; /* or NULL */
	struct dot_stuffing *dots;
	uint64_t length;
	uint32_t check;
};

static int
sink_write(void *context, const char *data, size_t len)
{
	struct sink *k = context;

	k->length += len;
	k->check = crc32c(k->check, data, len);
	if (k->whole != NULL)
		return buf_append(k->whole, data, len);
	return k->stream == NULL ? 0 : content_write(k->stream, k->dots, data, len);
}

static enum convert_scope
scope_of(const struct message *m, const struct capabilities *can)
{
	if ((m->flags & MESSAGE_8BIT) != 0 && (can->set & CAN_8BITMIME) == 0)
		return CONVERT_ALL;
	if ((m->flags & MESSAGE_8BIT) != 0 && (m->flags & MESSAGE_SMTPUTF8) != 0 &&
	    (can->set & CAN_SMTPUTF8) == 0)
		return CONVERT_HEADER;
	return CONVERT_NOTHING;
}

static enum content_result
run(struct conversion *v, struct convert_input input, struct sink *k)
{
	struct convert c = { .input = input, .scope = v->scope, .write = sink_write, .context = k };

	switch (convert_run(&c)) {
	case CONVERT_DONE:
		return CONTENT_OK;
	case CONVERT_IMPOSSIBLE:
		v->refusal = c.refusal;
		return CONTENT_REFUSED;
	default:
		return k->stream != NULL && k->stream->error != STREAM_OK ? CONTENT_BROKEN
									  : CONTENT_READ;
	}
}

static struct convert_input
input_of(const struct message *m, const struct content_header *h)
{
	return (struct convert_input){ .head = buf_string(&h->text),
		.head_len = h->text.len,
		.m = m,
		.skipped = h->original };
}

/* Reads all of the file: is it what was accepted, and made of lines? */
static enum content_result
file_check(const struct message *m)
{
	char chunk[CHUNK], last = '\n';
	uint64_t done = 0;
	uint32_t crc;

	if (message_check_begin(m, &crc) < 0)
		return CONTENT_READ;
	while (done < m->length) {
		size_t want = m->length - done < CHUNK ? (size_t)(m->length - done) : CHUNK;
		ssize_t n = pread(m->fd, chunk, want, m->content + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return CONTENT_READ;
		if (n == 0)
			return CONTENT_CORRUPT;
		for (const char *at = chunk, *end = chunk + n, *lf;
		     (lf = memchr(at, '\n', (size_t)(end - at))) != NULL; at = lf + 1)
			if ((lf == chunk ? last : lf[-1]) != '\r')
				return CONTENT_CORRUPT;
		last = chunk[n - 1];
		crc = crc32c(crc, chunk, (size_t)n);
		done += (uint64_t)n;
	}
	return message_check_end(m, crc) && last == '\n' ? CONTENT_OK : CONTENT_CORRUPT;
}

static enum content_result
whole_convert(struct conversion *v, struct buf *whole, uint64_t *length)
{
	struct convert_input input = { .head = buf_string(whole), .head_len = whole->len };
	struct buf out = BUF_INIT(WHOLE_MAX);
	struct sink k = { .whole = &out };
	enum content_result r = run(v, input, &k);

	if (r != CONTENT_OK) {
		buf_free(&out);
		return r;
	}
	buf_free(whole);
	*whole = out;
	*length = out.len;
	return CONTENT_OK;
}

enum content_result
conversion_prepare(struct conversion *v, const struct message *m, const struct capabilities *can,
    struct buf *whole, const struct content_header *h, uint64_t *length)
{
	struct sink k = { .length = 0 };
	enum content_result r;

	*v = (struct conversion){ .scope = scope_of(m, can) };
	if (v->scope == CONVERT_NOTHING)
		return CONTENT_OK;
	if (m->length <= CONTENT_WHOLE_MAX)
		return whole_convert(v, whole, length);
	r = file_check(m);
	if (r == CONTENT_OK)
		r = run(v, input_of(m, h), &k);
	v->check = k.check;
	*length = k.length;
	return r;
}

enum content_result
conversion_stream(struct conversion *v, const struct message *m, const struct content_header *h,
    struct stream *s, struct dot_stuffing *d)
{
	struct sink k = { .stream = s, .dots = d };
	enum content_result r = run(v, input_of(m, h), &k);

	if (r == CONTENT_REFUSED || (r == CONTENT_OK && k.check != v->check))
		return CONTENT_CORRUPT;
	return r;
}
