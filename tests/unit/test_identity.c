/*
 * sendmail/identity: who submits.
 */
#include "tests/unit/unit.h"

#include "sendmail/identity.h"

static const char *
phrase(const char *name)
{
	static char result[2000];
	struct buf b = BUF_INIT(sizeof(result) - 1);

	identity_add_phrase(&b, name);
	snprintf(result, sizeof(result), "%s", buf_string(&b));
	buf_free(&b);
	return result;
}

static void
a_phrase_is_what_rfc_5322_allows(void **state)
{
	static const struct {
		const char *name, *phrase;
	} rows[] = {
		{ "Joe", "Joe" },
		{ "Joe Public", "Joe Public" },
		{ "Joe Q. Public", "\"Joe Q. Public\"" },
		{ "Joe \"x\" \\", "\"Joe \\\"x\\\" \\\\\"" },
		{ "a@b", "\"a@b\"" },
		{ "x <a@b>", "\"x <a@b>\"" },
		{ "a, b", "\"a, b\"" },
		{ "(c)", "\"(c)\"" },
		{ "a\r\nBcc: b@c", "\"a  Bcc: b@c\"" },
		{ "a\tb\x7f", "a b " },
		{ "J\xc3\xb6", "=?utf-8?Q?J=C3=B6?=" },
		{ "J\xf6", "=?unknown-8bit?Q?J=F6?=" },
		{ "J\xc3\xb6?=_ x", "=?utf-8?Q?J=C3=B6=3F=3D=5F=20x?=" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_string_equal(phrase(rows[i].name), rows[i].phrase);
}

static void
no_phrase_has_a_control_character_or_8_bits(void **state)
{
	(void)state;
	for (int c = 1; c < 256; c++) {
		char name[] = { 'a', (char)c, 'b', '\0' };

		for (const char *s = phrase(name); *s != '\0'; s++)
			assert_in_range((unsigned char)*s, 0x20, 0x7e);
	}
}

static void
an_encoded_word_is_at_most_75_long(void **state)
{
	char name[400];

	(void)state;
	for (size_t i = 0; i + 3 < sizeof(name); i += 3)
		memcpy(name + i, "\xe2\x82\xac", 4);
	for (const char *s = phrase(name); *s != '\0'; s += strspn(s, " ")) {
		assert_in_range(strcspn(s, " "), 1, 75);
		s += strcspn(s, " ");
	}
}

static void
a_long_name_is_cut(void **state)
{
	char name[1000];

	(void)state;
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(strlen(phrase(name)), 128);
	memcpy(name, "\xc3\xa4", 2);
	assert_true(strlen(phrase(name)) < 600);
}

static void
the_identity_is_the_real_uids_whatever_the_environment(void **state)
{
	struct settings s = { .hostname = NULL };
	struct identity id;
	char host[] = "host.example", domain[] = "dom.example";

	(void)state;
	setenv("USER", "mallory", 1);
	setenv("LOGNAME", "mallory", 1);
	setenv("HOSTNAME", "evil.example", 1);
	s.hostname = host;
	s.domain = domain;
	identity_init(&id, &s);
	assert_int_equal(id.uid, getuid());
	assert_string_equal(id.user, own_name());
	assert_string_equal(id.hostname, "host.example");
	assert_string_equal(id.domain, "dom.example");
}

static void
an_account_without_entry_is_called_by_its_number(void **state)
{
	struct settings s = { .hostname = NULL };
	struct identity id;

	(void)state;
	if (getuid() != 0)
		skip();
	assert_int_equal(setresuid(54321, -1, -1), 0);
	identity_init(&id, &s);
	assert_int_equal(setresuid(0, -1, -1), 0);
	assert_string_equal(id.user, "uid-54321");
	assert_string_equal(id.full_name, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_phrase_is_what_rfc_5322_allows),
		cmocka_unit_test(no_phrase_has_a_control_character_or_8_bits),
		cmocka_unit_test(an_encoded_word_is_at_most_75_long),
		cmocka_unit_test(a_long_name_is_cut),
		cmocka_unit_test(the_identity_is_the_real_uids_whatever_the_environment),
		cmocka_unit_test(an_account_without_entry_is_called_by_its_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
