/*
 * fallocate(2), not posix_fallocate(3), which would write zeros where the file system
 * cannot reserve.
 */
#include "spool/reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

void
reserve_prepare(int fd)
{
	struct statfs fs;
	int flags;

	/* if it cannot be: a full disk may stop delivery there, and nothing is lost */
	if (fstatfs(fd, &fs) < 0 || fs.f_type != BTRFS_SUPER_MAGIC ||
	    ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		return;
	flags |= FS_NOCOW_FL;
	ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

int
reserve_make(int fd, off_t from, off_t length)
{
	int r;

	do
		r = fallocate(fd, FALLOC_FL_KEEP_SIZE, from, length);
	while (r < 0 && errno == EINTR);
	return r;
}
