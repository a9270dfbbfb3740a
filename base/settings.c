/*
 * One table says what there is: name, type, place, range and default, on one
 * line each.  A setting that takes more than one value has a function.
 */
#include "base/settings.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/number.h"
#include "base/settings_parser.h"
#include "base/text.h"

#define WORDS_MAX 500         /* octets; the session's fields hold them */
#define ERRORS_MAX (64 << 10) /* octets */

enum type { PATH, NAME, WORDS, DURATION, SIZE, NUMBER, BOOL, CHOICE, FUNCTION };

typedef void setting_function(struct parser *p);

struct setting {
	const char *name;
	enum type type;
	size_t offset;
	uint64_t min, max;
	const char *initial; /* NULL: not set */
	const char *choices; /* names, separated by blanks, in the order of the enum; else
			      * the word for SETTINGS_NEVER */
	setting_function *function;
};

static setting_function set_retry, set_reconnect;

#define S(member) offsetof(struct settings, member)
#define H(member) offsetof(struct settings_smarthost, member)
#define TEN_YEARS (3650 * USEC_PER_DAY)

static const struct setting host_settings[] = {
	{ "spool_directory", PATH, S(spool_directory), 0, 0, SPOOLDIR, NULL, NULL },
	{ "runtime_directory", PATH, S(runtime_directory), 0, 0, RUNDIR, NULL, NULL },
	{ "user", NAME, S(user), 0, 0, "postbag", NULL, NULL },
	{ "domain", NAME, S(domain), 0, 0, NULL, NULL, NULL },
	{ "hostname", NAME, S(hostname), 0, 0, NULL, NULL, NULL },
	{ "aliases", PATH, S(aliases), 0, 0, "/etc/aliases", NULL, NULL },
	{ "local_mail_to", FUNCTION, 0, 0, 0, NULL, NULL, settings_set_local_mail_to },
	{ "local_domains", FUNCTION, 0, 0, 0, NULL, NULL, settings_set_local_domains },
	{ "map", FUNCTION, 0, 0, 0, NULL, NULL, settings_set_map },
	{ "ignore_dots", BOOL, S(ignore_dots), 0, 0, "no", NULL, NULL },
	{ "mailq_visibility", CHOICE, S(mailq_visibility), 0, 0, "all", "all own", NULL },
	{ "retry_interval", FUNCTION, 0, 0, 0, "1m 4h", NULL, set_retry },
	{ "reconnect_interval", FUNCTION, 0, 0, 0, "1s 5m", NULL, set_reconnect },
	{ "in_doubt_interval", DURATION, S(in_doubt_interval), USEC_PER_MS, USEC_PER_DAY, "15m",
	    NULL, NULL },
	{ "queue_lifetime", DURATION, S(queue_lifetime), USEC_PER_SEC, TEN_YEARS, "5d", NULL,
	    NULL },
	{ "delay_warning", DURATION, S(delay_warning), USEC_PER_SEC, TEN_YEARS, "never", "never",
	    NULL },
	{ "keep_failed", DURATION, S(keep_failed), USEC_PER_SEC, TEN_YEARS, "forever", "forever",
	    NULL },
	{ "max_message_size", SIZE, S(max_message_size), 0, INT64_MAX, "0", NULL, NULL },
	{ "spool_reserve", SIZE, S(spool_reserve), 0, INT64_MAX, "0", NULL, NULL },
	{ NULL, FUNCTION, 0, 0, 0, NULL, NULL, NULL },
};

static const struct setting smarthost_settings[] = {
	{ "user", WORDS, H(user), 0, 0, NULL, NULL, NULL },
	{ "password", FUNCTION, 0, 0, 0, NULL, NULL, settings_set_password },
	{ "token", FUNCTION, 0, 0, 0, NULL, NULL, settings_set_token },
	{ "auth", FUNCTION, 0, 0, 0, NULL, NULL, settings_set_auth },
	{ "tls", CHOICE, H(tls), 0, 0, "required", "required opportunistic none", NULL },
	{ "tls_trust_file", PATH, H(tls_trust_file), 0, 0, NULL, NULL, NULL },
	{ "tls_pin", FUNCTION, 0, 0, 0, NULL, NULL, settings_set_pins },
	{ "tls_min_version", CHOICE, H(tls_min_version), 0, 0, "1.2", "1.2 1.3", NULL },
	{ "tls_cert_file", PATH, H(tls_cert_file), 0, 0, NULL, NULL, NULL },
	{ "tls_key_file", PATH, H(tls_key_file), 0, 0, NULL, NULL, NULL },
	{ "from", FUNCTION, 0, 0, 0, NULL, NULL, settings_set_from },
	{ "rewrite_from", BOOL, H(rewrite_from), 0, 0, "no", NULL, NULL },
	{ "insecure_auth", BOOL, H(insecure_auth), 0, 0, "no", NULL, NULL },
	{ "on_sender_refused", CHOICE, H(on_sender_refused), 0, 0, "hold", "hold bounce", NULL },
	{ "provider", FUNCTION, 0, 0, 0, NULL, NULL, settings_set_provider },
	{ "for", FUNCTION, 0, 0, 0, NULL, NULL, settings_set_for },
	{ "connections", NUMBER, H(connections), 1, 100, "4", NULL, NULL },
	{ "messages_per_connection", NUMBER, H(messages_per_connection), 1, 1000000, "unlimited",
	    "unlimited", NULL },
	{ "rate", FUNCTION, 0, 0, 0, NULL, NULL, settings_set_rate },
	{ "window", NUMBER, H(window), 1, 100, "32", NULL, NULL },
	{ "idle_timeout", DURATION, H(idle_timeout), 0, USEC_PER_DAY, "30s", NULL, NULL },
	{ "connect_timeout", DURATION, H(connect_timeout), USEC_PER_MS, USEC_PER_HOUR, "30s", NULL,
	    NULL },
	{ "command_timeout", DURATION, H(command_timeout), USEC_PER_MS, USEC_PER_HOUR, "5m", NULL,
	    NULL },
	{ NULL, FUNCTION, 0, 0, 0, NULL, NULL, NULL },
};

/* A line of the errors, fit for a terminal. */
__attribute__((format(printf, 2, 3))) static void
error_add(struct parser *p, const char *fmt, ...)
{
	char *line = NULL;
	va_list ap;

	p->failed = true;
	va_start(ap, fmt);
	if (vasprintf(&line, fmt, ap) >= 0) {
		text_add_printable(p->errors, line, strlen(line));
		buf_add_char(p->errors, '\n');
		free(line);
	}
	va_end(ap);
}

void
settings_fail(struct parser *p, const char *what)
{
	error_add(p, "%s:%u: %s: %s", p->settings->path, p->line.number, p->line.name, what);
}

void
settings_fail_memory(struct parser *p)
{
	p->settings->incomplete = true;
	settings_fail(p, strerror(ENOMEM));
}

void
settings_set_string(struct parser *p, char **place, const char *value)
{
	free(*place);
	*place = value == NULL ? NULL : strdup(value);
	if (value != NULL && *place == NULL)
		settings_fail_memory(p);
}

/* Letters, digits, and what stands in user names and host names. */
bool
settings_is_name(const char *s)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789.-_";

	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x80 && strchr(allowed, *s) == NULL)
			return false;
	return true;
}

char *
settings_next_word(char **rest)
{
	char *word = *rest + strspn(*rest, " \t");
	size_t n = strcspn(word, " \t");

	*rest = word + n;
	if (**rest != '\0')
		*(*rest)++ = '\0';
	return *word == '\0' ? NULL : word;
}

static void
set_choice(struct parser *p, const struct setting *setting, int *place)
{
	const char *word = setting->choices;
	size_t len = strlen(p->line.value);
	struct buf b = BUF_INIT(1000);

	for (int i = 0; *word != '\0'; i++) {
		size_t n = strcspn(word, " ");

		if (n == len && memcmp(word, p->line.value, n) == 0) {
			*place = i;
			return;
		}
		word += n + strspn(word + n, " ");
	}
	buf_addf(&b, "\"%s\" is none of: %s", p->line.value, setting->choices);
	settings_fail(p, buf_string(&b));
	buf_free(&b);
}

static void
set_string(struct parser *p, const struct setting *setting, char **place)
{
	const char *value = p->line.value;

	if (*value == '\0')
		settings_fail(p, "a value is missing");
	else if (setting->type == PATH && (*value != '/' || strlen(value) >= PATH_MAX))
		settings_fail(p, "must be an absolute path");
	else if (setting->type == WORDS && strlen(value) > WORDS_MAX)
		settings_fail(p, "must not be longer than 500 octets");
	else if (setting->type == NAME && (!settings_is_name(value) || strlen(value) > 255))
		settings_fail(p, "must be a name of at most 255 letters, digits, '.', '-' and '_'");
	else
		settings_set_string(p, place, value);
}

static void
set_quantity(struct parser *p, const struct setting *setting, uint64_t *place)
{
	static const char *const wanted[] = {
		[DURATION] = "is no duration such as 30s (an integer and ms, s, m, h, d or w)",
		[SIZE] = "is no size such as 10M (an integer and K, M or G)",
		[NUMBER] = "is no number",
	};
	const char *value = p->line.value;
	struct buf b = BUF_INIT(CONF_LINE_MAX + 200);
	int r;

	if (setting->choices != NULL && strcmp(value, setting->choices) == 0) {
		*place = SETTINGS_NEVER;
		return;
	}
	if (setting->type == DURATION)
		r = duration_parse(value, setting->min, setting->max, place);
	else if (setting->type == SIZE)
		r = size_parse(value, setting->min, setting->max, place);
	else
		r = number_parse(value, setting->min, setting->max, place);
	if (r < 0) {
		buf_addf(&b, "\"%s\" %s", value,
		    errno == ERANGE ? "is out of range" : wanted[setting->type]);
		if (setting->choices != NULL)
			buf_addf(&b, ", nor \"%s\"", setting->choices);
		settings_fail(p, buf_string(&b));
		buf_free(&b);
	}
}

static void
set(struct parser *p, const struct setting *setting, void *record)
{
	void *place = (char *)record + setting->offset;

	switch (setting->type) {
	case PATH:
	case NAME:
	case WORDS:
		set_string(p, setting, place);
		break;
	case DURATION:
	case SIZE:
	case NUMBER:
		set_quantity(p, setting, place);
		break;
	case BOOL:
		if (bool_parse(p->line.value, place) < 0)
			settings_fail(p, "must be yes or no");
		break;
	case CHOICE:
		set_choice(p, setting, place);
		break;
	case FUNCTION:
		setting->function(p);
		break;
	}
}

/* "FIRST MAX" */
static void
set_interval(struct parser *p, uint64_t *first, uint64_t *max)
{
	char *value = p->line.value, *second = value + strcspn(value, " \t");
	uint64_t a, b;

	if (*second != '\0')
		*second++ = '\0';
	second += strspn(second, " \t");
	if (duration_parse(value, USEC_PER_MS, 7 * USEC_PER_DAY, &a) < 0 ||
	    duration_parse(second, a, 7 * USEC_PER_DAY, &b) < 0) {
		settings_fail(
		    p, "must be two durations, the first pause and the longest, such as 1m 4h");
		return;
	}
	*first = a;
	*max = b;
}

static void
set_retry(struct parser *p)
{
	set_interval(p, &p->settings->retry_first, &p->settings->retry_max);
}

static void
set_reconnect(struct parser *p)
{
	set_interval(p, &p->settings->reconnect_first, &p->settings->reconnect_max);
	p->settings->reconnect_set = true;
}

static void
defaults_set(struct parser *p, const struct setting *table, void *record)
{
	char value[64];

	for (const struct setting *s = table; s->name != NULL; s++) {
		if (s->initial == NULL)
			continue;
		strncpy(value, s->initial, sizeof(value) - 1);
		value[sizeof(value) - 1] = '\0';
		p->line = (struct conf_line){ .name = (char *)(uintptr_t)s->name, .value = value };
		set(p, s, record);
	}
}

static void
smarthost_open(struct parser *p)
{
	struct settings *s = p->settings;
	struct settings_smarthost *h, *all;
	struct conf_line line = p->line;

	all = realloc(s->smarthosts, (s->smarthost_count + 1) * sizeof(*all));
	if (all == NULL) {
		settings_fail_memory(p);
		return;
	}
	s->smarthosts = all;
	h = &all[s->smarthost_count++];
	*h = (struct settings_smarthost){ .line = line.number };
	p->smarthost = h;
	p->provider = NULL;
	p->seen[1] = 0;
	defaults_set(p, smarthost_settings, h);
	p->line = line;
	settings_set_smarthost(p, h);
}

static const struct setting *
find(const struct setting *table, const char *name)
{
	for (const struct setting *s = table; s->name != NULL; s++)
		if (strcmp(s->name, name) == 0)
			return s;
	return NULL;
}

bool
settings_is_set(const struct parser *p, const char *name)
{
	return (p->seen[1] >> (find(smarthost_settings, name) - smarthost_settings) & 1) != 0;
}

static void
line_apply(struct parser *p)
{
	bool block = p->smarthost != NULL;
	const struct setting *table = block ? smarthost_settings : host_settings;
	const struct setting *s;
	uint64_t bit;

	s = find(table, p->line.name);
	if (s == NULL && block && find(host_settings, p->line.name) != NULL) {
		settings_fail(
		    p, "is a host-wide setting; it must stand above the first smarthost line");
		return;
	}
	if (s == NULL && !block && find(smarthost_settings, p->line.name) != NULL) {
		settings_fail(p, "belongs to a smarthost; it must stand below a smarthost line");
		return;
	}
	if (s == NULL) {
		settings_fail(p, "unknown setting; postbag.conf(5) lists all");
		return;
	}
	bit = UINT64_C(1) << (s - table);
	if ((p->seen[block] & bit) && s->function != settings_set_map &&
	    s->function != settings_set_local_domains && s->function != settings_set_for) {
		settings_fail(p, "stands twice; remove one of the lines");
		return;
	}
	p->seen[block] |= bit;
	if (!block && s->offset == S(aliases) && s->type == PATH)
		p->settings->aliases_set = true;
	set(p, s, block ? (void *)p->smarthost : (void *)p->settings);
}

static void
lines_read(struct parser *p, struct buf *text)
{
	struct conf_reader reader;
	struct conf_line line;
	const char *error;
	int r;

	conf_reader_init(&reader, text);
	while ((r = conf_reader_next(&reader, &line, &error)) != 0) {
		p->line = line;
		if (r < 0) {
			error_add(p, "%s:%u: %s", p->settings->path, line.number, error);
			continue;
		}
		if (strcmp(line.name, "smarthost") == 0) {
			settings_check_smarthost(p);
			p->line = line;
			smarthost_open(p);
		} else {
			line_apply(p);
		}
	}
	settings_check_smarthost(p);
	if (p->settings->smarthost_count > SETTINGS_SMARTHOSTS_MAX) {
		p->line.number = p->settings->smarthosts[SETTINGS_SMARTHOSTS_MAX].line;
		settings_fail(p, "there may be 64 smarthosts");
	}
}

int
settings_read(struct settings *s, const char *path, struct buf *errors)
{
	struct buf text = BUF_INIT(0);
	struct parser p = { .settings = s, .errors = errors };

	*s = (struct settings){ .path = strdup(path) };
	if (errors->max == 0)
		*errors = BUF_INIT(ERRORS_MAX);
	if (s->path == NULL) {
		s->incomplete = true;
		error_add(&p, "%s: %s", path, strerror(ENOMEM));
		return -1;
	}
	defaults_set(&p, host_settings, s);
	s->reconnect_set = false;
	if (conf_load(path, &text) < 0) {
		const char *why = errno == EINVAL    ? "not a regular file"
				  : errno == ENOBUFS ? "larger than 1M"
				  : errno == EILSEQ  ? "contains a NUL octet"
						     : strerror(errno);

		s->incomplete |= errno == ENOMEM;
		error_add(&p, "%.*s: cannot read the configuration: %s", PATH_MAX, path, why);
		return -1;
	}
	lines_read(&p, &text);
	buf_free(&text);
	return p.failed ? -1 : 0;
}

static void
strings_free(const struct setting *table, void *record)
{
	for (const struct setting *s = table; s->name != NULL; s++)
		if (s->type == PATH || s->type == NAME || s->type == WORDS)
			free(*(char **)(void *)((char *)record + s->offset));
}

void
settings_free(struct settings *s)
{
	for (size_t i = 0; i < s->smarthost_count; i++) {
		struct settings_smarthost *h = &s->smarthosts[i];

		strings_free(smarthost_settings, h);
		free(h->uri);
		free(h->host);
		free(h->password);
		free(h->token);
		free(h->auth);
		free(h->from);
		settings_free_for(h);
	}
	settings_free_local(s);
	strings_free(host_settings, s);
	free(s->smarthosts);
	free(s->path);
	*s = (struct settings){ .path = NULL };
}

void
settings_smarthost_name(const struct settings_smarthost *h, struct buf *b)
{
	const char *host = h->host == NULL ? "?" : h->host;

	if (h->srv)
		buf_addf(b, "srv:%s", host);
	else
		buf_addf(
		    b, strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, (unsigned)h->port);
}
