/*
 * One chunk is kept; whoever asks for octets that are not in it, or too close to its
 * end, gets a chunk that begins with them.
 */
#include "sendmail/window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK (64 << 10)

int
window_init(struct window *w, struct message_writer *from)
{
	*w = (struct window){ .from = from, .chunk = malloc(CHUNK) };
	if (w->chunk == NULL)
		return spool_fail(from->spool, "find memory for a message in", "queue");
	return 0;
}

void
window_fini(struct window *w)
{
	free(w->chunk);
	w->chunk = NULL;
}

static int
load(struct window *w, uint64_t offset)
{
	w->start = offset;
	w->len = 0;
	while (w->len < CHUNK && w->start + w->len < w->from->length) {
		ssize_t n =
		    message_reread(w->from, w->start + w->len, w->chunk + w->len, CHUNK - w->len);

		if (n < 0)
			return -1;
		if (n == 0) {
			errno = EIO;
			return spool_fail(w->from->spool, "read again a file in", "queue");
		}
		w->len += (size_t)n;
	}
	return 0;
}

const char *
window_at(struct window *w, uint64_t offset, uint64_t end, size_t *len)
{
	uint64_t wanted = end - offset < WINDOW_CONTIGUOUS ? end - offset : WINDOW_CONTIGUOUS;
	size_t at;

	if (offset < w->start || offset + wanted > w->start + w->len)
		if (load(w, offset) < 0)
			return NULL;
	at = (size_t)(offset - w->start);
	*len = w->len - at < end - offset ? w->len - at : (size_t)(end - offset);
	return w->chunk + at;
}

int
window_copy(struct window *w, uint64_t start, uint64_t end, struct message_writer *to)
{
	while (start < end) {
		size_t len;
		const char *p = window_at(w, start, end, &len);

		if (p == NULL || message_write(to, p, len) < 0)
			return -1;
		start += len;
	}
	return 0;
}

/* Where the last octet that is no blank ends. */
static uint64_t
text_end(const char *p, size_t len, uint64_t start, uint64_t before)
{
	while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\t'))
		len--;
	return len > 0 ? start + len : before;
}

int
window_line(struct window *w, uint64_t start, uint64_t end, struct scan *s, struct line *line)
{
	*line = (struct line){ .start = start, .text = start, .end = start, .next = start };
	while (line->next == line->end && line->end < end) {
		size_t len, n;
		const char *p = window_at(w, line->end, end, &len), *lf;

		if (p == NULL)
			return -1;
		lf = memchr(p, '\n', len);
		n = lf == NULL ? len : (size_t)(lf - p);
		/* a CR may belong to the line end: the next chunk begins with it */
		if (n > 0 && p[n - 1] == '\r' && line->end + n < end)
			n--;
		scan_add(s, p, n);
		line->text = text_end(p, n, line->end, line->text);
		line->next = lf == NULL ? line->end + n : line->end + (uint64_t)(lf - p) + 1;
		line->end += n;
	}
	return line->next > start;
}
