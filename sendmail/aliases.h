/*
 * The alias file, aliases(5): read once, looked up by name.
 *
 * An entry that is wrong spoils only itself.  Its targets are judged when it is
 * used, so that a file of 100,000 aliases costs a submission no more than reading
 * it and gathering the names.
 */
#ifndef SENDMAIL_ALIASES_H
#define SENDMAIL_ALIASES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "sendmail/identity.h"

#define ALIASES_OCTETS_MAX (64 << 20)
#define ALIASES_INCLUDE_OCTETS_MAX (16 << 20)
#define ALIASES_INCLUDE_DEPTH_MAX 10
#define ALIASES_DEPTH_MAX 100 /* aliases that lead to aliases */

/* For whoever walks through the aliases: the pass that came here last, and whether it
 * is still at it. */
struct visit {
	unsigned pass;
	bool active;
};

struct alias {
	const char *name;    /* in lower case, without quotation; "*" is "default".  If there is
			      * none: how the line begins */
	const char *targets; /* for targets_parse() */
	size_t len;
	unsigned line;
	bool named;          /* it can be found */
	const char *problem; /* a constant: why there are no targets; else NULL */
	struct visit visit;
};

/* An :include: file, read at the first use. */
struct include {
	char *path;
	struct buf text;   /* for targets_parse() by line */
	char problem[160]; /* why it cannot be used, or "" */
	bool temporary;    /* that is no fault of the list */
	struct visit visit;
	bool checked;
};

struct aliases {
	char *path;
	uid_t owner;
	struct buf text;
	struct alias *entries; /* in the order of the file */
	size_t count, size;
	size_t *index; /* a hash table of places in entries, plus 1 */
	size_t index_size;
	void *includes; /* tsearch(3) */
};

/* 0, or -1 with errno as targets_load(); aliases_free() in both cases. */
int aliases_read(struct aliases *a, const char *path);
void aliases_free(struct aliases *a);

/* The first entry of that name (as local_name() makes it), or NULL.  It may have a
 * problem, and then no other of that name is better. */
struct alias *aliases_find(struct aliases *a, const char *name);

/* The file of that path; NULL without memory. */
struct include *aliases_include(struct aliases *a, const char *path);

/*
 * Everything that is wrong with the file, its :include: files and the ways that its
 * aliases lead, one line "FILE:LINE: NAME: what, and what to do" for each call of the
 * function, in the order of the file.  Sets *errors and *good (aliases that can be
 * used).  0, or -1 without memory.
 */
typedef void aliases_report_function(void *context, const char *line);
int aliases_check(struct aliases *a, const struct settings *s, const struct identity *id,
    aliases_report_function *report, void *context, size_t *good, size_t *errors);

#endif
