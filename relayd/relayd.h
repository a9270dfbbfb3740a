/*
 * relayd's state: one struct, made in main.c and handed to every module, which
 * keeps to its own part of it.
 *
 * relayd is one process with one loop.  What happens in a turn of the loop is
 * gathered first (reports of sessions, new files, commands) and takes effect at
 * its end, in this order: journal lines are written, jobs are handed out, the
 * journal is synced once for all, finished files are unlinked.
 */
#ifndef RELAYD_RELAYD_H
#define RELAYD_RELAYD_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/notify.h"
#include "base/settings.h"
#include "relayd/heap.h"
#include "relayd/ipc.h"
#include "relayd/lanes.h"
#include "relayd/parts.h"
#include "relayd/rate.h"
#include "spool/index.h"
#include "spool/journal.h"
#include "spool/listing.h"
#include "spool/spool.h"

#define RELAYD_CHILDREN 16
#define RELAYD_RECEIVERS 64

struct choice;
struct client;
struct relayd;
struct session;

/* Something that epoll(7) watches. */
struct watch {
	int fd; /* -1: it has ended */
	void (*ready)(struct relayd *r, struct watch *w);
	struct watch *next_dead;
};

/* A process that serves a client of the control socket. */
struct child {
	pid_t pid; /* 0: a free place */
	uid_t uid; /* whom it serves */
};

/* Which file it is, and since when. */
struct secret_stamp {
	dev_t device;
	ino_t inode; /* 0: there is none */
	int64_t seconds, nanoseconds;
};

#define SMARTHOST_SECRETS 3

/* How much a smarthost gets ahead of its replies: what its sessions have found out. */
struct pace {
	uint32_t ehlo;           /* check value of the EHLO reply that this is about, 0: none */
	unsigned peer;           /* enum ipc_peer, without the events */
	unsigned recipients_max; /* in a transaction, 0: not known */
	unsigned window;         /* messages that a session may have in flight, 0: 1 */
	unsigned clean;          /* messages since the last trouble */
	unsigned troubles;
	int64_t trouble_at; /* CLOCK_BOOTTIME of the last */
};

/* A smarthost's health. */
struct smarthost {
	const struct settings_smarthost *settings;
	char name[300];       /* host:port */
	unsigned failures;    /* in a row */
	int64_t paused_until; /* CLOCK_BOOTTIME, 0: it may be tried */
	int64_t failed_at;    /* of the last failure */
	enum ipc_fault fault; /* its kind */
	struct rate rate;
	uint64_t limit; /* connections that it takes, until limit_until */
	int64_t limit_until;
	struct pace pace;
	char problem[600];      /* of the last failure, "" if the last session was well */
	unsigned first_address; /* addresses to pass over: they failed after connect */
	unsigned sessions, connecting;
	int64_t connecting_since; /* of the last that began to */
	unsigned closed_after;    /* messages, when it last closed a connection by itself … */
	unsigned closed_times;    /* … and how often in a row after as many */
	int64_t closes_until;     /* so connections end after as many */
	struct secret_stamp secrets[SMARTHOST_SECRETS]; /* when the last session began */
	bool network_changed; /* since the attempt began that may have failed for want of it */
	unsigned hastened;    /* pauses that ended early for that, in vain so far */
	int64_t hastened_at;  /* the last of them; CLOCK_BOOTTIME */
};

/* A new journal that is being written: rewrite.c. */
struct rewrite {
	bool active;
	struct journal next;
	uint32_t at;       /* number of the entry that comes next */
	uint32_t *reasons; /* by number: 1 + the offset of the line that explains, 0: none */
	uint32_t reason_count;
	off_t synced;
	off_t live;       /* octets that are of use in the journal, roughly */
	int64_t next_try; /* CLOCK_BOOTTIME */
};

/* Messages that are looked at in slices, by number. */
struct pass {
	bool active;
	bool administrator; /* who wants it */
	uint32_t at;        /* the next one */
	int64_t next;       /* of the next pass: how far away it is at most */
};

struct relayd {
	struct settings settings;
	char hostname[256], domain[256];
	char session_path[PATH_MAX]; /* the executable relayd-session */
	struct spool spool;
	int queue, state, lock; /* descriptors */
	struct journal journal;
	struct index index;
	bool routed;        /* not each smarthost carries all mail */
	struct heap heap;   /* what waits … */
	struct lanes lanes; /* … and, of what is due, whatever waits for certain smarthosts */
	struct rounds rounds;
	struct rewrite rewrite;
	struct pass expiry, flush;
	DIR *rescan;       /* queue/, while it is read once more */
	bool rescan_again; /* events were lost meanwhile */

	struct smarthost *smarthosts;
	size_t smarthost_count;
	struct session *sessions;
	uint32_t last_job;

	uint32_t finished;   /* 1 + a number: their files go when the journal is on disk */
	bool finished_new;   /* some of them since the last commit */
	int64_t next_unlink; /* when to try those again that could not be removed */

	int epoll;
	struct watch *dead;
	struct watch inotify, timer, signals, control;
	struct watch secrets;   /* while a refused credential pauses a smarthost */
	struct watch routes;    /* of addresses, too; while a smarthost may lack one */
	struct watch resolver;  /* resolv.conf, as long */
	bool has_no_netlink;    /* addresses and routes cannot be watched here */
	struct client *clients; /* of the control socket, the newest first */
	size_t client_count;
	struct choice *choices; /* selections that children are at */
	struct child children[RELAYD_CHILDREN], receivers[RELAYD_RECEIVERS];
	int64_t started;     /* CLOCK_BOOTTIME */
	int64_t dispatched;  /* when it was last looked for messages that are due */
	int64_t next_expiry; /* when to look for messages that are too old */
	int64_t next_mend;   /* when to try a broken journal again */
	int64_t next_sweep;  /* when a long queue is to be read again */
	int64_t last_flush;  /* by an ordinary user */
	int64_t stop_at;     /* CLOCK_BOOTTIME when patience ends; 0: running */
	bool reload;         /* SIGHUP came */
	bool to_stderr;      /* -d: the log, and that of receivers */

	struct notify_socket notify; /* the service manager's */
};

/* Adds fd to the loop; 0 or -1 with errno. */
int relayd_watch(struct relayd *r, struct watch *w);
void relayd_unwatch(struct relayd *r, struct watch *w);
/* Whether w is also called when its descriptor can be written to. */
void relayd_watch_room(struct relayd *r, struct watch *w, bool wanted);
/* Ends what begins with w: closes its descriptor now, and frees it when no event of
 * this turn can refer to it any more. */
void relayd_bury(struct relayd *r, struct watch *w);

/* ---- queue.c: files and entries ------------------------------------------- */

/* Watches queue/, then reads journal and directory.  0 or -1, logged. */
int queue_open(struct relayd *r);
void queue_close(struct relayd *r);

/* Takes e out of where it waits, if it does. */
void queue_unschedule(struct relayd *r, struct index_entry *e);

/* Puts e back among the waiting, due at `due`. */
void queue_wait(struct relayd *r, struct index_entry *e, enum index_state state, int64_t due);

/* Sets e aside in `state` (held, failed, corrupt) with a journal line. */
void queue_set_aside(struct relayd *r, struct index_entry *e, enum index_state state, unsigned code,
    const char *reason);

/* Appends a journal line about e; JOURNAL_ALL or a recipient. */
void queue_record(struct relayd *r, struct index_entry *e, enum journal_event event, long recipient,
    unsigned code, const char *text);

/* e is finished: when its file is gone, at the end of the turn or later, so is e. */
void queue_finish(struct relayd *r, struct index_entry *e, ino_t inode);

/* Begins to read queue/ once more: for files that the events did not name, and for those
 * that nobody writes any more.  queue_rescan_turn() does it, in slices. */
void queue_rescan(struct relayd *r);
void queue_rescan_turn(struct relayd *r);

/* Writes the journal, hands out jobs, syncs, unlinks: the end of a turn. */
void queue_commit(struct relayd *r);

/* ---- outcome.c: what a job came to ---------------------------------------- */

struct result {
	uint32_t recipient;
	enum ipc_outcome outcome;
	unsigned code;
	char *text;
};

struct results {
	struct result *list;
	size_t count, size;
};

/* text is copied.  0 or -1 with errno ENOMEM. */
int results_add(struct results *s, uint32_t recipient, enum ipc_outcome outcome, unsigned code,
    const char *text);
void results_free(struct results *s);

/* Who gave the replies. */
struct outcome_source {
	const char *smarthost;         /* "": nobody */
	enum settings_refused refused; /* what a refused sender means */
	bool has_dsn;                  /* it takes over what the sender wants to be told */
	bool rest;    /* there are recipients left that the attempt was not about … */
	bool counted; /* … and of those some were deferred: together it is one attempt */
};

/* Applies the results of a complete attempt, at most one for each recipient:
 * delivered, bounced, deferred, held or failed. */
void outcome_apply(struct relayd *r, struct index_entry *e, const struct message *m,
    struct results *results, const struct outcome_source *source);

/* Of an attempt that did not come to its end: only what was delivered counts. */
void outcome_apply_delivered(struct relayd *r, struct index_entry *e, const struct message *m,
    const struct results *results, const struct outcome_source *source);

/* Bounces all that is not finished of a message that is too old.  1; 0 if e is no
 * message that can be read now (then it may be gone); -1 if nothing can be written
 * now. */
int outcome_expire(struct relayd *r, struct index_entry *e);

/* ---- age.c: what time alone does to messages ------------------------------- */

/* Warns of what is late, returns what is too old to its sender, and removes what has
 * failed long ago, when next_expiry has come; sets it anew (INT64_MAX: the queue is
 * empty). */
void queue_expire(struct relayd *r);

/* True if e has waited for that long (microseconds), by its name and by the clock that
 * nobody sets. */
bool queue_is_older(const struct relayd *r, const struct index_entry *e, uint64_t age);

/* ---- handout.c -------------------------------------------------------------- */

/* Opens the message of e; what is not a whole message is set aside, or removed with e.
 * True if there is somebody to deliver to; message_close() follows in both cases. */
bool message_take(struct relayd *r, struct index_entry *e, struct message *m);

/* ---- sessions.c and smarthost.c ------------------------------------------- */

/* The smarthosts of the settings, which they refer to; NULL if there is no
 * memory.  The caller frees the array. */
struct smarthost *smarthosts_make(const struct settings *s);
/* What `to` has in common with the count smarthosts from before, it knows of them. */
void smarthost_inherit(struct smarthost *to, const struct smarthost *from, size_t count);
/* It failed: it pauses. */
void smarthost_fail(
    struct relayd *r, struct smarthost *h, enum ipc_fault fault, const char *problem);
void smarthost_well(struct smarthost *h);
/* It has closed a connection after so many messages, which it may do with each. */
void smarthost_closed(struct smarthost *h, unsigned messages);
/* How many messages a connection may have. */
uint64_t smarthost_share(const struct smarthost *h);
/* It refuses one more connection while others work: it gets no more for a while. */
void smarthost_full(struct smarthost *h, const char *problem);
/* The first of the carriers; the one of them whose pause ends first.  NULL: there is none. */
struct smarthost *smarthost_first(const struct relayd *r, uint64_t carriers);
struct smarthost *smarthost_soonest(const struct relayd *r, uint64_t carriers);
/* The first of the carriers that may be tried, or NULL and *until is when one may be
 * again (INT64_MAX: there is none). */
struct smarthost *smarthost_choose(
    struct relayd *r, uint64_t carriers, int64_t now, int64_t *until);
/* Ends pauses; those after a rejected credential or a limit only if all is set. */
void smarthosts_wake(struct relayd *r, bool all);

/* ---- pace.c ----------------------------------------------------------------- */

/* How many messages a session may have in flight now: 1 at first, more while replies
 * come back clean, 1 again after trouble. */
unsigned pace_window(const struct smarthost *h);
/* A message has come to its end in order. */
void pace_clean(struct smarthost *h);
/* … and nobody gets it: there are servers that have enough of that after a while. */
void pace_refused(struct smarthost *h);
/* A message was unsent or in doubt. */
void pace_broken(struct smarthost *h);
/* What a session that was ready then has found out: flags of enum ipc_peer. */
void pace_learn(
    struct smarthost *h, int64_t ready_at, uint32_t ehlo, unsigned peer, unsigned recipients_max);

/* Hands due messages to sessions and starts the sessions that are needed. */
void sessions_dispatch(struct relayd *r);
/* When a session will have been idle for long enough; then it is to be ended, as is one
 * that has had as many messages as it may. */
int64_t sessions_next_idle(const struct relayd *r);
void sessions_end_idle(struct relayd *r, int64_t now);
/* When something can be done for the mail that waits, if no session reports before. */
int64_t sessions_next_dispatch(struct relayd *r, int64_t now);
/* Tells all to stop (at once, or after their message). */
void sessions_stop(struct relayd *r);
void sessions_kill(struct relayd *r);
/* A session process has ended. */
void sessions_reap(const struct relayd *r, pid_t pid, int status);
/* The session that has e, or NULL. */
const struct session *sessions_find(const struct relayd *r, const struct index_entry *e);

/* ---- clients.c and control.c: the socket ------------------------------------ */

int control_open(struct relayd *r);
void control_close(struct relayd *r);

/* What stands in the way of mail that is due and for these smarthosts; text is room for
 * the reason. */
struct listing_pause control_pause(struct relayd *r, uint64_t carriers, char *text, size_t size);

/* The next slice of what waits becomes due, if somebody wants it. */
void control_flush_turn(struct relayd *r);
/* Makes e due now, if it waits. */
void control_flush(struct relayd *r, struct index_entry *e, bool administrator);

/* A line for whoever waits for the outcome of the message (sendmail -v). */
void watchers_tell(struct relayd *r, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Its first attempt is over, or there will be none. */
void watchers_end(struct relayd *r, const char *name);
/* The end of a turn: they get what they were told.  There will be no attempt while all
 * smarthosts pause; that is an outcome, too. */
void watchers_flush(struct relayd *r);

#endif
