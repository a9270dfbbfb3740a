/*
 * One table says which options there are and whether they take an argument;
 * getopt(3) would not do: -q, -d, -Q, -E and -J take one only when it is attached,
 * and POSIXLY_CORRECT must not change what a command means.
 *
 * Options and addresses may be mixed until "--".
 */
#include "sendmail/options.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/number.h"
#include "base/text.h"
#include "sendmail/options_parser.h"
#include "sendmail/smtp_command.h"

#define SELECT_MAX 200 /* octets; it goes into a request to relayd */

const char options_usage[] =
    "usage: sendmail [-it] [-f SENDER] [-F NAME] [-C FILE] [--] [RECIPIENT ...]  < MESSAGE\n"
    "       sendmail -bs\n"
    "       sendmail -bv ADDRESS ...\n"
    "       sendmail -bp | -q | -bi\n"
    "sendmail(8) describes all options.\n";

enum kind { NONE, ARGUMENT, ATTACHED };

static option_function set_body, set_mode, set_string, set_flag, set_notify, set_ret, set_queue,
    set_envid, set_debug, set_hops, set_tag, set_protocol, refuse, ignore;

/* clang-format off */
static const struct option {
	char letter;
	enum kind kind;
	option_function *function;
} table[] = {
	{ 'A', ARGUMENT, ignore },     /* submission or mail transfer configuration */
	{ 'B', ARGUMENT, set_body },
	{ 'b', ARGUMENT, set_mode },
	{ 'C', ARGUMENT, set_string },
	{ 'c', NONE, ignore },         /* hold for expensive mailers */
	{ 'D', ARGUMENT, ignore },     /* debug log */
	{ 'd', ATTACHED, set_debug },
	{ 'E', ATTACHED, ignore },     /* Sony NEWS */
	{ 'e', ARGUMENT, options_set_errors },
	{ 'F', ARGUMENT, set_string },
	{ 'f', ARGUMENT, set_string },
	{ 'G', NONE, ignore },         /* gateway submission */
	{ 'h', ARGUMENT, set_hops },
	{ 'I', NONE, set_flag },
	{ 'i', NONE, set_flag },
	{ 'J', ATTACHED, ignore },     /* Sony NEWS */
	{ 'L', ARGUMENT, set_tag },
	{ 'M', ARGUMENT, ignore },     /* macro */
	{ 'm', NONE, ignore },         /* me too */
	{ 'N', ARGUMENT, set_notify },
	{ 'n', NONE, set_flag },
	{ 'O', ARGUMENT, options_set_long },
	{ 'o', ARGUMENT, options_set_option },
	{ 'p', ARGUMENT, set_protocol },
	{ 'Q', ATTACHED, set_flag },
	{ 'q', ATTACHED, set_queue },
	{ 'R', ARGUMENT, set_ret },
	{ 'r', ARGUMENT, set_string },
	{ 'S', ARGUMENT, ignore },
	{ 's', NONE, ignore },         /* keep the From_ line */
	{ 'T', ATTACHED, ignore },     /* timeout; sendmail 8 takes no word behind it */
	{ 't', NONE, set_flag },
	{ 'U', NONE, ignore },         /* SMTPUTF8: used when something needs it */
	{ 'V', ARGUMENT, set_envid },
	{ 'v', NONE, set_flag },
	{ 'X', ARGUMENT, refuse },     /* traffic log */
	{ 'x', NONE, ignore },         /* AIX */
	{ 'z', ARGUMENT, ignore },
};
/* clang-format on */

static const struct {
	char letter;
	enum mode mode;
	const char *note;
} modes[] = {
	{ 'a', MODE_DELIVER, NULL },
	{ 'C', MODE_CHECK, NULL },
	{ 'D', MODE_NOTE, "relayd is the daemon; start it instead" },
	{ 'd', MODE_NOTE, "relayd is the daemon; start it instead" },
	{ 'H', MODE_NOTE, "there is no host status to purge" },
	{ 'h', MODE_NOTE, "there is no host status; mailq says why mail waits" },
	{ 'i', MODE_ALIASES, NULL },
	{ 'l', MODE_NOTE, "relayd is the daemon; start it instead" },
	{ 'm', MODE_DELIVER, NULL },
	{ 'P', MODE_NOTE, "mailq lists and counts the queue" },
	{ 'p', MODE_LIST, NULL },
	{ 'q', MODE_DELIVER, NULL },
	{ 'S', MODE_SMTP, NULL },
	{ 's', MODE_SMTP, NULL },
	{ 't', MODE_NOTE, "there are no rules to test" },
	{ 'V', MODE_VERSION, NULL },
	{ 'v', MODE_VERIFY, NULL },
};

int
options_fail(struct options *o, const char *fmt, ...)
{
	char raw[sizeof(o->error)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	text_copy_printable(o->error, sizeof(o->error), raw, strlen(raw));
	return -1;
}

static int
ignore(struct options *o, char letter, const char *value)
{
	(void)o;
	(void)letter;
	(void)value;
	return 0;
}

static int
refuse(struct options *o, char letter, const char *value)
{
	(void)value;
	return options_fail(o, "option -%c: no log is written on request of a caller", letter);
}

static int
set_flag(struct options *o, char letter, const char *value)
{
	(void)value;
	switch (letter) {
	case 'i':
		o->ignore_dots = true;
		break;
	case 't':
		o->from_header = true;
		break;
	case 'n':
		o->no_aliases = true;
		break;
	case 'v':
		o->verbose = true;
		break;
	case 'Q':
		o->quarantine = true;
		break;
	default:
		o->mode = MODE_ALIASES;
		break;
	}
	return 0;
}

static int
set_hops(struct options *o, char letter, const char *value)
{
	uint64_t n;

	(void)letter;
	if (number_parse(value, 0, 1000, &n) < 0)
		return options_fail(o, "option -h: must be a number of hops, 0 to 1000");
	o->hops = (unsigned)n;
	return 0;
}

/* What goes into a log line or a Received field: letters, digits and a few others. */
static void
word_copy(char *dst, size_t size, const char *value)
{
	size_t n = 0;

	for (; *value != '\0' && n + 1 < size; value++)
		if (isalnum((unsigned char)*value) || strchr("-._/", *value) != NULL)
			dst[n++] = *value;
	dst[n] = '\0';
}

static int
set_tag(struct options *o, char letter, const char *value)
{
	(void)letter;
	word_copy(o->log_tag, sizeof(o->log_tag), value);
	return 0;
}

/* "PROTOCOL" or "PROTOCOL:HOST" */
static int
set_protocol(struct options *o, char letter, const char *value)
{
	char protocol[sizeof(o->protocol)];

	(void)letter;
	snprintf(protocol, sizeof(protocol), "%.*s", (int)strcspn(value, ":"), value);
	word_copy(o->protocol, sizeof(o->protocol), protocol);
	return 0;
}

static int
set_string(struct options *o, char letter, const char *value)
{
	if (letter == 'C')
		o->config = value;
	else if (letter == 'F')
		o->full_name = value;
	else
		o->sender = value;
	return 0;
}

static int
set_body(struct options *o, char letter, const char *value)
{
	(void)o;
	(void)letter;
	/* the content itself tells; a wrong word is no reason to refuse a message */
	if (strcasecmp(value, "7BIT") != 0 && strcasecmp(value, "8BITMIME") != 0 &&
	    strcasecmp(value, "BINARYMIME") != 0)
		fputs("sendmail: option -B: unknown body type ignored\n", stderr);
	return 0;
}

static int
set_mode(struct options *o, char letter, const char *value)
{
	(void)letter;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (value[0] == modes[i].letter && value[1] == '\0') {
			o->mode = modes[i].mode;
			o->note = modes[i].note;
			return 0;
		}
	}
	return options_fail(o, "option -b: unknown mode \"%.20s\"", value);
}

static int
set_debug(struct options *o, char letter, const char *value)
{
	(void)letter;
	o->show_version |= strcmp(value, "0.1") == 0;
	return 0;
}

/*
 * -q, -q30m, -qf, -qp … flush: whatever waits is due now.  -qI, -qR and -qS choose by
 * queue ID, recipient and sender, with ! those that do not match; -qQ chooses the
 * quarantined, of which there are none.
 */
static int
set_queue(struct options *o, char letter, const char *value)
{
	bool negated = *value == '!';
	char kind = value[negated ? 1 : 0];

	(void)letter;
	/* "-bp -q" and "mailq -q" list, "-bd -q30m" starts a daemon of other agents */
	if (o->mode == MODE_DELIVER)
		o->mode = MODE_FLUSH;
	if (kind == 'Q') {
		if (o->mode != MODE_FLUSH)
			return 0;
		o->mode = MODE_NOTE;
		o->note = "there is no quarantine; spoolctl acts on single messages";
	} else if (kind != '\0' && strchr("IRS", kind) != NULL) {
		o->select = kind;
		o->select_negated = negated;
		o->select_text = value + 1 + negated;
		if (*o->select_text == '\0' || strlen(o->select_text) > SELECT_MAX ||
		    strpbrk(o->select_text, "\r\n") != NULL)
			return options_fail(o,
			    "option -q%c: must be followed by a text of 1 to %d "
			    "characters without line end",
			    kind, SELECT_MAX);
	} else if (negated) {
		return options_fail(o, "option -q!: must be followed by I, R or S");
	}
	return 0;
}

static int
set_notify(struct options *o, char letter, const char *value)
{
	static const struct {
		const char *word;
		unsigned bit;
	} words[] = { { "never", NOTIFY_NEVER }, { "success", NOTIFY_SUCCESS },
		{ "failure", NOTIFY_FAILURE }, { "delay", NOTIFY_DELAY } };
	unsigned notify = 0;

	(void)letter;
	for (;;) {
		size_t n = strcspn(value, ","), i = 0;

		while (i < 4 &&
		       (strncasecmp(value, words[i].word, n) != 0 || words[i].word[n] != '\0'))
			i++;
		if (i == 4)
			return options_fail(
			    o, "option -N: must be never, or a list of success, failure, delay");
		notify |= words[i].bit;
		if (value[n] == '\0')
			break;
		value += n + 1;
	}
	if ((notify & NOTIFY_NEVER) != 0 && notify != NOTIFY_NEVER)
		return options_fail(o, "option -N: never excludes the others");
	o->notify = notify;
	return 0;
}

static int
set_ret(struct options *o, char letter, const char *value)
{
	(void)letter;
	if (strcasecmp(value, "full") == 0)
		o->ret = RET_FULL;
	else if (strcasecmp(value, "hdrs") == 0)
		o->ret = RET_HDRS;
	else
		return options_fail(o, "option -R: must be full or hdrs");
	return 0;
}

static int
set_envid(struct options *o, char letter, const char *value)
{
	struct envelope e;
	int r;

	(void)letter;
	envelope_init(&e);
	r = envelope_set_envid(&e, value);
	envelope_free(&e);
	/* a server would refuse what is no xtext, and the message with it */
	if (r < 0 || !smtp_is_xtext(value))
		return options_fail(
		    o, "option -V: must be 1 to 100 printable characters (xtext, RFC 3461)");
	o->envid = value;
	return 0;
}

static const struct option *
find(char letter)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].letter == letter)
			return &table[i];
	return NULL;
}

/* One word "-abc"; *next is moved if the argument is the following word. */
static int
word_parse(struct options *o, const char *word, char **argv, int argc, int *next)
{
	for (const char *s = word + 1; *s != '\0'; s++) {
		const struct option *option = find(*s);
		const char *value = s + 1;

		if (option == NULL)
			return options_fail(
			    o, "invalid option -- '%c'", *s >= 33 && *s < 127 ? *s : '?');
		if (option->kind == NONE) {
			if (option->function(o, *s, "") < 0)
				return -1;
			continue;
		}
		if (option->kind == ARGUMENT && *value == '\0') {
			if (*next >= argc)
				return options_fail(o, "option requires an argument -- '%c'", *s);
			value = argv[(*next)++];
		}
		return option->function(o, *s, value);
	}
	return 0;
}

static int
long_parse(struct options *o, const char *word)
{
	if (strcmp(word, "--help") == 0)
		o->mode = MODE_HELP;
	else if (strcmp(word, "--version") == 0)
		o->mode = MODE_VERSION;
	else
		return options_fail(o, "unknown option %.40s", word);
	return 0;
}

/* The name that the program was called by stands for a mode. */
static void
name_apply(struct options *o, const char *name)
{
	static const struct {
		const char *name, *mode;
	} names[] = { { "mailq", "p" }, { "newaliases", "i" }, { "hoststat", "h" },
		{ "purgestat", "H" }, { "smtpd", "d" } };
	const char *slash = strrchr(name, '/');

	name = slash == NULL ? name : slash + 1;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i].name) == 0)
			set_mode(o, 'b', names[i].mode);
}

int
options_parse(struct options *o, int argc, char **argv)
{
	int i = 1, kept = 1;
	bool only_addresses = false;

	*o = (struct options){ .mode = MODE_DELIVER };
	if (argc < 1)
		return options_fail(o, "called without its own name");
	name_apply(o, argv[0]);
	while (i < argc) {
		char *word = argv[i++];
		int r = 0;

		if (only_addresses || word[0] != '-')
			argv[kept++] = word;
		else if (strcmp(word, "-tls-on-connect") == 0)
			continue; /* another agent's, and no bundle of letters */
		else if (word[1] == '\0')
			r = options_fail(o, "a recipient that begins with - must stand behind --");
		else if (strcmp(word, "--") == 0)
			only_addresses = true;
		else if (word[1] == '-')
			r = long_parse(o, word);
		else
			r = word_parse(o, word, argv, argc, &i);
		if (r < 0)
			return -1;
	}
	o->recipients = argv + 1;
	o->recipient_count = (size_t)kept - 1;
	/* "-d0.1 USER" is a message, and must not be lost */
	if (o->show_version && o->mode == MODE_DELIVER && kept == 1 && !o->from_header)
		o->mode = MODE_VERSION;
	return 0;
}
