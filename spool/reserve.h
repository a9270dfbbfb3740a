/*
 * Space for a file that grows, ahead of its end, so that it can grow when the disk is
 * full.
 */
#ifndef SPOOL_RESERVE_H
#define SPOOL_RESERVE_H

#include <sys/types.h>

/* Prepares an empty file: on btrfs only one that is not copied on write can use what was
 * reserved for it. */
void reserve_prepare(int fd);

/* Allocates length octets from there on; the size of the file stays.  0, or -1 with
 * errno: EOPNOTSUPP where the file system cannot do that. */
int reserve_make(int fd, off_t from, off_t length);

#endif
