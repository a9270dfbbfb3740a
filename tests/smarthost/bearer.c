/*
 * A token that is not the user's gets the error as a challenge; the client must answer it as its
 * mechanism wants, with %x01 or with nothing, and is refused then.  The parser takes what the
 * specifications allow and nothing else, so that a client's mistake shows.
 */
#include "bearer.h"

#include <stdlib.h>
#include <string.h>

#include <gsasl-mech.h>

static const char refusal[] = "{\"status\":\"401\",\"schemes\":\"bearer\",\"scope\":\"mail\"}";

/* Cuts the next \1-terminated field off *rest; NULL when there is none. */
static char *
take_field(char **rest)
{
	char *field = *rest;
	char *end = strchr(field, '\1');

	if (end == NULL)
		return NULL;
	*end = '\0';
	*rest = end + 1;
	return field;
}

/* "user=NAME^Aauth=Bearer TOKEN^A^A", or "n,a=NAME,^A[host=...^A][port=...^A]auth=...^A^A". */
static bool
parse(const char *mechanism, char *text, char **user, char **token)
{
	bool rfc7628 = strcmp(mechanism, "OAUTHBEARER") == 0;
	const char *prefix = rfc7628 ? "n,a=" : "user=";
	char *field = take_field(&text);

	if (field == NULL || strncmp(field, prefix, strlen(prefix)) != 0)
		return false;
	*user = field + strlen(prefix);
	if (rfc7628) {
		size_t length = strlen(*user);
		if (length == 0 || (*user)[length - 1] != ',')
			return false;
		(*user)[length - 1] = '\0';
	}
	do
		field = take_field(&text);
	while (rfc7628 && field != NULL &&
	    (strncmp(field, "host=", 5) == 0 || strncmp(field, "port=", 5) == 0));
	if (field == NULL || strncmp(field, "auth=Bearer ", 12) != 0)
		return false;
	*token = field + 12;
	return strcmp(text, "\1") == 0;
}

static int
start(Gsasl_session *session, void **data)
{
	(void)session;
	*data = calloc(1, sizeof(bool)); /* refused */
	return *data != NULL ? GSASL_OK : GSASL_MALLOC_ERROR;
}

static void
finish(Gsasl_session *session, void *data)
{
	(void)session;
	free(data);
}

static int
judge(Gsasl_session *session, const char *input, size_t length)
{
	char *user = NULL, *token = NULL;
	char *text = strndup(input, length);
	int r = GSASL_MECHANISM_PARSE_ERROR;

	if (text == NULL)
		return GSASL_MALLOC_ERROR;
	if (strlen(text) == length &&
	    parse(gsasl_mechanism_name(session), text, &user, &token)) {
		r = gsasl_property_set(session, GSASL_AUTHID, user);
		const char *wanted = gsasl_property_get(session, GSASL_PASSWORD);
		if (r == GSASL_OK && (wanted == NULL || strcmp(wanted, token) != 0))
			r = GSASL_AUTHENTICATION_ERROR;
	}
	free(text);
	return r;
}

static int
step(Gsasl_session *session, void *data, const char *input, size_t length, char **output,
    size_t *output_length)
{
	bool *refused = data;
	const char *expected = strcmp(gsasl_mechanism_name(session), "XOAUTH2") == 0 ? "" : "\1";

	*output = NULL;
	*output_length = 0;
	if (*refused)
		return length == strlen(expected) && memcmp(input, expected, length) == 0
		    ? GSASL_AUTHENTICATION_ERROR : GSASL_MECHANISM_PARSE_ERROR;
	if (length == 0)
		return GSASL_NEEDS_MORE;
	int r = judge(session, input, length);
	if (r != GSASL_AUTHENTICATION_ERROR)
		return r;
	*refused = true;
	*output = strdup(refusal);
	*output_length = strlen(refusal);
	return *output != NULL ? GSASL_NEEDS_MORE : GSASL_MALLOC_ERROR;
}

bool
bearer_register(Gsasl *context)
{
	static const char *const names[] = { "OAUTHBEARER", "XOAUTH2" };

	for (size_t i = 0; i < 2; i++) {
		const Gsasl_mechanism mechanism = { .name = names[i],
			.server = { .start = start, .step = step, .finish = finish } };
		if (gsasl_register(context, &mechanism) != GSASL_OK)
			return false;
	}
	return true;
}
