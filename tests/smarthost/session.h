/*
 * One conversation: the state that the command loop (session.c), the commands that set it up
 * (hello.c) and those that carry mail (mail.c) share.
 */
#ifndef SMARTHOST_SESSION_H
#define SMARTHOST_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "content.h"
#include "rules.h"
#include "server.h"
#include "stream.h"
#include "text.h"

enum { SESSION_LINE = 16384 };

enum session_end { SESSION_FINISH, SESSION_DROP, SESSION_RESET };

struct session {
	struct server *server;
	struct session *next; /* server->lock */
	unsigned number;
	char line[SESSION_LINE];
	bool over;            /* no further command will be read */
	enum session_end end;
	bool greeted;         /* EHLO or HELO was accepted */
	bool extended;        /* ... it was EHLO */
	bool may_pipeline;    /* PIPELINING was offered in this EHLO reply */
	bool dribbling;       /* the next reply goes out octet by octet */
	unsigned dribble;
	const char *mechanism; /* of the successful AUTH, or NULL */
	uint64_t commands, messages;

	bool in_transaction;  /* MAIL was accepted */
	bool utf8;
	bool chunking;        /* the first BDAT was seen */
	bool chunk_failed;    /* ... one was refused: the rest is thrown away */
	unsigned recipients;
	struct text_buffer envelope; /* lines of the .env file */
	struct text_buffer parties;  /* "<sender> <recipient>...", for rules */
	struct content content;
	struct stream stream; /* last: it is big */
};

struct session *session_new(struct server *server, int fd, unsigned number);

/* Holds the conversation and closes the connection; session_free() is still to be called. */
void session_run(struct session *session);
void session_free(struct session *session);

/*
 * Queues a reply.  enhanced may be NULL and is left out when ENHANCEDSTATUSCODES is not offered;
 * text may have several lines.
 */
void session_reply(struct session *session, unsigned code, const char *enhanced,
    const char *text);

/* Says 421 or another last word and ends the conversation. */
void session_refuse(struct session *session, unsigned code, const char *enhanced,
    const char *text);

bool session_offers(const struct session *session, enum options_extension extension);

/* Does what a rule says; true when the event is settled and must have no other effect. */
bool session_fault(struct session *session, const struct rules_verdict *verdict,
    const char *where);

/* Forgets the transaction. */
void session_reset(struct session *session);

/* Commands.  arguments is the line behind the verb, blanks skipped. */
void hello_ehlo(struct session *session, char *arguments);
void hello_helo(struct session *session, char *arguments);
void hello_starttls(struct session *session, char *arguments);
void hello_auth(struct session *session, char *arguments);
void mail_mail(struct session *session, char *arguments);
void mail_rcpt(struct session *session, char *arguments);
void mail_data(struct session *session, char *arguments);
void mail_bdat(struct session *session, char *arguments);

/* TLS on this connection, as STARTTLS or --implicit-tls does it; false: it is over. */
bool hello_handshake(struct session *session);

/* Takes and forgets the octets behind a BDAT command that is not carried out. */
void mail_skip_chunk(struct session *session, char *arguments);

#endif
