/*
 * libgsasl's own ranking is not usable (it would take a weak mechanism before a
 * strong one), so the table below is the ranking: what proves the server to us
 * and does not send the secret comes first.
 *
 * 235 alone does not count: the mechanism must also say that it is finished,
 * which for SCRAM means that the server has proved that it knows the secret.
 */
#include "relayd/session/auth.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/number.h"

#define SCRAM_ITERATIONS_MAX 1000000
#define STEPS_MAX 10

static const struct mechanism {
	const char *name;
	bool client_first; /* may carry an initial response */
	bool scram;
	bool sends_secret; /* only inside TLS */
} mechanisms[] = {
	{ "SCRAM-SHA-256", true, true, false },
	{ "SCRAM-SHA-1", true, true, false },
	{ "PLAIN", true, false, true },
	{ "LOGIN", false, false, true },
};
#define MECHANISMS (sizeof(mechanisms) / sizeof(mechanisms[0]))

int
auth_init(struct auth *a)
{
	return gsasl_init(&a->library) == GSASL_OK ? 0 : -1;
}

void
auth_fini(struct auth *a)
{
	if (a->library != NULL)
		gsasl_done(a->library);
	a->library = NULL;
}

static bool
is_usable(const struct capabilities *c, const struct mechanism *m, bool tls, bool in_clear)
{
	return capabilities_have_mechanism(c, m->name) && (!m->sends_secret || tls || in_clear);
}

/* The first of our ranking that is usable; of `wanted`, if it names some. */
static const struct mechanism *
choose(const struct capabilities *c, const char *wanted, bool tls, bool in_clear)
{
	for (size_t i = 0; *wanted == '\0' && i < MECHANISMS; i++)
		if (is_usable(c, &mechanisms[i], tls, in_clear))
			return &mechanisms[i];
	while (*wanted != '\0') {
		size_t n = strcspn(wanted, " \t");

		for (size_t i = 0; i < MECHANISMS; i++)
			if (strlen(mechanisms[i].name) == n &&
			    strncasecmp(wanted, mechanisms[i].name, n) == 0 &&
			    is_usable(c, &mechanisms[i], tls, in_clear))
				return &mechanisms[i];
		wanted += n;
		wanted += strspn(wanted, " \t");
	}
	return NULL;
}

const char *
auth_choose(const struct capabilities *c, const char *wanted, bool tls, bool in_clear)
{
	const struct mechanism *m = choose(c, wanted, tls, in_clear);

	return m == NULL ? NULL : m->name;
}

enum scram { SCRAM_GOES_ON, SCRAM_REJECTED, SCRAM_MALFORMED };

/* What a SCRAM server says (RFC 5802 section 7): an error instead of its proof; or the
 * i= of its first message, which decides how long we compute. */
static enum scram
scram_look(const char *challenge64)
{
	char *text = NULL, digits[16];
	const char *i;
	size_t len = 0, n;
	uint64_t count;
	enum scram found = SCRAM_MALFORMED;

	if (gsasl_base64_from(challenge64, strlen(challenge64), &text, &len) != GSASL_OK)
		return SCRAM_MALFORMED;
	if (len > 2 && text[0] == 'v') {
		found = SCRAM_GOES_ON; /* the final message */
	} else if (len > 2 && memcmp(text, "e=", 2) == 0) {
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

/* AUTH NAME, with the initial response where the mechanism has one. */
static int
first_write(struct stream *s, Gsasl_session *g, const struct mechanism *m, int *status)
{
	char *out = NULL;
	int r;

	*status = GSASL_NEEDS_MORE;
	if (stream_write(s, "AUTH ", 5) < 0 || stream_write(s, m->name, strlen(m->name)) < 0)
		return -1;
	if (m->client_first) {
		*status = gsasl_step64(g, NULL, &out);
		if (*status != GSASL_OK && *status != GSASL_NEEDS_MORE)
			return stream_fail(
			    s, STREAM_PROTOCOL, "%s: %s", m->name, gsasl_strerror(*status));
		r = stream_write(s, " ", 1);
		if (r == 0)
			r = stream_write(
			    s, *out == '\0' ? "=" : out, *out == '\0' ? 1 : strlen(out));
		explicit_bzero(out, strlen(out));
		gsasl_free(out);
		if (r < 0)
			return -1;
	}
	return stream_write(s, "\r\n", 2);
}

/* One challenge and our answer. */
static enum auth_result
step(struct stream *s, Gsasl_session *g, const struct mechanism *m, struct reply *r, int *status)
{
	const char *challenge = buf_string(&r->text);
	char *out = NULL;
	int w;
	enum scram scram = m->scram ? scram_look(challenge) : SCRAM_GOES_ON;

	if (scram == SCRAM_REJECTED)
		return stream_write(s, "*\r\n", 3) < 0 || reply_read(s, r) < 0 ? AUTH_BROKEN
									       : AUTH_REJECTED;
	if (scram == SCRAM_MALFORMED)
		return cancel(s, r,
		    "SCRAM: the smarthost's challenge is malformed, or asks for "
		    "too many iterations");
	if (*status == GSASL_OK)
		return cancel(s, r, "the smarthost asks for more than the mechanism has");
	*status = gsasl_step64(g, challenge, &out);
	if (*status != GSASL_OK && *status != GSASL_NEEDS_MORE) {
		if (m->scram && challenge[0] != '\0')
			return cancel(s, r,
			    "SCRAM: the smarthost could not prove that it knows "
			    "the password, or rejects ours");
		return cancel(s, r, gsasl_strerror(*status));
	}
	w = response_write(s, out == NULL ? "" : out);
	if (out != NULL)
		explicit_bzero(out, strlen(out));
	gsasl_free(out);
	return w < 0 || reply_read(s, r) < 0 ? AUTH_BROKEN : AUTH_OK;
}

static enum auth_result
exchange(struct stream *s, Gsasl_session *g, const struct mechanism *m, struct reply *r)
{
	int status;

	if (first_write(s, g, m, &status) < 0 || reply_read(s, r) < 0)
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

enum auth_result
auth_run(struct auth *a, struct stream *s, const struct capabilities *c, struct reply *r,
    const char **mechanism)
{
	const struct mechanism *m = choose(c, a->wanted, s->tls != NULL, a->in_clear);
	Gsasl_session *g = NULL;
	enum auth_result result;

	*mechanism = m == NULL ? NULL : m->name;
	if (m == NULL)
		return AUTH_NONE;
	if (gsasl_client_start(a->library, m->name, &g) != GSASL_OK) {
		stream_fail(s, STREAM_PROTOCOL, "libgsasl does not have %s", m->name);
		return AUTH_BROKEN;
	}
	gsasl_property_set(g, GSASL_AUTHID, a->user);
	gsasl_property_set_raw(g, GSASL_PASSWORD, buf_string(a->secret), a->secret->len);
	result = exchange(s, g, m, r);
	gsasl_finish(g);
	return result;
}
