/*
 * The command line of sendmail, as its callers of forty years write it.
 */
#ifndef SENDMAIL_OPTIONS_H
#define SENDMAIL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "spool/envelope.h"

enum mode {
	MODE_DELIVER, /* -bm: a message from standard input */
	MODE_LIST,    /* -bp, mailq */
	MODE_ALIASES, /* -bi, -I, newaliases */
	MODE_FLUSH,   /* -q */
	MODE_CHECK,   /* -bC: the configuration */
	MODE_VERSION, /* -bV, -d0.1, --version */
	MODE_HELP,    /* --help */
	MODE_NOTE,    /* accepted without effect: the note says why */
	MODE_REFUSED, /* understood, but not to be had: the note says why */
};

struct options {
	enum mode mode;
	const char *note;
	const char *config;    /* -C, or NULL */
	const char *sender;    /* -f, -r; NULL: not given; "" or "<>": the null sender */
	const char *full_name; /* -F, or NULL */
	bool from_header;      /* -t */
	bool ignore_dots;      /* -i: a lone dot does not end the message */
	unsigned notify;       /* -N: enum notify */
	enum ret ret;          /* -R */
	const char *envid;     /* -V, or NULL */
	char **recipients;     /* within argv, which is reordered */
	size_t recipient_count;
	char error[256]; /* what is wrong with the command line */
};

/* 0, or -1 with o->error; argv's words are borrowed.  argc may be 0. */
int options_parse(struct options *o, int argc, char **argv);

extern const char options_usage[];

#endif
