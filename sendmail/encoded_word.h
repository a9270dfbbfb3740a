/*
 * Encoded words: any text in a header field, in lines of ASCII (RFC 2047).
 */
#ifndef SENDMAIL_ENCODED_WORD_H
#define SENDMAIL_ENCODED_WORD_H

#include "base/buf.h"

#define ENCODED_WORD_MAX 75

/* Is it one, of whatever length? */
bool encoded_word_is(const char *s, size_t len);

/* Appends text as encoded words, divided by CRLF and a blank; the first has `room`
 * octets (at most ENCODED_WORD_MAX; too few: it is on a line of its own).  Characters of
 * UTF-8 are kept whole.  0 or -1 as buf_append(). */
int encoded_word_add(struct buf *b, const char *charset, const char *text, size_t len, size_t room);

/* The charset to name for a text: "utf-8" if it is that, else "unknown-8bit". */
const char *encoded_word_charset(const char *text, size_t len);

/* Appends one encoded word that is too long as several.  1; 0 if that cannot be done,
 * because its characters cannot be told apart; -1 as buf_append(). */
int encoded_word_split(struct buf *b, const char *s, size_t len, size_t room);

#endif
