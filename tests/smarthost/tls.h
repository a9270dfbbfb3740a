/*
 * The smarthost's TLS identity: certificate, key, whom to ask for a client certificate.  One
 * configuration is shared by all connections and not changed after tls_load().
 */
#ifndef SMARTHOST_TLS_H
#define SMARTHOST_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include <gnutls/gnutls.h>

struct tls_config {
	bool available;
	bool ask_client;
	gnutls_certificate_credentials_t credentials;
	gnutls_priority_t priority;
	gnutls_datum_t status; /* the OCSP response, as its file has it */
};

/* client_ca may be NULL, priority too.  False with a reason. */
bool tls_load(struct tls_config *config, const char *certificate, const char *key,
    const char *client_ca, const char *priority, char *why, size_t size);
/* An OCSP response for the certificate of a configuration that is loaded.  False with a reason. */
bool tls_load_status(struct tls_config *config, const char *file, char *why, size_t size);
void tls_unload(struct tls_config *config);

/* A server session without its transport; 0 or a GnuTLS error. */
int tls_session_new(const struct tls_config *config, gnutls_session_t *session);

/* "1.3"; valid for the life of the program. */
const char *tls_version(gnutls_session_t session);

/* "CN=alice (trusted)"; false when the client showed no certificate. */
bool tls_describe_client(gnutls_session_t session, char *text, size_t size);

#endif
