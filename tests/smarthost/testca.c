/*
 * testca DIR: makes a certificate authority for tests and, below it, one good server certificate,
 * one for a client and one for every way in which a certificate can be bad.  Keys are fresh on
 * every run; nothing made here is worth protecting, yet keys get mode 0600 because programs under
 * test may insist on it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <gnutls/crypto.h>
#include <gnutls/x509.h>

enum { TESTCA_DAY = 86400 };

struct identity {
	gnutls_x509_crt_t certificate;
	gnutls_x509_privkey_t key;
};

struct leaf {
	const char *name;
	const char *common_name;
	const char *dns[2];
	bool loopback;   /* also 127.0.0.1 and ::1 */
	bool client;
	bool weak;       /* RSA-1024 */
	bool selfsigned;
	int from, until; /* days from now */
};

static const struct leaf leaves[] = {
	{ .name = "server", .common_name = "mail.example.test",
	    .dns = { "mail.example.test", "localhost" }, .loopback = true, .from = -1, .until = 365 },
	{ .name = "wrongname", .common_name = "other.example.test",
	    .dns = { "other.example.test", NULL }, .from = -1, .until = 365 },
	{ .name = "wildcard", .common_name = "*.example.test",
	    .dns = { "*.example.test", NULL }, .from = -1, .until = 365 },
	{ .name = "expired", .common_name = "mail.example.test",
	    .dns = { "mail.example.test", "localhost" }, .loopback = true, .from = -30, .until = -1 },
	{ .name = "notyet", .common_name = "mail.example.test",
	    .dns = { "mail.example.test", "localhost" }, .loopback = true, .from = 30, .until = 365 },
	{ .name = "selfsigned", .common_name = "mail.example.test",
	    .dns = { "mail.example.test", "localhost" }, .loopback = true, .selfsigned = true,
	    .from = -1, .until = 365 },
	{ .name = "weak", .common_name = "mail.example.test",
	    .dns = { "mail.example.test", "localhost" }, .loopback = true, .weak = true,
	    .from = -1, .until = 365 },
	{ .name = "client", .common_name = "alice", .client = true, .from = -1, .until = 365 },
};

/* Says what failed; passes GnuTLS's result on as a success or not. */
static bool
worked(int r, const char *what)
{
	if (r < 0)
		fprintf(stderr, "testca: %s: %s\n", what, gnutls_strerror(r));
	return r >= 0;
}

static void
identity_fini(struct identity *identity)
{
	if (identity->certificate != NULL)
		gnutls_x509_crt_deinit(identity->certificate);
	if (identity->key != NULL)
		gnutls_x509_privkey_deinit(identity->key);
}

/* A key and a certificate that has all but its names, uses and signature. */
static bool
identity_init(struct identity *identity, bool weak, int from, int until)
{
	unsigned char serial[16];
	const time_t now = time(NULL);

	*identity = (struct identity){ NULL, NULL };
	if (!worked(gnutls_x509_privkey_init(&identity->key), "key") ||
	    !worked(gnutls_x509_crt_init(&identity->certificate), "certificate"))
		return false;
	unsigned bits = weak ? 1024 : GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1);
	if (!worked(gnutls_x509_privkey_generate(identity->key,
	    weak ? GNUTLS_PK_RSA : GNUTLS_PK_ECDSA, bits, 0), "key generation") ||
	    !worked(gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof serial), "random numbers"))
		return false;
	serial[0] = (serial[0] & 0x3f) | 0x40; /* positive, and of constant length */
	gnutls_x509_crt_t certificate = identity->certificate;
	return worked(gnutls_x509_crt_set_version(certificate, 3), "version") &&
	    worked(gnutls_x509_crt_set_serial(certificate, serial, sizeof serial), "serial") &&
	    worked(gnutls_x509_crt_set_activation_time(certificate,
	    now + (time_t)from * TESTCA_DAY), "activation") &&
	    worked(gnutls_x509_crt_set_expiration_time(certificate,
	    now + (time_t)until * TESTCA_DAY), "expiration") &&
	    worked(gnutls_x509_crt_set_key(certificate, identity->key), "public key");
}

static bool
set_common_name(gnutls_x509_crt_t certificate, const char *name)
{
	return worked(gnutls_x509_crt_set_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0,
	    name, (unsigned)strlen(name)), "common name");
}

static bool
set_key_id(gnutls_x509_crt_t certificate)
{
	unsigned char id[64];
	size_t length = sizeof id;

	return worked(gnutls_x509_crt_get_key_id(certificate, 0, id, &length), "key id") &&
	    worked(gnutls_x509_crt_set_subject_key_id(certificate, id, length), "key id");
}

static bool
sign(struct identity *identity, const struct identity *issuer)
{
	unsigned char id[64];
	size_t length = sizeof id;

	return worked(gnutls_x509_crt_get_key_id(issuer->certificate, 0, id, &length), "key id") &&
	    worked(gnutls_x509_crt_set_authority_key_id(identity->certificate, id, length),
	    "authority key id") &&
	    worked(gnutls_x509_crt_sign2(identity->certificate, issuer->certificate, issuer->key,
	    GNUTLS_DIG_SHA256, 0), "signature");
}

static bool
make_ca(struct identity *ca, const char *name)
{
	return identity_init(ca, false, -60, 3650) && set_common_name(ca->certificate, name) &&
	    worked(gnutls_x509_crt_set_basic_constraints(ca->certificate, 1, -1), "constraints") &&
	    worked(gnutls_x509_crt_set_key_usage(ca->certificate,
	    GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN), "key usage") &&
	    set_key_id(ca->certificate) && sign(ca, ca);
}

static bool
set_alternative_names(gnutls_x509_crt_t certificate, const struct leaf *leaf)
{
	static const unsigned char v4[4] = { 127, 0, 0, 1 };
	static const unsigned char v6[16] = { [15] = 1 };

	for (size_t i = 0; i < 2 && leaf->dns[i] != NULL; i++)
		if (!worked(gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_DNSNAME,
		    leaf->dns[i], (unsigned)strlen(leaf->dns[i]), GNUTLS_FSAN_APPEND), "name"))
			return false;
	if (!leaf->loopback)
		return true;
	return worked(gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_IPADDRESS, v4,
	    sizeof v4, GNUTLS_FSAN_APPEND), "address") &&
	    worked(gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_IPADDRESS, v6,
	    sizeof v6, GNUTLS_FSAN_APPEND), "address");
}

static bool
make_leaf(struct identity *made, const struct leaf *leaf, const struct identity *ca)
{
	if (!identity_init(made, leaf->weak, leaf->from, leaf->until))
		return false;
	gnutls_x509_crt_t certificate = made->certificate;
	unsigned usage = GNUTLS_KEY_DIGITAL_SIGNATURE;
	if (leaf->weak)
		usage |= GNUTLS_KEY_KEY_ENCIPHERMENT;
	return set_common_name(certificate, leaf->common_name) &&
	    set_alternative_names(certificate, leaf) &&
	    worked(gnutls_x509_crt_set_basic_constraints(certificate, 0, -1), "constraints") &&
	    worked(gnutls_x509_crt_set_key_usage(certificate, usage), "key usage") &&
	    worked(gnutls_x509_crt_set_key_purpose_oid(certificate,
	    leaf->client ? GNUTLS_KP_TLS_WWW_CLIENT : GNUTLS_KP_TLS_WWW_SERVER, 0), "purpose") &&
	    set_key_id(certificate) && sign(made, leaf->selfsigned ? made : ca);
}

/* A new file of exactly that mode, whatever stood there before. */
static bool
write_file(int dir, const char *name, mode_t mode, const gnutls_datum_t *pem)
{
	(void)unlinkat(dir, name, 0);
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	bool good = fd != -1 && fchmod(fd, mode) == 0 &&
	    write(fd, pem->data, pem->size) == (ssize_t)pem->size;

	if (fd != -1 && close(fd) == -1)
		good = false;
	if (!good)
		fprintf(stderr, "testca: cannot write \"%s\": %s\n", name, strerror(errno));
	return good;
}

static bool
write_certificate(int dir, const char *name, const struct identity *identity)
{
	gnutls_datum_t pem = { NULL, 0 };
	char file[64];

	snprintf(file, sizeof file, "%s.pem", name);
	bool good = worked(gnutls_x509_crt_export2(identity->certificate, GNUTLS_X509_FMT_PEM,
	    &pem), name) && write_file(dir, file, 0644, &pem);
	gnutls_free(pem.data);
	return good;
}

static bool
write_key(int dir, const char *name, const struct identity *identity)
{
	gnutls_datum_t pem = { NULL, 0 };
	char file[64];

	snprintf(file, sizeof file, "%s.key", name);
	bool good = worked(gnutls_x509_privkey_export2_pkcs8(identity->key, GNUTLS_X509_FMT_PEM,
	    NULL, GNUTLS_PKCS_PLAIN, &pem), name) && write_file(dir, file, 0600, &pem);
	gnutls_free(pem.data);
	return good;
}

static bool
make_all(int dir)
{
	struct identity ca = { NULL, NULL };
	struct identity other = { NULL, NULL };
	bool good = make_ca(&ca, "Test CA") && write_certificate(dir, "ca", &ca) &&
	    make_ca(&other, "Other Test CA") && write_certificate(dir, "otherca", &other);

	for (size_t i = 0; good && i < sizeof leaves / sizeof leaves[0]; i++) {
		struct identity made = { NULL, NULL };
		good = make_leaf(&made, &leaves[i], &ca) &&
		    write_certificate(dir, leaves[i].name, &made) &&
		    write_key(dir, leaves[i].name, &made);
		identity_fini(&made);
	}
	identity_fini(&ca);
	identity_fini(&other);
	return good;
}

int
main(int argc, char **argv)
{
	if (argc != 2 || argv[1][0] == '-') {
		fprintf(stderr, "usage: testca DIR\n");
		return 2;
	}
	if (mkdir(argv[1], 0755) == -1 && errno != EEXIST) {
		fprintf(stderr, "testca: cannot make \"%s\": %s\n", argv[1], strerror(errno));
		return 1;
	}
	int dir = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir == -1) {
		fprintf(stderr, "testca: cannot open \"%s\": %s\n", argv[1], strerror(errno));
		return 1;
	}
	bool good = make_all(dir);
	close(dir);
	return good ? 0 : 1;
}
