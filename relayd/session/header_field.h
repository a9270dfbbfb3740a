/*
 * The fields of a header as they stand in memory (RFC 5322 section 2.2).
 */
#ifndef RELAYD_SESSION_HEADER_FIELD_H
#define RELAYD_SESSION_HEADER_FIELD_H

#include <stdbool.h>
#include <stddef.h>

struct field {
	const char *text; /* with its line ends */
	size_t len, name_len;
	const char *value; /* behind the colon */
	size_t value_len;  /* with the last line end */
};

/* The length of the name at the start of a line; 0 if it begins no field.  Blanks
 * before the colon are RFC 5322 section 4.5. */
size_t field_name_length(const char *line, size_t len, size_t *colon);

/* The field at *at, which moves behind it; false at the end or the empty line. */
bool field_next(const char *header, size_t len, size_t *at, struct field *f);

bool field_is(const struct field *f, const char *name);

#endif
