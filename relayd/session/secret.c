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
#include "relayd/session/program.h"

static int
credential_path(
    const char *what, const char *name, char *path, size_t size, char *problem, size_t problem_size)
{
	const char *directory = getenv("CREDENTIALS_DIRECTORY");

	if (directory == NULL || *directory != '/') {
		snprintf(problem, problem_size,
		    "%s credential:%s: systemd has passed no credentials; add "
		    "LoadCredential=%s:PATH to the unit",
		    what, name, name);
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

/* RFC 6750 section 2.1: no blanks, no control characters, nothing beyond ASCII. */
static bool
is_bearer_token(const struct buf *secret)
{
	for (size_t i = 0; i < secret->len; i++)
		if (secret->data[i] <= ' ' || secret->data[i] > '~')
			return false;
	return true;
}

int
secret_read(
    enum secret_kind kind, const char *source, struct buf *secret, char *problem, size_t size)
{
	const char *what = kind == SECRET_TOKEN ? "token" : "password", *form = "file";
	char path[PATH_MAX], label[40];
	int r;

	*secret = BUF_INIT(SECRET_OCTETS_MAX);
	snprintf(label, sizeof(label), "%s file", what);
	if (strncmp(source, "command:", 8) == 0) {
		form = "command";
		snprintf(path, sizeof(path), "%.*s", (int)strcspn(source + 8, " \t"), source + 8);
		r = program_run(source + 8, what, secret, problem, size);
	} else if (strncmp(source, "credential:", 11) == 0) {
		r = credential_path(what, source + 11, path, sizeof(path), problem, size);
		if (r == 0)
			r = file_load(label, path, false, secret, problem, size);
	} else {
		snprintf(path, sizeof(path), "%s", source + sizeof("file:") - 1);
		r = file_load(label, path, true, secret, problem, size);
	}
	if (r < 0)
		return -1;
	if (!is_trimmed(secret)) {
		snprintf(problem, size, "the %s %s \"%s\" %s empty or contains a NUL octet", what,
		    form, path, *form == 'f' ? "is" : "prints nothing: its output is");
		return -1;
	}
	if (kind == SECRET_TOKEN && !is_bearer_token(secret)) {
		snprintf(problem, size,
		    "the token %s \"%s\" has no bearer token: there are blanks or other characters "
		    "that none has",
		    form, path);
		return -1;
	}
	return 0;
}
