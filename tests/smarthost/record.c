/*
 * Transcript and totals; see record.h.
 */
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

enum { RECORD_LINE_MAX = 4096 };

int
record_open(struct record *record, const char *path)
{
	record->fd = -1;
	if (path == NULL)
		return 0;
	record->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	return record->fd == -1 ? -1 : 0;
}

void
record_close(struct record *record)
{
	if (record->fd != -1)
		close(record->fd);
	record->fd = -1;
}

static int
write_all(int fd, const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t n = write(fd, bytes, length);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		bytes += n;
		length -= (size_t)n;
	}
	return 0;
}

void
record_line(struct record *record, unsigned connection, char side, const char *bytes,
    size_t length)
{
	char line[RECORD_LINE_MAX];

	if (record->fd == -1)
		return;
	int prefix = snprintf(line, sizeof line, side == '=' ? "%u %c " : "%u %c: ", connection,
	    side);
	size_t n = (size_t)prefix;
	n += text_printable(line + n, sizeof line - n - 1, bytes, length);
	line[n++] = '\n';
	(void)write_all(record->fd, line, n);
}

void
record_note(struct record *record, unsigned connection, const char *format, ...)
{
	char text[1024];
	va_list arguments;

	if (record->fd == -1)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	record_line(record, connection, '=', text, strlen(text));
}

static size_t
format_totals(struct record *record, char *line, size_t size)
{
	int n = snprintf(line, size,
	    "totals: %llu connections, %llu commands, %llu messages, %llu round trips, "
	    "%llu octets\n",
	    atomic_load(&record->connections), atomic_load(&record->commands),
	    atomic_load(&record->messages), atomic_load(&record->round_trips),
	    atomic_load(&record->octets));

	return (size_t)n;
}

void
record_write_totals(struct record *record)
{
	char line[256];
	size_t length = format_totals(record, line, sizeof line);

	(void)write_all(record->fd != -1 ? record->fd : STDERR_FILENO, line, length);
}

int
record_write_stats(struct record *record, const char *path)
{
	char line[256];
	size_t length = format_totals(record, line, sizeof line);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd == -1)
		return -1;
	int r = write_all(fd, line, length);
	return close(fd) == -1 ? -1 : r;
}
