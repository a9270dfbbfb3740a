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

/* Creates sub with mode 0700 and hands it to the account, if there is one to
 * hand it to, with the final mode last. */
static int
subdirectory_create(struct spool *s, const char *sub, const struct passwd *owner, mode_t mode)
{
	int fd, r = -1;

	if (mkdirat(s->dir, sub, 0700) < 0 && errno != EEXIST)
		return spool_fail(s, "create", sub);
	/* whatever the umask took away */
	if (fchmodat(s->dir, sub, 0700, 0) < 0)
		return spool_fail(s, "set the mode of", sub);
	fd = openat(s->dir, sub, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return spool_fail(s, "open", sub);
	if ((owner != NULL && fchown(fd, owner->pw_uid, owner->pw_gid) < 0) || fchmod(fd, mode) < 0)
		spool_fail(s, "set owner and mode of", sub);
	else if (fsync(fd) < 0)
		spool_fail(s, "sync", sub);
	else
		r = 0;
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

int
spool_open(struct spool *s, const char *directory, const char *user, uint64_t reserve)
{
	*s = (struct spool){ .dir = -1, .queue = -1, .reserve = reserve };
	if (strlen(directory) >= sizeof(s->directory)) {
		errno = ENAMETOOLONG;
		return spool_fail(s, "open", directory);
	}
	memcpy(s->directory, directory, strlen(directory) + 1);
	s->dir = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->dir < 0)
		return spool_fail(s, "open the spool directory", "");
	if (subdirectories_create(s, user) < 0)
		return -1;
	s->queue = openat(s->dir, "queue", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->queue < 0)
		return spool_fail(s, "open", "queue");
	return 0;
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

static void
sweep_file(int queue_fd, const char *name)
{
	struct stat st;
	int fd;

	if (fstatat(queue_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
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

void
spool_sweep(int queue_fd)
{
	DIR *dir;
	struct dirent *d;
	int fd = openat(queue_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	dir = fdopendir(fd);
	if (dir == NULL) {
		close(fd);
		return;
	}
	while ((d = readdir(dir)) != NULL)
		if (d->d_name[0] == '.' && name_is_valid(d->d_name + 1))
			sweep_file(queue_fd, d->d_name);
	closedir(dir);
}
