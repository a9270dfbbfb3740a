/*
 * The smarthost's command line.  Strings point into argv.
 */
#ifndef SMARTHOST_OPTIONS_H
#define SMARTHOST_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct rules;

enum options_extension {
	OPTIONS_PIPELINING = 1 << 0,
	OPTIONS_8BITMIME = 1 << 1,
	OPTIONS_SMTPUTF8 = 1 << 2,
	OPTIONS_DSN = 1 << 3,
	OPTIONS_ENHANCEDSTATUSCODES = 1 << 4,
	OPTIONS_CHUNKING = 1 << 5,
	OPTIONS_SIZE = 1 << 6,
	OPTIONS_STARTTLS = 1 << 7,
	OPTIONS_AUTH = 1 << 8,
};

struct options {
	const char *bind;
	const char *port;
	const char *port_file;
	const char *certificate, *key, *ocsp, *client_ca, *priority;
	bool implicit_tls;
	const char *user, *password, *mechanisms;
	bool auth_in_clear;
	unsigned extensions; /* offered: enum options_extension */
	uint64_t size;
	bool strict;
	const char *store;
	const char *transcript;
	const char *rules_file;
	const char *stats;
	unsigned delay;
	uint64_t exit_after; /* 0: never */
	uint64_t mark;       /* 0: never */
};

enum options_result { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_WRONG };

/* Says on stderr what is wrong; --rule goes into rules at once. */
enum options_result options_parse(struct options *options, struct rules *rules, int argc,
    char **argv);

#endif
