/*
 * Runs the program that `password command:` or `token command:` names.
 */
#ifndef RELAYD_SESSION_PROGRAM_H
#define RELAYD_SESSION_PROGRAM_H

#include <stddef.h>

#include "base/buf.h"

/*
 * Appends what the program writes to standard output to `out`, up to its cap; what it
 * writes to standard error goes to the log.  `what` ("password", "token") is for the words
 * of both.  The program has ten seconds and must exit with 0.  0, or -1 with problem in
 * words, which has the program's path and none of its arguments.
 */
int program_run(const char *command, const char *what, struct buf *out, char *problem, size_t size);

#endif
