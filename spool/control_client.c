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

int
control_connect(const char *runtime_directory)
{
	struct sockaddr_un address;
	int fd;

	if (control_address(runtime_directory, &address) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int saved = errno;

		close(fd);
		errno = saved;
		fd = -1;
	}
	return fd;
}

/* Writes the whole lines in b, and with rest what is behind them, too. */
static int
lines_copy(int out_fd, struct buf *b, bool rest)
{
	struct buf shown = BUF_INIT(SIZE_MAX / 2);
	size_t done = 0;
	char *end;
	int r = 0;

	while ((end = b->len > done ? memchr(b->data + done, '\n', b->len - done) : NULL) != NULL) {
		text_add_printable(&shown, b->data + done, (size_t)(end - b->data) - done);
		buf_add_char(&shown, '\n');
		done = (size_t)(end - b->data) + 1;
	}
	if (rest || b->len - done > CHUNK) {
		text_add_printable(&shown, buf_string(b) + done, b->len - done);
		done = b->len;
	}
	buf_consume(b, done);
	r = file_write(out_fd, buf_string(&shown), shown.len);
	buf_free(&shown);
	return r;
}

/* "ok", or "error 77 text". */
static int
status_parse(const char *line, struct buf *error)
{
	char digits[4];
	uint64_t code;

	if (strcmp(line, "ok") == 0)
		return 0;
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
control_request(int fd, const char *request, int out_fd, struct buf *error)
{
	struct buf in = BUF_INIT(4 * CHUNK);
	bool started = false;
	int code = EX_TEMPFAIL;
	ssize_t n = -1;

	*error = BUF_INIT(4096);
	if (file_write(fd, request, strlen(request)) == 0 && file_write(fd, "\n", 1) == 0) {
		char *to, *end;

		while ((to = buf_reserve(&in, CHUNK)) != NULL && (n = file_read(fd, to, CHUNK)) > 0) {
			buf_added(&in, (size_t)n);
			if (!started && (end = memchr(in.data, '\n', in.len)) != NULL) {
				started = true;
				*end = '\0';
				code = status_parse(in.data, error);
				buf_consume(&in, (size_t)(end - in.data) + 1);
			}
			if (started && lines_copy(out_fd, &in, false) < 0)
				break;
		}
	}
	if (started && n == 0)
		lines_copy(out_fd, &in, true);
	else if (error->len == 0)
		buf_addf(error, "relayd ended in the middle of its answer");
	if (!started || n < 0)
		code = EX_TEMPFAIL;
	buf_free(&in);
	return code;
}
