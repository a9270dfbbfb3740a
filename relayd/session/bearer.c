/*
 * Both send everything at once.  If the server does not take the token, it says why in a
 * challenge, wants an answer of no content, and then refuses with 535; after that round the
 * mechanism is not finished, so that a 235 would not count.
 */
#include "relayd/session/bearer.h"

#include <gsasl-mech.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/text.h"

#define RESPONSE_MAX (80 << 10)
#define ERROR_SHOWN 300

static int
bearer_start(Gsasl_session *g, void **data)
{
	(void)g;
	*data = calloc(1, sizeof(int)); /* steps so far */
	return *data == NULL ? GSASL_MALLOC_ERROR : GSASL_OK;
}

static void
bearer_finish(Gsasl_session *g, void *data)
{
	(void)g;
	free(data);
}

/* A saslname of RFC 5801: "," and "=" are escaped. */
static void
name_add(struct buf *b, const char *name)
{
	for (; *name != '\0'; name++) {
		if (*name == ',' || *name == '=')
			buf_add_string(b, *name == ',' ? "=2C" : "=3D");
		else
			buf_add_char(b, *name);
	}
}

/* Hands b's content to the library, which frees it. */
static int
output(struct buf *b, char **out, size_t *len)
{
	*out = b->failed ? NULL : malloc(b->len + 1);
	if (*out != NULL) {
		memcpy(*out, buf_string(b), b->len + 1);
		*len = b->len;
	}
	buf_free(b);
	return *out == NULL ? GSASL_MALLOC_ERROR : GSASL_OK;
}

/* The server's reason, for the log; not if it sends the token back. */
static void
reason_log(const char *name, const char *token, const char *reason, size_t len)
{
	char words[ERROR_SHOWN], quoted[LOG_VALUE_SIZE];

	if (len == 0 || memmem(reason, len, token, strlen(token)) != NULL)
		return;
	text_copy_printable(words, sizeof(words), reason, len);
	log_warn("%s: the smarthost says: %s", name, log_quote(words, quoted));
}

static int
step(Gsasl_session *g, int *steps, const char *in, size_t in_len, char **out, size_t *len)
{
	const char *name = gsasl_mechanism_name(g), *token = gsasl_property_fast(g, GSASL_PASSWORD);
	const char *user = gsasl_property_fast(g, GSASL_AUTHID);
	const char *host = gsasl_property_fast(g, GSASL_HOSTNAME);
	bool rfc7628 = strcmp(name, "OAUTHBEARER") == 0;
	struct buf b = BUF_INIT(RESPONSE_MAX);
	int r;

	if (token == NULL || user == NULL || host == NULL || ++*steps > 2)
		return GSASL_MECHANISM_CALLED_TOO_MANY_TIMES;
	if (*steps == 2) {
		reason_log(name, token, in, in_len);
		if (rfc7628)
			buf_add_char(&b, '\1');
		r = output(&b, out, len);
		return r == GSASL_OK ? GSASL_NEEDS_MORE : r;
	}
	buf_add_string(&b, rfc7628 ? "n,a=" : "user=");
	if (rfc7628) {
		name_add(&b, user);
		buf_addf(&b, ",\1host=%s", host);
	} else {
		buf_add_string(&b, user);
	}
	buf_addf(&b, "\1auth=Bearer %s\1\1", token);
	return output(&b, out, len);
}

static int
bearer_step(Gsasl_session *g, void *data, const char *in, size_t in_len, char **out, size_t *len)
{
	return step(g, data, in, in_len, out, len);
}

int
bearer_register(Gsasl *library)
{
	static const char *const names[] = { "OAUTHBEARER", "XOAUTH2" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const Gsasl_mechanism m = { .name = names[i],
			.client = {
			    .start = bearer_start, .step = bearer_step, .finish = bearer_finish } };

		/* a later version of the library may have it */
		if (!gsasl_client_support_p(library, names[i]) &&
		    gsasl_register(library, &m) != GSASL_OK)
			return -1;
	}
	return 0;
}
