/*
 * The command line of sendmail, as its callers of forty years write it.
 */
#ifndef SENDMAIL_OPTIONS_H
#define SENDMAIL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "spool/envelope.h"
#include "spool/rights.h"

enum mode {
	MODE_DELIVER, /* -bm: a message from standard input */
	MODE_SMTP,    /* -bs: SMTP on standard input and output */
	MODE_LIST,    /* -bp, mailq */
	MODE_ALIASES, /* -bi, -I, newaliases */
	MODE_VERIFY,  /* -bv: where mail for the addresses would go */
	MODE_FLUSH,   /* -q */
	MODE_CHECK,   /* -bC: the configuration */
	MODE_VERSION, /* -bV, --version; -d0.1 without anything else to do */
	MODE_HELP,    /* --help */
	MODE_NOTE,    /* accepted without effect: the note says why */
};

struct options {
	enum mode mode;
	const char *note;
	const char *config;    /* -C, or NULL */
	const char *sender;    /* -f, -r; NULL: not given; "" or "<>": the null sender */
	const char *full_name; /* -F, or NULL */
	bool from_header;      /* -t */
	bool ignore_dots;      /* -i: a lone dot does not end the message */
	bool no_aliases;       /* -n */
	bool show_version;     /* -d0.1: before what else is to be done */
	bool verbose;          /* -v: wait, and tell the outcomes */
	bool wait;             /* -odi: wait for the outcome of the first attempt */
	bool quiet;            /* -oeq: only the exit code tells of an error */
	bool quarantine;       /* -Q, which means nothing here */
	unsigned notify;       /* -N: enum notify */
	enum ret ret;          /* -R */
	const char *envid;     /* -V, or NULL */
	unsigned hops;         /* -h */
	uint64_t read_timeout; /* -or, microseconds; 0: none */
	char protocol[17];     /* -p, "" if not given */
	char log_tag[33];      /* -L, the same */
	char select;           /* -qI, -qR, -qS: I, R or S; 0: the whole queue */
	bool select_negated;       /* -q!I … */
	const char *select_text;
	char **recipients; /* within argv, which is reordered */
	size_t recipient_count;
	struct rights *rights; /* of the program, set by main */
	char error[256];       /* what is wrong with the command line */
};

/* 0, or -1 with o->error; argv's words are borrowed.  argc may be 0. */
int options_parse(struct options *o, int argc, char **argv);

extern const char options_usage[];

#endif
