/*
 * The targets of an alias: the right-hand side of aliases(5), and the list in an
 * :include: file.  What a target cannot be used for is part of what is found here,
 * not an error: one bad target must not hide the others.
 */
#ifndef SENDMAIL_TARGETS_H
#define SENDMAIL_TARGETS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "sendmail/address.h"

enum target_kind { TARGET_ADDRESS, TARGET_INCLUDE, TARGET_BAD };

struct target {
	enum target_kind kind;
	unsigned line;
	char written[128];      /* as it stands in the file, printable, for messages */
	struct address address; /* of TARGET_ADDRESS; its places mean nothing */
	const char *path;       /* of TARGET_INCLUDE */
	const char *problem;    /* of TARGET_BAD: a constant */
};

/* What it is given lives until it returns; other than 0 ends the parse. */
typedef int target_function(void *context, const struct target *t);

/*
 * Calls the function for each target of the len octets, which begin in the given
 * line of a file.  They are separated by commas, in an :include: file (by_line) by
 * line ends, too.  Returns 0, what the function returned, or -1 without memory.
 */
int targets_parse(const char *text, size_t len, unsigned line, bool by_line,
    target_function *function, void *context);

/*
 * Reads a file of aliases or addresses up to max octets: CR LF becomes LF, and
 * comment lines become blanks.  *owner and *mode are the file's.  -1 with errno
 * (EINVAL: not a regular file; ENOBUFS: longer than max); b is then empty.
 */
int targets_load(const char *path, size_t max, struct buf *b, uid_t *owner, mode_t *mode);

/* What errno of targets_load() means, for people. */
const char *targets_load_problem(int error);

#endif
