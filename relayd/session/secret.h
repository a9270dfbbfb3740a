/*
 * Reads the secret that `password` or `token` names: file:PATH, credential:NAME or
 * command:PROGRAM ARGUMENTS.
 */
#ifndef RELAYD_SESSION_SECRET_H
#define RELAYD_SESSION_SECRET_H

#include "base/buf.h"

#define SECRET_OCTETS_MAX 65536

enum secret_kind { SECRET_PASSWORD, SECRET_TOKEN };

/* The secret without its line end; 0, or -1 with problem in words.  A file must
 * be ours (or root's) and closed to everybody else; one of systemd's credentials
 * is granted by other means. */
int secret_read(
    enum secret_kind kind, const char *source, struct buf *secret, char *problem, size_t size);

/* A private key, under the same rules; the content as it is. */
int secret_read_key(const char *path, struct buf *key, char *problem, size_t size);

#endif
