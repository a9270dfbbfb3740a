/*
 * The directories of the spool.  They are opened once and used through their
 * descriptors, so that a later rename of a parent changes nothing, and no path
 * is followed twice.
 */
#include "spool/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

#define SWEEP_AGE (36 * 3600) /* seconds */

int
spool_fail(struct spool *s, const char *what, const char *sub)
{
	int saved = errno;

	snprintf(s->problem, sizeof(s->problem), "cannot %s %s%s%s: %s", what, s->directory,
	    *sub == '\0' ? "" : "/", sub, strerror(saved));
	errno = saved;
	return -1;
}

static int
directory_settle(int fd, const struct passwd *owner, mode_t mode)
{
	if (owner != NULL && fchown(fd, owner->pw_uid, owner->pw_gid) < 0)
		return -1;
	return fchmod(fd, mode) < 0 || fsync(fd) < 0 ? -1 : 0;
}

/* Makes sub, hands it to the account if there is one to hand it to, and only then
 * gives it its name: nobody puts a file into it that the account could not read. */
static int
subdirectory_create(struct spool *s, const char *sub, const struct passwd *owner, mode_t mode)
{
	char new[NAME_LEN + 2];
	struct queue_name name;
	mode_t umask_before = umask(077);
	int fd = -1, r = -1;

	if (name_make(&name) == 0) {
		snprintf(new, sizeof(new), ".%s", name.text);
		if (mkdirat(s->dir, new, 0700) == 0)
			fd = openat(s->dir, new, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	umask(umask_before);
	if (fd >= 0 && directory_settle(fd, owner, mode) == 0) {
		r = renameat2(s->dir, new, s->dir, sub, RENAME_NOREPLACE);
		/* somebody else was faster, or the file system cannot be asked that way */
		if (r < 0 && errno == EINVAL)
			r = renameat(s->dir, new, s->dir, sub);
		if (r < 0 && (errno == EEXIST || errno == ENOTEMPTY))
			r = unlinkat(s->dir, new, AT_REMOVEDIR);
	}
	if (r < 0)
		spool_fail(s, "create", sub);
	if (r < 0 && fd >= 0)
		unlinkat(s->dir, new, AT_REMOVEDIR);
	if (fd >= 0)
		close(fd);
	return r;
}

static bool
is_missing(struct spool *s, const char *sub)
{
	return faccessat(s->dir, sub, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

static int
subdirectories_create(struct spool *s, const char *user)
{
	const struct passwd *owner = NULL;
	struct stat st;
	bool queue = is_missing(s, "queue"), state = is_missing(s, "state");

	if (!queue && !state)
		return 0;
	if (fstat(s->dir, &st) < 0)
		return spool_fail(s, "examine", "");
	if (st.st_uid != geteuid()) {
		errno = ENOENT;
		return queue ? spool_fail(s, "open", "queue") : 0;
	}
	if (geteuid() == 0 && (st.st_mode & 022) != 0) {
		errno = EPERM;
		return spool_fail(s, "trust, because others can write to it,", "");
	}
	if (geteuid() == 0) {
		errno = 0;
		owner = getpwnam(user);
		if (owner == NULL) {
			snprintf(s->problem, sizeof(s->problem),
			    "cannot create %s/queue: there is no user \"%s\"; create it, or name "
			    "another one with the setting user",
			    s->directory, user);
			errno = ENOENT;
			return -1;
		}
	}
	if (state && subdirectory_create(s, "state", owner, 0700) < 0)
		return -1;
	return queue ? subdirectory_create(s, "queue", owner, owner != NULL ? 01730 : 0700) : 0;
}

static int
directory_open(struct spool *s, const char *directory, uint64_t reserve)
{
	*s = (struct spool){ .dir = -1, .queue = -1, .reserve = reserve };
	if (strlen(directory) >= sizeof(s->directory)) {
		errno = ENAMETOOLONG;
		return spool_fail(s, "open", directory);
	}
	memcpy(s->directory, directory, strlen(directory) + 1);
	s->dir = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return s->dir < 0 ? spool_fail(s, "open the spool directory", "") : 0;
}

static int
queue_open(struct spool *s)
{
	s->queue = openat(s->dir, "queue", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return s->queue < 0 ? spool_fail(s, "open", "queue") : 0;
}

int
spool_open(struct spool *s, const char *directory, const char *user, uint64_t reserve)
{
	if (directory_open(s, directory, reserve) < 0 || subdirectories_create(s, user) < 0)
		return -1;
	return queue_open(s);
}

/* Errors that mean "not here, not with these rights". */
bool
spool_is_closed(int error)
{
	return error == EACCES || error == EPERM || error == EROFS || error == ENOENT ||
	       error == ENOTDIR;
}

int
spool_open_submission(struct spool *s, const char *directory, const char *user, uint64_t reserve,
    const char *runtime_directory, const struct rights *rights)
{
	int r = directory_open(s, directory, reserve);

	/* nearly always it is there, and nothing has to be asked */
	if (r == 0 && queue_open(s) < 0)
		r = errno != ENOENT || subdirectories_create(s, user) < 0 ? -1 : queue_open(s);
	s->rights = rights;
	s->runtime_directory = runtime_directory;
	/* the problem stays, in case that relayd does not help either */
	return r < 0 && spool_is_closed(errno) ? 0 : r;
}

void
spool_close(struct spool *s)
{
	if (s->queue >= 0)
		close(s->queue);
	if (s->dir >= 0)
		close(s->dir);
	s->dir = s->queue = -1;
}

static int
subdirectory_open(struct spool *s, const char *sub)
{
	int fd = openat(s->dir, sub, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? spool_fail(s, "open", sub) : fd;
}

int
spool_open_queue(struct spool *s)
{
	return subdirectory_open(s, "queue");
}

int
spool_open_state(struct spool *s)
{
	return subdirectory_open(s, "state");
}

void
spool_sweep(int queue_fd, const char *name)
{
	struct stat st;
	int fd;

	if (*name != '.' || !name_is_valid(name + 1) ||
	    fstatat(queue_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
	    clock_real() / 1000000 - st.st_mtime < SWEEP_AGE)
		return;
	fd = openat(queue_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return;
	/* whoever still writes it holds the lock */
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		unlinkat(queue_fd, name, 0);
	close(fd);
}
