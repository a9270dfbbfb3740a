/*
 * libgsasl's own ranking is not usable (it would take a weak mechanism before a
 * strong one), so the table below is the ranking: what proves the server to us
 * and does not send the secret comes first.  CRAM-MD5 and DIGEST-MD5 prove nothing
 * to us that SCRAM does not prove better, and lie open to guessing by whoever sees
 * them, so they are never our choice.
 */
#include "relayd/session/mechanism.h"

#include <string.h>
#include <strings.h>

#define BLANKS " \t"

/* clang-format off */
static const struct mechanism mechanisms[] = {
	{ "EXTERNAL", CREDENTIAL_CERTIFICATE, MECHANISM_INITIAL },
	{ "SCRAM-SHA-256-PLUS", CREDENTIAL_PASSWORD,
	    MECHANISM_INITIAL | MECHANISM_SCRAM | MECHANISM_BINDING },
	{ "SCRAM-SHA-256", CREDENTIAL_PASSWORD, MECHANISM_INITIAL | MECHANISM_SCRAM },
	{ "SCRAM-SHA-1-PLUS", CREDENTIAL_PASSWORD,
	    MECHANISM_INITIAL | MECHANISM_SCRAM | MECHANISM_BINDING },
	{ "SCRAM-SHA-1", CREDENTIAL_PASSWORD, MECHANISM_INITIAL | MECHANISM_SCRAM },
	{ "OAUTHBEARER", CREDENTIAL_TOKEN, MECHANISM_INITIAL | MECHANISM_IN_TLS },
	{ "XOAUTH2", CREDENTIAL_TOKEN, MECHANISM_INITIAL | MECHANISM_IN_TLS },
	{ "PLAIN", CREDENTIAL_PASSWORD, MECHANISM_INITIAL | MECHANISM_IN_TLS },
	{ "LOGIN", CREDENTIAL_PASSWORD, MECHANISM_IN_TLS },
	{ "CRAM-MD5", CREDENTIAL_PASSWORD, MECHANISM_EXPLICIT },
	{ "DIGEST-MD5", CREDENTIAL_PASSWORD, MECHANISM_EXPLICIT },
};
/* clang-format on */
#define MECHANISMS (sizeof(mechanisms) / sizeof(mechanisms[0]))

static bool
is_usable(
    const struct capabilities *c, const struct mechanism_means *means, const struct mechanism *m)
{
	const bool have[] = {
		[CREDENTIAL_PASSWORD] = means->password,
		[CREDENTIAL_TOKEN] = means->token,
		[CREDENTIAL_CERTIFICATE] = means->certificate && means->tls,
	};

	if (!have[m->credential] || !capabilities_have_mechanism(c, m->name))
		return false;
	if ((m->flags & MECHANISM_BINDING) != 0)
		return means->tls;
	return (m->flags & MECHANISM_IN_TLS) == 0 || means->tls || means->in_clear;
}

/* The mechanism of a list's first word; *list moves behind it. */
static const struct mechanism *
word_take(const char **list)
{
	const char *word = *list + strspn(*list, BLANKS);
	size_t n = strcspn(word, BLANKS);

	*list = word + n + strspn(word + n, BLANKS);
	for (size_t i = 0; i < MECHANISMS; i++)
		if (strlen(mechanisms[i].name) == n &&
		    strncasecmp(word, mechanisms[i].name, n) == 0)
			return &mechanisms[i];
	return NULL;
}

const struct mechanism *
mechanism_choose(const struct capabilities *c, const struct mechanism_means *means)
{
	const char *list = means->wanted;

	for (size_t i = 0; *list == '\0' && i < MECHANISMS; i++)
		if ((mechanisms[i].flags & MECHANISM_EXPLICIT) == 0 &&
		    is_usable(c, means, &mechanisms[i]))
			return &mechanisms[i];
	while (*list != '\0') {
		const struct mechanism *m = word_take(&list);

		if (m != NULL && is_usable(c, means, m))
			return m;
	}
	return NULL;
}

const struct mechanism *
mechanism_fallback(
    const struct capabilities *c, const struct mechanism_means *means, const struct mechanism *m)
{
	const char *list = means->wanted;
	bool behind = false;

	while ((m->flags & MECHANISM_BINDING) != 0 && *list != '\0') {
		const struct mechanism *next = word_take(&list);

		if (behind && next != NULL &&
		    (next->flags & (MECHANISM_SCRAM | MECHANISM_BINDING)) == MECHANISM_SCRAM &&
		    is_usable(c, means, next))
			return next;
		behind |= next == m;
	}
	return NULL;
}
