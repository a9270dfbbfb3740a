/*
 * SASL with libgsasl; see auth.h.  Two things are not left to the library: LOGIN with an initial
 * response (it takes none) and the acknowledgement of data that comes with success, which SMTP
 * carries as one more empty challenge round (RFC 4954 section 4).
 */
#include "auth.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "bearer.h"

static const char *const known[] = { "PLAIN", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-256",
	"SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "CRAM-MD5", "DIGEST-MD5", "EXTERNAL",
	"OAUTHBEARER", "XOAUTH2" };

static bool
listed(const char *list, const char *word)
{
	size_t length = strlen(word);

	while (*list != '\0') {
		size_t n = strcspn(list, " ");
		if (n == length && strncasecmp(list, word, n) == 0)
			return true;
		list += n;
		list += strspn(list, " ");
	}
	return false;
}

/* Is this the one user, speaking for nobody else? */
static bool
is_user(Gsasl_session *session, const struct auth_config *config)
{
	const char *name = gsasl_property_fast(session, GSASL_AUTHID);
	const char *as = gsasl_property_fast(session, GSASL_AUTHZID);

	if (name == NULL || strcmp(name, config->user) != 0)
		return false;
	return as == NULL || *as == '\0' || strcmp(as, config->user) == 0;
}

/* The channel that the client's binding must speak of; none if TLS has not that kind. */
static int
answer_binding(Gsasl_session *session, gnutls_session_t tls, Gsasl_property property,
    gnutls_channel_binding_t kind)
{
	gnutls_datum_t binding = { NULL, 0 };
	char *text = NULL;
	bool is_13 = tls != NULL && gnutls_protocol_get_version(tls) == GNUTLS_TLS1_3;

	if (tls == NULL || is_13 != (kind == GNUTLS_CB_TLS_EXPORTER) ||
	    gnutls_session_channel_binding(tls, kind, &binding) < 0)
		return GSASL_NO_CALLBACK;
	int r = gsasl_base64_to((const char *)binding.data, binding.size, &text, NULL);
	if (r == GSASL_OK)
		r = gsasl_property_set(session, property, text);
	gsasl_free(text);
	gnutls_free(binding.data);
	return r;
}

/* The certificate is one of the CA's, and the name that it claims is the user's. */
static int
validate_external(Gsasl_session *session, const struct auth_exchange *exchange)
{
	const char *as = gsasl_property_fast(session, GSASL_AUTHZID);
	unsigned status = 0, count = 0;

	if (exchange->tls == NULL ||
	    gnutls_certificate_get_peers(exchange->tls, &count) == NULL || count == 0 ||
	    gnutls_certificate_verify_peers2(exchange->tls, &status) < 0 || status != 0)
		return GSASL_AUTHENTICATION_ERROR;
	return as == NULL || *as == '\0' || strcmp(as, exchange->config->user) == 0
	    ? GSASL_OK : GSASL_AUTHENTICATION_ERROR;
}

static int
answer_library(Gsasl *context, Gsasl_session *session, Gsasl_property property)
{
	const struct auth_exchange *exchange = gsasl_session_hook_get(session);
	const struct auth_config *config = exchange->config;
	const char *password;

	(void)context;
	switch (property) {
	case GSASL_VALIDATE_SIMPLE:
		password = gsasl_property_fast(session, GSASL_PASSWORD);
		return is_user(session, config) && password != NULL &&
		    strcmp(password, config->password) == 0 ? GSASL_OK : GSASL_AUTHENTICATION_ERROR;
	case GSASL_PASSWORD:
		if (!is_user(session, config))
			return GSASL_NO_PASSWORD;
		return gsasl_property_set(session, GSASL_PASSWORD, config->password);
	case GSASL_REALM:
		return gsasl_property_set(session, GSASL_REALM, "example.test");
	case GSASL_VALIDATE_EXTERNAL:
		return validate_external(session, exchange);
	case GSASL_CB_TLS_UNIQUE:
		return answer_binding(session, exchange->tls, property, GNUTLS_CB_TLS_UNIQUE);
	case GSASL_CB_TLS_EXPORTER:
		return answer_binding(session, exchange->tls, property, GNUTLS_CB_TLS_EXPORTER);
	default:
		return GSASL_NO_CALLBACK;
	}
}

bool
auth_open(struct auth_config *config, const char *user, const char *password,
    const char *mechanisms, char *why, size_t size)
{
	*config = (struct auth_config){ NULL, user, password, mechanisms };
	if (user == NULL)
		return true;
	int r = gsasl_init(&config->context);
	if (r != GSASL_OK) {
		snprintf(why, size, "%s", gsasl_strerror(r));
		return false;
	}
	if (!bearer_register(config->context)) {
		snprintf(why, size, "cannot register OAUTHBEARER and XOAUTH2");
		return false;
	}
	gsasl_callback_set(config->context, answer_library);
	for (const char *word = mechanisms; *word != '\0';) {
		size_t n = strcspn(word, " ");
		size_t kept = n < 31 ? n : 31;
		char name[32];
		memcpy(name, word, kept);
		name[kept] = '\0';
		if (n > 0 && auth_find(config, name) == NULL) {
			snprintf(why, size, "--mechanisms: \"%s\" is not possible", name);
			return false;
		}
		word += n;
		word += strspn(word, " ");
	}
	return true;
}

void
auth_close(struct auth_config *config)
{
	if (config->context != NULL)
		gsasl_done(config->context);
	config->context = NULL;
}

const char *
auth_find(const struct auth_config *config, const char *mechanism)
{
	if (!listed(config->mechanisms, mechanism))
		return NULL;
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (strcasecmp(known[i], mechanism) == 0)
			return gsasl_server_support_p(config->context, known[i]) ? known[i] : NULL;
	return NULL;
}

bool
auth_begin(struct auth_exchange *exchange, struct auth_config *config, const char *mechanism,
    gnutls_session_t tls)
{
	*exchange = (struct auth_exchange){ .config = config, .mechanism = mechanism, .tls = tls };
	if (gsasl_server_start(config->context, mechanism, &exchange->session) != GSASL_OK)
		return false;
	gsasl_session_hook_set(exchange->session, exchange);
	return true;
}

static enum auth_result
judge(struct auth_exchange *exchange, int r, const char *response, char *challenge)
{
	bool has_words = challenge != NULL && *challenge != '\0';

	if (r == GSASL_BASE64_ERROR || r == GSASL_MECHANISM_PARSE_ERROR)
		return AUTH_MALFORMED;
	if (r == GSASL_NEEDS_MORE) /* an empty first response is an answer, not a silence */
		return response != NULL && !has_words ? AUTH_DENIED : AUTH_MORE;
	if (r != GSASL_OK)
		return AUTH_DENIED;
	if (strcmp(exchange->mechanism, "EXTERNAL") != 0 &&
	    !is_user(exchange->session, exchange->config))
		return AUTH_DENIED;
	exchange->succeeded = true;
	return has_words ? AUTH_MORE : AUTH_DONE;
}

enum auth_result
auth_step(struct auth_exchange *exchange, const char *response, char **challenge)
{
	*challenge = NULL;
	if (exchange->succeeded)
		return response != NULL && *response == '\0' ? AUTH_DONE : AUTH_MALFORMED;
	if (!exchange->stepped && response != NULL && strcmp(exchange->mechanism, "LOGIN") == 0) {
		int r = gsasl_step64(exchange->session, "", challenge);
		gsasl_free(*challenge);
		*challenge = NULL;
		if (r != GSASL_NEEDS_MORE)
			return AUTH_DENIED;
	}
	exchange->stepped = true;
	int r = gsasl_step64(exchange->session, response != NULL ? response : "", challenge);
	enum auth_result result = judge(exchange, r, response, *challenge);
	if (result != AUTH_MORE) {
		gsasl_free(*challenge);
		*challenge = NULL;
	}
	return result;
}

void
auth_end(struct auth_exchange *exchange)
{
	if (exchange->session != NULL)
		gsasl_finish(exchange->session);
	exchange->session = NULL;
}
