/*
 * relayd answers "ok", then a line for each outcome, then "end" (spool/control.h).
 */
#include "sendmail/outcome.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/number.h"
#include "base/text.h"
#include "spool/control.h"

#define PATIENCE ((int64_t)(30 * USEC_PER_SEC))
#define LINES_MAX (64 << 10)

int
outcome_watch(const char *runtime_directory, const char *name)
{
	char request[CONTROL_REQUEST_MAX];
	int fd = control_connect_at_once(runtime_directory);

	if (fd < 0)
		return -1;
	snprintf(request, sizeof(request), "watch %s\n", name);
	if (file_write(fd, request, strlen(request)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* True when the last line has come. */
static bool
lines_take(struct buf *in, bool verbose)
{
	char *end;

	while ((end = in->len == 0 ? NULL : memchr(in->data, '\n', in->len)) != NULL) {
		size_t n = (size_t)(end - in->data);
		struct buf shown = BUF_INIT(LINES_MAX);

		if (strncmp(in->data, CONTROL_END, n + 1) == 0)
			return true;
		text_add_printable(&shown, in->data, n);
		if (verbose && strcmp(buf_string(&shown), "ok") != 0)
			fprintf(stderr, "sendmail: %s\n", buf_string(&shown));
		buf_free(&shown);
		buf_consume(in, n + 1);
	}
	return false;
}

/* Why nothing more is known of the message, or NULL: its first attempt is over. */
static const char *
lines_await(int watch, bool verbose)
{
	int64_t until = clock_boot() + PATIENCE, left;
	struct buf in = BUF_INIT(LINES_MAX);
	const char *why = NULL;
	bool ended = false;

	while (why == NULL && !ended) {
		struct pollfd p = { .fd = watch, .events = POLLIN };
		char chunk[4096];
		ssize_t n;

		left = until - clock_boot();
		if (left <= 0 || poll(&p, 1, (int)(left / 1000) + 1) == 0) {
			why = "no outcome within 30 seconds";
			continue;
		}
		/* the socket does not block, whatever poll() came back for */
		n = file_read(watch, chunk, sizeof(chunk));
		if (n < 0 && errno == EAGAIN)
			continue;
		if (n <= 0 || buf_append(&in, chunk, (size_t)n) < 0)
			why = "relayd says no more of it";
		else
			ended = lines_take(&in, verbose);
	}
	buf_free(&in);
	return why;
}

void
outcome_wait(int watch, bool verbose)
{
	const char *why = "relayd does not answer";

	if (watch >= 0) {
		why = lines_await(watch, verbose);
		close(watch);
	}
	if (why != NULL && verbose)
		fprintf(stderr, "sendmail: %s; the message is queued\n", why);
}
