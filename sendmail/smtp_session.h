/*
 * What the parts of an SMTP conversation share: smtp_server.c reads commands and
 * hands them out, smtp_transaction.c makes messages of them.
 */
#ifndef SENDMAIL_SMTP_SESSION_H
#define SENDMAIL_SMTP_SESSION_H

#include "sendmail/smtp_channel.h"
#include "sendmail/smtp_command.h"
#include "sendmail/smtp_content.h"
#include "sendmail/smtp_peer.h"
#include "sendmail/smtp_server.h"
#include "sendmail/submission.h"

/* From MAIL to the reply behind the content, or RSET. */
struct smtp_transaction {
	bool open;
	bool full;               /* no further recipient is taken */
	bool chunks;             /* BDAT has begun: only BDAT goes on with it */
	bool refused;            /* a chunk was refused, so the others are */
	struct smtp_chunk chunk; /* size: what is still to come of it */
	struct smtp_content content;
	struct spool spool;
	struct submission submission;
	char from_host[HOSTNAME_SIZE + SMTP_PEER_SIZE + 4];
};

struct smtp_session {
	const struct smtp_setup *setup;
	struct smtp_channel channel;
	struct smtp_peer peer;
	struct buf line;
	struct smtp_command command; /* within the line */
	bool pending;                /* it has been read and not been carried out */
	bool extended;               /* EHLO */
	char helo[HOSTNAME_SIZE];    /* "" until a usable name was given */
	unsigned errors, errors_in_row;
	bool ended; /* nothing more is read */
	int code;   /* the exit code */
	struct smtp_transaction transaction;
};

/* Reads the next command; false when the session has ended. */
bool smtp_session_read(struct smtp_session *s);
/* Carries it out. */
void smtp_session_execute(struct smtp_session *s);

/* A reply to a client that has made a mistake; too many of them end the session. */
void smtp_session_error(struct smtp_session *s, int code, const char *status, const char *text);
/* 421, and the end of the session. */
void smtp_session_close(struct smtp_session *s, const char *status, const char *why);

/* The commands of a transaction. */
void smtp_transaction_mail(struct smtp_session *s);
void smtp_transaction_rcpt(struct smtp_session *s);
void smtp_transaction_data(struct smtp_session *s);
void smtp_transaction_bdat(struct smtp_session *s);
/* Forgets it; what was committed stays. */
void smtp_transaction_end(struct smtp_session *s);

#endif
