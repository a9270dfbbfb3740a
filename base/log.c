/*
 * Three outputs, one formatter.  Nothing is allocated beyond the line, and a
 * line longer than LINE_MAX_OCTETS is cut, not lost.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/text.h"

#define LINE_MAX_OCTETS 4000

static struct {
	const char *ident;
	log_sink *sink;
	void *context;
} output;

static void
sink_stderr(void *context, enum log_level level, const char *line)
{
	struct buf b = BUF_INIT(LINE_MAX_OCTETS + 100);

	(void)context;
	(void)level;
	/* one write, so that lines of several processes do not mix */
	buf_addf(&b, "%s: %s\n", output.ident != NULL ? output.ident : "postbag", line);
	file_write(STDERR_FILENO, buf_string(&b), b.len);
	buf_free(&b);
}

static void
sink_syslog(void *context, enum log_level level, const char *line)
{
	(void)context;
	syslog((int)level, "%s", line);
}

void
log_to_stderr(const char *ident)
{
	output.ident = ident;
	log_to_sink(sink_stderr, NULL);
}

void
log_to_syslog(const char *ident)
{
	output.ident = ident;
	if (access("/dev/log", W_OK) < 0) {
		log_to_sink(sink_stderr, NULL);
		return;
	}
	openlog(ident, LOG_PID | LOG_NDELAY, LOG_MAIL);
	log_to_sink(sink_syslog, NULL);
}

bool
log_is_syslog(void)
{
	return output.sink == sink_syslog;
}

void
log_to_sink(log_sink *sink, void *context)
{
	output.sink = sink;
	output.context = context;
}

__attribute__((format(printf, 3, 0))) static void
log_line(enum log_level level, int error, const char *fmt, va_list ap)
{
	char raw[LINE_MAX_OCTETS];
	struct buf line = BUF_INIT(LINE_MAX_OCTETS);
	int saved = errno;

	vsnprintf(raw, sizeof(raw), fmt, ap);
	text_add_printable(&line, raw, strlen(raw));
	if (error != 0)
		buf_addf(&line, ": %s", strerror(error));
	if (output.sink != NULL)
		output.sink(output.context, level, buf_string(&line));
	else
		sink_stderr(NULL, level, buf_string(&line));
	buf_free(&line);
	errno = saved;
}

char *
log_quote(const char *text, char dst[static LOG_VALUE_SIZE])
{
	snprintf(dst, LOG_VALUE_SIZE - 1, "\"%s", text);
	for (char *s = dst + 1; *s != '\0'; s++)
		if (*s == '"')
			*s = '\'';
	memcpy(dst + strlen(dst), "\"", 2);
	return dst;
}

#define LOG_FUNCTION(name, level, error)         \
	void name(const char *fmt, ...)          \
	{                                        \
		va_list ap;                      \
                                                 \
		va_start(ap, fmt);               \
		log_line(level, error, fmt, ap); \
		va_end(ap);                      \
	}

LOG_FUNCTION(log_info, LOG_LEVEL_INFO, 0)
LOG_FUNCTION(log_warn, LOG_LEVEL_WARNING, 0)
LOG_FUNCTION(log_error, LOG_LEVEL_ERROR, 0)
LOG_FUNCTION(log_warn_errno, LOG_LEVEL_WARNING, errno)
LOG_FUNCTION(log_error_errno, LOG_LEVEL_ERROR, errno)
