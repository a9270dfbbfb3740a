/*
 * The file of a message that is being written: without a name from O_TMPFILE, or,
 * where a file system cannot do that, under a dot name that is locked against the
 * sweeper; at the end it gets its name and is synced.
 *
 * The rights of a set-gid sendmail are in force here, and only around the calls
 * that create, name and remove.
 */
#include "spool/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"

#define RESERVE_DEFAULT (64 << 20)

/* Errors that another way of writing does not cure. */
static bool
is_final(int error)
{
	return error == ENOSPC || error == EDQUOT || error == EIO;
}

static int
space_check(struct spool *s)
{
	struct statvfs fs;
	uint64_t free_octets, reserve = s->reserve;

	if (fstatvfs(s->queue, &fs) < 0)
		return spool_fail(s, "examine the file system of", "queue");
	free_octets = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (reserve == 0) {
		reserve = (uint64_t)fs.f_blocks * fs.f_frsize / 20;
		if (reserve > RESERVE_DEFAULT)
			reserve = RESERVE_DEFAULT;
	}
	/* some file systems (btrfs) count no inodes */
	if (free_octets >= reserve && free_octets - reserve >= s->announced &&
	    (fs.f_files == 0 || fs.f_favail > 0))
		return 0;
	snprintf(s->problem, sizeof(s->problem),
	    "no space for a message in %s/queue: %llu octets and %llu inodes are free, and the "
	    "setting spool_reserve keeps %llu octets: make room, or lower it",
	    s->directory, (unsigned long long)free_octets, (unsigned long long)fs.f_favail,
	    (unsigned long long)reserve);
	errno = ENOSPC;
	return -1;
}

/* A file under a dot name, for file systems without O_TMPFILE. */
static int
temporary_create(struct message_writer *w)
{
	struct queue_name name;

	if (name_make(&name) < 0)
		return -1;
	snprintf(w->temporary, sizeof(w->temporary), ".%s", name.text);
	rights_raise(w->spool->rights);
	w->fd = openat(w->spool->queue, w->temporary,
	    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	rights_lower(w->spool->rights);
	if (w->fd < 0) {
		w->temporary[0] = '\0';
		return -1;
	}
	flock(w->fd, LOCK_EX | LOCK_NB);
	/* relayd must be able to open it, to see whether it is still locked */
	return fchmod(w->fd, 0640);
}

/* The daemon, who owns queue/, reads another's file through its group.  Root and
 * the members of that group can give it; whoever can do neither must not leave a
 * file that is never read.  Equal numbers are not enough: in a user namespace all
 * that it does not map look the same, and only the kernel knows. */
static int
group_set(struct message_writer *w)
{
	struct stat queue, file;

	if (fstat(w->spool->queue, &queue) < 0 || fstat(w->fd, &file) < 0)
		return -1;
	if (file.st_gid != queue.st_gid && file.st_uid == queue.st_uid)
		return 0;
	if (fchown(w->fd, (uid_t)-1, queue.st_gid) == 0)
		return 0;
	if (errno != EINVAL)
		return -1;
	/* that group is not mapped; where it may not write, the file is of the owner */
	errno = EPERM;
	return (queue.st_mode & S_IWGRP) == 0 ? 0 : -1;
}

/* The linkless file could not be linked (no /proc, overlayfs): its octets go
 * into one with a dot name. */
static int
temporary_copy(struct message_writer *w)
{
	char chunk[16384];
	int from = w->fd, r = -1;
	ssize_t n;

	if (lseek(from, 0, SEEK_SET) < 0)
		return -1;
	w->fd = -1;
	if (temporary_create(w) == 0 && group_set(w) == 0) {
		while ((n = file_read(from, chunk, sizeof(chunk))) > 0)
			if (file_write(w->fd, chunk, (size_t)n) < 0)
				break;
		r = n == 0 ? fchmod(w->fd, 0440) : -1;
	}
	close(from);
	return r;
}

static int
file_link(struct message_writer *w)
{
	char self[64];
	int r;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", w->fd);
	rights_raise(w->spool->rights);
	r = linkat(AT_FDCWD, self, w->spool->queue, w->name.text, AT_SYMLINK_FOLLOW);
	rights_lower(w->spool->rights);
	return r;
}

static int
file_rename(struct message_writer *w)
{
	int queue = w->spool->queue, r;

	rights_raise(w->spool->rights);
	r = renameat2(queue, w->temporary, queue, w->name.text, RENAME_NOREPLACE);
	if (r < 0 && errno == EINVAL)
		r = renameat(queue, w->temporary, queue, w->name.text);
	rights_lower(w->spool->rights);
	return r;
}

static int
name_give(struct message_writer *w)
{
	if (w->temporary[0] == '\0') {
		if (file_link(w) == 0)
			return 0;
		if (is_final(errno) || temporary_copy(w) < 0)
			return -1;
	}
	if (file_rename(w) < 0)
		return -1;
	w->temporary[0] = '\0';
	return 0;
}

static void
name_remove(struct spool *s, const char *name)
{
	int saved = errno;

	rights_raise(s->rights);
	unlinkat(s->queue, name, 0);
	rights_lower(s->rights);
	errno = saved;
}

/* The file with its name, then the directory where this process may open it. */
static int
durable_make(struct message_writer *w)
{
	int dir, r;

	if (fsync(w->fd) < 0)
		return -1;
	dir = openat(w->spool->queue, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return 0;
	r = fsync(dir);
	close(dir);
	return r;
}

int
place_create(struct message_writer *w)
{
	struct spool *s = w->spool;

	if (space_check(s) < 0)
		return -1;
	rights_raise(s->rights);
	w->fd = openat(s->queue, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	rights_lower(s->rights);
	if (w->fd < 0 && (is_final(errno) || temporary_create(w) < 0))
		return spool_fail(s, "create a file in", "queue");
	if (group_set(w) < 0)
		return spool_fail(s, "set the group of a file in", "queue");
	return 0;
}

int
place_settle(struct message_writer *w)
{
	if (fchmod(w->fd, 0440) < 0)
		return spool_fail(w->spool, "write a file in", "queue");
	if (name_give(w) < 0)
		return spool_fail(w->spool, "name a file in", "queue");
	if (durable_make(w) == 0)
		return 0;
	/* never retried: the kernel may have dropped the pages already */
	spool_fail(w->spool, "sync a file in", "queue");
	name_remove(w->spool, w->name.text);
	return -1;
}

void
place_forget(struct message_writer *w)
{
	if (w->temporary[0] != '\0')
		name_remove(w->spool, w->temporary);
	w->temporary[0] = '\0';
}
