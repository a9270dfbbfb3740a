/*
 * The lexical level of a configuration file: one setting a line, a name, blanks
 * and the value to the end of the line.  `#` begins a comment at the start of a
 * line or after a blank; "…" quotes a value that needs a `#`, or blanks at its
 * ends (`\"` and `\\` inside).  A byte order mark and CR before the line end are
 * ignored.
 */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include <stddef.h>

#include "base/buf.h"

#define CONF_FILE_MAX (1 << 20)  /* octets */
#define CONF_LINE_MAX (16 << 10) /* octets */

struct conf_line {
	unsigned number; /* from 1 */
	char *name;
	char *value; /* "" if there is none */
};

struct conf_reader {
	char *next;
	unsigned number;
};

/* Reads the whole regular file into text; 0, or -1 with errno (EINVAL: not a
 * regular file, ENOBUFS: larger than CONF_FILE_MAX, EILSEQ: a NUL octet). */
int conf_load(const char *path, struct buf *text);

/* text must outlive the reader and is changed by it. */
void conf_reader_init(struct conf_reader *r, struct buf *text);

/* 1: *line is the next setting; 0: the end; -1: the line is bad and *error says
 * why (a constant); the reader goes on behind it. */
int conf_reader_next(struct conf_reader *r, struct conf_line *line, const char **error);

#endif
