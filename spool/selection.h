/*
 * Which waiting messages somebody means: those whose queue ID, sender or a recipient
 * contains a text, or those of which that is not so.  relayd and the commands that do
 * without it choose by the same rule.
 */
#ifndef SPOOL_SELECTION_H
#define SPOOL_SELECTION_H

#include <stdbool.h>

#include "spool/index.h"

struct selection {
	char kind;    /* I: queue ID, R: recipient, S: sender */
	bool negated; /* those that do not match */
	const char *text;
};

/* "[!]I|R|S TEXT", the argument of a request (spool/control.h); text is borrowed.
 * False if it is none. */
bool selection_parse(struct selection *s, const char *argument);

/* Addresses are compared without regard to ASCII case.  A recipient that is finished does not
 * count, and a file that is no message has neither sender nor recipient. */
bool selection_matches(
    const struct selection *s, const struct index *x, const struct index_entry *e, int queue_fd);

#endif
