/*
 * relayd's text is trusted to be text, and still made printable here: what stands
 * in it came from messages and from the network.
 */
#include "spool/control.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/file.h"
#include "base/number.h"
#include "base/text.h"

#define CHUNK 16384
#define ANSWER_SECONDS 60 /* for each piece of it */

int
control_address(const char *runtime_directory, struct sockaddr_un *address)
{
	int n;

	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	n = snprintf(address->sun_path, sizeof(address->sun_path), "%s/%s", runtime_directory,
	    CONTROL_SOCKET);
	if (n > 0 && (size_t)n < sizeof(address->sun_path))
		return 0;
	errno = ENAMETOOLONG;
	return -1;
}

static int
connect_with(const char *runtime_directory, int flags)
{
	const struct timeval patience = { .tv_sec = ANSWER_SECONDS };
	struct sockaddr_un address;
	int fd;

	if (control_address(runtime_directory, &address) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	}
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int saved = errno;

		close(fd);
		errno = saved;
		fd = -1;
	}
	return fd;
}

int
control_connect(const char *runtime_directory)
{
	return connect_with(runtime_directory, 0);
}

int
control_connect_at_once(const char *runtime_directory)
{
	return connect_with(runtime_directory, SOCK_NONBLOCK);
}

static bool
is_end(const struct buf *b)
{
	return strcmp(buf_string(b), CONTROL_END) == 0;
}

/* Writes the whole lines in b, but for an end that may be the answer's. */
static int
lines_copy(int out_fd, struct buf *b)
{
	struct buf shown = BUF_INIT(SIZE_MAX / 2);
	size_t done = 0;
	char *end;
	int r = 0;

	while ((end = b->len > done ? memchr(b->data + done, '\n', b->len - done) : NULL) != NULL &&
	       strcmp(b->data + done, CONTROL_END) != 0) {
		text_add_printable(&shown, b->data + done, (size_t)(end - b->data) - done);
		buf_add_char(&shown, '\n');
		done = (size_t)(end - b->data) + 1;
	}
	if (b->len - done > CHUNK) {
		text_add_printable(&shown, buf_string(b) + done, b->len - done);
		done = b->len;
	}
	buf_consume(b, done);
	r = file_write(out_fd, buf_string(&shown), shown.len);
	buf_free(&shown);
	return r;
}

static void
lines_add_printable(struct buf *b, const char *s)
{
	for (;;) {
		size_t n = strcspn(s, "\n");

		text_add_printable(b, s, n);
		if (s[n] == '\0')
			return;
		buf_add_char(b, '\n');
		s += n + 1;
	}
}

/* "ok", or "error 77 text". */
static int
status_parse(const char *line, struct buf *error)
{
	char digits[4];
	uint64_t code;

	if (strcmp(line, "ok") == 0)
		return 0;
	if (strcmp(line, "busy") == 0) {
		buf_add_string(error, "relayd is busy; try again");
		return CONTROL_BUSY;
	}
	if (strncmp(line, "error ", 6) == 0 && strlen(line) > 9 && line[8] == ' ') {
		snprintf(digits, sizeof(digits), "%.2s", line + 6);
		if (number_parse(digits, 64, 78, &code) == 0) {
			text_add_printable(error, line + 9, strlen(line + 9));
			return (int)code;
		}
	}
	buf_add_string(error, "relayd answers in a way that this version does not understand");
	return EX_TEMPFAIL;
}

int
control_answer(int fd, int out_fd, struct buf *error)
{
	struct buf in = BUF_INIT(4 * CHUNK);
	bool started = false;
	int code = EX_TEMPFAIL;
	ssize_t n = -1;
	char *to, *end;

	*error = BUF_INIT(4096);
	while ((to = buf_reserve(&in, CHUNK)) != NULL && (n = file_read(fd, to, CHUNK)) > 0) {
		buf_added(&in, (size_t)n);
		if (!started && (end = memchr(in.data, '\n', in.len)) != NULL) {
			started = true;
			*end = '\0';
			code = status_parse(in.data, error);
			buf_consume(&in, (size_t)(end - in.data) + 1);
		}
		if (started && code == 0 && lines_copy(out_fd, &in) < 0) {
			buf_addf(error, "cannot write the answer: %s", strerror(errno));
			break;
		}
	}
	if (started && code != 0 && in.len > 0) {
		/* the error goes on: names to choose from, one a line */
		buf_truncate(&in, in.len - (in.data[in.len - 1] == '\n'));
		buf_add_char(error, '\n');
		lines_add_printable(error, buf_string(&in));
	}
	if (error->len == 0 && (!started || !is_end(&in)))
		buf_add_string(error, n < 0 && errno == EAGAIN
					  ? "relayd does not answer"
					  : "relayd ended in the middle of its answer");
	buf_free(&in);
	return error->len > 0 && code == 0 ? EX_TEMPFAIL : code;
}

int
control_request(int fd, const char *request, int out_fd, struct buf *error)
{
	/* if it cannot be sent, no answer comes */
	if (file_write(fd, request, strlen(request)) == 0)
		file_write(fd, "\n", 1);
	return control_answer(fd, out_fd, error);
}
