/*
 * GnuTLS says what is wrong in one word; here it becomes a sentence that says what to do: with
 * the names, the dates and the key that were seen.
 *
 * With pins and no chain to check, GnuTLS would complain of an unknown issuer and stop, so that
 * the leaf is looked at here: for the same name, the same time, the same strength of key.
 */
#include "relayd/session/certificate.h"

#include <arpa/inet.h>
#include <gnutls/x509.h>
#include <string.h>
#include <time.h>

#include "base/text.h"

#define NAMES_MAX 8
#define WORDS_MAX 400 /* octets of one list */
#define PROBLEM_MAX 1000

struct peer {
	const gnutls_datum_t *chain; /* as it was sent; the leaf first */
	unsigned count;
	gnutls_x509_crt_t leaf;
	const char *host;
	const char *domain; /* another name that will do, or "" */
};

static void
time_add(struct buf *b, time_t when)
{
	struct tm tm;
	char text[40];

	if (gmtime_r(&when, &tm) != NULL &&
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", &tm) > 0)
		buf_add_string(b, text);
}

/* A name (GnuTLS's kind) as a person writes it. */
static void
name_add(struct buf *b, int kind, const char *name, size_t size)
{
	char text[INET6_ADDRSTRLEN];

	if (kind == GNUTLS_SAN_DNSNAME)
		text_add_printable(b, name, size);
	else if (inet_ntop(size == 4 ? AF_INET : AF_INET6, name, text, sizeof(text)) != NULL)
		buf_add_string(b, text);
}

static void
names_add(const struct peer *p, struct buf *b)
{
	struct buf names = BUF_INIT(WORDS_MAX);
	char name[256];
	int r = 0;

	for (unsigned i = 0, shown = 0; shown < NAMES_MAX; i++) {
		size_t size = sizeof(name);
		unsigned critical;

		r = gnutls_x509_crt_get_subject_alt_name(p->leaf, i, name, &size, &critical);
		if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			break;
		if (r != GNUTLS_SAN_DNSNAME &&
		    (r != GNUTLS_SAN_IPADDRESS || (size != 4 && size != 16)))
			continue;
		buf_add_string(&names, shown++ == 0 ? "" : ", ");
		name_add(&names, r, name, size);
	}
	buf_addf(b, "it is for %s%s, not for %s%s%s",
	    names.len == 0 ? "no host" : buf_string(&names),
	    r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE ? "" : " and others", p->host,
	    *p->domain == '\0' ? "" : " or ", p->domain);
	buf_free(&names);
}

/* Whose time is not now: the leaf's, or one of the issuers' that were sent with it. */
static void
times_add(const struct peer *p, struct buf *b, bool expired)
{
	time_t now = time(NULL), when = -1;
	unsigned i = 0;

	for (; i < p->count && when == -1; i++) {
		gnutls_x509_crt_t c;

		if (gnutls_x509_crt_init(&c) < 0)
			break;
		if (gnutls_x509_crt_import(c, &p->chain[i], GNUTLS_X509_FMT_DER) == 0) {
			time_t from = gnutls_x509_crt_get_activation_time(c);
			time_t until = gnutls_x509_crt_get_expiration_time(c);

			if (expired ? until < now : from > now)
				when = expired ? until : from;
		}
		gnutls_x509_crt_deinit(c);
	}
	buf_add_string(b, i > 1 || when == -1 ? "that of an issuer" : "it");
	buf_add_string(b, expired ? " expired" : " is not yet valid");
	if (when != -1) {
		buf_add_string(b, expired ? " on " : ": it begins on ");
		time_add(b, when);
	}
	buf_add_string(b, " (this host's clock says ");
	time_add(b, now);
	buf_add_char(b, ')');
}

static void
issuer_add(const struct peer *p, struct buf *b)
{
	gnutls_datum_t issuer = { .data = NULL };
	gnutls_x509_crt_t top;

	if (p->count == 0 || gnutls_x509_crt_init(&top) < 0)
		return;
	if (gnutls_x509_crt_import(top, &p->chain[p->count - 1], GNUTLS_X509_FMT_DER) == 0)
		gnutls_x509_crt_get_issuer_dn3(top, &issuer, 0);
	buf_add_string(b, "its issuer ");
	if (issuer.data != NULL) {
		buf_add_char(b, '(');
		text_add_printable(b, (const char *)issuer.data, issuer.size);
		buf_add_string(b, ") ");
	}
	buf_add_string(b,
	    "is unknown here; if it is a CA of your own, or the certificate signs itself, "
	    "name the file in tls_trust_file, or the key in tls_pin");
	gnutls_free(issuer.data);
	gnutls_x509_crt_deinit(top);
}

/* Everything else, in GnuTLS's order of bits. */
static const struct {
	unsigned bit;
	const char *words;
} others[] = {
	{ GNUTLS_CERT_REVOKED, "it has been revoked" },
	{ GNUTLS_CERT_SIGNER_NOT_CA, "it is signed by a certificate that may not sign others" },
	{ GNUTLS_CERT_INSECURE_ALGORITHM,
	    "a key or signature in it is of an insecure, weak algorithm or size" },
	{ GNUTLS_CERT_SIGNATURE_FAILURE, "its signature is wrong" },
	{ GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE,
	    "one of its issuers may sign no certificates, or none for this name or at this depth" },
	{ GNUTLS_CERT_PURPOSE_MISMATCH, "it is not one for a server" },
	{ GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED, "what it says about revocation is too old" },
	{ GNUTLS_CERT_REVOCATION_DATA_ISSUED_IN_FUTURE,
	    "what it says about revocation is from the future" },
	{ GNUTLS_CERT_MISSING_OCSP_STATUS, "the OCSP status that it promises is missing" },
	{ GNUTLS_CERT_INVALID_OCSP_STATUS, "its OCSP status is wrong" },
	{ GNUTLS_CERT_UNKNOWN_CRIT_EXTENSIONS, "it has a critical extension that is not known" },
};

static void
status_describe(const struct peer *p, unsigned status, struct buf *b)
{
	static const unsigned ours[] = { GNUTLS_CERT_UNEXPECTED_OWNER, GNUTLS_CERT_EXPIRED,
		GNUTLS_CERT_NOT_ACTIVATED, GNUTLS_CERT_SIGNER_NOT_FOUND };

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		if ((status & ours[i]) == 0)
			continue;
		buf_add_string(b, b->len == 0 ? "" : "; ");
		if (ours[i] == GNUTLS_CERT_UNEXPECTED_OWNER)
			names_add(p, b);
		else if (ours[i] == GNUTLS_CERT_SIGNER_NOT_FOUND)
			issuer_add(p, b);
		else
			times_add(p, b, ours[i] == GNUTLS_CERT_EXPIRED);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if ((status & others[i].bit) != 0) {
			buf_add_string(b, b->len == 0 ? "" : "; ");
			buf_add_string(b, others[i].words);
		}
	if (b->len == 0)
		buf_addf(b, "GnuTLS says 0x%x", status);
}

/* What a pin leaves to check. */
static unsigned
leaf_status(const struct peer *p)
{
	time_t now = time(NULL);
	unsigned bits = 0, status = 0;
	int algorithm = gnutls_x509_crt_get_pk_algorithm(p->leaf, &bits);

	if (!gnutls_x509_crt_check_hostname(p->leaf, p->host) &&
	    (*p->domain == '\0' || !gnutls_x509_crt_check_hostname(p->leaf, p->domain)))
		status |= GNUTLS_CERT_UNEXPECTED_OWNER;
	if (gnutls_x509_crt_get_expiration_time(p->leaf) < now)
		status |= GNUTLS_CERT_EXPIRED;
	if (gnutls_x509_crt_get_activation_time(p->leaf) > now)
		status |= GNUTLS_CERT_NOT_ACTIVATED;
	if (algorithm < 0 || gnutls_pk_bits_to_sec_param((gnutls_pk_algorithm_t)algorithm, bits) <
				 GNUTLS_SEC_PARAM_MEDIUM)
		status |= GNUTLS_CERT_INSECURE_ALGORITHM;
	return status;
}

/* The SHA-256 of the key with its algorithm (SubjectPublicKeyInfo), as in RFC 7469. */
static int
pin_check(const struct certificate_rules *rules, const struct peer *p, struct stream *s)
{
	uint8_t pin[SETTINGS_PIN_SIZE];
	size_t size = sizeof(pin);
	gnutls_datum_t raw = { .data = pin, .size = sizeof(pin) }, text = { .data = NULL };

	if (gnutls_x509_crt_get_key_id(p->leaf, GNUTLS_KEYID_USE_SHA256, pin, &size) < 0)
		return stream_fail(
		    s, STREAM_CLOSED, "the key in the certificate of %s is not known", p->host);
	for (size_t i = 0; i < rules->pin_count; i++)
		if (memcmp(rules->pins[i], pin, sizeof(pin)) == 0)
			return 0;
	gnutls_base64_encode2(&raw, &text);
	stream_fail(s, STREAM_CLOSED,
	    "the certificate of %s is not accepted: its key is none of those in tls_pin, but %s",
	    p->host, text.data == NULL ? "another" : (const char *)text.data);
	gnutls_free(text.data);
	return -1;
}

/* The purpose is asked for because the CA's other customers have certificates, too: one for
 * code or for a person may bear any name. */
static int
chain_verify(const struct stream *s, const char *name, unsigned *status)
{
	gnutls_typed_vdata_st wanted[] = {
		{ .type = GNUTLS_DT_DNS_HOSTNAME, .data = (unsigned char *)name },
		{ .type = GNUTLS_DT_KEY_PURPOSE_OID,
		    .data = (unsigned char *)GNUTLS_KP_TLS_WWW_SERVER },
	};

	return gnutls_certificate_verify_peers(s->tls, wanted, 2, status);
}

static int
peer_verify(const struct certificate_rules *rules, const struct peer *p, struct stream *s)
{
	struct buf words = BUF_INIT(PROBLEM_MAX);
	unsigned status = 0;
	int r;

	if (rules->chain) {
		r = chain_verify(s, p->host, &status);
		if (r >= 0 && (status & GNUTLS_CERT_UNEXPECTED_OWNER) != 0 && *p->domain != '\0')
			r = chain_verify(s, p->domain, &status);
		if (r < 0)
			return stream_fail(s, STREAM_CLOSED,
			    "the certificate of %s cannot be verified: %s", p->host,
			    gnutls_strerror(r));
		/* not a reason: it only says that there is one */
		if (status != GNUTLS_CERT_INVALID)
			status &= ~(unsigned)GNUTLS_CERT_INVALID;
	} else {
		status = leaf_status(p);
	}
	if (status == 0)
		return rules->pin_count == 0 ? 0 : pin_check(rules, p, s);
	status_describe(p, status, &words);
	stream_fail(s, STREAM_CLOSED, "the certificate of %s is not accepted: %s", p->host,
	    buf_string(&words));
	buf_free(&words);
	return -1;
}

int
certificate_verify(
    const struct certificate_rules *rules, struct stream *s, const char *host, const char *domain)
{
	struct peer p = { .host = host, .domain = domain };
	int r = -1;

	p.chain = gnutls_certificate_get_peers(s->tls, &p.count);
	if (p.chain == NULL || p.count == 0)
		return stream_fail(s, STREAM_CLOSED, "%s has no certificate", host);
	if (gnutls_x509_crt_init(&p.leaf) == 0) {
		if (gnutls_x509_crt_import(p.leaf, &p.chain[0], GNUTLS_X509_FMT_DER) == 0)
			r = peer_verify(rules, &p, s);
		else
			stream_fail(s, STREAM_CLOSED, "the certificate of %s cannot be read", host);
		gnutls_x509_crt_deinit(p.leaf);
	}
	return r;
}
