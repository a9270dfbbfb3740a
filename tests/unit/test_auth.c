/*
 * relayd/session/auth: which mechanism is chosen.
 */
#include "tests/unit/unit.h"

#include "relayd/session/auth.h"

static void
the_strongest_common_mechanism_is_chosen(void **state)
{
	static const struct {
		const char *offered, *wanted;
		bool tls, in_clear;
		const char *chosen; /* NULL: none */
	} rows[] = {
		{ "PLAIN LOGIN", "", true, false, "PLAIN" },
		{ "LOGIN PLAIN", "", true, false, "PLAIN" },
		{ "LOGIN", "", true, false, "LOGIN" },
		{ "PLAIN SCRAM-SHA-1 SCRAM-SHA-256", "", true, false, "SCRAM-SHA-256" },
		{ "PLAIN SCRAM-SHA-1", "", true, false, "SCRAM-SHA-1" },
		{ "plain scram-sha-256", "", true, false, "SCRAM-SHA-256" },
		{ "PLAIN LOGIN", "", false, false, NULL },
		{ "PLAIN LOGIN", "", false, true, "PLAIN" },
		{ "PLAIN SCRAM-SHA-1", "", false, false, "SCRAM-SHA-1" },
		{ "PLAIN SCRAM-SHA-256", "PLAIN", true, false, "PLAIN" },
		{ "PLAIN SCRAM-SHA-256", "plain", true, false, "PLAIN" },
		{ "PLAIN SCRAM-SHA-256", "LOGIN", true, false, NULL },
		{ "PLAIN SCRAM-SHA-256", "LOGIN PLAIN", true, false, "PLAIN" },
		{ "PLAIN SCRAM-SHA-256", "PLAIN", false, false, NULL },
		{ "PLAIN SCRAM-SHA-256", "PLAINX XPLAIN", true, false, NULL },
		{ "CRAM-MD5 DIGEST-MD5 NTLM GSSAPI", "", true, false, NULL },
		{ "ANONYMOUS EXTERNAL", "", true, true, NULL },
		{ "SCRAM-SHA-256-PLUSX", "", true, false, NULL },
		{ "", "", true, true, NULL },
		{ "", "PLAIN", true, true, NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct capabilities c;
		const char *chosen;
		char text[200];

		snprintf(text, sizeof(text), "mx\nAUTH %s", rows[i].offered);
		capabilities_parse(&c, text);
		chosen = auth_choose(&c, rows[i].wanted, rows[i].tls, rows[i].in_clear);
		if (rows[i].chosen == NULL)
			assert_null(chosen);
		else
			assert_string_equal(chosen == NULL ? "none" : chosen, rows[i].chosen);
	}
}

/* `auth` names mechanisms in order of preference. */
static void
the_order_of_the_setting_decides(void **state)
{
	struct capabilities c;

	(void)state;
	capabilities_parse(&c, "mx\nAUTH PLAIN LOGIN SCRAM-SHA-256");
	assert_string_equal(auth_choose(&c, "LOGIN PLAIN", true, false), "LOGIN");
	assert_string_equal(auth_choose(&c, "PLAIN SCRAM-SHA-256", true, false), "PLAIN");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_strongest_common_mechanism_is_chosen),
		cmocka_unit_test(the_order_of_the_setting_decides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
