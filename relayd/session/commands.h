/*
 * MAIL and RCPT with their parameters: those that the message needs and the server
 * offers, and no others (RFC 1870, 3461, 6152, 6531).
 */
#ifndef RELAYD_SESSION_COMMANDS_H
#define RELAYD_SESSION_COMMANDS_H

#include "relayd/session/conversation.h"
#include "spool/spool.h"

#define COMMAND_NEEDS_SMTPUTF8 \
	"553 5.6.7 the address needs SMTPUTF8, which the smarthost does not offer"

/* The address as this server can take it: as it is, or its domain as A-labels, in
 * dst.  NULL if it needs SMTPUTF8, which the server lacks, and cannot do without
 * (RFC 6531 section 3.2). */
const char *command_address(
    const struct conversation *c, const char *address, char *dst, size_t size);

/* Append the command; length is what will be sent of the message.  0, or -1 as the stream says;
 * RCPT: 1, and nothing is appended, if the server cannot take the address. */
int command_mail(
    struct conversation *c, const struct message *m, const char *sender, uint64_t length);
int command_rcpt(struct conversation *c, const struct recipient *r);

#endif
