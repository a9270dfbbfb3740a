/*
 * A spool in a directory of its own, and messages in it.
 */
#ifndef TESTS_UNIT_UNIT_SPOOL_H
#define TESTS_UNIT_UNIT_SPOOL_H

#include "tests/unit/unit.h"

#include <dirent.h>

#include "spool/spool.h"

struct place {
	char path[64];
	struct spool spool;
	int queue; /* for reading */
	int state;
};

static inline int
place_setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	directory_make(p->path);
	assert_int_equal(spool_open(&p->spool, p->path, own_name(), 1), 0);
	p->queue = spool_open_queue(&p->spool);
	p->state = spool_open_state(&p->spool);
	assert_true(p->queue >= 0 && p->state >= 0);
	*state = p;
	return 0;
}

static inline int
place_teardown(void **state)
{
	struct place *p = *state;

	close(p->queue);
	close(p->state);
	spool_close(&p->spool);
	directory_remove(p->path);
	free(p);
	return 0;
}

static inline size_t
place_count(const struct place *p)
{
	int fd = openat(p->queue, ".", O_RDONLY | O_DIRECTORY);
	DIR *dir = fdopendir(fd);
	size_t n = 0;

	assert_non_null(dir);
	for (struct dirent *d; (d = readdir(dir)) != NULL;)
		n += strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0;
	closedir(dir);
	return n;
}

static inline void
envelope_make(struct envelope *e, const char *sender, const char *recipient)
{
	envelope_init(e);
	e->time = 1763912345123456;
	e->uid = 1000;
	assert_int_equal(envelope_set_sender(e, sender), 0);
	assert_int_equal(envelope_add_recipient(e, recipient, 0, NULL), 0);
}

/* Commits a message with that content. */
static inline struct queue_name
message_put(struct place *p, const struct envelope *e, const char *content, size_t len)
{
	struct message_writer w;

	assert_int_equal(message_begin(&w, &p->spool, e), 0);
	assert_int_equal(message_write(&w, content, len), 0);
	assert_int_equal(message_commit(&w), 0);
	return w.name;
}

static inline struct queue_name
message_put_simple(struct place *p, const char *content)
{
	struct envelope e;
	struct queue_name name;

	envelope_make(&e, "root@example.org", "ops@example.net");
	name = message_put(p, &e, content, strlen(content));
	envelope_free(&e);
	return name;
}

/* Puts octets into queue/ under a name. */
static inline void
file_put(int dir, const char *name, const void *data, size_t len)
{
	int fd;

	unlinkat(dir, name, 0);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	close(fd);
}

#endif
