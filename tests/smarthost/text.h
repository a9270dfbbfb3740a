/*
 * Text that comes from a command line, a rules file or a client: numbers, escapes, a growing
 * buffer with a cap.  A zeroed struct text_buffer with a cap is valid and empty.
 */
#ifndef SMARTHOST_TEXT_H
#define SMARTHOST_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text_buffer {
	char *bytes; /* NUL-terminated once anything was appended */
	size_t length;
	size_t size;
	size_t cap; /* most octets it will ever hold */
};

/* Whole text is a decimal number in min..max; no sign, no blanks. */
bool text_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *number);

/* Replaces the C escapes \a..\v \\ \" \' \? \xHH \NNN in place; returns the new length. */
size_t text_unescape(char *text);

/* Writes bytes into out (size octets with the NUL), control characters as \xHH, cut to fit. */
size_t text_printable(char *out, size_t size, const char *bytes, size_t length);

/* False, and nothing appended, when the cap or memory is exhausted. */
bool text_append(struct text_buffer *buffer, const char *bytes, size_t length);
bool text_append_string(struct text_buffer *buffer, const char *text);

/* What was appended so far; "" when nothing was. */
const char *text_string(const struct text_buffer *buffer);

/* Keeps the first length octets; length is at most what there is. */
void text_truncate(struct text_buffer *buffer, size_t length);
void text_free(struct text_buffer *buffer);

#endif
