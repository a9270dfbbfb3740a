/*
 * The group is refused as well as the others: it is the one that sendmail is
 * set-gid to.
 */
#include "relayd/session/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static int
credential_path(const char *name, char *path, size_t size, char *problem, size_t problem_size)
{
	const char *directory = getenv("CREDENTIALS_DIRECTORY");

	if (directory == NULL || *directory != '/') {
		snprintf(problem, problem_size,
		    "password credential:%s: systemd has passed no credentials; add "
		    "LoadCredential=%s:PATH to the unit",
		    name, name);
		return -1;
	}
	snprintf(path, size, "%s/%s", directory, name);
	return 0;
}

static int
permissions_check(int fd, const char *what, const char *path, char *problem, size_t size)
{
	struct stat st;

	if (fstat(fd, &st) < 0) {
		snprintf(problem, size, "%s \"%s\": %s", what, path, strerror(errno));
		return -1;
	}
	if ((st.st_uid == geteuid() || st.st_uid == 0) && (st.st_mode & 0077) == 0)
		return 0;
	snprintf(problem, size,
	    "%s \"%s\" can be read by others, or is not relayd's: make uid %u its "
	    "owner, and its mode 0400",
	    what, path, (unsigned)geteuid());
	return -1;
}

/* A whole file; `ours` checks whose it is. */
static int
file_load(
    const char *what, const char *path, bool ours, struct buf *secret, char *problem, size_t size)
{
	int fd = file_open_regular(AT_FDCWD, path, 0), r;

	*secret = BUF_INIT(SECRET_OCTETS_MAX);
	if (fd < 0) {
		snprintf(problem, size, "cannot read the %s \"%s\": %s", what, path,
		    errno == EINVAL ? "not a regular file" : strerror(errno));
		return -1;
	}
	r = ours ? permissions_check(fd, what, path, problem, size) : 0;
	if (r == 0 && (r = file_read_all(fd, secret)) < 0)
		snprintf(problem, size, "cannot read the %s \"%s\": %s", what, path,
		    errno == ENOBUFS ? "larger than 64K" : strerror(errno));
	close(fd);
	return r;
}

/* Without its line end; an empty one, and one with NUL, is a mistake. */
static bool
is_trimmed(struct buf *secret)
{
	if (secret->len > 0 && secret->data[secret->len - 1] == '\n')
		buf_truncate(secret, secret->len - 1);
	if (secret->len > 0 && secret->data[secret->len - 1] == '\r')
		buf_truncate(secret, secret->len - 1);
	return secret->len > 0 && memchr(secret->data, '\0', secret->len) == NULL;
}

int
secret_read_key(const char *path, struct buf *key, char *problem, size_t size)
{
	return file_load("tls_key_file", path, true, key, problem, size);
}

int
secret_read(const char *source, struct buf *secret, char *problem, size_t size)
{
	bool credential = strncmp(source, "credential:", 11) == 0;
	char path[PATH_MAX];

	if (!credential)
		snprintf(path, sizeof(path), "%s", source + sizeof("file:") - 1);
	else if (credential_path(source + 11, path, sizeof(path), problem, size) < 0)
		return -1;
	if (file_load("password file", path, !credential, secret, problem, size) < 0)
		return -1;
	if (is_trimmed(secret))
		return 0;
	snprintf(problem, size, "the password file \"%s\" is empty or contains a NUL octet", path);
	return -1;
}
