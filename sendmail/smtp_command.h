/*
 * Commands of SMTP: RFC 5321 section 4.1, with the parameters of RFC 1870 (SIZE), 6152
 * (BODY), 6531 (SMTPUTF8), 3461 (RET, ENVID, NOTIFY, ORCPT) and the chunks of RFC 3030.
 *
 * A line is parsed in place; what comes out are strings within it.
 */
#ifndef SENDMAIL_SMTP_COMMAND_H
#define SENDMAIL_SMTP_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "spool/envelope.h"

enum smtp_verb {
	VERB_UNKNOWN,
	VERB_HELO,
	VERB_EHLO,
	VERB_MAIL,
	VERB_RCPT,
	VERB_DATA,
	VERB_BDAT,
	VERB_RSET,
	VERB_NOOP,
	VERB_VRFY,
	VERB_HELP,
	VERB_QUIT,
	VERB_REFUSED, /* known, and not to be had: EXPN, STARTTLS, AUTH … */
};

struct smtp_command {
	enum smtp_verb verb;
	char *argument; /* what stands behind the verb, without blanks around it */
};

/* What is wrong with a command, as a reply. */
struct smtp_problem {
	int code;
	const char *status;
	const char *text;
};

struct smtp_mail {
	const char *address; /* "" is the null sender */
	uint64_t size;       /* 0: not given */
	bool size_given, body_given;
	bool utf8;
	enum ret ret;
	const char *envid; /* xtext, or NULL */
};

struct smtp_rcpt {
	const char *address;
	unsigned notify;   /* enum notify; 0: not given */
	const char *orcpt; /* "type;xtext", or "utf-8;" and UTF-8, or NULL */
};

struct smtp_chunk {
	uint64_t size;
	bool last;
};

struct smtp_command smtp_command_parse(char *line);

/* 0, or -1 with *problem. */
int smtp_mail_parse(char *argument, struct smtp_mail *m, struct smtp_problem *problem);
int smtp_rcpt_parse(char *argument, struct smtp_rcpt *r, struct smtp_problem *problem);

/* Appends an ORCPT with its UTF-8 as \x{HEX} (RFC 6533 section 3), which is all ASCII.
 * 0, or -1 if b cannot hold it. */
int smtp_orcpt_encode(const char *orcpt, struct buf *b);

/* False if the size of the chunk cannot be told. */
bool smtp_chunk_parse(char *argument, struct smtp_chunk *chunk);

/* RFC 3461 section 4: printable, and behind "+" two hexadecimal digits in upper case. */
bool smtp_is_xtext(const char *s);

/* Can the argument of HELO stand in a Received field? */
bool smtp_is_host_name(const char *name);

#endif
