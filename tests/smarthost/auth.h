/*
 * The server side of SASL: libgsasl knows the mechanisms, this knows the one user.  It works on
 * the base64 texts of the AUTH dialogue and speaks no SMTP.
 */
#ifndef SMARTHOST_AUTH_H
#define SMARTHOST_AUTH_H

#include <stdbool.h>
#include <stddef.h>

#include <gnutls/gnutls.h>
#include <gsasl.h>

struct auth_config {
	Gsasl *context; /* NULL: no AUTH */
	const char *user;
	const char *password;
	const char *mechanisms;
};

enum auth_result { AUTH_MORE, AUTH_DONE, AUTH_DENIED, AUTH_MALFORMED };

struct auth_exchange {
	struct auth_config *config;
	Gsasl_session *session;
	const char *mechanism;
	gnutls_session_t tls; /* NULL: none */
	bool succeeded; /* but the client has yet to acknowledge the server's last word */
	bool stepped;
};

/* user NULL: no AUTH.  False with a reason, also when a mechanism is not one libgsasl has. */
bool auth_open(struct auth_config *config, const char *user, const char *password,
    const char *mechanisms, char *why, size_t size);
void auth_close(struct auth_config *config);

/* The canonical, permanent name of an offered mechanism, or NULL. */
const char *auth_find(const struct auth_config *config, const char *mechanism);

/* tls is what channel binding and EXTERNAL look at. */
bool auth_begin(struct auth_exchange *exchange, struct auth_config *config,
    const char *mechanism, gnutls_session_t tls);

/*
 * One step: response is what the client sent, NULL when it has sent none yet.  On AUTH_MORE
 * *challenge is the base64 text to send, to be freed with gsasl_free().
 */
enum auth_result auth_step(struct auth_exchange *exchange, const char *response,
    char **challenge);
void auth_end(struct auth_exchange *exchange);

#endif
