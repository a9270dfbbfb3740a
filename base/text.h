/*
 * Text from outside made fit for a terminal, a log line or a report: whatever
 * could move a cursor, hide, reorder or end a line is shown as \xNN instead.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* Appends src to b.  Kept as they are: tabs, printable ASCII and well-formed UTF-8
 * (RFC 3629) other than control, bidirectional and other format characters.
 * Returns 0 or -1 as buf_append(). */
int text_add_printable(struct buf *b, const char *src, size_t len);

/* The same into a fixed field; always NUL-terminated, cut between characters.
 * Returns dst. */
char *text_copy_printable(char *dst, size_t size, const char *src, size_t len);

/* The length (1 to 4) of the well-formed UTF-8 sequence at s, 0 if none. */
size_t text_utf8_length(const char *s, size_t len);
bool text_is_utf8(const char *s, size_t len);
bool text_is_ascii(const char *s, size_t len);

#endif
