/*
 * GnuTLS credentials and sessions; see tls.h.  The server sends whatever certificate it was given,
 * weak, expired or misnamed: judging it is what the client under test is for.
 */
#include "tls.h"

#include <stdio.h>
#include <string.h>

#include <gnutls/x509.h>

bool
tls_load(struct tls_config *config, const char *certificate, const char *key,
    const char *client_ca, const char *priority, char *why, size_t size)
{
	int r = gnutls_certificate_allocate_credentials(&config->credentials);

	if (r < 0) {
		snprintf(why, size, "%s", gnutls_strerror(r));
		return false;
	}
	config->available = true;
	r = gnutls_certificate_set_x509_key_file(config->credentials, certificate, key,
	    GNUTLS_X509_FMT_PEM);
	if (r < 0) {
		snprintf(why, size, "cannot use \"%s\" with key \"%s\": %s", certificate, key,
		    gnutls_strerror(r));
		return false;
	}
	if (client_ca != NULL) {
		r = gnutls_certificate_set_x509_trust_file(config->credentials, client_ca,
		    GNUTLS_X509_FMT_PEM);
		if (r < 1) {
			snprintf(why, size, "cannot use \"%s\" as client CA: %s", client_ca,
			    gnutls_strerror(r));
			return false;
		}
		config->ask_client = true;
	}
	r = gnutls_priority_init(&config->priority, priority, NULL);
	if (r < 0) {
		snprintf(why, size, "TLS priority \"%s\": %s", priority, gnutls_strerror(r));
		return false;
	}
	return true;
}

/* GnuTLS's own way would leave out a response that is for another certificate or too old. */
static int
status_staple(gnutls_session_t session, void *context, gnutls_datum_t *response)
{
	const gnutls_datum_t *status = context;

	(void)session;
	response->data = gnutls_malloc(status->size);
	if (response->data == NULL)
		return GNUTLS_E_MEMORY_ERROR;
	memcpy(response->data, status->data, status->size);
	response->size = status->size;
	return 0;
}

bool
tls_load_status(struct tls_config *config, const char *file, char *why, size_t size)
{
	int r = gnutls_load_file(file, &config->status);

	if (r < 0) {
		snprintf(why, size, "cannot read \"%s\": %s", file, gnutls_strerror(r));
		return false;
	}
	gnutls_certificate_set_ocsp_status_request_function(
	    config->credentials, status_staple, &config->status);
	return true;
}

void
tls_unload(struct tls_config *config)
{
	if (!config->available)
		return;
	gnutls_free(config->status.data);
	gnutls_certificate_free_credentials(config->credentials);
	if (config->priority != NULL)
		gnutls_priority_deinit(config->priority);
	config->available = false;
}

int
tls_session_new(const struct tls_config *config, gnutls_session_t *session)
{
	int r = gnutls_init(session, GNUTLS_SERVER | GNUTLS_NONBLOCK);

	if (r < 0)
		return r;
	r = gnutls_priority_set(*session, config->priority);
	if (r >= 0)
		r = gnutls_credentials_set(*session, GNUTLS_CRD_CERTIFICATE, config->credentials);
	if (r < 0) {
		gnutls_deinit(*session);
		*session = NULL;
		return r;
	}
	gnutls_certificate_server_set_request(*session,
	    config->ask_client ? GNUTLS_CERT_REQUEST : GNUTLS_CERT_IGNORE);
	return 0;
}

const char *
tls_version(gnutls_session_t session)
{
	const char *name = gnutls_protocol_get_name(gnutls_protocol_get_version(session));

	if (name == NULL)
		return "unknown";
	return strncmp(name, "TLS", 3) == 0 ? name + 3 : name;
}

bool
tls_describe_client(gnutls_session_t session, char *text, size_t size)
{
	unsigned count = 0;
	const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &count);
	gnutls_x509_crt_t certificate;
	gnutls_datum_t name = { NULL, 0 };
	unsigned status = 0;

	if (chain == NULL || count == 0 || gnutls_x509_crt_init(&certificate) < 0)
		return false;
	if (gnutls_x509_crt_import(certificate, &chain[0], GNUTLS_X509_FMT_DER) < 0 ||
	    gnutls_x509_crt_get_dn3(certificate, &name, 0) < 0)
		name.data = NULL;
	int r = gnutls_certificate_verify_peers2(session, &status);
	snprintf(text, size, "%s (%s)", name.data != NULL ? (const char *)name.data : "(nameless)",
	    r >= 0 && status == 0 ? "trusted" : "not trusted");
	gnutls_free(name.data);
	gnutls_x509_crt_deinit(certificate);
	return true;
}
