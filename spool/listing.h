/*
 * What mailq prints: the queue for people.  Everything that came from outside is
 * made printable.
 */
#ifndef SPOOL_LISTING_H
#define SPOOL_LISTING_H

#include <stdint.h>

#include "spool/index.h"

/* What stands in the way of mail that is due. */
struct listing_pause {
	const char *reason; /* NULL: nothing does */
	int64_t until;      /* CLOCK_BOOTTIME; 0: nobody knows */
	/* not NULL: it is another one for each message */
	struct listing_pause (*of)(void *context, const struct index_entry *e);
	void *context;
};

/* Whose messages are shown: all, or those that uid has submitted. */
#define LISTING_ALL (-1)

/* Writes the queue to fd: one paragraph a message, oldest first, and a summary; or
 * the line "Mail queue is empty".  journal is the descriptor that
 * the entries' reasons are read from, or -1.  0 or -1 with errno. */
int listing_queue(int fd, const struct index *x, int queue_fd, int journal,
    const struct listing_pause *pause, int64_t uid);

/* Writes one message: its paragraph, then its content. */
int listing_message(int fd, const struct index *x, const struct index_entry *e, int queue_fd,
    int journal, const struct listing_pause *pause);

/* Finds the entry whose name begins with the queue ID (or whole name) id: NULL,
 * and *matches says whether none has, or several have. */
struct index_entry *listing_find(const struct index *x, const char *id, size_t *matches);

/* The names that begin with id, one a line, for whoever must choose. */
void listing_matches(const struct index *x, const char *id, struct buf *b);

#endif
