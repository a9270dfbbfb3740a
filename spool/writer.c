/*
 * Writing a message: O_TMPFILE, write, fchmod, linkat, fsync.  The order is the
 * point: a file that is linked before its fsync() is made durable together with
 * its name, with one flush, and a submitter that is killed leaves nothing.  Where
 * the file lies until then is the business of place.c, and of remote.c for a
 * process that may not write to queue/.
 *
 * From message_commit()'s return on, the queue owns the message.
 */
#include "spool/spool.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/file.h"
#include "spool/format.h"
#include "spool/place.h"
#include "spool/remote.h"

#define OUT_OCTETS ((64 << 10) - 1) /* and the NUL that a buffer keeps */

static int
out_flush(struct message_writer *w)
{
	if (file_write(w->fd, buf_string(&w->out), w->out.len) < 0)
		return spool_fail(w->spool, "write a file in", "queue");
	buf_reset(&w->out);
	return 0;
}

static int
out_add(struct message_writer *w, const char *s, size_t len)
{
	while (len > 0) {
		size_t room = OUT_OCTETS - w->out.len, n = len < room ? len : room;

		if (buf_append(&w->out, s, n) < 0)
			return spool_fail(w->spool, "buffer a message for", "queue");
		if (w->out.len == OUT_OCTETS && out_flush(w) < 0)
			return -1;
		s += n;
		len -= n;
	}
	return 0;
}

int
message_begin(struct message_writer *w, struct spool *s, const struct envelope *e)
{
	struct buf lines = BUF_INIT(ENVELOPE_OCTETS_MAX);
	char head[FORMAT_HEAD_LEN];
	int r = -1;

	*w = (struct message_writer){ .spool = s, .fd = -1, .out = BUF_INIT(OUT_OCTETS) };
	if (name_make(&w->name) < 0)
		return spool_fail(s, "make a name for a file in", "queue");
	if ((s->queue < 0 || place_create(w) < 0) && remote_create(w) < 0)
		return -1;
	if (envelope_format(e, &lines) < 0 || buf_add_char(&lines, '\n') < 0) {
		spool_fail(s, "hold the envelope of a message for", "queue");
		goto out;
	}
	for (size_t i = 0; i < e->recipient_count; i++)
		for (const char *c = e->recipients[i].address; *c != '\0'; c++)
			w->flags |= (unsigned char)*c >= 0x80 ? MESSAGE_SMTPUTF8 : 0;
	for (const char *c = e->sender; *c != '\0'; c++)
		w->flags |= (unsigned char)*c >= 0x80 ? MESSAGE_SMTPUTF8 : 0;
	memset(head, ' ', sizeof(head));
	w->content = (off_t)(sizeof(head) + lines.len);
	w->crc = crc32c(0, lines.data, lines.len);
	if (out_add(w, head, sizeof(head)) == 0 && out_add(w, lines.data, lines.len) == 0)
		r = 0;
out:
	buf_free(&lines);
	return r;
}

/* What the wire needs to know of the content: its longest line, 8-bit octets. */
static void
content_measure(struct message_writer *w, const char *s, size_t len)
{
	unsigned char high = 0;

	for (size_t i = 0; i < len; i++)
		high |= (unsigned char)s[i];
	if (high & 0x80)
		w->flags |= MESSAGE_8BIT;
	while (len > 0) {
		const char *end = memchr(s, '\n', len);
		size_t n = end == NULL ? len : (size_t)(end - s) + 1;

		w->line += n;
		if (w->line > w->longest + 2)
			w->longest = w->line - 2;
		if (end != NULL)
			w->line = 0;
		s += n;
		len -= n;
	}
}

int
message_write(struct message_writer *w, const void *content, size_t len)
{
	content_measure(w, content, len);
	if (!format_is_lines(w->last, content, len))
		w->stray = true;
	if (len > 0)
		w->last = ((const char *)content)[len - 1];
	w->crc = crc32c(w->crc, content, len);
	w->length += len;
	return out_add(w, content, len);
}

ssize_t
message_reread(struct message_writer *w, uint64_t offset, void *to, size_t max)
{
	ssize_t n;

	if (w->out.len > 0 && out_flush(w) < 0)
		return -1;
	do
		n = pread(w->fd, to, max, w->content + (off_t)offset);
	while (n < 0 && errno == EINTR);
	return n < 0 ? spool_fail(w->spool, "read again a file in", "queue") : n;
}

int
message_begin_again(
    struct message_writer *w, const struct message_writer *from, const struct envelope *e)
{
	if (message_begin(w, from->spool, e) < 0)
		return -1;
	w->name = from->name;
	return 0;
}

static int
head_write(struct message_writer *w)
{
	char head[FORMAT_HEAD_LEN + 1];

	format_head_write(
	    &(struct format_head){
		.crc = w->crc, .length = w->length, .longest = w->longest, .flags = w->flags },
	    head);
	if (lseek(w->fd, 0, SEEK_SET) < 0 || file_write(w->fd, head, FORMAT_HEAD_LEN) < 0)
		return spool_fail(w->spool, "write a file in", "queue");
	return 0;
}

int
message_commit(struct message_writer *w)
{
	int r = -1, saved;

	if (out_flush(w) == 0 && head_write(w) == 0)
		r = w->remote ? remote_commit(w) : place_settle(w);
	saved = errno;
	message_abort(w);
	errno = saved;
	return r;
}

void
message_abort(struct message_writer *w)
{
	place_forget(w);
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	buf_free(&w->out);
}
