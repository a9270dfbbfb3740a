/*
 * The spool: where messages are kept from the moment sendmail accepts them
 * until they are delivered, returned or removed.  postbag-spool(5) describes the
 * files.
 *
 * What is promised:
 *   - when message_commit() returns 0, the message is on stable storage under
 *     its name in queue/, whole, and survives SIGKILL and power loss;
 *   - when it returns -1, or the writer is aborted or killed before, no message
 *     appears and nothing is left behind (a dot file, where the file system has
 *     no O_TMPFILE, until it is swept), with one exception: if fsync(2) fails
 *     after the link, the file is unlinked again, and a running relayd may have
 *     seen it;
 *   - a message never changes after that;
 *   - message_open() gives back what was written or says that it is not whole.
 *
 * All paths below are relative to `spool_directory`.
 */
#ifndef SPOOL_SPOOL_H
#define SPOOL_SPOOL_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "spool/envelope.h"
#include "spool/name.h"
#include "spool/rights.h"

/* ---- directories ---------------------------------------------------------- */

struct spool {
	char directory[PATH_MAX];
	int dir;   /* O_PATH */
	int queue; /* O_PATH: the set-gid submitter may not read it */
	uint64_t reserve;
	uint64_t announced; /* octets that the next message will have, as far as that is known */
	const struct rights *rights;   /* to create in queue/; NULL: the process's own */
	const char *runtime_directory; /* of the relayd that takes messages where queue/ is
					* closed; NULL: nobody does */
	char problem[PATH_MAX + 200];  /* of the last call that failed: what, where, why */
};

/*
 * Opens the spool.  Whoever owns `directory` creates missing sub-directories:
 * root for the account `user`, anyone else for himself (mode 0700).  reserve is
 * the free space in octets that submissions leave, 0 for min(5 %, 64M).
 * 0, or -1 with errno and s->problem; s can be closed in both cases.
 */
int spool_open(struct spool *s, const char *directory, const char *user, uint64_t reserve);
/*
 * The same for whoever submits: with the rights of a set-gid program, which s
 * borrows, and where those do not suffice through relayd's socket below
 * runtime_directory.
 */
int spool_open_submission(struct spool *s, const char *directory, const char *user,
    uint64_t reserve, const char *runtime_directory, const struct rights *rights);
void spool_close(struct spool *s);

/* Opens queue/ for reading its entries; -1 with errno and s->problem. */
int spool_open_queue(struct spool *s);
/* Opens state/ for its owner; -1 with errno and s->problem. */
int spool_open_state(struct spool *s);

/* True for the errors that relayd's socket is there for. */
bool spool_is_closed(int error);

/* Puts "cannot WHAT DIRECTORY/SUB: strerror" into s->problem; returns -1 and
 * leaves errno as it is. */
int spool_fail(struct spool *s, const char *what, const char *sub);

/* ---- writing -------------------------------------------------------------- */

enum message_flags {
	MESSAGE_8BIT = 1,     /* an octet above 127 in the content */
	MESSAGE_SMTPUTF8 = 2, /* the same in the header or in the envelope (RFC 6531) */
};

struct message_writer {
	struct spool *spool;
	int fd;
	struct queue_name name;       /* that the file will have, from message_begin() on */
	char temporary[NAME_LEN + 8]; /* the dot name, "" with O_TMPFILE */
	bool remote;                  /* the file lies elsewhere; relayd gets its octets */
	struct buf out;
	off_t content; /* where it begins in the file */
	uint32_t crc;
	uint64_t length;  /* octets of content so far */
	uint64_t longest; /* octets of its longest line, without CRLF */
	uint64_t line;    /* octets of the line that is being written */
	unsigned flags;
	char last;  /* octet of content so far */
	bool stray; /* there is a CR or an LF that is not of a CRLF: see format_is_lines() */
};

/* All fail with -1, errno and spool->problem, and return 0 if nothing else is said.  After a
 * failure only message_abort() may follow; after message_commit() none. */
int message_begin(struct message_writer *w, struct spool *s, const struct envelope *e);
/* Content as it goes on the wire: CRLF line ends, no dot-stuffing. */
int message_write(struct message_writer *w, const void *content, size_t len);
/* Reads back content that has been written, from that offset of it: up to max octets,
 * 0 at its end.  More may be written after that. */
ssize_t message_reread(struct message_writer *w, uint64_t offset, void *to, size_t max);
/* Begins a second file that takes the place of `from`: it will have the same name, so
 * only one of the two may be committed, and the other is aborted. */
int message_begin_again(
    struct message_writer *w, const struct message_writer *from, const struct envelope *e);
/* Writes what is known only at the end, gives the file its name and makes both
 * durable. */
int message_commit(struct message_writer *w);
/* Forgets the message.  Does nothing on a writer that is {.fd = -1}. */
void message_abort(struct message_writer *w);

/* Removes a file of queue/ if its name has a dot, and it is older than 36 hours and not
 * locked. */
void spool_sweep(int queue_fd, const char *name);

/* ---- reading -------------------------------------------------------------- */

enum message_status {
	MESSAGE_OK,
	MESSAGE_GONE,    /* no such file */
	MESSAGE_EMPTY,   /* left by a crash before anybody was told that it was accepted */
	MESSAGE_CORRUPT, /* not a whole message; never relayed */
	MESSAGE_NEWER,   /* a later format: to be held */
	MESSAGE_ERROR,   /* cannot be read now: errno */
};

struct message {
	int fd;
	struct envelope envelope;
	uint64_t length;  /* octets of content */
	uint64_t longest; /* octets of its longest line */
	unsigned flags;
	off_t content; /* where it begins in the file */
	uint32_t crc;
	const char *error; /* for CORRUPT: what is wrong, a constant */
};

/* Opens queue/NAME: a regular file with one link, never through a symbolic link
 * and never blocking.  Whatever is returned, message_close() follows. */
enum message_status message_open(struct message *m, int queue_fd, const char *name);
/* The same from a descriptor, which m owns from now on. */
enum message_status message_open_fd(struct message *m, int fd);
void message_close(struct message *m);

/* The check value: begins with the envelope; the caller continues with crc32c()
 * over the content in order; message_check_end() is true if it fits.
 * message_check_begin() returns 0, or -1 with errno. */
int message_check_begin(const struct message *m, uint32_t *crc);
bool message_check_end(const struct message *m, uint32_t crc);

#endif
