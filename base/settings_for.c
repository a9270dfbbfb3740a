/*
 * The settings that say which mail a smarthost gets, and how much of it at a time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "base/settings_parser.h"

#define ADDRESS_MAX 254
#define RATE_MAX 1000000 /* messages in a unit */

/* user@example.org, @example.org, @.example.org or *; for a sender <> as well. */
static bool
is_pattern(const char *s, bool recipient)
{
	char address[ADDRESS_MAX + 2];

	if (strcmp(s, "*") == 0 || (strcmp(s, "<>") == 0 && !recipient))
		return true;
	if (*s != '@')
		return settings_is_address(s);
	s++;
	s += *s == '.';
	if (strlen(s) > ADDRESS_MAX - 2)
		return false;
	snprintf(address, sizeof(address), "x@%s", s);
	return settings_is_address(address);
}

static void
pattern_add(struct parser *p, const char *word, bool recipient)
{
	struct settings_smarthost *h = p->smarthost;
	struct settings_pattern *all =
	    reallocarray(h->patterns, h->pattern_count + 1, sizeof(*all));
	char *text = strdup(word);

	if (all != NULL)
		h->patterns = all;
	if (all == NULL || text == NULL) {
		free(text);
		settings_fail_memory(p);
		return;
	}
	all[h->pattern_count++] = (struct settings_pattern){ .recipient = recipient, .text = text };
}

void
settings_set_for(struct parser *p)
{
	char *rest = p->line.value, *word = settings_next_word(&rest);

	if (word == NULL)
		settings_fail(p, "a pattern is missing");
	for (; word != NULL; word = settings_next_word(&rest)) {
		bool recipient = strncmp(word, "to:", 3) == 0;

		if (recipient)
			word += 3;
		else if (strncmp(word, "from:", 5) == 0)
			word += 5;
		if (is_pattern(word, recipient)) {
			pattern_add(p, word, recipient);
			continue;
		}
		settings_fail(p, "must be patterns such as web1@example.org, @example.org, "
				 "@.example.org, *, <> or to:@example.org, separated by blanks");
		return;
	}
}

void
settings_set_rate(struct parser *p)
{
	static const struct {
		const char *name;
		uint64_t length;
	} units[] = { { "s", USEC_PER_SEC }, { "m", USEC_PER_MIN }, { "h", USEC_PER_HOUR },
		{ "d", USEC_PER_DAY } };
	char *slash = strchr(p->line.value, '/');
	uint64_t count;

	if (slash != NULL)
		*slash++ = '\0';
	for (size_t i = 0; slash != NULL && i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(slash, units[i].name) != 0 ||
		    number_parse(p->line.value, 1, RATE_MAX, &count) < 0)
			continue;
		p->smarthost->rate = count;
		p->smarthost->rate_unit = units[i].length;
		return;
	}
	settings_fail(p, "must be a number of messages from 1 to 1000000 and a unit of time, /s, "
			 "/m, /h or /d, such as 30/m");
}

void
settings_free_for(struct settings_smarthost *h)
{
	for (size_t i = 0; i < h->pattern_count; i++)
		free(h->patterns[i].text);
	free(h->patterns);
}
