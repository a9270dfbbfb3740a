/*
 * The log of the running program: one line per event.  A line goes through
 * text_add_printable() as a whole, so nothing from outside can forge another.
 *
 * This is the one piece of state that a process keeps outside its main file: it
 * has one log, and an error deep down must reach it.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

/* levels as in syslog(3) */
enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARNING = 4, LOG_LEVEL_INFO = 6 };

typedef void log_sink(void *context, enum log_level level, const char *line);

/* Lines go to stderr with "ident: " in front. */
void log_to_stderr(const char *ident);
/* Lines go to syslog, facility mail; to stderr when there is no /dev/log. */
void log_to_syslog(const char *ident);
bool log_is_syslog(void);
/* Lines go to a function of the caller's. */
void log_to_sink(log_sink *sink, void *context);

/* text as the value of a key=value pair: in quotes, those within it made single. */
#define LOG_VALUE_SIZE 700
char *log_quote(const char *text, char dst[static LOG_VALUE_SIZE]);

#define LOG_FORMAT __attribute__((format(printf, 1, 2)))
void log_info(const char *fmt, ...) LOG_FORMAT;
void log_warn(const char *fmt, ...) LOG_FORMAT;
void log_error(const char *fmt, ...) LOG_FORMAT;
/* with ": " and the text of errno behind the line */
void log_warn_errno(const char *fmt, ...) LOG_FORMAT;
void log_error_errno(const char *fmt, ...) LOG_FORMAT;

#endif
