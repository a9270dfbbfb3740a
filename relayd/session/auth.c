/*
 * An exchange is a few challenges and our answers; the mechanisms are libgsasl's.
 *
 * 235 alone does not count: the mechanism must also say that it is finished,
 * which for SCRAM and DIGEST-MD5 means that the server has proved that it knows
 * the secret.
 */
#include "relayd/session/auth.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/number.h"
#include "base/text.h"
#include "relayd/session/bearer.h"

#define SCRAM_ITERATIONS_MAX 1000000
#define STEPS_MAX 10
#define COMMAND_MAX 512 /* octets of a command line, RFC 5321 section 4.5.3.1.4 */

int
auth_init(struct auth *a)
{
	return gsasl_init(&a->library) == GSASL_OK && bearer_register(a->library) == 0 ? 0 : -1;
}

void
auth_fini(struct auth *a)
{
	if (a->library != NULL)
		gsasl_done(a->library);
	a->library = NULL;
}

enum scram { SCRAM_GOES_ON, SCRAM_REJECTED, SCRAM_MALFORMED };

/* What a SCRAM server says (RFC 5802 section 7): an error instead of its proof; or the
 * i= of its first message, which decides how long we compute. */
static enum scram
scram_look(const char *challenge64)
{
	char *text = NULL, digits[16], words[100];
	const char *i;
	size_t len = 0, n;
	uint64_t count;
	enum scram found = SCRAM_MALFORMED;

	if (gsasl_base64_from(challenge64, strlen(challenge64), &text, &len) != GSASL_OK)
		return SCRAM_MALFORMED;
	if (len > 2 && text[0] == 'v') {
		found = SCRAM_GOES_ON; /* the final message */
	} else if (len > 2 && memcmp(text, "e=", 2) == 0) {
		text_copy_printable(words, sizeof(words), text + 2, len - 2);
		log_warn("SCRAM: the smarthost says: %s", words);
		found = SCRAM_REJECTED;
	} else if (memchr(text, '\0', len) == NULL && (i = memmem(text, len, ",i=", 3)) != NULL) {
		i += 3;
		n = len - (size_t)(i - text);
		for (size_t k = 0; k < n; k++)
			if (!isdigit((unsigned char)i[k]))
				n = k;
		if (n > 0 && n < sizeof(digits)) {
			memcpy(digits, i, n);
			digits[n] = '\0';
			if (number_parse(digits, 1, SCRAM_ITERATIONS_MAX, &count) == 0)
				found = SCRAM_GOES_ON;
		}
	}
	gsasl_free(text);
	return found;
}

/* Cancels an exchange (RFC 4954 section 4) whose challenge makes no sense. */
static enum auth_result
cancel(struct stream *s, struct reply *r, const char *why)
{
	if (stream_write(s, "*\r\n", 3) < 0 || reply_read(s, r) < 0)
		return AUTH_BROKEN;
	stream_fail(s, STREAM_PROTOCOL, "%s", why);
	return AUTH_BROKEN;
}

static int
response_write(struct stream *s, const char *response)
{
	return stream_write(s, response, strlen(response)) < 0 || stream_write(s, "\r\n", 2) < 0
		   ? -1
		   : 0;
}

/* An answer may hold the secret, or something to guess it from. */
static void
answer_free(char *answer)
{
	if (answer != NULL)
		explicit_bzero(answer, strlen(answer));
	gsasl_free(answer);
}

static int
answer_write(struct stream *s, char *answer)
{
	int r = response_write(s, answer == NULL ? "" : answer);

	answer_free(answer);
	return r;
}

/* AUTH NAME, with the initial response where the mechanism has one; behind the 334 if the line
 * would be too long with it (RFC 4954 section 4), as with a token. */
static int
first_write(
    struct stream *s, Gsasl_session *g, const struct mechanism *m, struct reply *r, int *status)
{
	char *out = NULL;
	bool fits;

	*status = GSASL_NEEDS_MORE;
	if ((m->flags & MECHANISM_INITIAL) != 0) {
		*status = gsasl_step64(g, NULL, &out);
		if (*status != GSASL_OK && *status != GSASL_NEEDS_MORE)
			return stream_fail(
			    s, STREAM_PROTOCOL, "%s: %s", m->name, gsasl_strerror(*status));
	}
	fits = out != NULL && strlen("AUTH  \r\n") + strlen(m->name) + strlen(out) <= COMMAND_MAX;
	if (stream_write(s, "AUTH ", 5) < 0 || stream_write(s, m->name, strlen(m->name)) < 0 ||
	    stream_write(s, fits ? " " : "\r\n", fits ? 1 : 2) < 0 ||
	    (fits && *out == '\0' && stream_write(s, "=", 1) < 0) ||
	    (!fits && reply_read(s, r) < 0)) {
		answer_free(out);
		return -1;
	}
	if (!fits && (out == NULL || r->code != 334)) {
		answer_free(out);
		return 0;
	}
	return answer_write(s, out) < 0 ? -1 : reply_read(s, r);
}

/* One challenge and our answer. */
static enum auth_result
step(struct stream *s, Gsasl_session *g, const struct mechanism *m, struct reply *r, int *status)
{
	const char *challenge = buf_string(&r->text);
	char *out = NULL;
	enum scram scram =
	    (m->flags & MECHANISM_SCRAM) != 0 ? scram_look(challenge) : SCRAM_GOES_ON;

	if (scram == SCRAM_REJECTED)
		return stream_write(s, "*\r\n", 3) < 0 || reply_read(s, r) < 0 ? AUTH_BROKEN
									       : AUTH_REJECTED;
	if (scram == SCRAM_MALFORMED)
		return cancel(s, r,
		    "SCRAM: the smarthost's challenge is malformed, or asks for "
		    "too many iterations");
	/* a refused token is explained in a challenge */
	if (*status == GSASL_OK && m->credential != CREDENTIAL_TOKEN)
		return cancel(s, r, "the smarthost asks for more than the mechanism has");
	*status = gsasl_step64(g, challenge, &out);
	if (*status != GSASL_OK && *status != GSASL_NEEDS_MORE) {
		if ((m->flags & MECHANISM_SCRAM) != 0 && challenge[0] != '\0')
			return cancel(s, r,
			    "SCRAM: the smarthost could not prove that it knows "
			    "the password, or rejects ours");
		return cancel(s, r, gsasl_strerror(*status));
	}
	return answer_write(s, out) < 0 || reply_read(s, r) < 0 ? AUTH_BROKEN : AUTH_OK;
}

static enum auth_result
exchange(struct stream *s, Gsasl_session *g, const struct mechanism *m, struct reply *r)
{
	int status;

	if (first_write(s, g, m, r, &status) < 0)
		return AUTH_BROKEN;
	for (int i = 0; r->code == 334 && i < STEPS_MAX; i++) {
		enum auth_result result = step(s, g, m, r, &status);

		if (result != AUTH_OK)
			return result;
	}
	if (r->code == 235 && status == GSASL_OK)
		return AUTH_OK;
	if (r->code == 235) {
		stream_fail(s, STREAM_PROTOCOL,
		    "%s: the smarthost says yes before it has proved that it knows the password",
		    m->name);
		return AUTH_BROKEN;
	}
	if (r->code < 400) {
		stream_fail(s, STREAM_PROTOCOL, "the smarthost answers %u to AUTH", r->code);
		return AUTH_BROKEN;
	}
	return r->code >= 500 ? AUTH_REJECTED : AUTH_TEMPORARY;
}

/* What both ends know of this TLS channel and nobody in between: RFC 9266, RFC 5929.  tls-unique
 * is that only with the extended master secret (RFC 7627). */
static int
binding_set(Gsasl_session *g, gnutls_session_t tls)
{
	bool exporter = gnutls_protocol_get_version(tls) == GNUTLS_TLS1_3;
	gnutls_datum_t binding = { .data = NULL };
	char *text = NULL;
	int r;

	if (!exporter && gnutls_session_ext_master_secret_status(tls) == 0)
		return -1;
	r = gnutls_session_channel_binding(
	    tls, exporter ? GNUTLS_CB_TLS_EXPORTER : GNUTLS_CB_TLS_UNIQUE, &binding);
	if (r < 0)
		return -1;
	r = gsasl_base64_to((const char *)binding.data, binding.size, &text, NULL);
	if (r == GSASL_OK)
		r = gsasl_property_set(
		    g, exporter ? GSASL_CB_TLS_EXPORTER : GSASL_CB_TLS_UNIQUE, text);
	gsasl_free(text);
	gnutls_free(binding.data);
	return r == GSASL_OK ? 0 : -1;
}

/* Only what the mechanism is to use: PLAIN would send an authorization identity, and SCRAM
 * without -PLUS would speak of a binding. */
static int
properties_set(
    const struct auth *a, const struct stream *s, Gsasl_session *g, const struct mechanism *m)
{
	if (m->credential == CREDENTIAL_CERTIFICATE)
		return gsasl_property_set(g, GSASL_AUTHZID, a->user) == GSASL_OK ? 0 : -1;
	gsasl_property_set(g, GSASL_AUTHID, a->user);
	gsasl_property_set(g, GSASL_SERVICE, "smtp");
	gsasl_property_set(g, GSASL_HOSTNAME, a->host);
	gsasl_property_set_raw(g, GSASL_PASSWORD, buf_string(a->secret), a->secret->len);
	return (m->flags & MECHANISM_BINDING) != 0 ? binding_set(g, s->tls) : 0;
}

static enum auth_result
mechanism_run(const struct auth *a, struct stream *s, const struct mechanism *m, struct reply *r)
{
	Gsasl_session *g = NULL;
	enum auth_result result;

	if (gsasl_client_start(a->library, m->name, &g) != GSASL_OK) {
		stream_fail(s, STREAM_PROTOCOL, "libgsasl does not have %s", m->name);
		return AUTH_BROKEN;
	}
	result = properties_set(a, s, g, m) < 0 ? AUTH_UNBOUND : exchange(s, g, m, r);
	gsasl_finish(g);
	return result;
}

enum auth_result
auth_run(struct auth *a, struct stream *s, const struct capabilities *c, struct reply *r,
    const char **mechanism)
{
	const struct mechanism *m, *next;
	enum auth_result result;

	a->means.tls = s->tls != NULL;
	m = mechanism_choose(c, &a->means);
	*mechanism = m == NULL ? NULL : m->name;
	if (m == NULL)
		return AUTH_NONE;
	result = mechanism_run(a, s, m, r);
	next = mechanism_fallback(c, &a->means, m);
	if (next == NULL || (result != AUTH_REJECTED && result != AUTH_UNBOUND))
		return result;
	log_warn("%s: %s; going on with %s, without channel binding, as the setting auth allows",
	    m->name, result == AUTH_UNBOUND ? "this TLS connection has no binding" : "rejected",
	    next->name);
	*mechanism = next->name;
	return mechanism_run(a, s, next, r);
}
