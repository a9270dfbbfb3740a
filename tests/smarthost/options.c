/*
 * Command line and --help of the smarthost; see options.h.  Options, their letters for getopt_long
 * and their help stand in this file only.
 */
#include "options.h"

#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "rules.h"
#include "text.h"

static const char help[] =
    "usage: smarthost [OPTION]...\n"
    "A scripted SMTP server for tests.\n"
    "\n"
    "  --bind ADDR         listen on this address (127.0.0.1)\n"
    "  --port N            ... and port (0: any free one)\n"
    "  --port-file FILE    write the port there once it listens\n"
    "  --cert FILE         certificate, PEM (none: plain text only)\n"
    "  --key FILE          its private key\n"
    "  --ocsp FILE         OCSP response to staple to it, DER, good or bad\n"
    "  --implicit-tls      TLS from the first octet\n"
    "  --no-starttls       do not offer STARTTLS\n"
    "  --client-ca FILE    ask for a client certificate of this CA; without one is fine too\n"
    "  --priority STRING   GnuTLS priority string\n"
    "  --user NAME         demand AUTH by this user before MAIL\n"
    "  --password SECRET   ... with this password\n"
    "  --mechanisms LIST   offered (\"PLAIN LOGIN SCRAM-SHA-1 SCRAM-SHA-256\")\n"
    "  --auth-in-clear     offer AUTH without TLS too\n"
    "  --without EXT       do not offer PIPELINING, 8BITMIME, SMTPUTF8, DSN, CHUNKING, SIZE,\n"
    "                      ENHANCEDSTATUSCODES, STARTTLS or AUTH; repeatable\n"
    "  --size N            largest message in octets (52428800)\n"
    "  --strict            refuse what the RFCs forbid: EHLO arguments that are no dotted host\n"
    "                      name or address literal, bare CR or LF, NUL, long lines, commands\n"
    "                      sent ahead without PIPELINING or across STARTTLS, UTF-8 addresses\n"
    "                      without SMTPUTF8\n"
    "  --store DIR         keep messages as DIR/NNNNNN.eml and .env\n"
    "  --transcript FILE   append every conversation to FILE\n"
    "  --stats FILE        write the totals there at the end\n"
    "  --rule RULE         inject a fault; repeatable\n"
    "  --rules FILE        rules, one per line, # comments; read again on SIGHUP\n"
    "  --delay MS          wait before every flush of replies\n"
    "  --exit-after N      exit 0 after N accepted messages\n"
    "  --mark N            say on stdout when the N-th message was accepted (CLOCK_MONOTONIC)\n"
    "  --help              this text\n"
    "\n"
    "RULE is WHERE[/COUNT][~TEXT] ACTION\n"
    "  WHERE   banner, EHLO, HELO, STARTTLS, AUTH, MAIL, RCPT, DATA, BDAT, RSET, QUIT, NOOP,\n"
    "          VRFY, HELP; content (its first octet is awaited), end (the reply to the end of\n"
    "          the content), command (any command)\n"
    "  COUNT   N (only the N-th time in this process), N- or N-M\n"
    "  TEXT    only if the command line (content, end: \"<sender> <recipient>...\") contains it;\n"
    "          a space is \\x20\n"
    "  ACTION  reply CODE TEXT  instead of the command; \\n starts a next line; after 421 the\n"
    "                           connection is closed\n"
    "          raw TEXT         these octets, C escapes, instead of the command\n"
    "          drop | reset     close with FIN | RST, without reply\n"
    "          stall            no reply until the client closes\n"
    "          delay MS         then go on as usual\n"
    "          dribble MS       the usual reply, one octet every MS\n"
    "          accept-then-drop (end only) keep the message, close without reply\n"
    "reply and raw at content are sent at once; the content is then read and thrown away\n"
    "without a further reply.  The first rule whose count is in range acts.\n"
    "\n"
    "SIGUSR1 writes the totals to the transcript or stderr, SIGTERM ends with status 0.\n";

enum letter {
	LETTER_BIND = 1000, LETTER_PORT, LETTER_PORT_FILE, LETTER_CERT, LETTER_KEY,
	LETTER_OCSP, LETTER_IMPLICIT_TLS, LETTER_NO_STARTTLS, LETTER_CLIENT_CA, LETTER_PRIORITY, LETTER_USER,
	LETTER_PASSWORD, LETTER_MECHANISMS, LETTER_AUTH_IN_CLEAR, LETTER_WITHOUT, LETTER_SIZE,
	LETTER_STRICT, LETTER_STORE, LETTER_TRANSCRIPT, LETTER_STATS, LETTER_RULE, LETTER_RULES,
	LETTER_DELAY, LETTER_EXIT_AFTER, LETTER_MARK, LETTER_HELP,
};

static const struct option longs[] = {
	{ "bind", required_argument, NULL, LETTER_BIND },
	{ "port", required_argument, NULL, LETTER_PORT },
	{ "port-file", required_argument, NULL, LETTER_PORT_FILE },
	{ "cert", required_argument, NULL, LETTER_CERT },
	{ "key", required_argument, NULL, LETTER_KEY },
	{ "ocsp", required_argument, NULL, LETTER_OCSP },
	{ "implicit-tls", no_argument, NULL, LETTER_IMPLICIT_TLS },
	{ "no-starttls", no_argument, NULL, LETTER_NO_STARTTLS },
	{ "client-ca", required_argument, NULL, LETTER_CLIENT_CA },
	{ "priority", required_argument, NULL, LETTER_PRIORITY },
	{ "user", required_argument, NULL, LETTER_USER },
	{ "password", required_argument, NULL, LETTER_PASSWORD },
	{ "mechanisms", required_argument, NULL, LETTER_MECHANISMS },
	{ "auth-in-clear", no_argument, NULL, LETTER_AUTH_IN_CLEAR },
	{ "without", required_argument, NULL, LETTER_WITHOUT },
	{ "size", required_argument, NULL, LETTER_SIZE },
	{ "strict", no_argument, NULL, LETTER_STRICT },
	{ "store", required_argument, NULL, LETTER_STORE },
	{ "transcript", required_argument, NULL, LETTER_TRANSCRIPT },
	{ "stats", required_argument, NULL, LETTER_STATS },
	{ "rule", required_argument, NULL, LETTER_RULE },
	{ "rules", required_argument, NULL, LETTER_RULES },
	{ "delay", required_argument, NULL, LETTER_DELAY },
	{ "exit-after", required_argument, NULL, LETTER_EXIT_AFTER },
	{ "mark", required_argument, NULL, LETTER_MARK },
	{ "help", no_argument, NULL, LETTER_HELP },
	{ NULL, 0, NULL, 0 },
};

static const struct {
	const char *name;
	enum options_extension extension;
} extensions[] = {
	{ "PIPELINING", OPTIONS_PIPELINING },
	{ "8BITMIME", OPTIONS_8BITMIME },
	{ "SMTPUTF8", OPTIONS_SMTPUTF8 },
	{ "DSN", OPTIONS_DSN },
	{ "ENHANCEDSTATUSCODES", OPTIONS_ENHANCEDSTATUSCODES },
	{ "CHUNKING", OPTIONS_CHUNKING },
	{ "SIZE", OPTIONS_SIZE },
	{ "STARTTLS", OPTIONS_STARTTLS },
	{ "AUTH", OPTIONS_AUTH },
};

static bool
remove_extension(struct options *options, const char *name)
{
	for (size_t i = 0; i < sizeof extensions / sizeof extensions[0]; i++) {
		if (strcmp(extensions[i].name, name) == 0) {
			options->extensions &= ~(unsigned)extensions[i].extension;
			return true;
		}
	}
	return false;
}

/* The option's string if it is one that is kept as it is, else NULL. */
static const char **
string_for(struct options *options, int letter)
{
	switch (letter) {
	case LETTER_BIND: return &options->bind;
	case LETTER_PORT: return &options->port;
	case LETTER_PORT_FILE: return &options->port_file;
	case LETTER_CERT: return &options->certificate;
	case LETTER_KEY: return &options->key;
	case LETTER_OCSP: return &options->ocsp;
	case LETTER_CLIENT_CA: return &options->client_ca;
	case LETTER_PRIORITY: return &options->priority;
	case LETTER_USER: return &options->user;
	case LETTER_PASSWORD: return &options->password;
	case LETTER_MECHANISMS: return &options->mechanisms;
	case LETTER_STORE: return &options->store;
	case LETTER_TRANSCRIPT: return &options->transcript;
	case LETTER_STATS: return &options->stats;
	case LETTER_RULES: return &options->rules_file;
	default: return NULL;
	}
}

static bool
number_is(const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *number)
{
	if (text_parse_number(text, min, max, number))
		return true;
	fprintf(stderr, "smarthost: --%s %s: not a number from %llu to %llu\n", name, text,
	    (unsigned long long)min, (unsigned long long)max);
	return false;
}

/* Everything that is not just a string; false when wrong, having said why. */
static bool
apply(struct options *options, struct rules *rules, int letter, const char *value)
{
	char why[512];
	uint64_t number;

	switch (letter) {
	case LETTER_IMPLICIT_TLS:
		options->implicit_tls = true;
		return true;
	case LETTER_NO_STARTTLS:
		return remove_extension(options, "STARTTLS");
	case LETTER_AUTH_IN_CLEAR:
		options->auth_in_clear = true;
		return true;
	case LETTER_STRICT:
		options->strict = true;
		return true;
	case LETTER_WITHOUT:
		if (remove_extension(options, value))
			return true;
		fprintf(stderr, "smarthost: --without %s: no such extension\n", value);
		return false;
	case LETTER_SIZE:
		return number_is("size", value, 1, UINT64_MAX / 2, &options->size);
	case LETTER_EXIT_AFTER:
		return number_is("exit-after", value, 1, UINT64_MAX, &options->exit_after);
	case LETTER_MARK:
		return number_is("mark", value, 1, UINT64_MAX, &options->mark);
	case LETTER_DELAY:
		if (!number_is("delay", value, 0, 3600000, &number))
			return false;
		options->delay = (unsigned)number;
		return true;
	case LETTER_RULE:
		if (rules_add(rules, value, why, sizeof why))
			return true;
		fprintf(stderr, "smarthost: %s\n", why);
		return false;
	default:
		return false;
	}
}

static bool
check_combination(const struct options *options, int argc)
{
	uint64_t number;
	const char *problem = NULL;

	if (optind < argc)
		problem = "there are no arguments besides options";
	else if ((options->certificate == NULL) != (options->key == NULL))
		problem = "--cert and --key belong together";
	else if (options->certificate == NULL &&
	    (options->implicit_tls || options->client_ca || options->ocsp))
		problem = "--implicit-tls, --client-ca and --ocsp need --cert";
	else if ((options->user == NULL) != (options->password == NULL))
		problem = "--user and --password belong together";
	if (problem != NULL)
		fprintf(stderr, "smarthost: %s\n", problem);
	return problem == NULL && number_is("port", options->port, 0, 65535, &number);
}

enum options_result
options_parse(struct options *options, struct rules *rules, int argc, char **argv)
{
	*options = (struct options){
		.bind = "127.0.0.1",
		.port = "0",
		.mechanisms = "PLAIN LOGIN SCRAM-SHA-1 SCRAM-SHA-256",
		.extensions = ~0U,
		.size = 52428800,
	};
	for (int letter; (letter = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		const char **string = string_for(options, letter);
		if (letter == LETTER_HELP) {
			fputs(help, stdout);
			return OPTIONS_HELP;
		}
		if (string != NULL)
			*string = optarg;
		else if (letter == '?' || !apply(options, rules, letter, optarg))
			return OPTIONS_WRONG;
	}
	return check_combination(options, argc) ? OPTIONS_RUN : OPTIONS_WRONG;
}
