/*
 * A message with the null sender is a report to somebody, most often about a message of
 * his, so it goes the way of what he sends: what is said of senders is compared with its
 * recipient.  Without that rule a host with an account for each domain could send no
 * bounce.
 */
#include "relayd/route.h"

#include <string.h>
#include <strings.h>

bool
route_is_needed(const struct settings *s)
{
	for (size_t i = 0; i < s->smarthost_count; i++)
		if (s->smarthosts[i].pattern_count > 0)
			return true;
	return false;
}

/* pattern: ".example.org" stands for that domain and all below it. */
static bool
domain_matches(const char *pattern, const char *domain)
{
	size_t len = strlen(domain), wanted = strlen(pattern);

	if (*pattern != '.' || strcasecmp(pattern + 1, domain) == 0)
		return strcasecmp(pattern + (*pattern == '.'), domain) == 0;
	return len > wanted && strcasecmp(pattern, domain + len - wanted) == 0;
}

static bool
pattern_matches(const struct settings_pattern *p, const char *sender, const char *recipient)
{
	const char *address = p->recipient || *sender == '\0' ? recipient : sender, *at;

	if (strcmp(p->text, "*") == 0)
		return true;
	if (strcmp(p->text, "<>") == 0)
		return *sender == '\0';
	if (*p->text != '@')
		return strcasecmp(p->text, address) == 0;
	at = strrchr(address, '@');
	return at != NULL && domain_matches(p->text + 1, at + 1);
}

static bool
is_carrier(const struct settings_smarthost *h, const char *sender, const char *recipient)
{
	for (size_t i = 0; i < h->pattern_count; i++)
		if (pattern_matches(&h->patterns[i], sender, recipient))
			return true;
	return h->pattern_count == 0;
}

uint64_t
route_carriers(const struct settings *s, const char *sender, const char *recipient)
{
	uint64_t carriers = 0;

	for (size_t i = 0; i < s->smarthost_count; i++)
		if (is_carrier(&s->smarthosts[i], sender, recipient))
			carriers |= UINT64_C(1) << i;
	return carriers;
}
