/*
 * The journal: what happened to each message, append-only, one line an event
 * (postbag-spool(5)).  It has one writer: relayd, or spoolctl while relayd is
 * down; the lock in state/ says who.
 *
 * The existence of a file in queue/ is the truth; the journal only says what
 * need not be done again.  So a line that is lost costs at most a duplicate,
 * never a message.
 */
#ifndef SPOOL_JOURNAL_H
#define SPOOL_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

enum journal_event {
	EVENT_DOUBT,    /* handed to a session; its outcome is unknown until the next line */
	EVENT_CLEAR,    /* handed back unsent: the doubt is over */
	EVENT_DONE,     /* delivered */
	EVENT_DEFERRED, /* to be tried again after `pause` */
	EVENT_BOUNCED,  /* refused, and the bounce is in the spool */
	EVENT_DROPPED,  /* refused, and nobody wants to know (NOTIFY=NEVER) */
	EVENT_HELD,     /* waits for the administrator */
	EVENT_FAILED,   /* could be neither delivered nor returned */
	EVENT_CORRUPT,  /* not a whole message */
	EVENT_WARNED,   /* the sender was told that it is late; changes no state */
	EVENT_RETRY,    /* the administrator wants another attempt now */
	EVENT_REMOVED,  /* by the administrator */
};

#define JOURNAL_ALL (-1) /* a record that is about all recipients */
#define JOURNAL_TEXT_MAX 500

struct journal_record {
	int64_t time;     /* microseconds since 1970 */
	const char *name; /* NAME_LEN characters */
	long recipient;   /* index in the file, or JOURNAL_ALL */
	enum journal_event event;
	unsigned attempts; /* so far */
	uint64_t elapsed;  /* ms by CLOCK_BOOTTIME since the first attempt */
	uint64_t pause;    /* ms until the next */
	unsigned code;     /* SMTP reply code, 0 if there is none */
	const char *text;  /* reply or reason, one line; "" if there is none */
};

struct journal {
	int state; /* descriptor of state/, borrowed */
	int fd;
	off_t size;         /* what has been written */
	off_t reserved;     /* up to where the file has its space */
	bool no_reserve;    /* the file system has no such thing */
	struct buf pending; /* lines that have not */
	bool unsynced;      /* lines were written since the last sync */
	bool broken;        /* cannot be written or synced: see journal_commit() */
	int error;          /* why, an errno */
};

/* Called for each valid record, with the offset of its line. */
typedef void journal_reader(void *context, const struct journal_record *r, off_t at);

/*
 * Opens (creating it) state/journal for writing and reads it.  A torn tail is
 * cut off, a new journal that never came into place is removed; *damaged counts the lines that were
 * skipped because their check value or syntax is wrong.  0 or -1 with errno.
 */
int journal_open(
    struct journal *j, int state, journal_reader *reader, void *context, size_t *damaged);
/* Only reads; no journal is no error. */
int journal_read(int state, journal_reader *reader, void *context, size_t *damaged);
void journal_close(struct journal *j);

/* Takes the lock of state/: a descriptor to be kept open, or -1 with errno
 * (EWOULDBLOCK: somebody has it). */
int journal_lock(int state);

/* Adds a record to what the next journal_commit() writes; returns the offset
 * that its line will have. */
off_t journal_append(struct journal *j, const struct journal_record *r);

/*
 * Writes what was appended and, if sync, makes it durable (one fdatasync for all).
 * 0; or -1, and the journal is broken: the records stay pending, and nothing may
 * be handed out or unlinked that depends on them.  A broken journal is mended
 * only by journal_replace().
 */
int journal_commit(struct journal *j, bool sync);

/* Begins a new journal that replaces this one: whoever calls it appends the
 * records that are still of use to *next, which journal_replace_end() makes
 * durable and puts into place (queue is fsynced first: an unlink that is not yet
 * on disk must not outlive the line that says why).  0; or -1 with errno, and the old
 * journal is as it was; if only the last sync failed, the new one is in place and
 * broken. */
int journal_replace_begin(const struct journal *j, struct journal *next);
int journal_replace_end(struct journal *j, struct journal *next, int queue);

/* Reads the record at an offset; text owns what r points to.  0 or -1. */
int journal_read_at(int fd, off_t at, struct journal_record *r, struct buf *text);

/* Drops the new journal; the old one is as it was. */
void journal_replace_cancel(struct journal *next);

/* Makes sure of space for what is appended next, whatever fills the disk; false if there
 * is none, though the file system could reserve it. */
bool journal_reserve(struct journal *j);

const char *journal_event_name(enum journal_event event);

#endif
