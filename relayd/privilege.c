/*
 * As root only what root alone can do is done: the configuration is read, missing
 * directories are made.  Nothing that others can write has been read by then.
 */
#include "relayd/privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"

static int
runtime_directory_make(const char *path, const struct passwd *owner)
{
	struct stat st;
	int fd, code = 0;

	if (mkdir(path, 0755) < 0 && errno != EEXIST) {
		log_error_errno("cannot create runtime_directory %s", path);
		return EX_TEMPFAIL;
	}
	if (owner == NULL)
		return 0;
	/* only a directory that is root's own may be given away */
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || (st.st_uid != 0 && st.st_uid != owner->pw_uid)) {
		log_error(
		    "runtime_directory %s is not root's or %s's directory", path, owner->pw_name);
		code = EX_CONFIG;
	} else if (st.st_uid == 0 && fchown(fd, owner->pw_uid, owner->pw_gid) < 0) {
		log_error_errno("cannot give runtime_directory %s to %s", path, owner->pw_name);
		code = EX_TEMPFAIL;
	}
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
