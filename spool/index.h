/*
 * What is in the spool, in memory: one entry a file in queue/, with what the
 * journal says of it.  relayd keeps it up to date; mailq and spoolctl build one
 * when relayd is down.
 *
 * Waiting times are on CLOCK_BOOTTIME, in microseconds.  A pause that the journal
 * states is cut to its own length, so a calendar clock that jumps can only bring
 * the next attempt forward.
 */
#ifndef SPOOL_INDEX_H
#define SPOOL_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "spool/journal.h"
#include "spool/name.h"

enum index_state {
	STATE_DUE,      /* never tried, or to be tried at once */
	STATE_DEFERRED, /* waits until `due` */
	STATE_DOUBT,    /* may have been delivered; waits until `due` */
	STATE_ACTIVE,   /* a session has it (only in relayd) */
	STATE_HELD,
	STATE_FAILED,
	STATE_CORRUPT,
	STATE_FINISHED, /* all recipients are done, or it was removed: the file may go */
};

struct index_entry {
	char name[NAME_LEN]; /* not NUL-terminated */
	uint8_t state;       /* enum index_state */
	uint8_t trouble;     /* connections that broke on it in a row (only in relayd) */
	bool warned;         /* the sender knows that it is late, or need not */
	uint32_t attempts;
	uint32_t heap;            /* relayd's place for its heap position */
	int64_t first;            /* CLOCK_BOOTTIME of the first attempt, 0: none yet */
	int64_t due;              /* of a failed one: since when, at the earliest */
	off_t reason;             /* offset of the journal line that explains the state, or -1 */
	uint64_t finished;        /* a bit for each of the first 64 recipients */
	uint64_t *more;           /* the other recipients' bits, or NULL */
	struct index_entry *next; /* in its hash bucket */
	struct index_entry *next_finished; /* relayd's list of files that go */
	uint64_t inode;                    /* of a finished file: the one that may go */
};

struct index {
	struct index_entry **buckets;
	size_t bucket_count; /* a power of two */
	size_t count;
	uint64_t in_doubt_interval; /* microseconds */
};

/* 0 or -1 with errno ENOMEM. */
int index_init(struct index *x, uint64_t in_doubt_interval);
void index_free(struct index *x);

struct index_entry *index_find(const struct index *x, const char *name);
/* Adds a name (NAME_LEN characters) that is due at `due`; the entry that is
 * there already is returned as it is.  NULL if there is no memory. */
struct index_entry *index_add(struct index *x, const char *name, int64_t due);
void index_remove(struct index *x, struct index_entry *e);

/* Adds every message in the directory queue_fd; 0 or -1 with errno. */
int index_scan(struct index *x, int queue_fd, int64_t due);

/* A journal_reader: context is the struct index.  Records of files that are no
 * longer there are passed over. */
void index_apply(void *context, const struct journal_record *r, off_t at);

bool index_is_finished(const struct index_entry *e, size_t recipient);
/* 0 or -1 with errno ENOMEM. */
int index_set_finished(struct index_entry *e, size_t recipient);

/* All entries, oldest first, in an array that the caller frees; NULL if there is
 * no memory.  It has x->count elements. */
struct index_entry **index_sorted(const struct index *x);

const char *index_state_name(enum index_state state);

#endif
