/*
 * The settings about addresses: who is local, and which address takes the place
 * of a local one.  They may stand more than once, so they are lists.
 */
#include "base/settings_parser.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ADDRESS_MAX 254

/* local-part@domain of visible characters, as far as a setting can be checked
 * without knowing mail; a quoted local part is not worth having here. */
bool
settings_is_address(const char *s)
{
	const char *at = strrchr(s, '@');

	if (at == NULL || at == s || strlen(s) > ADDRESS_MAX || strchr(s, '@') != at)
		return false;
	for (const char *c = s; *c != '\0'; c++)
		if ((unsigned char)*c <= ' ' || *c == 0x7f || strchr("<>()[],;:\\\"", *c) != NULL)
			return false;
	return at[1] != '\0' && at[1] != '.' && at[1] != '-';
}

static void
address_set(struct parser *p, char **place)
{
	if (!settings_is_address(p->line.value))
		settings_fail(p, "must be an address such as ops@example.org");
	else
		settings_set_string(p, place, p->line.value);
}

void
settings_set_local_mail_to(struct parser *p)
{
	address_set(p, &p->settings->local_mail_to);
}

void
settings_set_from(struct parser *p)
{
	address_set(p, &p->smarthost->from);
}

void
settings_set_local_domains(struct parser *p)
{
	struct settings *s = p->settings;
	char *rest = p->line.value, *word = settings_next_word(&rest);

	if (word == NULL)
		settings_fail(p, "a domain is missing");
	for (; word != NULL; word = settings_next_word(&rest)) {
		char **all;

		if (!settings_is_name(word) || strlen(word) > 253) {
			settings_fail(p, "must be domains such as web1.example.org, separated by "
					 "blanks");
			return;
		}
		all = reallocarray(s->local_domains, s->local_domain_count + 1, sizeof(*all));
		if (all == NULL) {
			settings_fail_memory(p);
			return;
		}
		s->local_domains = all;
		all[s->local_domain_count++] = NULL;
		settings_set_string(p, &all[s->local_domain_count - 1], word);
		if (all[s->local_domain_count - 1] == NULL)
			s->local_domain_count--;
	}
}

static const struct settings_map *
map_find(const struct settings *s, const char *local)
{
	for (size_t i = 0; i < s->map_count; i++)
		if (strcasecmp(s->maps[i].local, local) == 0)
			return &s->maps[i];
	return NULL;
}

void
settings_set_map(struct parser *p)
{
	struct settings *s = p->settings;
	char *rest = p->line.value, *local = settings_next_word(&rest),
	     *address = settings_next_word(&rest);
	struct settings_map *all, new = { .local = NULL };

	if (address == NULL || settings_next_word(&rest) != NULL || !settings_is_address(address) ||
	    strchr(local, '@') != NULL || strlen(local) > 64) {
		settings_fail(p, "must be a local user and an address, such as root "
				 "web1@example.org");
		return;
	}
	if (map_find(s, local) != NULL) {
		settings_fail(p, "this user is mapped already; remove one of the lines");
		return;
	}
	all = reallocarray(s->maps, s->map_count + 1, sizeof(*all));
	if (all == NULL) {
		settings_fail_memory(p);
		return;
	}
	s->maps = all;
	settings_set_string(p, &new.local, local);
	settings_set_string(p, &new.address, address);
	if (new.local != NULL &&new.address != NULL) {
		all[s->map_count++] = new;
	} else {
		free(new.local);
		free(new.address);
	}
}

void
settings_free_local(struct settings *s)
{
	for (size_t i = 0; i < s->local_domain_count; i++)
		free(s->local_domains[i]);
	for (size_t i = 0; i < s->map_count; i++) {
		free(s->maps[i].local);
		free(s->maps[i].address);
	}
	free(s->local_domains);
	free(s->maps);
	free(s->local_mail_to);
}
