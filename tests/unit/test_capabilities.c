/*
 * relayd/session/capabilities: what is offered, and nothing else.
 */
#include "tests/unit/unit.h"

#include "relayd/session/capabilities.h"

static void
keywords_are_understood_in_any_case(void **state)
{
	static const struct {
		const char *text;
		unsigned set;
		uint64_t size;
	} rows[] = {
		{ "", 0, 0 },
		{ "STARTTLS", 0, 0 },
		{ "STARTTLS\nDSN", CAN_DSN, 0 },
		{ "mx\nstarttls\nPipelining\n8bitmime\nSMTPUTF8\nDSN\nSIZE",
		    CAN_STARTTLS | CAN_PIPELINING | CAN_8BITMIME | CAN_SMTPUTF8 | CAN_DSN |
			CAN_SIZE,
		    0 },
		{ "mx\nSIZE 1000", CAN_SIZE, 1000 },
		{ "mx\nSIZE 0", CAN_SIZE, 0 },
		{ "mx\nSIZE 18446744073709551615", CAN_SIZE, UINT64_MAX },
		{ "mx\nSIZE 18446744073709551616", CAN_SIZE, 0 },
		{ "mx\nSIZE -1", CAN_SIZE, 0 },
		{ "mx\nSIZE x", CAN_SIZE, 0 },
		{ "mx\nXSIZE 5", 0, 0 },
		{ "mx\nSTARTTLSX", 0, 0 },
		{ "mx\n STARTTLS", 0, 0 },
		{ "mx\nX STARTTLS", 0, 0 },
		{ "mx\n\n\nDSN", CAN_DSN, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct capabilities c;

		capabilities_parse(&c, rows[i].text);
		assert_int_equal(c.set, rows[i].set);
		assert_int_equal(c.size, rows[i].size);
		assert_string_equal(c.auth, "");
	}
}

static void
mechanisms_are_gathered_from_all_auth_lines(void **state)
{
	struct capabilities c;

	(void)state;
	capabilities_parse(&c, "mx\nAUTH PLAIN login\nAUTH=LOGIN SCRAM-SHA-256");
	assert_true(capabilities_have_mechanism(&c, "PLAIN"));
	assert_true(capabilities_have_mechanism(&c, "LOGIN"));
	assert_true(capabilities_have_mechanism(&c, "SCRAM-SHA-256"));
	assert_false(capabilities_have_mechanism(&c, "SCRAM-SHA-1"));
	assert_false(capabilities_have_mechanism(&c, "SCRAM"));
	assert_false(capabilities_have_mechanism(&c, "LAIN"));
	capabilities_parse(&c, "mx AUTH PLAIN\nAUTHX PLAIN\nX-AUTH PLAIN");
	assert_false(capabilities_have_mechanism(&c, "PLAIN"));
}

static void
a_hostile_list_stays_within_its_field(void **state)
{
	char *text = malloc(100000);
	struct capabilities c;

	(void)state;
	strcpy(text, "mx");
	for (int i = 0; i < 200; i++)
		sprintf(text + strlen(text),
		    "\nAUTH M%d M%d-WITH-A-NAME-OF-FORTY-OR-MORE-CHARACTERS-IN-IT PLAINX", i, i);
	capabilities_parse(&c, text);
	assert_true(strlen(c.auth) < sizeof(c.auth));
	assert_true(capabilities_have_mechanism(&c, "M0"));
	assert_null(strstr(c.auth, "FORTY"));
	memset(text, 'x', 99999);
	memcpy(text, "mx\nAUTH ", 8);
	strcpy(text + 90000, "\nDSN");
	capabilities_parse(&c, text);
	assert_int_equal(c.set, CAN_DSN);
	free(text);
}

static void
what_was_known_before_is_forgotten(void **state)
{
	struct capabilities c;

	(void)state;
	capabilities_parse(&c, "mx\nSTARTTLS\nAUTH PLAIN\nSIZE 5");
	capabilities_parse(&c, "mx\nDSN");
	assert_int_equal(c.set, CAN_DSN);
	assert_int_equal(c.size, 0);
	assert_string_equal(c.auth, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keywords_are_understood_in_any_case),
		cmocka_unit_test(mechanisms_are_gathered_from_all_auth_lines),
		cmocka_unit_test(a_hostile_list_stays_within_its_field),
		cmocka_unit_test(what_was_known_before_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
