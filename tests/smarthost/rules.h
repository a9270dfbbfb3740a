/*
 * Faults on demand.  A rule is `WHERE[/COUNT][~TEXT] ACTION`; see --help for the words.  Every rule
 * counts the events that fit its WHERE and TEXT, whether or not it was the one to act, so `MAIL/2`
 * is the second MAIL of the process whatever other rules say.  The first rule whose count is in
 * its range acts.  Rules are safe to use from many threads and to reload while in use.
 */
#ifndef SMARTHOST_RULES_H
#define SMARTHOST_RULES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum rules_action {
	RULES_NONE,
	RULES_REPLY,
	RULES_RAW,
	RULES_DROP,
	RULES_RESET,
	RULES_STALL,
	RULES_DELAY,
	RULES_DRIBBLE,
	RULES_ACCEPT_THEN_DROP,
};

/* What to do now; text is the caller's to free with rules_verdict_free(). */
struct rules_verdict {
	enum rules_action action;
	unsigned code;
	unsigned milliseconds;
	char *text;
	size_t length;
};

struct rule;

struct rules {
	pthread_mutex_t lock;
	struct rule *given; /* from --rule, kept */
	struct rule *read;  /* from --rules FILE, replaced by a reload */
	atomic_bool any;    /* lets a server without rules go fast */
};

void rules_init(struct rules *rules);
void rules_free(struct rules *rules);

/* Adds one rule; false, with a reason in why, when it cannot be understood. */
bool rules_add(struct rules *rules, const char *text, char *why, size_t size);

/* Replaces the rules of the file; false with a reason, and the old rules kept, on any error. */
bool rules_load(struct rules *rules, const char *path, char *why, size_t size);

/*
 * An event: where is `banner`, a verb, `content` or `end`; command tells that it is a command, to
 * which rules for `command` apply too; text is what ~TEXT looks into.
 */
struct rules_verdict rules_ask(struct rules *rules, const char *where, bool command,
    const char *text);
void rules_verdict_free(struct rules_verdict *verdict);

const char *rules_action_name(enum rules_action action);

#endif
