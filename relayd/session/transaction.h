/*
 * One message to the smarthost: MAIL, RCPT, DATA, content (RFC 5321 section 3.3),
 * pipelined where the server offers it (RFC 2920).
 */
#ifndef RELAYD_SESSION_TRANSACTION_H
#define RELAYD_SESSION_TRANSACTION_H

#include "relayd/ipc.h"
#include "relayd/session/content.h"
#include "relayd/session/conversion.h"
#include "relayd/session/conversation.h"
#include "spool/spool.h"

/* What became of one recipient. */
struct outcome {
	enum ipc_outcome value;
	unsigned code;
	bool wanted; /* this transaction is about it */
	bool known;  /* value, code and text are set */
	bool fresh;  /* by the last transaction */
	bool held;   /* nothing that the last transaction came to is about it */
	char *text;  /* owned; NULL: none */
};

struct transaction {
	struct conversation *c;
	struct message *message;
	struct outcome *outcomes;     /* one for each recipient in the envelope */
	uint64_t length;              /* octets of content that are sent, without dot-stuffing */
	struct content_header header; /* with rewrite_from, of a message that is streamed */
	struct conversion conversion; /* for a smarthost that takes less than it has */
	bool broken;                  /* the conversation cannot go on: see its fault */
	bool own_fault;               /* it is not the smarthost that broke it */
	bool ended;                   /* the last reply is that to the whole message */
	bool answered;                /* the smarthost has answered at least one command */
};

/* finished has a bit for each recipient that is not to be tried.  0 or -1 with
 * errno ENOMEM. */
int transaction_init(
    struct transaction *t, struct conversation *c, struct message *m, const uint8_t *finished);
void transaction_fini(struct transaction *t);

/*
 * Sends the message.  END_COMPLETE: each wanted recipient's outcome is known;
 * END_UNSENT: none may be counted, the last byte was not written; END_DOUBT: it
 * was, and no reply came (of several transactions, for those without outcome); END_CORRUPT: the
 * file's check value is wrong, and the smarthost did not get a whole message.
 */
enum ipc_end transaction_run(struct transaction *t);

/* There was no room for some recipients, or the smarthost said so of them and delivered to
 * others: true if they want another transaction.  It takes a conversation with nothing in flight,
 * and a message that can be held. */
bool transaction_wants_more(const struct transaction *t);
enum ipc_end transaction_more(struct transaction *t);

#endif
