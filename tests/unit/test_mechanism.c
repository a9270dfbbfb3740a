/*
 * relayd/session/mechanism: which SASL mechanism is chosen.
 */
#include "tests/unit/unit.h"

#include "relayd/session/mechanism.h"

enum { TLS = 1, IN_CLEAR = 2, PASSWORD = 4, TOKEN = 8, CERTIFICATE = 16 };

static struct mechanism_means
means(const char *wanted, unsigned what)
{
	return (struct mechanism_means){ .wanted = wanted,
		.tls = what & TLS,
		.in_clear = what & IN_CLEAR,
		.password = what & PASSWORD,
		.token = what & TOKEN,
		.certificate = what & CERTIFICATE };
}

static struct capabilities
offer(const char *mechanisms)
{
	struct capabilities c;
	char text[400];

	snprintf(text, sizeof(text), "mx\nAUTH %s", mechanisms);
	capabilities_parse(&c, text);
	return c;
}

static const char *
name(const struct mechanism *m)
{
	return m == NULL ? "none" : m->name;
}

#define ALL                                                                           \
	"LOGIN PLAIN XOAUTH2 OAUTHBEARER SCRAM-SHA-1 SCRAM-SHA-1-PLUS SCRAM-SHA-256 " \
	"SCRAM-SHA-256-PLUS EXTERNAL CRAM-MD5 DIGEST-MD5"

struct row {
	const char *offered, *wanted;
	unsigned what;
	const char *chosen;
};

static void
rows_check(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct capabilities c = offer(rows[i].offered);
		struct mechanism_means m = means(rows[i].wanted, rows[i].what);

		assert_string_equal(name(mechanism_choose(&c, &m)), rows[i].chosen);
	}
}

static void
the_strongest_common_mechanism_is_chosen(void **state)
{
	static const struct row rows[] = {
		{ "PLAIN LOGIN", "", PASSWORD | TLS, "PLAIN" },
		{ "LOGIN PLAIN", "", PASSWORD | TLS, "PLAIN" },
		{ "LOGIN", "", PASSWORD | TLS, "LOGIN" },
		{ "PLAIN SCRAM-SHA-1 SCRAM-SHA-256", "", PASSWORD | TLS, "SCRAM-SHA-256" },
		{ "PLAIN SCRAM-SHA-1", "", PASSWORD | TLS, "SCRAM-SHA-1" },
		{ "SCRAM-SHA-1-PLUS SCRAM-SHA-1", "", PASSWORD | TLS, "SCRAM-SHA-1-PLUS" },
		{ "SCRAM-SHA-1-PLUS SCRAM-SHA-256", "", PASSWORD | TLS, "SCRAM-SHA-256" },
		{ "plain scram-sha-256", "", PASSWORD | TLS, "SCRAM-SHA-256" },
		{ ALL, "", PASSWORD | TLS, "SCRAM-SHA-256-PLUS" },
		{ "SCRAM-SHA-256-PLUSX", "", PASSWORD | TLS, "none" },
		{ "CRAM-MD5 DIGEST-MD5 NTLM GSSAPI", "", PASSWORD | TLS, "none" },
		{ "", "", PASSWORD | TLS | IN_CLEAR, "none" },
		{ "", "PLAIN", PASSWORD | TLS | IN_CLEAR, "none" },
	};

	(void)state;
	rows_check(rows, COUNT(rows));
}

static void
without_tls_no_mechanism_that_needs_it_is_chosen(void **state)
{
	static const struct row rows[] = {
		{ "PLAIN LOGIN", "", PASSWORD, "none" },
		{ "PLAIN LOGIN", "", PASSWORD | IN_CLEAR, "PLAIN" },
		{ "PLAIN SCRAM-SHA-1", "", PASSWORD, "SCRAM-SHA-1" },
		{ "PLAIN SCRAM-SHA-256", "PLAIN", PASSWORD, "none" },
		{ ALL, "", PASSWORD | IN_CLEAR, "SCRAM-SHA-256" },
		{ ALL, "", CERTIFICATE | IN_CLEAR, "none" },
	};

	(void)state;
	rows_check(rows, COUNT(rows));
}

static void
each_mechanism_needs_its_credential(void **state)
{
	static const struct row rows[] = {
		{ ALL, "", CERTIFICATE | PASSWORD | TLS, "EXTERNAL" },
		{ ALL, "", CERTIFICATE | TLS, "EXTERNAL" },
		{ ALL, "", TOKEN | TLS, "OAUTHBEARER" },
		{ "PLAIN XOAUTH2", "", TOKEN | TLS, "XOAUTH2" },
		{ ALL, "XOAUTH2", TOKEN | TLS, "XOAUTH2" },
		{ "PLAIN SCRAM-SHA-256", "", TOKEN | TLS, "none" },
		{ ALL, "", TOKEN, "none" },
		{ "OAUTHBEARER XOAUTH2", "", PASSWORD | TLS, "none" },
		{ "ANONYMOUS EXTERNAL", "", PASSWORD | TLS, "none" },
		{ "PLAIN", "", CERTIFICATE | TLS, "none" },
		{ ALL, "", TLS, "none" },
		{ ALL, "EXTERNAL", PASSWORD | TLS, "none" },
	};

	(void)state;
	rows_check(rows, COUNT(rows));
}

static void
the_order_of_the_setting_decides(void **state)
{
	static const struct row rows[] = {
		{ ALL, "LOGIN PLAIN", PASSWORD | TLS, "LOGIN" },
		{ ALL, "PLAIN SCRAM-SHA-256", PASSWORD | TLS, "PLAIN" },
		{ ALL, "plain", PASSWORD | TLS, "PLAIN" },
		{ ALL, "CRAM-MD5", PASSWORD | TLS, "CRAM-MD5" },
		{ ALL, "DIGEST-MD5 CRAM-MD5", PASSWORD | TLS, "DIGEST-MD5" },
		{ ALL, "PLAIN EXTERNAL", CERTIFICATE | TLS, "EXTERNAL" },
		{ "PLAIN SCRAM-SHA-256", "LOGIN", PASSWORD | TLS, "none" },
		{ "PLAIN SCRAM-SHA-256", "LOGIN \tPLAIN", PASSWORD | TLS, "PLAIN" },
		{ "PLAIN SCRAM-SHA-256", "PLAINX XPLAIN", PASSWORD | TLS, "none" },
	};

	(void)state;
	rows_check(rows, COUNT(rows));
}

/* A fallback costs what -PLUS is for, so only the setting can allow it. */
static void
only_the_setting_allows_to_do_without_channel_binding(void **state)
{
	static const struct row rows[] = {
		{ ALL, "", PASSWORD | TLS, "none" },
		{ ALL, "SCRAM-SHA-256-PLUS", PASSWORD | TLS, "none" },
		{ ALL, "SCRAM-SHA-256-PLUS SCRAM-SHA-256", PASSWORD | TLS, "SCRAM-SHA-256" },
		{ ALL, "SCRAM-SHA-256-PLUS SCRAM-SHA-1", PASSWORD | TLS, "SCRAM-SHA-1" },
		{ ALL, "SCRAM-SHA-1 SCRAM-SHA-256-PLUS", PASSWORD | TLS, "none" },
		{ ALL, "SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS", PASSWORD | TLS, "none" },
		{ ALL, "SCRAM-SHA-256-PLUS PLAIN CRAM-MD5", PASSWORD | TLS, "none" },
		{ "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256-PLUS SCRAM-SHA-256", PASSWORD | TLS,
		    "none" },
	};
	struct capabilities plus = offer("SCRAM-SHA-256-PLUS"), all = offer(ALL);
	struct mechanism_means any = means("", PASSWORD | TLS);
	struct mechanism_means plain = means("SCRAM-SHA-1 SCRAM-SHA-256", PASSWORD | TLS);
	const struct mechanism *m = mechanism_choose(&plus, &any);

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct capabilities c = offer(rows[i].offered);
		struct mechanism_means with = means(rows[i].wanted, rows[i].what);

		assert_string_equal(name(mechanism_fallback(&c, &with, m)), rows[i].chosen);
	}
	assert_null(mechanism_fallback(&all, &plain, mechanism_choose(&all, &plain)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_strongest_common_mechanism_is_chosen),
		cmocka_unit_test(without_tls_no_mechanism_that_needs_it_is_chosen),
		cmocka_unit_test(each_mechanism_needs_its_credential),
		cmocka_unit_test(the_order_of_the_setting_decides),
		cmocka_unit_test(only_the_setting_allows_to_do_without_channel_binding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
