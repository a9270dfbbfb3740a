/*
 * The right to create in queue/, which an installed sendmail has by its set-gid
 * bit.  It is in force only between rights_raise() and rights_lower(), around the
 * calls that need it; everything else, reading the message, the configuration and
 * the aliases among it, happens with the rights of the caller.
 *
 * A NULL pointer, or a program without the bit, makes all of these do nothing.
 */
#ifndef SPOOL_RIGHTS_H
#define SPOOL_RIGHTS_H

#include <stdbool.h>
#include <sys/types.h>

struct rights {
	gid_t group; /* of the set-gid bit */
	gid_t own;   /* the caller's */
	bool held;   /* the group can be taken */
};

/* At the start of a program: puts the caller's identity into force, a set-uid bit is
 * given up for good.  0 or -1 with errno: then the program must end. */
int rights_init(struct rights *r);

/* A failed raise shows in the call that it is meant for. */
void rights_raise(const struct rights *r);
void rights_lower(const struct rights *r);

/* Gives the group up for good; a failure ends the program. */
void rights_drop(struct rights *r);

#endif
