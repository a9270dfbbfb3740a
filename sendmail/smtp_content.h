/*
 * The content behind DATA: where it ends, and which dots of it are its own
 * (RFC 5321 section 4.5.2).
 *
 * With CRLF line ends only CRLF "." CRLF ends it and a line starts only behind CRLF:
 * no other order of CR, LF and NUL that some server takes for a line end can hide a
 * second message in the first.
 */
#ifndef SENDMAIL_SMTP_CONTENT_H
#define SENDMAIL_SMTP_CONTENT_H

#include <stdbool.h>
#include <stddef.h>

struct smtp_content {
	bool lf; /* LF ends a line, too */
	bool ended;
	enum {
		CONTENT_LINE_START,
		CONTENT_DOT,    /* a dot at the start of a line, held back */
		CONTENT_DOT_CR, /* the same and a CR */
		CONTENT_CR,     /* a CR within a line */
		CONTENT_LINE,
	} state; /* of the zero value: at the start of a line */
};

/*
 * Takes octets of in and puts content into out.  Returns how many went out, and *taken
 * how many came in, until one of the two is full or the content has ended.
 */
size_t smtp_content_decode(struct smtp_content *c, const char *in, size_t in_len, size_t *taken,
    char *out, size_t out_size);

#endif
