/*
 * Parsing and matching of fault rules; see rules.h.
 */
#include "rules.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

enum { RULES_LINE_MAX = 65536, RULES_MILLISECONDS_MAX = 3600000 };

struct rule {
	struct rule *next;
	char *where;
	char *contains; /* or NULL */
	uint64_t first, last;
	uint64_t seen;
	struct rules_verdict verdict;
};

static const struct {
	const char *name;
	enum rules_action action;
	enum { ARGUMENT_NONE, ARGUMENT_TEXT, ARGUMENT_TIME } argument;
} actions[] = {
	{ "reply", RULES_REPLY, ARGUMENT_TEXT },
	{ "raw", RULES_RAW, ARGUMENT_TEXT },
	{ "drop", RULES_DROP, ARGUMENT_NONE },
	{ "reset", RULES_RESET, ARGUMENT_NONE },
	{ "stall", RULES_STALL, ARGUMENT_NONE },
	{ "delay", RULES_DELAY, ARGUMENT_TIME },
	{ "dribble", RULES_DRIBBLE, ARGUMENT_TIME },
	{ "accept-then-drop", RULES_ACCEPT_THEN_DROP, ARGUMENT_NONE },
};

static const char *const places[] = { "banner", "EHLO", "HELO", "STARTTLS", "AUTH", "MAIL", "RCPT",
	"DATA", "BDAT", "RSET", "QUIT", "NOOP", "VRFY", "HELP", "content", "end", "command" };

static void
free_rules(struct rule *rule)
{
	while (rule != NULL) {
		struct rule *next = rule->next;
		free(rule->where);
		free(rule->contains);
		free(rule->verdict.text);
		free(rule);
		rule = next;
	}
}

void
rules_init(struct rules *rules)
{
	pthread_mutex_init(&rules->lock, NULL);
	rules->given = rules->read = NULL;
	atomic_init(&rules->any, false);
}

void
rules_free(struct rules *rules)
{
	free_rules(rules->given);
	free_rules(rules->read);
	rules->given = rules->read = NULL;
	pthread_mutex_destroy(&rules->lock);
}

const char *
rules_action_name(enum rules_action action)
{
	for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
		if (actions[i].action == action)
			return actions[i].name;
	return "none";
}

/* N, N- or N-M behind the slash; text is cut up in place. */
static const char *
parse_count(struct rule *rule, char *text)
{
	char *dash = strchr(text, '-');

	if (dash != NULL)
		*dash++ = '\0';
	if (!text_parse_number(text, 1, UINT64_MAX, &rule->first))
		return "the count is not N, N- or N-M";
	if (dash == NULL)
		rule->last = rule->first;
	else if (*dash != '\0' && !text_parse_number(dash, rule->first, UINT64_MAX, &rule->last))
		return "the count is not N, N- or N-M";
	return NULL;
}

static const char *
parse_where(struct rule *rule, char *text)
{
	char *contains = strchr(text, '~');

	if (contains != NULL) {
		*contains++ = '\0';
		text_unescape(contains);
		rule->contains = strdup(contains);
		if (rule->contains == NULL)
			return "out of memory";
	}
	char *count = strchr(text, '/');
	if (count != NULL) {
		*count++ = '\0';
		const char *why = parse_count(rule, count);
		if (why != NULL)
			return why;
	}
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
		if (strcmp(text, places[i]) == 0) {
			rule->where = strdup(text);
			return rule->where == NULL ? "out of memory" : NULL;
		}
	}
	return "unknown place (see --help)";
}

/* The text of reply and raw; reply first has its code. */
static const char *
parse_text(struct rules_verdict *verdict, char *text)
{
	if (verdict->action == RULES_REPLY) {
		uint64_t code;
		char *rest = strchr(text, ' ');
		if (rest != NULL)
			*rest++ = '\0';
		if (!text_parse_number(text, 200, 599, &code))
			return "reply needs a code from 200 to 599";
		verdict->code = (unsigned)code;
		text = rest != NULL ? rest : text + strlen(text);
	}
	verdict->length = text_unescape(text);
	verdict->text = malloc(verdict->length + 1);
	if (verdict->text == NULL)
		return "out of memory";
	memcpy(verdict->text, text, verdict->length + 1);
	return NULL;
}

static const char *
parse_action(struct rule *rule, char *text)
{
	struct rules_verdict *verdict = &rule->verdict;
	char *argument = strchr(text, ' ');
	uint64_t number;
	size_t i = 0;

	if (argument != NULL)
		*argument++ = '\0';
	else
		argument = text + strlen(text);
	while (i < sizeof actions / sizeof actions[0] && strcmp(actions[i].name, text) != 0)
		i++;
	if (i == sizeof actions / sizeof actions[0])
		return "unknown action (see --help)";
	verdict->action = actions[i].action;
	if (verdict->action == RULES_ACCEPT_THEN_DROP && strcmp(rule->where, "end") != 0)
		return "accept-then-drop is possible at `end` only";
	switch (actions[i].argument) {
	case ARGUMENT_NONE:
		return *argument == '\0' ? NULL : "this action takes no argument";
	case ARGUMENT_TEXT:
		return parse_text(verdict, argument);
	case ARGUMENT_TIME:
		if (!text_parse_number(argument, 0, RULES_MILLISECONDS_MAX, &number))
			return "this action needs milliseconds, 0 to 3600000";
		verdict->milliseconds = (unsigned)number;
	}
	return NULL;
}

/* NULL with a reason in why. */
static struct rule *
parse_rule(const char *text, char *why, size_t size)
{
	struct rule *rule = calloc(1, sizeof *rule);
	char *copy = strdup(text);
	const char *problem = "out of memory";

	if (rule == NULL || copy == NULL)
		goto out;
	rule->first = 1;
	rule->last = UINT64_MAX;
	problem = "it is not WHERE, a space, ACTION";
	char *action = strchr(copy, ' ');
	if (action == NULL)
		goto out;
	*action++ = '\0';
	action += strspn(action, " ");
	problem = parse_where(rule, copy);
	if (problem == NULL)
		problem = parse_action(rule, action);
out:
	free(copy);
	if (problem == NULL)
		return rule;
	free_rules(rule);
	snprintf(why, size, "rule \"%s\": %s", text, problem);
	return NULL;
}

static void
append_rule(struct rule **list, struct rule *rule)
{
	while (*list != NULL)
		list = &(*list)->next;
	*list = rule;
}

bool
rules_add(struct rules *rules, const char *text, char *why, size_t size)
{
	struct rule *rule = parse_rule(text, why, size);

	if (rule == NULL)
		return false;
	pthread_mutex_lock(&rules->lock);
	append_rule(&rules->given, rule);
	atomic_store(&rules->any, true);
	pthread_mutex_unlock(&rules->lock);
	return true;
}

/* Reads all rules of an open file; NULL in *list and true when there are none. */
static bool
read_rules(FILE *file, struct rule **list, char *why, size_t size)
{
	char *line = NULL;
	size_t room = 0;
	bool good = true;

	for (ssize_t n; good && (n = getline(&line, &room, file)) != -1;) {
		while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
			line[--n] = '\0';
		const char *start = line + strspn(line, " \t");
		if (*start == '\0' || *start == '#')
			continue;
		struct rule *rule = n < RULES_LINE_MAX ? parse_rule(start, why, size) : NULL;
		if (n >= RULES_LINE_MAX)
			snprintf(why, size, "a line is too long");
		good = rule != NULL;
		if (good)
			append_rule(list, rule);
	}
	free(line);
	return good;
}

bool
rules_load(struct rules *rules, const char *path, char *why, size_t size)
{
	struct rule *list = NULL;
	FILE *file = fopen(path, "re");

	if (file == NULL) {
		snprintf(why, size, "cannot open \"%s\": %s", path, strerror(errno));
		return false;
	}
	bool good = read_rules(file, &list, why, size);
	fclose(file);
	if (!good) {
		free_rules(list);
		return false;
	}
	pthread_mutex_lock(&rules->lock);
	struct rule *old = rules->read;
	rules->read = list;
	atomic_store(&rules->any, rules->given != NULL || list != NULL);
	pthread_mutex_unlock(&rules->lock);
	free_rules(old);
	return true;
}

static bool
rule_fits(const struct rule *rule, const char *where, bool command, const char *text)
{
	if (strcmp(rule->where, where) != 0 && !(command && strcmp(rule->where, "command") == 0))
		return false;
	return rule->contains == NULL || strstr(text, rule->contains) != NULL;
}

struct rules_verdict
rules_ask(struct rules *rules, const char *where, bool command, const char *text)
{
	struct rules_verdict verdict = { .action = RULES_NONE };

	if (!atomic_load_explicit(&rules->any, memory_order_relaxed))
		return verdict;
	pthread_mutex_lock(&rules->lock);
	struct rule *lists[] = { rules->given, rules->read };
	for (size_t i = 0; i < 2; i++) {
		for (struct rule *rule = lists[i]; rule != NULL; rule = rule->next) {
			if (!rule_fits(rule, where, command, text))
				continue;
			rule->seen++;
			if (verdict.action == RULES_NONE && rule->seen >= rule->first &&
			    rule->seen <= rule->last)
				verdict = rule->verdict;
		}
	}
	if (verdict.text != NULL) {
		char *copy = malloc(verdict.length + 1);
		if (copy != NULL)
			memcpy(copy, verdict.text, verdict.length + 1);
		else
			verdict.length = 0;
		verdict.text = copy;
	}
	pthread_mutex_unlock(&rules->lock);
	return verdict;
}

void
rules_verdict_free(struct rules_verdict *verdict)
{
	free(verdict->text);
	verdict->text = NULL;
	verdict->action = RULES_NONE;
}
