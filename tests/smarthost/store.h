/*
 * Where accepted messages go: DIR/NNNNNN.eml, the content exactly as it came, and beside it
 * DIR/NNNNNN.env, the envelope.  Both appear under their name complete (written under a dot name,
 * then renamed) and the .env before the .eml, so who sees NNNNNN.eml has everything.  Content goes
 * to the file through a small buffer, never as a whole into memory.  Nothing is synced to disk: a
 * test store need not survive a power cut.
 */
#ifndef SMARTHOST_STORE_H
#define SMARTHOST_STORE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct store {
	int dir; /* -1: messages are counted, not kept */
	pthread_mutex_t lock;
	unsigned last; /* highest number in use */
	unsigned drafts;
};

struct store_file;

/* path NULL: keep nothing.  Numbers go on after those that exist.  0, or -1 with errno. */
int store_open(struct store *store, const char *path);
void store_close(struct store *store);

/* A new, still nameless message; NULL with errno. */
struct store_file *store_begin(struct store *store);

/* A failure to write is remembered and reported by store_commit(). */
void store_write(struct store_file *file, const void *bytes, size_t length);

/* Gives the message its number and names.  Frees file in any case.  0, or -1 with errno. */
int store_commit(struct store *store, struct store_file *file, const char *envelope,
    size_t length, unsigned *number);

/* Forgets the message and frees file; NULL is fine. */
void store_abandon(struct store *store, struct store_file *file);

#endif
