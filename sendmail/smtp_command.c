/*
 * Lenient where a client can mean only one thing (blanks around a path, a path without
 * brackets, a source route), strict with everything that is passed on.
 */
#include "sendmail/smtp_command.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/number.h"
#include "base/text.h"

static const struct {
	const char *word;
	enum smtp_verb verb;
} verbs[] = {
	{ "HELO", VERB_HELO },
	{ "EHLO", VERB_EHLO },
	{ "MAIL", VERB_MAIL },
	{ "RCPT", VERB_RCPT },
	{ "DATA", VERB_DATA },
	{ "BDAT", VERB_BDAT },
	{ "RSET", VERB_RSET },
	{ "NOOP", VERB_NOOP },
	{ "VRFY", VERB_VRFY },
	{ "HELP", VERB_HELP },
	{ "QUIT", VERB_QUIT },
	{ "EXPN", VERB_REFUSED },
	{ "STARTTLS", VERB_REFUSED },
	{ "AUTH", VERB_REFUSED },
	{ "ETRN", VERB_REFUSED },
	{ "TURN", VERB_REFUSED },
	{ "SEND", VERB_REFUSED },
	{ "SOML", VERB_REFUSED },
	{ "SAML", VERB_REFUSED },
};

static int
fail(struct smtp_problem *p, int code, const char *status, const char *text)
{
	*p = (struct smtp_problem){ .code = code, .status = status, .text = text };
	return -1;
}

static char *
blanks_skip(char *s)
{
	return s + strspn(s, " ");
}

struct smtp_command
smtp_command_parse(char *line)
{
	struct smtp_command c = { .verb = VERB_UNKNOWN };
	char *word = blanks_skip(line);
	size_t n = strcspn(word, " "), len = strlen(word);

	while (len > n && word[len - 1] == ' ')
		word[--len] = '\0';
	c.argument = blanks_skip(word + n);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strlen(verbs[i].word) == n && strncasecmp(word, verbs[i].word, n) == 0)
			c.verb = verbs[i].verb;
	return c;
}

/* How long the local part or domain at s is: words of quotations and of anything that
 * separates nothing in an address list. */
static size_t
part_length(const char *s)
{
	size_t n = 0;

	while (s[n] != '\0' && strchr(" ,;:()<>@[]", s[n]) == NULL) {
		bool quoted = s[n] == '"';

		do {
			if (s[n] == '\\' && s[n + 1] != '\0')
				n++;
			n++;
		} while (quoted && s[n] != '\0' && s[n] != '"');
		if (quoted && s[n] == '"')
			n++;
	}
	return n;
}

static size_t
domain_length(const char *s)
{
	size_t n;

	if (*s != '[')
		return part_length(s);
	n = strcspn(s, "]");
	return s[n] == ']' ? n + 1 : n;
}

/* RFC 5321 section 4.1.2 A-d-l: "@one,@two:", which is to be ignored. */
static char *
route_skip(char *s)
{
	while (*s == '@') {
		s += 1 + domain_length(s + 1);
		if (*s != ',' && *s != ':')
			return NULL;
		s++;
	}
	return s;
}

/* "FROM:<path>" or "TO:<path>": ends the path with a NUL and leaves *rest at the
 * parameters. */
static const char *
path_parse(char *argument, const char *keyword, char **rest)
{
	char *s = argument, *path, *end;
	bool bracket;

	if (strncasecmp(s, keyword, strlen(keyword)) != 0)
		return NULL;
	s = blanks_skip(s + strlen(keyword));
	if (*s != ':')
		return NULL;
	s = blanks_skip(s + 1);
	bracket = *s == '<';
	path = route_skip(bracket ? blanks_skip(s + 1) : s);
	if (path == NULL)
		return NULL;
	end = path + part_length(path);
	if (*end == '@')
		end += 1 + domain_length(end + 1);
	/* without brackets an empty path is no null sender but a mistake */
	if (end == path && !bracket)
		return NULL;
	s = bracket ? blanks_skip(end) : end;
	if (bracket && *s++ != '>')
		return NULL;
	if (*s != '\0' && *s != ' ')
		return NULL;
	*rest = blanks_skip(s);
	*end = '\0';
	return path;
}

/* Cuts the next parameter off; *value is NULL without "=". */
static char *
parameter_next(char **rest, char **value)
{
	char *name = *rest, *end = name + strcspn(name, " ");

	*rest = blanks_skip(end);
	*end = '\0';
	*value = strchr(name, '=');
	if (*value != NULL)
		*(*value)++ = '\0';
	return name;
}

static int
unknown_parameter(struct smtp_problem *p)
{
	return fail(p, 555, "5.5.4", "unknown parameter");
}

bool
smtp_is_xtext(const char *s)
{
	static const char hex[] = "0123456789ABCDEF";

	for (; *s != '\0'; s++) {
		if ((unsigned char)*s < 33 || *s == 127 || *s == '=')
			return false;
		if (*s != '+')
			continue;
		if (s[1] == '\0' || strchr(hex, s[1]) == NULL || s[2] == '\0' ||
		    strchr(hex, s[2]) == NULL)
			return false;
		s += 2;
	}
	return true;
}

/* "type;address".  Only the type utf-8 may have more than ASCII (RFC 6533 section 3). */
static bool
is_orcpt(const char *s)
{
	size_t n = strcspn(s, ";"), len = strlen(s);

	if (n == 0 || n + 1 >= len || len > ENVELOPE_ORCPT_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if (s[i] <= 32 || s[i] >= 127 || strchr("()<>@,;:\\\"/[]?=.+", s[i]) != NULL)
			return false;
	if (!text_is_ascii(s, len) && (strncasecmp(s, "utf-8;", 6) != 0 || !text_is_utf8(s, len)))
		return false;
	return smtp_is_xtext(s + n + 1);
}

int
smtp_orcpt_encode(const char *orcpt, struct buf *b)
{
	while (*orcpt != '\0') {
		size_t n = text_utf8_length(orcpt, strlen(orcpt));
		unsigned long c = (unsigned char)*orcpt;

		if (n < 2) {
			buf_add_char(b, *orcpt++);
			continue;
		}
		/* the bits of the first octet that are its own: 5, 4 or 3 */
		c &= 0x7fUL >> n;
		for (size_t i = 1; i < n; i++)
			c = c << 6 | ((unsigned char)orcpt[i] & 0x3f);
		buf_addf(b, "\\x{%lX}", c);
		orcpt += n;
	}
	return b->failed ? -1 : 0;
}

static int
size_take(struct smtp_mail *m, const char *value, struct smtp_problem *p)
{
	if (m->size_given || value == NULL || strlen(value) > 20 ||
	    number_parse(value, 0, UINT64_MAX, &m->size) < 0)
		return fail(p, 501, "5.5.4", "SIZE must be a number, given once");
	m->size_given = true;
	return 0;
}

static int
body_take(struct smtp_mail *m, const char *value, struct smtp_problem *p)
{
	if (m->body_given || value == NULL)
		return fail(p, 501, "5.5.4", "BODY must have a value, and be given once");
	m->body_given = true;
	/* which of the two it is, the content itself tells */
	if (strcasecmp(value, "7BIT") == 0 || strcasecmp(value, "8BITMIME") == 0)
		return 0;
	return fail(p, 555, "5.5.4", "BODY must be 7BIT or 8BITMIME");
}

static int
ret_take(struct smtp_mail *m, const char *value, struct smtp_problem *p)
{
	if (m->ret != RET_DEFAULT || value == NULL)
		return fail(p, 501, "5.5.4", "RET must have a value, and be given once");
	if (strcasecmp(value, "FULL") == 0)
		m->ret = RET_FULL;
	else if (strcasecmp(value, "HDRS") == 0)
		m->ret = RET_HDRS;
	else
		return fail(p, 501, "5.5.4", "RET must be FULL or HDRS");
	return 0;
}

static int
envid_take(struct smtp_mail *m, const char *value, struct smtp_problem *p)
{
	if (m->envid != NULL || value == NULL || *value == '\0' ||
	    strlen(value) > ENVELOPE_ENVID_MAX || !text_is_ascii(value, strlen(value)) ||
	    !smtp_is_xtext(value))
		return fail(
		    p, 501, "5.5.4", "ENVID must be 1 to 100 characters of xtext, given once");
	m->envid = value;
	return 0;
}

static int
mail_parameter_take(
    struct smtp_mail *m, const char *name, const char *value, struct smtp_problem *p)
{
	if (strcasecmp(name, "SIZE") == 0)
		return size_take(m, value, p);
	if (strcasecmp(name, "BODY") == 0)
		return body_take(m, value, p);
	if (strcasecmp(name, "RET") == 0)
		return ret_take(m, value, p);
	if (strcasecmp(name, "ENVID") == 0)
		return envid_take(m, value, p);
	if (strcasecmp(name, "SMTPUTF8") != 0)
		return unknown_parameter(p);
	if (value != NULL)
		return fail(p, 501, "5.5.4", "SMTPUTF8 has no value");
	m->utf8 = true;
	return 0;
}

int
smtp_mail_parse(char *argument, struct smtp_mail *m, struct smtp_problem *problem)
{
	char *rest = argument, *value;

	*m = (struct smtp_mail){ .address = path_parse(argument, "FROM", &rest) };
	if (m->address == NULL)
		return fail(problem, 501, "5.5.4",
		    "syntax: MAIL FROM:<address> [SIZE=] [BODY=] [SMTPUTF8] [RET=] [ENVID=]");
	while (*rest != '\0') {
		const char *name = parameter_next(&rest, &value);

		if (mail_parameter_take(m, name, value, problem) < 0)
			return -1;
	}
	return 0;
}

static int
notify_take(struct smtp_rcpt *r, char *value, struct smtp_problem *p)
{
	static const struct {
		const char *word;
		unsigned bit;
	} words[] = { { "NEVER", NOTIFY_NEVER }, { "SUCCESS", NOTIFY_SUCCESS },
		{ "FAILURE", NOTIFY_FAILURE }, { "DELAY", NOTIFY_DELAY } };
	unsigned notify = 0;
	char *word;

	while (value != NULL && r->notify == 0 && (word = strsep(&value, ",")) != NULL) {
		unsigned bit = 0;

		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (strcasecmp(word, words[i].word) == 0)
				bit = words[i].bit;
		if (bit == 0) {
			notify = 0;
			break;
		}
		notify |= bit;
	}
	if (notify == 0 || ((notify & NOTIFY_NEVER) != 0 && notify != NOTIFY_NEVER))
		return fail(p, 501, "5.5.4",
		    "NOTIFY must be NEVER, or a list of SUCCESS, FAILURE and DELAY, given once");
	r->notify = notify;
	return 0;
}

int
smtp_rcpt_parse(char *argument, struct smtp_rcpt *r, struct smtp_problem *problem)
{
	char *rest = argument, *value;

	*r = (struct smtp_rcpt){ .address = path_parse(argument, "TO", &rest) };
	if (r->address == NULL || *r->address == '\0')
		return fail(problem, 501, "5.5.4", "syntax: RCPT TO:<address> [NOTIFY=] [ORCPT=]");
	while (*rest != '\0') {
		const char *name = parameter_next(&rest, &value);

		if (strcasecmp(name, "NOTIFY") == 0) {
			if (notify_take(r, value, problem) < 0)
				return -1;
		} else if (strcasecmp(name, "ORCPT") == 0) {
			if (r->orcpt != NULL || value == NULL || !is_orcpt(value))
				return fail(problem, 501, "5.5.4",
				    "ORCPT must be type;xtext of at most 500 characters, given "
				    "once");
			r->orcpt = value;
		} else {
			return unknown_parameter(problem);
		}
	}
	return 0;
}

bool
smtp_chunk_parse(char *argument, struct smtp_chunk *chunk)
{
	char *rest = argument, *value;
	const char *size = parameter_next(&rest, &value);

	*chunk = (struct smtp_chunk){ .last = strcasecmp(rest, "LAST") == 0 };
	return value == NULL && (chunk->last || *rest == '\0') &&
	       number_parse(size, 0, INT64_MAX, &chunk->size) == 0;
}

bool
smtp_is_host_name(const char *name)
{
	char address[ENVELOPE_ADDRESS_MAX + 1];
	int n = snprintf(address, sizeof(address), "x@%s", name);

	return n > 2 && (size_t)n < sizeof(address) && strchr(name, '@') == NULL &&
	       text_is_ascii(name, strlen(name)) && envelope_address_check(address) == NULL;
}
