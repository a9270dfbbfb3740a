/*
 * Encoded words: any text in a header field, in lines of ASCII (RFC 2047).
 */
#ifndef RELAYD_SESSION_ENCODED_WORDS_H
#define RELAYD_SESSION_ENCODED_WORDS_H

#include <stdbool.h>

#include "base/buf.h"

/* "utf-8" if it is that, else "unknown-8bit". */
const char *encoded_words_charset(const char *text, size_t len);

/* The octets of the last line of b, from which folding follows. */
size_t line_column(const struct buf *b);

/*
 * Appends text, which has no line ends, folded at its blanks; words with octets above 127
 * become encoded words, with `all` every word that is none already.  0 or -1 as
 * buf_append().
 */
int encoded_words_add(struct buf *b, const char *text, size_t len, bool all);

#endif
