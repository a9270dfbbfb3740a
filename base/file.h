/*
 * Reading and writing whole buffers, EINTR handled here and nowhere else.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"

/* Writes all of it.  Returns 0 or -1 with errno. */
int file_write(int fd, const void *data, size_t len);

/* One read(2), repeated after EINTR. */
ssize_t file_read(int fd, void *data, size_t len);

/* Reads up to len octets, less only at the end of the file; -1 with errno. */
ssize_t file_read_full(int fd, void *data, size_t len);

/* Appends the rest of fd to b, up to b's cap: ENOBUFS beyond. */
int file_read_all(int fd, struct buf *b);

/* Opens a regular file for reading: never blocks on a FIFO or a device, which
 * fail with EINVAL.  dirfd as in openat(2).  flags may add O_NOFOLLOW. */
int file_open_regular(int dirfd, const char *path, int flags);

/* Opens what is closed of the descriptors 0 to 2, so that no file that is opened
 * later takes their place; standard input then cannot be read.  0 or -1. */
int file_fill_standard(void);

int file_set_nonblocking(int fd, int on);

#endif
