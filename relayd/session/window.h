/*
 * Several messages in flight: with PIPELINING (RFC 2920) and CHUNKING (RFC 3030) the
 * commands and the content of further messages are written before the replies to the
 * first have come,
 *
 *	RSET, MAIL, RCPT …, BDAT n LAST <content>, RSET, MAIL …
 *
 * and the replies are read in that order.  How many messages and octets that may be is
 * relayd's decision.
 *
 * RSET before each MAIL is not optional: without it a server may take the content of a
 * message whose recipients were all refused for that of the message before.
 */
#ifndef RELAYD_SESSION_WINDOW_H
#define RELAYD_SESSION_WINDOW_H

#include "relayd/ipc.h"
#include "relayd/session/conversation.h"
#include "relayd/session/transaction.h"

/* A message in flight. */
struct slot {
	uint32_t job;
	struct message message;
	struct transaction transaction;
	bool reset;         /* a RSET was written before its MAIL */
	size_t *recipients; /* those that were written, by their place in the envelope */
	size_t recipient_count;
	uint64_t end;     /* the stream's octet behind its content */
	int64_t deadline; /* of its first reply, CLOCK_BOOTTIME; 0: it is not the oldest yet */
	bool written;     /* false: nothing was; its outcomes, if it has any, are known */
	bool settled;     /* its replies have been read, as far as they came */
	enum ipc_end result;
};

struct window {
	struct conversation *conversation;
	struct slot slots[IPC_WINDOW_MAX];
	size_t first, count;
};

/*
 * Finds out, unless it is known from an earlier session (c->peer), whether the server
 * discards a chunk that it refuses: one that does not would run the content of a refused
 * message as commands.  1: it does; 0: it does not, or offers no chunks; -1 with the
 * stream's problem: the connection is of no use after the question.
 */
int window_probe(struct conversation *c);

/* True if the message can be sent this way. */
bool window_takes(const struct window *w, const struct message *m);

/* Takes m over (it is closed by window_take()) and writes it; what cannot be written
 * shows when its turn comes.  There must be room. */
void window_put(struct window *w, uint32_t job, struct message *m, const uint8_t *finished);

/* A message that cannot be sent has its turn, too. */
void window_put_result(struct window *w, uint32_t job, struct message *m, enum ipc_end result);

/* Is there a reply to wait for, before the oldest message comes to its end? */
bool window_waits(const struct window *w);

/* The oldest message: reads its replies, unless the conversation is broken, and says in
 * slot->result what became of it.  It stays until window_take(). */
struct slot *window_oldest(struct window *w);
void window_take(struct window *w);

#endif
