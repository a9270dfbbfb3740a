/*
 * TLS to a smarthost: versions 1.2 and 1.3, chain and name verified after the
 * handshake, no resumption.
 */
#ifndef RELAYD_SESSION_TLS_H
#define RELAYD_SESSION_TLS_H

#include <gnutls/gnutls.h>
#include <stdbool.h>

#include "relayd/session/certificate.h"
#include "relayd/session/stream.h"

/* Paths are "" if not set. */
struct tls_wishes {
	bool only_1_3;
	bool verify; /* the peer's certificate */
	/* keys that it may have; they take the place of the trusted CAs, unless there is a
	 * trust_file as well.  Used as long as the struct tls is. */
	const uint8_t (*pins)[SETTINGS_PIN_SIZE];
	size_t pin_count;
	const char *trust_file;           /* "": the certificates that the system trusts */
	const char *cert_file, *key_file; /* our own certificate */
};

struct tls {
	gnutls_certificate_credentials_t credentials;
	gnutls_priority_t priority;
	bool verify;
	bool only_1_3;
	struct certificate_rules rules;
	bool certificate;  /* we have one of our own */
	char problem[512]; /* of tls_init() */
};

/* Reads the files.  An empty or unreadable store of trusted certificates is an error,
 * never "trust all".  0, or -1 with problem set. */
int tls_init(struct tls *t, const struct tls_wishes *wishes);
void tls_fini(struct tls *t);

/* The handshake on s, which must have no input left, and the verification of the
 * peer as host (a name or an address) or, unless it is "", as domain.  0, or -1 as the
 * stream says. */
int tls_start(struct tls *t, struct stream *s, const char *host, const char *domain);

/* "TLS 1.3" */
const char *tls_version_name(const struct stream *s);

#endif
