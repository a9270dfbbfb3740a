/*
 * The message store; see store.h.
 */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

enum { STORE_BUFFER = 65536 };

struct store_file {
	int fd;
	int error; /* errno of the first failure, or 0 */
	char name[40];
	size_t length;
	unsigned char buffer[STORE_BUFFER];
};

/* The number in NNNNNN.eml or NNNNNN.env; 0 for every other name. */
static unsigned
number_of_name(const char *name)
{
	char digits[12];
	const char *dot = strchr(name, '.');
	uint64_t number;

	if (dot == NULL || (strcmp(dot, ".eml") != 0 && strcmp(dot, ".env") != 0))
		return 0;
	size_t length = (size_t)(dot - name);
	if (length < 6 || length >= sizeof digits)
		return 0;
	memcpy(digits, name, length);
	digits[length] = '\0';
	return text_parse_number(digits, 1, 999999999, &number) ? (unsigned)number : 0;
}

int
store_open(struct store *store, const char *path)
{
	store->dir = -1;
	store->last = store->drafts = 0;
	pthread_mutex_init(&store->lock, NULL);
	if (path == NULL)
		return 0;
	DIR *listing = opendir(path);
	if (listing == NULL)
		return -1;
	for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
		unsigned number = number_of_name(entry->d_name);
		if (number > store->last)
			store->last = number;
	}
	store->dir = fcntl(dirfd(listing), F_DUPFD_CLOEXEC, 3);
	closedir(listing);
	return store->dir == -1 ? -1 : 0;
}

void
store_close(struct store *store)
{
	if (store->dir != -1)
		close(store->dir);
	store->dir = -1;
	pthread_mutex_destroy(&store->lock);
}

static void
write_through(struct store_file *file, const unsigned char *bytes, size_t length)
{
	while (length > 0 && file->error == 0) {
		ssize_t n = write(file->fd, bytes, length);
		if (n == -1) {
			if (errno != EINTR)
				file->error = errno;
			continue;
		}
		bytes += n;
		length -= (size_t)n;
	}
}

static struct store_file *
open_draft(struct store *store, const char *kind)
{
	struct store_file *file = malloc(sizeof *file);

	if (file == NULL)
		return NULL;
	file->error = 0;
	file->length = 0;
	pthread_mutex_lock(&store->lock);
	unsigned draft = ++store->drafts;
	pthread_mutex_unlock(&store->lock);
	snprintf(file->name, sizeof file->name, ".draft-%ld-%u.%s", (long)getpid(), draft, kind);
	file->fd = openat(store->dir, file->name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (file->fd == -1) {
		int error = errno;
		free(file);
		errno = error;
		return NULL;
	}
	return file;
}

struct store_file *
store_begin(struct store *store)
{
	return open_draft(store, "eml");
}

void
store_write(struct store_file *file, const void *bytes, size_t length)
{
	if (length > sizeof file->buffer - file->length) {
		write_through(file, file->buffer, file->length);
		file->length = 0;
	}
	if (length > sizeof file->buffer) {
		write_through(file, bytes, length);
		return;
	}
	memcpy(file->buffer + file->length, bytes, length);
	file->length += length;
}

/* Writes what is buffered and closes; 0, or -1 with errno. */
static int
finish_draft(struct store_file *file)
{
	write_through(file, file->buffer, file->length);
	file->length = 0;
	if (close(file->fd) == -1 && file->error == 0)
		file->error = errno;
	file->fd = -1;
	errno = file->error;
	return file->error == 0 ? 0 : -1;
}

static int
name_draft(struct store *store, const struct store_file *file, unsigned number, const char *kind)
{
	char name[32];

	snprintf(name, sizeof name, "%06u.%s", number, kind);
	return renameat(store->dir, file->name, store->dir, name);
}

int
store_commit(struct store *store, struct store_file *file, const char *envelope, size_t length,
    unsigned *number)
{
	struct store_file *beside = NULL;
	int r = -1;

	if (finish_draft(file) == -1)
		goto out;
	beside = open_draft(store, "env");
	if (beside == NULL)
		goto out;
	store_write(beside, envelope, length);
	if (finish_draft(beside) == -1)
		goto out;
	pthread_mutex_lock(&store->lock);
	*number = ++store->last;
	pthread_mutex_unlock(&store->lock);
	if (name_draft(store, beside, *number, "env") == -1)
		goto out;
	store_abandon(store, beside);
	beside = NULL;
	r = name_draft(store, file, *number, "eml");
out:;
	int error = errno;
	store_abandon(store, beside);
	store_abandon(store, file);
	errno = error;
	return r;
}

void
store_abandon(struct store *store, struct store_file *file)
{
	if (file == NULL)
		return;
	if (file->fd != -1)
		close(file->fd);
	(void)unlinkat(store->dir, file->name, 0); /* ENOENT once it was renamed */
	free(file);
}
