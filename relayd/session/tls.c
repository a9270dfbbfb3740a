/*
 * The priority begins with NORMAL, which alone would take TLS 1.1 and 1024-bit
 * RSA keys.  Verification is an explicit call after the handshake, because
 * gnutls_session_set_verify_cert() is passed over when TLS 1.3 resumes.
 */
#include "relayd/session/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/x509.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <arpa/inet.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "relayd/session/secret.h"

/* TLS 1.3 first: servers take the first that they know, and 1.2 would be a downgrade */
#define PRIORITY "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%PROFILE_MEDIUM"
#define PRIORITY_1_3 "NORMAL:-VERS-ALL:+VERS-TLS1.3:%PROFILE_MEDIUM"
#define TRUST_OCTETS_MAX (16 << 20)
#define CERTIFICATE_OCTETS_MAX (1 << 20)
#define HANDSHAKE_OCTETS_MAX (128 << 10)

static int
init_fail(struct tls *t, const char *what, const char *why)
{
	snprintf(t->problem, sizeof(t->problem), "%s: %s", what, why);
	return -1;
}

/* The file is read here: gnutls cannot tell an unreadable file from an empty
 * one. */
static int
trust_file_load(struct tls *t, const char *path)
{
	struct buf pem = BUF_INIT(TRUST_OCTETS_MAX);
	char what[400];
	int fd = file_open_regular(AT_FDCWD, path, 0), n = -1;

	snprintf(what, sizeof(what), "tls_trust_file \"%s\"", path);
	if (fd < 0 || file_read_all(fd, &pem) < 0) {
		init_fail(t, what, errno == EINVAL ? "it is not a regular file" : strerror(errno));
	} else if (memchr(buf_string(&pem), '\0', pem.len) != NULL) {
		init_fail(t, what, "it holds no certificate in PEM form");
	} else {
		gnutls_datum_t datum = { .data = (unsigned char *)pem.data,
			.size = (unsigned)pem.len };

		n = gnutls_certificate_set_x509_trust_mem(
		    t->credentials, &datum, GNUTLS_X509_FMT_PEM);
		if (n <= 0)
			init_fail(t, what, "it holds no certificate in PEM form");
	}
	if (fd >= 0)
		close(fd);
	buf_free(&pem);
	return n > 0 ? 0 : -1;
}

/* The key is a secret as the password is, and so are the rules for its file. */
static int
certificate_load(struct tls *t, const struct tls_wishes *wishes)
{
	struct buf pem = BUF_INIT(CERTIFICATE_OCTETS_MAX), key = BUF_INIT(0);
	gnutls_datum_t c, k;
	int fd, r = -1;

	fd = file_open_regular(AT_FDCWD, wishes->cert_file, 0);
	if (fd < 0 || file_read_all(fd, &pem) < 0) {
		init_fail(t, "cannot read tls_cert_file",
		    errno == EINVAL ? "it is not a regular file" : strerror(errno));
		goto out;
	}
	if (secret_read_key(wishes->key_file, &key, t->problem, sizeof(t->problem)) < 0)
		goto out;
	c = (gnutls_datum_t){ .data = (unsigned char *)pem.data, .size = (unsigned)pem.len };
	k = (gnutls_datum_t){ .data = (unsigned char *)key.data, .size = (unsigned)key.len };
	r = gnutls_certificate_set_x509_key_mem(t->credentials, &c, &k, GNUTLS_X509_FMT_PEM);
	if (r < 0)
		init_fail(t, "tls_cert_file and tls_key_file",
		    r == GNUTLS_E_CERTIFICATE_KEY_MISMATCH
			? "the key is not that of the certificate"
			: gnutls_strerror(r));
	t->certificate = r >= 0;
out:
	if (fd >= 0)
		close(fd);
	buf_free(&pem);
	buf_free(&key);
	return r < 0 ? -1 : 0;
}

int
tls_init(struct tls *t, const struct tls_wishes *wishes)
{
	int r;

	*t = (struct tls){ .verify = wishes->verify,
		.only_1_3 = wishes->only_1_3,
		.rules = { .chain = wishes->pin_count == 0 || *wishes->trust_file != '\0',
		    .pins = wishes->pins,
		    .pin_count = wishes->pin_count } };
	r = gnutls_certificate_allocate_credentials(&t->credentials);
	if (r == 0)
		r = gnutls_priority_init(
		    &t->priority, wishes->only_1_3 ? PRIORITY_1_3 : PRIORITY, NULL);
	if (r < 0)
		return init_fail(t, "cannot set up TLS", gnutls_strerror(r));
	if (*wishes->cert_file != '\0' && certificate_load(t, wishes) < 0)
		return -1;
	if (!wishes->verify || !t->rules.chain)
		return 0;
	if (*wishes->trust_file != '\0')
		return trust_file_load(t, wishes->trust_file);
	if (gnutls_certificate_set_x509_system_trust(t->credentials) <= 0)
		return init_fail(t, "there are no trusted certificates on this host",
		    "install ca-certificates, or set tls_trust_file");
	return 0;
}

void
tls_fini(struct tls *t)
{
	if (t->priority != NULL)
		gnutls_priority_deinit(t->priority);
	if (t->credentials != NULL)
		gnutls_certificate_free_credentials(t->credentials);
	*t = (struct tls){ .verify = false };
}

static int
handshake(const struct tls *t, struct stream *s)
{
	int r;

	for (;;) {
		r = gnutls_handshake(s->tls);
		if (r == GNUTLS_E_SUCCESS)
			return 0;
		if (r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED) {
			short events = gnutls_record_get_direction(s->tls) ? POLLOUT : POLLIN;

			if (stream_wait(s, events) < 0)
				return -1;
		} else if (gnutls_error_is_fatal(r)) {
			break;
		}
	}
	if (r == GNUTLS_E_FATAL_ALERT_RECEIVED)
		return stream_fail(s, STREAM_CLOSED, "TLS handshake: the smarthost says: %s%s",
		    gnutls_alert_get_name(gnutls_alert_get(s->tls)),
		    t->only_1_3 ? " (tls_min_version is 1.3)" : "");
	return stream_fail(s, STREAM_CLOSED, "TLS handshake: %s%s", gnutls_strerror(r),
	    r == GNUTLS_E_UNEXPECTED_PACKET_LENGTH || r == GNUTLS_E_UNEXPECTED_PACKET ||
		    r == GNUTLS_E_UNSUPPORTED_VERSION_PACKET
		? " (does this port speak TLS from the first byte?)"
		: "");
}

static bool
is_address(const char *host)
{
	unsigned char address[16];

	return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

int
tls_start(struct tls *t, struct stream *s, const char *host, const char *domain)
{
	/* sent even if the smarthost's list of CAs does not have its issuer: somebody has set it */
	unsigned forced = t->certificate ? GNUTLS_FORCE_CLIENT_CERT : 0;
	int r = gnutls_init(&s->tls, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | forced);

	if (r == 0)
		r = gnutls_priority_set(s->tls, t->priority);
	if (r == 0)
		r = gnutls_credentials_set(s->tls, GNUTLS_CRD_CERTIFICATE, t->credentials);
	if (r == 0 && !is_address(host))
		r = gnutls_server_name_set(s->tls, GNUTLS_NAME_DNS, host, strlen(host));
	if (r < 0)
		return stream_fail(s, STREAM_CLOSED, "cannot set up TLS: %s", gnutls_strerror(r));
	gnutls_handshake_set_max_packet_length(s->tls, HANDSHAKE_OCTETS_MAX);
	gnutls_transport_set_int(s->tls, s->fd);
	stream_timeout(s, s->timeout);
	if (handshake(t, s) < 0)
		return -1;
	return t->verify ? certificate_verify(&t->rules, s, host, domain) : 0;
}

const char *
tls_version_name(const struct stream *s)
{
	switch (gnutls_protocol_get_version(s->tls)) {
	case GNUTLS_TLS1_2:
		return "TLS 1.2";
	case GNUTLS_TLS1_3:
		return "TLS 1.3";
	default:
		return "TLS";
	}
}
