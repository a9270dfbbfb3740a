/*
 * What the files that read settings share; for nobody else.
 */
#ifndef BASE_SETTINGS_PARSER_H
#define BASE_SETTINGS_PARSER_H

#include "base/conf.h"
#include "base/settings.h"

struct parser {
	struct settings *settings;
	struct settings_smarthost *smarthost;     /* the open block, or NULL */
	const struct settings_provider *provider; /* that the open block names, or NULL */
	uint64_t seen[2]; /* a bit for each setting that the host, the open block has */
	struct conf_line line;
	struct buf *errors;
	bool failed;
};

/* Adds "FILE:LINE: NAME: what" to the errors. */
void settings_fail(struct parser *p, const char *what);

/* Memory ran out: the same, and the settings are incomplete. */
void settings_fail_memory(struct parser *p);

/* Replaces *place by a copy of value. */
void settings_set_string(struct parser *p, char **place, const char *value);

/* Does a line of the open block set it? */
bool settings_is_set(const struct parser *p, const char *name);

/* Letters, digits, and what stands in user names and host names. */
bool settings_is_name(const char *s);

/* The next word, cut out of *rest, or NULL. */
char *settings_next_word(char **rest);

/* settings_local.c: how addresses of this host are treated. */
void settings_set_local_mail_to(struct parser *p);
void settings_set_local_domains(struct parser *p);
void settings_set_map(struct parser *p);
void settings_set_from(struct parser *p);
bool settings_is_address(const char *s);
void settings_free_local(struct settings *s);

/* settings_provider.c: the setting `provider`; the endpoint for "smarthost
 * provider:NAME", or NULL and the error is told; and, when the block is read, what
 * the provider gives for settings that it lacks. */
void settings_set_provider(struct parser *p);
const char *settings_provider_uri(struct parser *p, const char *name);
void settings_apply_provider(struct parser *p);

/* settings_smarthost.c: the value of a smarthost line, some settings of its block, and
 * what only the whole block shows. */
void settings_set_smarthost(struct parser *p, struct settings_smarthost *h);
void settings_set_password(struct parser *p);
void settings_set_token(struct parser *p);
void settings_set_auth(struct parser *p);
void settings_check_smarthost(struct parser *p);

/* settings_for.c: which mail a smarthost gets, and how much. */
void settings_set_for(struct parser *p);
void settings_set_rate(struct parser *p);
void settings_free_for(struct settings_smarthost *h);

/* settings_pin.c */
void settings_set_pins(struct parser *p);

#endif
