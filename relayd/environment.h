/*
 * What a child process of relayd gets of its environment.
 */
#ifndef RELAYD_ENVIRONMENT_H
#define RELAYD_ENVIRONMENT_H

#include <stddef.h>

#define ENVIRONMENT_MAX 5 /* entries, with the NULL at their end */

/* Fills env with what is needed and ends it with NULL.  Only between fork(2) and
 * execve(2): what it allocates is not freed. */
void environment_keep(char *env[static ENVIRONMENT_MAX]);

#endif
