/*
 * relayd/session/rewrite: header in, header out; and what content makes of it.
 */
#include "tests/unit/unit_spool.h"

#include "relayd/session/content.h"
#include "relayd/session/rewrite.h"

#define FROM "web1@example.org"
#define NEW "From: " FROM "\r\n"

static struct buf
rewritten(const char *header, const char *from)
{
	size_t len = strlen(header), body = 0;
	struct buf out = BUF_INIT(REWRITE_OCTETS_MAX(len));

	rewrite_find_body(header, len, &body);
	assert_int_equal(body, len);
	assert_int_equal(rewrite_header(header, len, from, &out), 0);
	return out;
}

/* And a second time nothing more. */
static void
check(const char *header, const char *expected)
{
	struct buf once = rewritten(header, FROM), twice = rewritten(buf_string(&once), FROM);

	if (strcmp(buf_string(&once), expected) != 0)
		fail_msg("%s\ngives\n%s\ninstead of\n%s", header, buf_string(&once), expected);
	assert_string_equal(buf_string(&twice), expected);
	buf_free(&once);
	buf_free(&twice);
}

static void
the_address_changes_and_the_name_stays(void **state)
{
	static const struct {
		const char *value, *changed;
	} rows[] = {
		{ " Joe Doe <joe@host>\r\n", "Joe Doe <" FROM ">" },
		{ " joe@host\r\n", FROM },
		{ "joe@host\r\n", FROM },
		{ " <joe@host>\r\n", "<" FROM ">" },
		{ " \"Doe, \\\"Joe\\\" <x@y>\" <joe@host>\r\n",
		    "\"Doe, \\\"Joe\\\" <x@y>\" <" FROM ">" },
		{ " \"Joe\"<joe@host>\r\n", "\"Joe\" <" FROM ">" },
		{ " =?utf-8?Q?D=C3=B6e?=\r\n =?utf-8?Q?_Joe?= <joe@host>\r\n",
		    "=?utf-8?Q?D=C3=B6e?=\r\n =?utf-8?Q?_Joe?= <" FROM ">" },
		{ " =?utf-8?Q?Doe,_Joe?= <joe@host>\r\n", "=?utf-8?Q?Doe,_Joe?= <" FROM ">" },
		{ " Joe\r\n\tDoe\r\n <joe@host>\r\n", "Joe\r\n\tDoe <" FROM ">" },
		{ " J\xc3\xb6 <joe@host>\r\n", "J\xc3\xb6 <" FROM ">" },
		{ " joe@host (Joe Doe)\r\n", FROM " (Joe Doe)" },
		{ " joe@host (Joe (the \\) one), Doe)\r\n", FROM " (Joe (the \\) one), Doe)" },
		{ " (Joe Doe) joe@host\r\n", "(Joe Doe) " FROM },
		{ " joe @ host . example\r\n", FROM },
		{ " Joe <@a,@b:joe@host>\r\n", "Joe <" FROM ">" },
		{ " Joe <joe@[IPv6:2001:db8::1]>\r\n", "Joe <" FROM ">" },
		{ " joe@[192.0.2.1]\r\n", FROM },
		{ " \"a@b, c\"@host\r\n", FROM },
		{ " Joe <joe@host>, Ann <ann@host>\r\n", "Joe <" FROM ">" },
		{ " joe@host, Ann <ann@host>\r\n", FROM },
		{ " Doe, Joe <joe@host>\r\n", "Joe <" FROM ">" },
		{ " Staff: Joe <joe@host>, ann@host;\r\n", "Joe <" FROM ">" },
		{ " joe@host <joe@host>\r\n", "joe@host <" FROM ">" },
		{ " Web <" FROM ">, Ann <ann@host>\r\n", "Web <" FROM ">" },
		{ " Joe <WEB1@example.org>\r\n", "Joe <" FROM ">" },
		{ " Joe <joe@host> junk\r\n", "Joe <" FROM ">" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char header[600], expected[1200];

		snprintf(
		    header, sizeof(header), "A: b\r\nFrom:%sSubject: x\r\n\r\n", rows[i].value);
		snprintf(expected, sizeof(expected),
		    "A: b\r\nFrom: %s\r\nReply-To:%sSubject: x\r\n\r\n", rows[i].changed,
		    rows[i].value);
		check(header, expected);
	}
}

static void
a_from_with_just_that_address_changes_nothing(void **state)
{
	static const char *const values[] = { FROM, "<" FROM ">", "Joe <" FROM "> (x)", "(x) " FROM,
		"web1@EXAMPLE.org", "\"Joe\" <web1@Example.Org>", FROM " (Joe, Doe)" };

	(void)state;
	for (size_t i = 0; i < COUNT(values); i++) {
		char header[300];

		snprintf(header, sizeof(header),
		    "X: y\r\nfrom : %s\r\nSender: root@host\r\nReply-To: a@b\r\n\r\n", values[i]);
		check(header, header);
	}
}

static void
the_old_from_never_takes_a_reply_to_away(void **state)
{
	(void)state;
	check("From: Joe <joe@host>\r\nReply-To: a@b\r\n\r\n",
	    "From: Joe <" FROM ">\r\nX-Original-From: Joe <joe@host>\r\nReply-To: a@b\r\n\r\n");
	check("reply-TO : a@b\r\nfROM \t: Joe <joe@host>\r\n\r\n",
	    "reply-TO : a@b\r\nFrom: Joe <" FROM ">\r\nX-Original-From: Joe <joe@host>\r\n\r\n");
}

static void
what_nobody_can_reply_to_is_no_reply_to(void **state)
{
	static const struct {
		const char *value, *changed;
	} rows[] = {
		{ "joe", FROM },
		{ "Joe Doe", FROM },
		{ "", FROM },
		{ "MAILER-DAEMON <>", "MAILER-DAEMON <" FROM ">" },
		{ "Joe <joe>", "Joe <" FROM ">" },
		{ "Joe <joe@host", FROM },
		{ "\"Joe <joe@host>", FROM },
		{ "(Joe joe@host", FROM },
		{ "Undisclosed:;", FROM },
		{ "joe@host, \"", FROM },
		{ "\\", FROM },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char header[300], expected[300];

		snprintf(header, sizeof(header), "From: %s\r\n\r\n", rows[i].value);
		snprintf(expected, sizeof(expected), "From: %s\r\nX-Original-From: %s\r\n\r\n",
		    rows[i].changed, rows[i].value);
		check(header, expected);
	}
}

static void
further_identities_are_kept_under_other_names(void **state)
{
	(void)state;
	check("Sender: root@host\r\nFrom: joe@host\r\nsender:\r\n b@host\r\n\r\n",
	    "X-Original-Sender: root@host\r\n" NEW
	    "Reply-To: joe@host\r\nX-Original-Sender:\r\n b@host\r\n\r\n");
	check("From: joe@host\r\nFrom: ann@host\r\n\r\n",
	    NEW "Reply-To: joe@host\r\nX-Original-From: ann@host\r\n\r\n");
	check(NEW "From: ann@host\r\n\r\n", NEW "X-Original-From: ann@host\r\n\r\n");
	check("From: joe@host\r\nResent-From: ann@host\r\nX-From: x\r\n\r\n",
	    NEW "Reply-To: joe@host\r\nResent-From: ann@host\r\nX-From: x\r\n\r\n");
}

static void
a_from_that_is_missing_is_added(void **state)
{
	(void)state;
	check("Subject: x\r\n\r\n", "Subject: x\r\n" NEW "\r\n");
	check("Subject: x\r\n", "Subject: x\r\n" NEW "\r\n");
	check("\r\n", NEW "\r\n");
	check("", NEW "\r\n");
	check("X: y\r\n From: joe@host\r\n\r\n", "X: y\r\n From: joe@host\r\n" NEW "\r\n");
	check("From: joe@host\r\n", NEW "Reply-To: joe@host\r\n");
}

static void
the_header_ends_where_no_field_is(void **state)
{
	static const struct {
		const char *text;
		size_t body;
		bool found;
	} rows[] = {
		{ "", 0, false },
		{ "\r\nbody\r\n", 2, true },
		{ "A: b\r\n\r\nFrom: x\r\n", 8, true },
		{ "A: b\r\n", 6, false },
		{ "A: b\r\nFr", 6, false },
		{ "A: b\r\nno field\r\n", 6, true },
		{ "A: b\r\n c\r\n\td\r\n\r\n", 16, true },
		{ " A: b\r\n", 0, true },
		{ "\xc3\xa4: b\r\n", 0, true },
		{ "A: b\r\n \r\nC: d\r\n\r\n", 17, true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t body = 0;

		assert_int_equal(
		    rewrite_find_body(rows[i].text, strlen(rows[i].text), &body), rows[i].found);
		assert_int_equal(body, rows[i].body);
	}
}

static void
check_lengths(const struct buf *b, size_t longest)
{
	for (const char *s = buf_string(b), *lf; (lf = strchr(s, '\n')) != NULL; s = lf + 1)
		assert_true((size_t)(lf - s) - 1 <= longest);
}

static void
no_line_becomes_too_long(void **state)
{
	(void)state;
	for (size_t n = 900; n < 1100; n++) {
		char header[1400], bare[1400], *name = malloc(n + 1);
		size_t longest = n + 18;
		struct buf out;

		memset(name, 'x', n);
		name[n] = '\0';
		snprintf(header, sizeof(header), "From: %s <joe@host>\r\n\r\n", name);
		out = rewritten(header, FROM);
		check_lengths(&out, longest > 998 ? longest : 998);
		assert_non_null(strstr(buf_string(&out), header + 5)); /* whole, in Reply-To */
		if (n < 960)
			assert_memory_equal(buf_string(&out) + 6, name, n);
		if (n >= 998)
			assert_memory_equal(buf_string(&out), NEW, strlen(NEW));
		buf_free(&out);
		snprintf(bare, sizeof(bare), "From: a@b\r\nSender:%s\r\n\r\n", name);
		out = rewritten(bare, FROM);
		check_lengths(&out, n + 7 > 998 ? n + 7 : 998);
		assert_non_null(strstr(buf_string(&out), name));
		buf_free(&out);
		free(name);
	}
}

static void
an_address_with_quotes_or_a_literal_is_recognised(void **state)
{
	static const char *const addresses[] = { "\"a b\"@example.org", "x@[192.0.2.1]",
		"x@[IPv6:2001:db8::1]", "\"a@b>\"@x.org", "j\xc3\xb6@x.org" };

	(void)state;
	for (size_t i = 0; i < COUNT(addresses); i++) {
		static const char *const headers[] = { "From: Joe <joe@host>\r\n\r\n",
			"From: joe@host\r\n\r\n", "\r\n" };

		for (size_t k = 0; k < COUNT(headers); k++) {
			struct buf once = rewritten(headers[k], addresses[i]);
			struct buf twice = rewritten(buf_string(&once), addresses[i]);

			assert_non_null(strstr(buf_string(&once), addresses[i]));
			assert_string_equal(buf_string(&once), buf_string(&twice));
			buf_free(&once);
			buf_free(&twice);
		}
	}
}

static struct message
message_of(struct place *p, const char *text)
{
	struct queue_name name = message_put_simple(p, text);
	struct message m;

	assert_int_equal(message_open(&m, p->queue, name.text), MESSAGE_OK);
	return m;
}

/* len octets: header, then lines. */
static char *
text_of(const char *header, size_t len)
{
	size_t n = strlen(header);
	char *text = malloc(len + 1);

	memcpy(text, header, n);
	for (size_t i = n; i < len; i++)
		text[i] = "abcdef\r\n"[(i - len) % 8];
	text[len] = '\0';
	return text;
}

static void
a_small_message_is_rewritten_whole(void **state)
{
	struct message m = message_of(*state, "From: joe@host\r\n\r\nFrom: body\r\n");
	struct content_header h = { .original = 0 };
	struct buf whole = BUF_INIT(0);
	uint64_t length;

	assert_int_equal(content_prepare(&m, FROM, &whole, &h, &length), CONTENT_OK);
	assert_string_equal(buf_string(&whole), NEW "Reply-To: joe@host\r\n\r\nFrom: body\r\n");
	assert_int_equal(length, whole.len);
	buf_free(&whole);
	assert_int_equal(content_prepare(&m, NULL, &whole, &h, &length), CONTENT_OK);
	assert_string_equal(buf_string(&whole), "From: joe@host\r\n\r\nFrom: body\r\n");
	assert_int_equal(length, m.length);
	buf_free(&whole);
	message_close(&m);
}

static void
of_a_large_message_only_the_header_is_held(void **state)
{
	char *text = text_of("From: joe@host\r\n\r\n", CONTENT_WHOLE_MAX + 10);
	struct message m = message_of(*state, text);
	struct content_header h = { .original = 0 };
	struct buf whole = BUF_INIT(0);
	uint64_t length;

	assert_int_equal(content_prepare(&m, FROM, &whole, &h, &length), CONTENT_OK);
	assert_string_equal(buf_string(&h.text), NEW "Reply-To: joe@host\r\n\r\n");
	assert_int_equal(h.original, 18);
	assert_int_equal(length, m.length - 18 + h.text.len);
	assert_int_equal(whole.len, 0);
	buf_free(&h.text);
	message_close(&m);
	free(text);
}

static void
a_header_of_more_than_8_mb_is_not_held(void **state)
{
	size_t len = CONTENT_HEADER_MAX + (256 << 10);
	char *text = text_of("From: joe@host\r\nX:", len);
	struct content_header h = { .original = 0 };
	struct buf whole = BUF_INIT(0);
	struct message m;
	uint64_t length;

	for (size_t i = 18; i < len; i++)
		text[i] = "\r\n xyz"[(i - 18) % 6];
	memcpy(text + len - 4, "zz\r\n", 4);
	m = message_of(*state, text);
	assert_int_equal(content_prepare(&m, FROM, &whole, &h, &length), CONTENT_HEADER);
	buf_free(&h.text);
	message_close(&m);
	free(text);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_address_changes_and_the_name_stays),
		cmocka_unit_test(a_from_with_just_that_address_changes_nothing),
		cmocka_unit_test(the_old_from_never_takes_a_reply_to_away),
		cmocka_unit_test(what_nobody_can_reply_to_is_no_reply_to),
		cmocka_unit_test(further_identities_are_kept_under_other_names),
		cmocka_unit_test(a_from_that_is_missing_is_added),
		cmocka_unit_test(the_header_ends_where_no_field_is),
		cmocka_unit_test(no_line_becomes_too_long),
		cmocka_unit_test(an_address_with_quotes_or_a_literal_is_recognised),
		TEST(a_small_message_is_rewritten_whole),
		TEST(of_a_large_message_only_the_header_is_held),
		TEST(a_header_of_more_than_8_mb_is_not_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
