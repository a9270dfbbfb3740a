/*
 * A request about the queue, whoever can answer it: relayd over its socket; or,
 * while relayd is down, this process itself, if it is root's or the owner's.
 */
#ifndef SPOOL_REQUEST_H
#define SPOOL_REQUEST_H

#include "base/buf.h"
#include "base/settings.h"

/* request is a line of spool/control.h without its end.  The answer is copied to
 * out_fd.  0, or an exit code with one line in *error, which the caller frees. */
int request_run(const struct settings *s, const char *request, int out_fd, struct buf *error);

/* The same without relayd: reads (list, show) or locks and writes (retry, select,
 * remove) the spool.  As root it first becomes the owner of state/, for good. */
int request_offline(const struct settings *s, const char *request, int out_fd, struct buf *error);

#endif
