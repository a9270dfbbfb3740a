/*
 * The options of -o and -O: sendmail 8's own, by letter and by name.  What has no
 * meaning here is accepted, because callers of forty years write it.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/number.h"
#include "sendmail/options_parser.h"

/* m, e and w mail or write an error elsewhere; it is printed, and the exit code says
 * it, which serves whoever asked for that. */
int
options_set_errors(struct options *o, char letter, const char *value)
{
	(void)letter;
	/* "ErrorMode=mail": the first letter counts, as in sendmail 8 */
	if (*value == '\0' || strchr("mpqwe", *value) == NULL)
		return options_fail(o, "option -oe: must be m, p, q, w or e");
	o->quiet = *value == 'q';
	return 0;
}

/* As sendmail 8 reads a switch: nothing, true and yes turn it on. */
static bool
is_true(const char *value)
{
	return *value == '\0' || strchr("tTyY", *value) != NULL;
}

static int
set_delivery(struct options *o, char mode)
{
	if (mode == '\0' || strchr("biqdf", mode) == NULL)
		return options_fail(o, "option -od: must be b, i, q or d");
	/* q and d hold a message back with other agents; here all of them are queued first */
	o->wait = mode == 'i' || mode == 'f';
	return 0;
}

/* The unit of a bare number is the minute, as in sendmail 8. */
static int
set_read_timeout(struct options *o, const char *value)
{
	char text[24];

	snprintf(text, sizeof(text), "%.20s%s", value,
	    value[strspn(value, "0123456789")] == '\0' ? "m" : "");
	if (duration_parse(text, 0, 7 * USEC_PER_DAY, &o->read_timeout) < 0)
		return options_fail(o, "option -or: must be a duration such as 30s");
	return 0;
}

/* -o with its one-letter options. */
int
options_set_option(struct options *o, char letter, const char *value)
{
	(void)letter;
	switch (value[0]) {
	case 'd':
		return set_delivery(o, value[1]);
	case 'e':
		return options_set_errors(o, 'e', value + 1);
	case 'i':
		o->ignore_dots = is_true(value + 1);
		return 0;
	case 'r':
		return set_read_timeout(o, value + 1);
	case 'Q':
		return options_fail(o, "option -oQ: the queue is where postbag.conf says");
	default:
		return 0;
	}
}

/* "Name=value"; NULL if it is another name. */
static const char *
long_value(const char *option, const char *name)
{
	size_t n = strlen(name);

	if (strncasecmp(option, name, n) != 0)
		return NULL;
	option += n + strspn(option + n, " \t");
	if (*option == '=')
		option++;
	else if (*option != '\0')
		return NULL;
	return option + strspn(option, " \t");
}

int
options_set_long(struct options *o, char letter, const char *value)
{
	const char *v;

	(void)letter;
	if (strncasecmp(value, "QueueDirectory", 14) == 0)
		return options_fail(
		    o, "option -OQueueDirectory: the queue is where postbag.conf says");
	if ((v = long_value(value, "IgnoreDots")) != NULL)
		o->ignore_dots = is_true(v);
	else if ((v = long_value(value, "DeliveryMode")) != NULL)
		return set_delivery(o, *v);
	else if ((v = long_value(value, "ErrorMode")) != NULL)
		return options_set_errors(o, 'e', v);
	return 0;
}
