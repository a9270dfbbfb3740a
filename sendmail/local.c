/*
 * `domain` is most often the domain of a mail provider or of a whole organisation,
 * so an address in it is somebody else's until local_domains says otherwise.
 */
#include "sendmail/local.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* as some distributions name a host that has no name */
#define LOCALDOMAIN "localhost.localdomain"

size_t
local_part_length(const struct address *a)
{
	/* a quoted local part may hold an @ itself */
	const char *at = a->bare ? NULL : strrchr(a->text, '@');

	return at == NULL ? strlen(a->text) : (size_t)(at - a->text);
}

bool
local_is(const struct settings *s, const struct identity *id, const struct address *a)
{
	const char *domain = a->text + local_part_length(a);

	if (a->bare)
		return true;
	domain++;
	if (strcasecmp(domain, "localhost") == 0 || strcasecmp(domain, LOCALDOMAIN) == 0)
		return true;
	/* a host that is named as the domain of its mail: not all of that is its own */
	if (strcasecmp(domain, id->hostname) == 0 &&
	    (s->domain == NULL || strcasecmp(s->domain, id->hostname) != 0))
		return true;
	for (size_t i = 0; i < s->local_domain_count; i++)
		if (strcasecmp(domain, s->local_domains[i]) == 0)
			return true;
	return false;
}

const char *
local_domain(const struct identity *id, const struct address *a)
{
	const char *own = a->bare ? "" : a->text + local_part_length(a) + 1;

	return strchr(own, '.') != NULL && strcasecmp(own, LOCALDOMAIN) != 0 ? own : id->domain;
}

bool
local_name(const char *part, size_t len, char name[static LOCAL_NAME_SIZE])
{
	bool quoted = len >= 2 && part[0] == '"' && part[len - 1] == '"';
	size_t i = quoted, end = quoted ? len - 1 : len, n = 0;

	for (; i < end; i++) {
		if (quoted && part[i] == '\\' && i + 1 < end)
			i++;
		if (n + 1 >= LOCAL_NAME_SIZE)
			return false;
		name[n++] = (char)tolower((unsigned char)part[i]);
	}
	name[n] = '\0';
	return true;
}

const char *
local_map(const struct settings *s, const char *name)
{
	for (size_t i = 0; i < s->map_count; i++)
		if (strcasecmp(s->maps[i].local, name) == 0)
			return s->maps[i].address;
	return NULL;
}
