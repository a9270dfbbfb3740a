/*
 * Constant memory, whatever the size of the message and of its lines.
 */
#include "relayd/session/convert_input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

#define CHUNK (128 << 10)

int
convert_input_init(struct convert_input *in)
{
	in->length = in->head_len;
	in->chunk = NULL;
	in->start = in->len = 0;
	if (in->m == NULL)
		return 0;
	in->length += in->m->length - in->skipped;
	in->chunk = malloc(CHUNK);
	return in->chunk == NULL ? -1 : 0;
}

void
convert_input_fini(struct convert_input *in)
{
	free(in->chunk);
	in->chunk = NULL;
}

/* Fills the chunk from that offset on. */
static int
chunk_fill(struct convert_input *in, uint64_t offset)
{
	uint64_t place = offset - in->head_len + in->skipped;
	uint64_t left = in->length - offset;
	size_t want = left < CHUNK ? (size_t)left : CHUNK;

	in->start = offset;
	in->len = 0;
	while (in->len < want) {
		ssize_t n = pread(in->m->fd, in->chunk + in->len, want - in->len,
		    in->m->content + (off_t)(place + in->len));

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EIO; /* it has become shorter */
		if (n <= 0)
			return -1;
		in->len += (size_t)n;
	}
	return 0;
}

const char *
convert_at(struct convert_input *in, uint64_t offset, uint64_t end, size_t *len)
{
	uint64_t left = end - offset, have;

	if (offset < in->head_len || in->m == NULL) {
		have = in->head_len - offset;
		*len = (size_t)(left < have ? left : have);
		return in->head + offset;
	}
	have =
	    offset >= in->start && offset < in->start + in->len ? in->start + in->len - offset : 0;
	if (have < left && have < CONVERT_CONTIGUOUS) {
		if (chunk_fill(in, offset) < 0)
			return NULL;
		have = in->len;
	}
	*len = (size_t)(left < have ? left : have);
	return in->chunk + (offset - in->start);
}

/* The length without blanks at the end. */
static size_t
trimmed(const char *s, size_t len)
{
	while (len > 0 && (s[len - 1] == ' ' || s[len - 1] == '\t'))
		len--;
	return len;
}

static bool
has_odd(const char *s, size_t len)
{
	return memchr(s, '\0', len) != NULL || memchr(s, '\r', len) != NULL;
}

int
convert_line_next(struct convert_input *in, uint64_t start, uint64_t end, struct convert_line *line)
{
	bool cr = false;

	*line = (struct convert_line){ .start = start, .text = start, .end = start, .next = start };
	while (line->next < end) {
		size_t len, n, text;
		const char *s = convert_at(in, line->next, end, &len), *lf;

		if (s == NULL)
			return -1;
		lf = memchr(s, '\n', len);
		n = lf == NULL ? len : (size_t)(lf - s);
		/* a CR counts when it is known what follows it */
		text = n > 0 && s[n - 1] == '\r' ? n - 1 : n;
		if (cr && n > 0)
			line->text = line->next;
		if (trimmed(s, text) > 0)
			line->text = line->next + trimmed(s, text);
		line->odd |= (cr && n > 0) || has_odd(s, text);
		line->eight_bit |= !text_is_ascii(s, text);
		cr = n > text || (cr && n == 0);
		line->next += n;
		line->end = line->next - cr;
		if (lf != NULL) {
			line->next++;
			return 1;
		}
	}
	if (cr) {
		line->odd = true;
		line->text = line->end = line->next;
	}
	return line->next > start;
}
