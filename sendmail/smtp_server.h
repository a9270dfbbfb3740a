/*
 * SMTP on standard input and output (-bs): RFC 5321 for the programs of this host.
 *
 * 250 behind the end of a message is given only when the message is durable.  A
 * process that is killed, or whose client goes away, leaves no part of a message.
 */
#ifndef SENDMAIL_SMTP_SERVER_H
#define SENDMAIL_SMTP_SERVER_H

#include <stdint.h>

#include "base/settings.h"
#include "sendmail/identity.h"
#include "sendmail/options.h"
#include "spool/rights.h"

/* All is borrowed. */
struct smtp_setup {
	const struct settings *settings;
	const struct identity *identity;
	const struct rights *rights; /* to create in queue/ */
	int in, out;
	uint64_t timeout; /* for each read and write, microseconds */
	bool no_aliases;
};

/* One conversation; returns the exit code. */
int smtp_serve(const struct smtp_setup *setup);

/* The same as the options say, for main. */
int smtp_server_run(const struct settings *settings, const struct options *o);

/* A greeting that says why there is no service; returns EX_TEMPFAIL. */
int smtp_server_refuse(const char *why);

#endif
