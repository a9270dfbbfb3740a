/*
 * A session process as relayd sees it.  Four files share this: sessions.c starts
 * and ends them, pick.c chooses one for a message, handout.c gives it, reports.c believes
 * what they say, as far as it can be checked.
 *
 * A session has several messages at a time if its smarthost can do with that (see
 * struct smarthost, window); it sends and reports them in the order of the hand-out.
 * A message belongs to a session from the hand-out to its END report.  If the
 * socket closes in between, its outcome is unknown: it is in doubt, and the
 * journal has said so since the hand-out.
 */
#ifndef RELAYD_SESSIONS_H
#define RELAYD_SESSIONS_H

#include "relayd/relayd.h"

enum session_phase { SESSION_CONNECTING, SESSION_READY, SESSION_BUSY, SESSION_CLOSING };

struct job {
	struct job *next; /* handed out after this one */
	uint32_t id;
	struct index_entry *entry;
	off_t reason; /* that the entry had before */
	struct message message;
	struct results results;
	bool *reported; /* for each recipient: there is nothing more to be said of it */
	bool rest;      /* there are recipients left for other smarthosts */
	int64_t given_at;
};

struct session {
	struct watch watch; /* must be first */
	struct session *next;
	struct smarthost *host; /* NULL: its settings are no longer in force */
	char name[300], host_name[256];
	uint64_t idle_timeout;
	enum settings_refused refused;
	bool has_dsn; /* the smarthost offers it */
	pid_t pid;
	enum session_phase phase;
	bool failed;      /* it has said why */
	bool broken;      /* a message was unsent or in doubt */
	bool stopping;    /* it was told to stop */
	bool excused;     /* it has said that it ends, and that it is nobody's fault */
	unsigned done;    /* jobs */
	unsigned given;   /* the same, with those in hand */
	int64_t ready_at; /* when it was connected */
	int64_t idle_since;
	struct job *jobs; /* the oldest first */
	size_t job_count;
	uint64_t octets; /* of content, of all of them */
	bool alone;      /* the message in hand goes without others */
	bool windowed;   /* it can have several in flight */
};

/* Starts a process for h; a failure pauses h. */
void session_start(struct relayd *r, struct smarthost *h);
void session_set_phase(struct session *s, enum session_phase phase);
/* Tells it to stop; it gets no more messages. */
void session_stop(struct session *s);
/* Its smarthost's settings or health are no longer its business; it ends after the
 * message in hand. */
void session_retire(struct session *s);
/* SIGKILL; its socket closes, and session_end() follows. */
void session_kill(const struct session *s);
/* Its socket has closed: s is freed at the end of the turn. */
void session_end(struct relayd *r, struct session *s);
/* It does what no session of ours does: killed, and s is freed. */
void session_distrust(struct relayd *r, struct session *s, const char *why);

/* pick.c: the session of the best smarthost that can take `m`, or (NULL) any message, of
 * those that wait in the heap for the carriers; NULL: none can now.  Then one more has
 * been started if it is worth it. */
struct session *pick_session(struct relayd *r, uint64_t carriers, const struct heap *heap,
    const struct message *m, int64_t now);
/* When there may be one without a report before; INT64_MAX: never. */
int64_t pick_next(struct relayd *r, uint64_t carriers, const struct heap *heap, int64_t now);
/* Such a message goes without others. */
bool pick_is_alone(const struct index_entry *e, const struct message *m);

/* reports.c: the socket is readable. */
void session_packets_ready(struct relayd *r, struct watch *w);

/* The job is over; it is freed. */
void job_end(struct session *s, struct job *j);
/* The message was not sent, and waits again; if it is blamed (the connection
 * broke on it) again and again, others go first. */
void job_unsent(struct relayd *r, struct session *s, struct job *j, bool blamed);
/* Nobody knows whether it was sent. */
void job_doubt(struct relayd *r, struct session *s, struct job *j, const char *why);

#endif
