/*
 * As root only what root alone can do is done: the configuration is read, missing
 * directories are made.  Nothing that others can write has been read by then.
 */
#include "relayd/privilege.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"

/* Is there nothing in the directory? */
static bool
is_empty(int fd)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *d;
	bool empty = dir != NULL;

	while (empty && (d = readdir(dir)) != NULL)
		empty = strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0;
	if (dir != NULL)
		closedir(dir);
	else if (copy >= 0)
		close(copy);
	return empty;
}

/* Only a directory that is root's own, and nobody's yet, may be given away: with
 * /run itself all that is in it would go. */
static int
runtime_directory_give(const char *path, int fd, const struct passwd *owner)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || (st.st_uid != 0 && st.st_uid != owner->pw_uid)) {
		log_error("runtime_directory %s is not a directory of root or %s; name one that "
			  "is, or that does not exist yet",
		    path, owner->pw_name);
		return EX_CONFIG;
	}
	if (st.st_uid != 0)
		return 0;
	if (!is_empty(fd)) {
		log_error("runtime_directory %s is root's, and others keep something in it; name "
			  "a directory for relayd alone",
		    path);
		return EX_CONFIG;
	}
	if (fchown(fd, owner->pw_uid, owner->pw_gid) < 0) {
		log_error_errno("cannot give runtime_directory %s to %s", path, owner->pw_name);
		return EX_TEMPFAIL;
	}
	return 0;
}

static int
runtime_directory_make(const char *path, const struct passwd *owner)
{
	bool made = mkdir(path, 0755) == 0;
	int fd, code;

	if (!made && errno != EEXIST) {
		log_error_errno("cannot create runtime_directory %s", path);
		return EX_TEMPFAIL;
	}
	if (owner == NULL)
		return 0;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* all users come to the socket, whatever the umask of root is */
	if (made && fd >= 0 && fchmod(fd, 0755) < 0)
		log_warn_errno("cannot open runtime_directory %s to all users", path);
	code = runtime_directory_give(path, fd, owner);
	if (fd >= 0)
		close(fd);
	return code;
}

static int
become(const struct passwd *pw)
{
	if (pw->pw_uid == 0) {
		log_error("setting user: relayd does not run as root; name another account");
		return EX_CONFIG;
	}
	if (initgroups(pw->pw_name, pw->pw_gid) < 0 ||
	    setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0) {
		log_error_errno("cannot become %s", pw->pw_name);
		return EX_TEMPFAIL;
	}
	if (setuid(0) == 0 || seteuid(0) == 0) {
		log_error("could become root again; refusing to run");
		return EX_TEMPFAIL;
	}
	return 0;
}

int
privilege_settle(struct relayd *r)
{
	const struct settings *s = &r->settings;
	const struct passwd *pw = NULL;
	int code;

	if (geteuid() == 0) {
		errno = 0;
		pw = getpwnam(s->user);
		if (pw == NULL) {
			log_error(
			    "there is no user \"%s\" to run as; create it, or name another one "
			    "with the setting user",
			    s->user);
			return EX_CONFIG;
		}
	}
	code = runtime_directory_make(s->runtime_directory, pw);
	if (code != 0)
		return code;
	/* bounces may use the space that submissions leave */
	if (spool_open(&r->spool, s->spool_directory, s->user, 1) < 0) {
		log_error("%s", r->spool.problem);
		return EX_TEMPFAIL;
	}
	return pw == NULL ? 0 : become(pw);
}
