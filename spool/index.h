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

/* A queue of a million is held in memory, so each octet counts here.  An entry stays
 * where it is until it is removed. */
struct index_entry {
	union {
		int64_t due;    /* of a failed one: since when, at the earliest */
		uint64_t inode; /* of a finished one: the file that may go (only in relayd) */
	};
	uint32_t heap;       /* its place in relayd's heap; if finished, the next that is */
	uint32_t partial;    /* which recipients are finished: see index_is_finished() */
	uint32_t reason_low; /* see index_reason() */
	uint32_t started;    /* see index_first() */
	uint16_t reason_high;
	uint16_t attempts;
	unsigned char packed[NAME_PACKED_LEN]; /* see index_name() */
	uint8_t state;                         /* enum index_state */
	uint8_t trouble; /* connections that broke on it in a row (only in relayd) */
	bool warned;     /* the sender knows that it is late, or need not */
};
_Static_assert(sizeof(struct index_entry) == 48, "a queued message may cost 64 octets in all");

struct index {
	struct index_chunk **chunks; /* of entries; NULL where one was freed */
	uint32_t chunk_count;
	uint32_t room;   /* all chunks before this one are full */
	uint32_t *slots; /* a hash table: 1 + the number of an entry, 0: free */
	uint32_t slot_count;
	uint64_t seed; /* so that nobody can choose names that collide */
	size_t count;
	struct index_partial *partials;
	uint32_t partial_count, partial_free;
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

/* Entries have numbers, which are used again when one is removed. */
uint32_t index_number(const struct index_entry *e);
struct index_entry *index_at(const struct index *x, uint32_t number);
/* Begins with *at = 0: the entry with the least number that is not less than *at, which
 * then is one more; NULL at the end.  Entries may come and go meanwhile. */
struct index_entry *index_next(const struct index *x, uint32_t *at);

struct queue_name index_name(const struct index_entry *e);
/* name_time() of its name. */
int64_t index_time(const struct index_entry *e);
/* CLOCK_BOOTTIME of the first attempt, to a second; 0: there was none. */
int64_t index_first(const struct index_entry *e);
void index_set_first(struct index_entry *e, int64_t boot);
/* Milliseconds since then; 0 if there was none. */
uint64_t index_elapsed(const struct index_entry *e);
/* Offset of the journal line that explains the state, or -1. */
off_t index_reason(const struct index_entry *e);
void index_set_reason(struct index_entry *e, off_t reason);

/* Adds every message in the directory queue_fd; 0 or -1 with errno. */
int index_scan(struct index *x, int queue_fd, int64_t due);

/* A journal_reader: context is the struct index.  Records of files that are no
 * longer there are passed over. */
void index_apply(void *context, const struct journal_record *r, off_t at);

bool index_is_finished(const struct index *x, const struct index_entry *e, size_t recipient);
/* 0 or -1 with errno ENOMEM. */
int index_set_finished(struct index *x, struct index_entry *e, size_t recipient);
/* One more than the last recipient that can be finished. */
size_t index_finished_end(const struct index *x, const struct index_entry *e);

/* All entries, oldest first, in an array that the caller frees; NULL if there is
 * no memory.  It has x->count elements. */
struct index_entry **index_sorted(const struct index *x);

const char *index_state_name(enum index_state state);

#endif
