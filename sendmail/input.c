/*
 * What cannot be decided from the octets at hand (a CR that may precede LF, a dot
 * that may stand alone) stays in the chunk until more has been read.
 */
#include "sendmail/input.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

#define CHUNK (64 << 10)

int
input_init(struct input *in, int fd, bool ignore_dots)
{
	*in = (struct input){ .fd = fd, .ignore_dots = ignore_dots, .chunk = malloc(CHUNK) };
	return in->chunk == NULL ? -1 : 0;
}

int
input_init_source(struct input *in, input_source *source, void *context)
{
	if (input_init(in, -1, true) < 0)
		return -1;
	in->source = source;
	in->context = context;
	return 0;
}

void
input_fini(struct input *in)
{
	free(in->chunk);
	in->chunk = NULL;
}

/* Waits until there is something to read; -1 with ETIMEDOUT. */
static int
readable_wait(const struct input *in)
{
	struct pollfd p = { .fd = in->fd, .events = POLLIN };
	uint64_t ms = in->timeout / 1000;
	int n;

	if (in->timeout == 0)
		return 0;
	do
		n = poll(&p, 1, ms > INT_MAX ? INT_MAX : (int)ms);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		errno = ETIMEDOUT;
	return n > 0 ? 0 : -1;
}

static ssize_t
octets_read(struct input *in, char *data, size_t size)
{
	if (in->source != NULL)
		return in->source(in->context, data, size);
	return readable_wait(in) < 0 ? -1 : file_read(in->fd, data, size);
}

/* Moves what is left to the front and reads on.  1; 0 at the end; -1. */
static int
fill(struct input *in)
{
	ssize_t n;

	memmove(in->chunk, in->chunk + in->at, in->len - in->at);
	in->len -= in->at;
	in->at = 0;
	n = octets_read(in, in->chunk + in->len, CHUNK - in->len);
	if (n < 0) {
		in->failed = true;
		in->error = errno;
		return -1;
	}
	in->len += (size_t)n;
	return n > 0;
}

static size_t
without_cr(const char *s, size_t len)
{
	while (len > 0 && s[len - 1] == '\r')
		len--;
	return len;
}

static int
piece_give(struct input *in, struct piece *p, size_t len, size_t taken, bool ends)
{
	*p = (struct piece){ .data = in->chunk + in->at,
		.len = len,
		.begins_line = !in->within_line,
		.ends_line = ends };
	in->within_line = !ends;
	in->at += taken;
	if (ends && p->begins_line && !in->ignore_dots && len == 1 && p->data[0] == '.') {
		in->ended = true;
		in->dot = true;
		return 0;
	}
	return 1;
}

int
input_next(struct input *in, struct piece *p)
{
	int more = 1;

	if (in->failed)
		return -1;
	if (in->ended)
		return 0;
	for (;;) {
		const char *s = in->chunk + in->at;
		size_t have = in->len - in->at, shown;
		const char *end = have == 0 ? NULL : memchr(s, '\n', have);

		if (end != NULL)
			return piece_give(
			    in, p, without_cr(s, (size_t)(end - s)), (size_t)(end - s) + 1, true);
		shown = without_cr(s, have);
		if (more == 0) {
			in->ended = true;
			if (have == 0 && !in->within_line)
				return 0;
			return piece_give(in, p, shown, have, true);
		}
		/* a start of line that may be the dot is not given away yet */
		if (!in->whole_lines && shown > 0 && (in->within_line || shown > 1))
			return piece_give(in, p, shown, shown, false);
		if (have == CHUNK)
			return piece_give(
			    in, p, shown > 0 ? shown : have, shown > 0 ? shown : have, false);
		more = fill(in);
		if (more < 0)
			return -1;
	}
}

bool
input_has_more(const struct input *in)
{
	return in->dot && in->at < in->len;
}
