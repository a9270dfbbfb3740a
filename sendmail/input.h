/*
 * A message on standard input, line by line, in constant memory: CR LF and LF end
 * a line, a lone dot ends the message unless told otherwise, and what comes out
 * is ready for CRLF behind each line.
 *
 * The octets come from a descriptor, or from a source that knows by itself where the
 * message ends (the content of an SMTP conversation).
 */
#ifndef SENDMAIL_INPUT_H
#define SENDMAIL_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* As read(2): some octets, 0 at the end of the message, -1 with errno. */
typedef ssize_t input_source(void *context, char *data, size_t size);

struct input {
	int fd;               /* if there is no source */
	input_source *source; /* or NULL */
	void *context;
	bool ignore_dots;
	uint64_t timeout; /* for each read, microseconds; 0: none */
	bool whole_lines; /* a piece ends within a line only if the chunk is full */
	bool within_line; /* the last piece did not end its line */
	bool ended;       /* the end of the file, or the dot */
	bool dot;         /* it was a dot */
	bool failed;      /* reading failed: error */
	int error;        /* errno */
	char *chunk;
	size_t at, len;
};

/* A piece of a line. */
struct piece {
	const char *data; /* within the input's chunk, until the next call */
	size_t len;       /* may be 0 */
	bool begins_line;
	bool ends_line; /* its line end has been taken off */
};

/* 0 or -1 with errno ENOMEM. */
int input_init(struct input *in, int fd, bool ignore_dots);
/* The same; no dot ends the message. */
int input_init_source(struct input *in, input_source *source, void *context);
void input_fini(struct input *in);

/* 1: *p is the next piece; 0: the message has ended (its last line counts as
 * ended, with or without a line end); -1: in->error. */
int input_next(struct input *in, struct piece *p);

/* After a dot: did more come with it, that nobody will read? */
bool input_has_more(const struct input *in);

#endif
