/*
 * Field lines are `name value`; addresses stand in angle brackets as in SMTP,
 * behind them the parameters that RCPT would have:
 *
 *	uid 1000
 *	time 1763912345123456
 *	sender <root@example.org>
 *	bounce-to <ops@example.org>
 *	ret hdrs
 *	envid QQ314159
 *	recipient <a@example.net> NOTIFY=FAILURE,DELAY ORCPT=rfc822;a@example.net
 */
#include "spool/envelope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"

#define LINE_OCTETS_MAX 2048

static const struct {
	const char *word;
	unsigned bit;
} notify_words[] = {
	{ "NEVER", NOTIFY_NEVER },
	{ "SUCCESS", NOTIFY_SUCCESS },
	{ "FAILURE", NOTIFY_FAILURE },
	{ "DELAY", NOTIFY_DELAY },
};
#define NOTIFY_WORDS (sizeof(notify_words) / sizeof(notify_words[0]))

static int
fail(int error)
{
	errno = error;
	return -1;
}

void
envelope_init(struct envelope *e)
{
	*e = (struct envelope){ .sender = NULL };
}

void
envelope_free(struct envelope *e)
{
	for (size_t i = 0; i < e->recipient_count; i++) {
		free(e->recipients[i].address);
		free(e->recipients[i].orcpt);
	}
	free(e->recipients);
	free(e->sender);
	free(e->bounce_to);
	free(e->envid);
	envelope_init(e);
}

static int
string_set(char **place, const char *value)
{
	char *copy = strdup(value);

	if (copy == NULL)
		return -1;
	free(*place);
	*place = copy;
	return 0;
}

/* esmtp-value of RFC 5321 section 4.1.2: no blank, no '=', no control. */
static bool
is_parameter_value(const char *s, size_t max)
{
	size_t len = strlen(s);

	if (len == 0 || len > max)
		return false;
	for (size_t i = 0; i < len; i++)
		if (s[i] < 33 || s[i] > 126 || s[i] == '=')
			return false;
	return true;
}

int
envelope_set_sender(struct envelope *e, const char *address)
{
	if (*address != '\0' && envelope_address_check(address) != NULL)
		return fail(EINVAL);
	return string_set(&e->sender, address);
}

int
envelope_set_bounce_to(struct envelope *e, const char *address)
{
	if (envelope_address_check(address) != NULL)
		return fail(EINVAL);
	return string_set(&e->bounce_to, address);
}

int
envelope_set_envid(struct envelope *e, const char *xtext)
{
	if (!is_parameter_value(xtext, ENVELOPE_ENVID_MAX))
		return fail(EINVAL);
	return string_set(&e->envid, xtext);
}

/* Makes room for one more, doubling. */
static int
recipients_grow(struct envelope *e)
{
	size_t n = e->recipient_count;
	struct recipient *all;

	if (n >= ENVELOPE_RECIPIENTS_MAX)
		return fail(ENOBUFS);
	if ((n & (n - 1)) != 0)
		return 0;
	all = reallocarray(e->recipients, n == 0 ? 1 : 2 * n, sizeof(*all));
	if (all == NULL)
		return -1;
	e->recipients = all;
	return 0;
}

int
envelope_add_recipient(struct envelope *e, const char *address, unsigned notify, const char *orcpt)
{
	struct recipient r = { .notify = notify };

	if (envelope_address_check(address) != NULL)
		return fail(EINVAL);
	if (orcpt != NULL && !is_parameter_value(orcpt, ENVELOPE_ORCPT_MAX))
		return fail(EINVAL);
	if (recipients_grow(e) < 0 || string_set(&r.address, address) < 0)
		return -1;
	if (orcpt != NULL && string_set(&r.orcpt, orcpt) < 0) {
		free(r.address);
		return -1;
	}
	e->recipients[e->recipient_count++] = r;
	return 0;
}

void
envelope_format_parameters(const struct recipient *r, struct buf *b)
{
	const char *separator = " NOTIFY=";

	for (size_t i = 0; i < NOTIFY_WORDS; i++) {
		if (r->notify & notify_words[i].bit) {
			buf_addf(b, "%s%s", separator, notify_words[i].word);
			separator = ",";
		}
	}
	if (r->orcpt != NULL)
		buf_addf(b, " ORCPT=%s", r->orcpt);
}

static void
recipient_format(const struct recipient *r, struct buf *b)
{
	buf_addf(b, "recipient <%s>", r->address);
	envelope_format_parameters(r, b);
	buf_add_char(b, '\n');
}

int
envelope_format(const struct envelope *e, struct buf *b)
{
	buf_addf(b, "uid %lu\n", (unsigned long)e->uid);
	buf_addf(b, "time %lld\n", (long long)e->time);
	buf_addf(b, "sender <%s>\n", e->sender);
	if (e->bounce_to != NULL)
		buf_addf(b, "bounce-to <%s>\n", e->bounce_to);
	if (e->ret != RET_DEFAULT)
		buf_addf(b, "ret %s\n", e->ret == RET_FULL ? "full" : "hdrs");
	if (e->envid != NULL)
		buf_addf(b, "envid %s\n", e->envid);
	for (size_t i = 0; i < e->recipient_count; i++)
		recipient_format(&e->recipients[i], b);
	return b->failed ? -1 : 0; /* errno is that of the append */
}

/* Cuts "<address>" at the start of value; returns what follows, or NULL.  A
 * quoted local part may hold a '>'. */
static char *
bracketed(char *value, char **address)
{
	char *end = value + 1;

	if (*value != '<')
		return NULL;
	if (*end == '"')
		for (end++; *end != '\0' && *end != '"'; end++)
			if (*end == '\\' && end[1] != '\0')
				end++;
	end = strchr(end, '>');
	if (end == NULL || (end[1] != '\0' && end[1] != ' '))
		return NULL;
	*end = '\0';
	*address = value + 1;
	return end + 1;
}

static int
notify_parse(char *value, unsigned *notify)
{
	char *save = NULL;

	for (char *w = strtok_r(value, ",", &save); w != NULL; w = strtok_r(NULL, ",", &save)) {
		size_t i = 0;

		while (i < NOTIFY_WORDS && strcmp(w, notify_words[i].word) != 0)
			i++;
		if (i == NOTIFY_WORDS)
			return fail(EINVAL);
		*notify |= notify_words[i].bit;
	}
	/* RFC 3461 section 4.1: NEVER stands alone */
	return *notify == 0 || ((*notify & NOTIFY_NEVER) && *notify != NOTIFY_NEVER) ? fail(EINVAL)
										     : 0;
}

static int
recipient_parse(struct envelope *e, char *value)
{
	char *address, *save = NULL, *orcpt = NULL, *rest = bracketed(value, &address);
	unsigned notify = 0;

	if (rest == NULL)
		return fail(EINVAL);
	for (char *w = strtok_r(rest, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
		if (strncmp(w, "NOTIFY=", 7) == 0 && notify == 0) {
			if (notify_parse(w + 7, &notify) < 0)
				return -1;
		} else if (strncmp(w, "ORCPT=", 6) == 0 && orcpt == NULL) {
			orcpt = w + 6;
		} else {
			return fail(EINVAL);
		}
	}
	return envelope_add_recipient(e, address, notify, orcpt);
}

static int
line_parse(struct envelope *e, char *line)
{
	char *value = strchr(line, ' '), *address, *rest;
	uint64_t n;

	if (value == NULL)
		return fail(EINVAL);
	*value++ = '\0';
	if (strcmp(line, "recipient") == 0)
		return recipient_parse(e, value);
	if (strcmp(line, "sender") == 0 && e->sender == NULL) {
		rest = bracketed(value, &address);
		return rest == NULL || *rest != '\0' ? fail(EINVAL)
						     : envelope_set_sender(e, address);
	}
	if (strcmp(line, "bounce-to") == 0 && e->bounce_to == NULL) {
		rest = bracketed(value, &address);
		return rest == NULL || *rest != '\0' ? fail(EINVAL)
						     : envelope_set_bounce_to(e, address);
	}
	if (strcmp(line, "envid") == 0 && e->envid == NULL)
		return envelope_set_envid(e, value);
	if (strcmp(line, "uid") == 0 && number_parse(value, 0, UINT32_MAX, &n) == 0) {
		e->uid = (uint32_t)n;
		return 0;
	}
	if (strcmp(line, "time") == 0 && number_parse(value, 0, INT64_MAX, &n) == 0) {
		e->time = (int64_t)n;
		return 0;
	}
	if (strcmp(line, "ret") == 0 && e->ret == RET_DEFAULT) {
		e->ret = strcmp(value, "full") == 0 ? RET_FULL : RET_HDRS;
		return strcmp(value, "full") == 0 || strcmp(value, "hdrs") == 0 ? 0 : fail(EINVAL);
	}
	return fail(EINVAL);
}

int
envelope_parse(struct envelope *e, const char *text, size_t len, const char **error)
{
	char line[LINE_OCTETS_MAX];

	while (len > 0) {
		const char *end = memchr(text, '\n', len);
		size_t n = end == NULL ? len : (size_t)(end - text);

		*error = "a line of the envelope is malformed";
		if (end == NULL || n >= sizeof(line) || memchr(text, '\0', n) != NULL)
			return fail(EINVAL);
		memcpy(line, text, n);
		line[n] = '\0';
		if (line_parse(e, line) < 0)
			return -1;
		text = end + 1;
		len -= n + 1;
	}
	*error = "the envelope has no sender or no recipient";
	return e->sender == NULL || e->recipient_count == 0 ? fail(EINVAL) : 0;
}
