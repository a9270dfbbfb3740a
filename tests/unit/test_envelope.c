/*
 * spool/envelope and spool/address_check: what may stand in an envelope, on both
 * of its ways.
 */
#include "tests/unit/unit.h"

#include "spool/envelope.h"

#define HEAD "uid 0\ntime 1\nsender <>\n"

static struct envelope
reparse(const struct envelope *e)
{
	struct buf b = BUF_INIT(ENVELOPE_OCTETS_MAX);
	struct envelope again;
	const char *error = NULL;

	assert_int_equal(envelope_format(e, &b), 0);
	envelope_init(&again);
	assert_int_equal(envelope_parse(&again, b.data, b.len, &error), 0);
	buf_free(&b);
	return again;
}

static bool
is_accepted(const char *text, size_t len)
{
	struct envelope e;
	const char *error = NULL;
	int r;

	envelope_init(&e);
	r = envelope_parse(&e, text, len, &error);
	if (r < 0)
		assert_non_null(error);
	envelope_free(&e);
	return r == 0;
}

static void
all_fields_come_back(void **state)
{
	struct envelope e, f;

	(void)state;
	envelope_init(&e);
	e.time = INT64_MAX;
	e.uid = UINT32_MAX;
	e.ret = RET_HDRS;
	assert_int_equal(envelope_set_sender(&e, "root@example.org"), 0);
	assert_int_equal(envelope_set_bounce_to(&e, "ops@example.org"), 0);
	assert_int_equal(envelope_set_envid(&e, "QQ+20314159"), 0);
	assert_int_equal(
	    envelope_add_recipient(&e, "a@b.c", NOTIFY_SUCCESS | NOTIFY_DELAY, "rfc822;a@b.c"), 0);
	assert_int_equal(envelope_add_recipient(&e, "d@e.f", NOTIFY_NEVER, NULL), 0);
	f = reparse(&e);
	assert_int_equal(f.time, INT64_MAX);
	assert_int_equal(f.uid, UINT32_MAX);
	assert_int_equal(f.ret, RET_HDRS);
	assert_string_equal(f.sender, "root@example.org");
	assert_string_equal(f.bounce_to, "ops@example.org");
	assert_string_equal(f.envid, "QQ+20314159");
	assert_int_equal(f.recipient_count, 2);
	assert_int_equal(f.recipients[0].notify, NOTIFY_SUCCESS | NOTIFY_DELAY);
	assert_string_equal(f.recipients[0].orcpt, "rfc822;a@b.c");
	assert_int_equal(f.recipients[1].notify, NOTIFY_NEVER);
	assert_null(f.recipients[1].orcpt);
	envelope_free(&e);
	envelope_free(&f);
}

static void
every_notify_comes_back(void **state)
{
	struct envelope e, f;

	(void)state;
	envelope_init(&e);
	assert_int_equal(envelope_set_sender(&e, ""), 0);
	for (unsigned n = 0; n < 16; n++)
		if ((n & NOTIFY_NEVER) == 0 || n == NOTIFY_NEVER)
			assert_int_equal(envelope_add_recipient(&e, "a@b.c", n, NULL), 0);
	f = reparse(&e);
	assert_int_equal(f.recipient_count, e.recipient_count);
	for (size_t i = 0; i < e.recipient_count; i++)
		assert_int_equal(f.recipients[i].notify, e.recipients[i].notify);
	assert_string_equal(f.sender, "");
	envelope_free(&e);
	envelope_free(&f);
}

static const char *const good[] = {
	"a@b",
	"root@example.org",
	"first.last+tag@example.org",
	"\"a b\"@example.org",
	"\">\"@example.org",
	"\"a\\\">b\"@example.org",
	"\"@\"@example.org",
	"\"\\\\\"@example.org",
	"\"> NOTIFY=NEVER\"@example.org",
	"\"\"@example.org",
	"!#$%&'*+-/=?^_`{|}~@example.org",
	"a..b@docomo.example",
	".a@example.org",
	"a.@example.org",
	"a@[192.0.2.1]",
	"a@[IPv6:2001:db8::1]",
	"\xc3\xa4@example.org",
	"a@b\xc3\xbc.example",
	"a@under_score.example",
	"a@xn--bcher-kva.example",
};

static void
every_good_address_comes_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		struct envelope e, f;

		assert_null(envelope_address_check(good[i]));
		envelope_init(&e);
		assert_int_equal(envelope_set_sender(&e, good[i]), 0);
		assert_int_equal(envelope_add_recipient(&e, good[i], NOTIFY_DELAY, "rfc822;x"), 0);
		f = reparse(&e);
		assert_string_equal(f.sender, good[i]);
		assert_string_equal(f.recipients[0].address, good[i]);
		assert_int_equal(f.recipients[0].notify, NOTIFY_DELAY);
		envelope_free(&e);
		envelope_free(&f);
	}
}

static void
no_bad_address_is_accepted_anywhere(void **state)
{
	static const char *const bad[] = { "", "a", "@", "a@", "@b", "a b@c", "a@b c",
		"a@b\r\nRCPT TO:<x@y>", "a\r@b", "a\n@b", "\"a\rb\"@c", "\"a\nb\"@c",
		"\"a\\\rb\"@c", "\"a\x7f\"@c", "a@b>", "<a@b", "a>@b", "a,b@c", "a;b@c", "a:b@c",
		"(a)b@c", "a\"b\"@c", "\"a\"b@c", "\"a@b", "a\"@b", "\"a\\\"@b", "\"a\"b\"@c",
		"a@b..c", "a@.b", "a@b.", "a@b,c", "a@[", "a@[]", "a@[1", "a@[1]2", "a@[1 2]",
		"a@[<>]", "a@b@c", "a\t@b", "\xff@b", "a@\xc3", "a@b\xed\xa0\x80.c", "\xc0\xbc@b",
		"a@b/c", "a\\b@c" };

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct envelope e;

		if (envelope_address_check(bad[i]) == NULL)
			fail_msg("accepted: %s", bad[i]);
		envelope_init(&e);
		assert_int_equal(envelope_add_recipient(&e, bad[i], 0, NULL), -1);
		assert_int_equal(errno, EINVAL);
		assert_int_equal(envelope_set_bounce_to(&e, bad[i]), -1);
		if (*bad[i] != '\0')
			assert_int_equal(envelope_set_sender(&e, bad[i]), -1);
		envelope_free(&e);
	}
}

static void
no_octet_below_blank_is_in_an_address(void **state)
{
	char address[] = "\"a?b\"@c.d", plain[] = "a?b@c.d", domain[] = "a@c?d";

	(void)state;
	for (int c = 1; c < 0x20; c++) {
		address[2] = plain[1] = domain[3] = (char)c;
		assert_non_null(envelope_address_check(address));
		assert_non_null(envelope_address_check(plain));
		assert_non_null(envelope_address_check(domain));
	}
}

static void
the_limits_of_an_address_are_64_and_254(void **state)
{
	char local[80], label[64], address[600];

	(void)state;
	memset(local, 'x', sizeof(local));
	memset(label, 'y', sizeof(label));
	snprintf(address, sizeof(address), "%.64s@b.c", local);
	assert_null(envelope_address_check(address));
	snprintf(address, sizeof(address), "%.65s@b.c", local);
	assert_non_null(envelope_address_check(address));
	snprintf(address, sizeof(address), "a@%.63s.c", label);
	assert_null(envelope_address_check(address));
	snprintf(address, sizeof(address), "a@%.64s.c", label);
	assert_non_null(envelope_address_check(address));
	/* 2 + 3 * 64 + 60 */
	snprintf(address, sizeof(address), "a@%.63s.%.63s.%.63s.%.60s", label, label, label, label);
	assert_int_equal(strlen(address), 254);
	assert_null(envelope_address_check(address));
	snprintf(
	    address, sizeof(address), "ab@%.63s.%.63s.%.63s.%.60s", label, label, label, label);
	assert_non_null(envelope_address_check(address));
}

static void
envid_and_orcpt_have_limits(void **state)
{
	static const char *const bad[] = { "", "a b", "a=b", "a\nb", "a\rb", "\x7f", "\xc3\xa4" };
	struct envelope e;
	char text[600];

	(void)state;
	envelope_init(&e);
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_int_equal(envelope_set_envid(&e, bad[i]), -1);
		assert_int_equal(envelope_add_recipient(&e, "a@b.c", 0, bad[i]), -1);
	}
	memset(text, 'x', sizeof(text));
	text[ENVELOPE_ENVID_MAX] = '\0';
	assert_int_equal(envelope_set_envid(&e, text), 0);
	text[ENVELOPE_ENVID_MAX] = 'x';
	text[ENVELOPE_ENVID_MAX + 1] = '\0';
	assert_int_equal(envelope_set_envid(&e, text), -1);
	text[ENVELOPE_ENVID_MAX + 1] = 'x';
	memcpy(text, "rfc822;", 7);
	text[ENVELOPE_ORCPT_MAX + 1] = '\0';
	assert_int_equal(envelope_add_recipient(&e, "a@b.c", 0, text), -1);
	text[ENVELOPE_ORCPT_MAX] = '\0';
	assert_int_equal(envelope_add_recipient(&e, "a@b.c", 0, text), 0);
	assert_int_equal(e.recipient_count, 1);
	envelope_free(&e);
}

static void
the_longest_recipient_line_comes_back(void **state)
{
	struct envelope e, f;
	char orcpt[ENVELOPE_ORCPT_MAX + 1], address[300], label[64];

	(void)state;
	memset(orcpt, 'x', ENVELOPE_ORCPT_MAX);
	memcpy(orcpt, "rfc822;", 7);
	orcpt[ENVELOPE_ORCPT_MAX] = '\0';
	memset(label, 'y', sizeof(label));
	snprintf(address, sizeof(address), "a@%.63s.%.63s.%.63s.%.60s", label, label, label, label);
	envelope_init(&e);
	assert_int_equal(envelope_set_sender(&e, ""), 0);
	assert_int_equal(envelope_add_recipient(&e, address, 14, orcpt), 0);
	f = reparse(&e);
	assert_string_equal(f.recipients[0].address, address);
	assert_string_equal(f.recipients[0].orcpt, orcpt);
	envelope_free(&e);
	envelope_free(&f);
}

static void
hostile_lines_are_refused(void **state)
{
	static const char *const bad[] = { "", "\n", HEAD, HEAD "recipient <a@b.c>",
		HEAD "recipient a@b.c\n", HEAD "recipient <>\n", HEAD "recipient <a@b.c\n",
		HEAD "recipient <a@b.c>x\n", HEAD "recipient <a@b.c> X=Y\n",
		HEAD "recipient <a@b.c> NOTIFY=SOMETIMES\n",
		HEAD "recipient <a@b.c> NOTIFY=NEVER NOTIFY=DELAY\n",
		HEAD "recipient <a@b.c> ORCPT=a ORCPT=b\n", HEAD "recipient <a@b.c> ORCPT=\n",
		HEAD "recipient <a@b.c> ORCPT=a=b\n", HEAD "recipient <a@b.c>\r\n",
		HEAD "recipient <\"a\\\"@b.c>\n", HEAD " recipient <a@b.c>\n",
		HEAD "RECIPIENT <a@b.c>\n", HEAD "sender <>\nrecipient <a@b.c>\n",
		HEAD "unknown x\nrecipient <a@b.c>\n", "sender <x>\nrecipient <a@b.c>\n",
		"sender <> x\nrecipient <a@b.c>\n", "uid -1\n" HEAD "recipient <a@b.c>\n",
		"uid 4294967296\nsender <>\nrecipient <a@b.c>\n",
		"time 9223372036854775808\nsender <>\nrecipient <a@b.c>\n",
		HEAD "ret some\nrecipient <a@b.c>\n",
		HEAD "ret full\nret hdrs\nrecipient <a@b.c>\n",
		HEAD "envid a b\nrecipient <a@b.c>\n", HEAD "bounce-to <>\nrecipient <a@b.c>\n",
		HEAD "recipient <a@b.c>\n\n", "recipient <a@b.c>\n" };

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		if (is_accepted(bad[i], strlen(bad[i])))
			fail_msg("accepted: %s", bad[i]);
	assert_true(is_accepted(HEAD "recipient <a@b.c>\n", strlen(HEAD "recipient <a@b.c>\n")));
}

/* RFC 3461 section 4.1: NEVER stands alone, and the list is not empty. */
static void
a_notify_that_no_server_takes_is_refused(void **state)
{
	static const char *const bad[] = { HEAD "recipient <a@b.c> NOTIFY=\n",
		HEAD "recipient <a@b.c> NOTIFY=,\n",
		HEAD "recipient <a@b.c> NOTIFY=NEVER,DELAY\n" };

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		if (is_accepted(bad[i], strlen(bad[i])))
			fail_msg("accepted: %s", bad[i]);
}

static void
a_nul_octet_is_refused(void **state)
{
	static const char text[] = HEAD "recipient <a@b.c>\0>\n";

	(void)state;
	assert_false(is_accepted(text, sizeof(text) - 1));
}

static void
an_endless_line_is_refused(void **state)
{
	enum { SIZE = 1 << 20 };
	char *text = malloc(SIZE);

	(void)state;
	memset(text, 'x', SIZE);
	memcpy(text, HEAD "recipient <", strlen(HEAD "recipient <"));
	text[SIZE - 1] = '\n';
	assert_false(is_accepted(text, SIZE));
	free(text);
}

static void
a_setting_that_fails_changes_nothing(void **state)
{
	struct envelope e;

	(void)state;
	envelope_init(&e);
	assert_int_equal(envelope_set_sender(&e, "a@b.c"), 0);
	assert_int_equal(envelope_set_sender(&e, "a b@c"), -1);
	assert_string_equal(e.sender, "a@b.c");
	assert_int_equal(envelope_set_sender(&e, ""), 0);
	assert_string_equal(e.sender, "");
	envelope_free(&e);
	envelope_free(&e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_fields_come_back),
		cmocka_unit_test(every_notify_comes_back),
		cmocka_unit_test(every_good_address_comes_back),
		cmocka_unit_test(no_bad_address_is_accepted_anywhere),
		cmocka_unit_test(no_octet_below_blank_is_in_an_address),
		cmocka_unit_test(the_limits_of_an_address_are_64_and_254),
		cmocka_unit_test(envid_and_orcpt_have_limits),
		cmocka_unit_test(the_longest_recipient_line_comes_back),
		cmocka_unit_test(hostile_lines_are_refused),
		cmocka_unit_test(a_notify_that_no_server_takes_is_refused),
		cmocka_unit_test(a_nul_octet_is_refused),
		cmocka_unit_test(an_endless_line_is_refused),
		cmocka_unit_test(a_setting_that_fails_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
