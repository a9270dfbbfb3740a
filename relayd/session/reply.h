/*
 * Replies of an SMTP server: RFC 5321 section 4.2, enhanced status codes of RFC
 * 3463 and RFC 2034.
 */
#ifndef RELAYD_SESSION_REPLY_H
#define RELAYD_SESSION_REPLY_H

#include "base/buf.h"
#include "relayd/session/stream.h"

#define REPLY_LINES_MAX 200
#define REPLY_OCTETS_MAX (64 << 10)

struct reply {
	unsigned code;     /* 200 to 599 */
	char enhanced[12]; /* "5.1.1", or "" */
	struct buf text;   /* lines without their code, separated by '\n' */
};

/* Cuts one line into code and text.  1: the last line; 0: more follow; -1: it is
 * no reply. */
int reply_parse_line(const char *line, size_t len, unsigned *code, const char **text);

/* Takes the enhanced status code off the front of text, if there is one that
 * fits the code; returns the rest. */
const char *reply_parse_enhanced(const char *text, unsigned code, char enhanced[12]);

/* Flushes what was written and reads one reply; 0, or -1 as the stream says.
 * The reply is to be initialised with {.code = 0} and freed. */
int reply_read(struct stream *s, struct reply *r);
void reply_free(struct reply *r);

/* "550 5.1.1 no such user", in one printable line. */
char *reply_line(const struct reply *r, char *dst, size_t size);

#endif
