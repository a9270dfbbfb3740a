/*
 * sendmail/smtp_command: what a line means, and what is wrong with it.
 */
#include "tests/unit/unit.h"

#include "base/buf.h"
#include "sendmail/smtp_command.h"

struct row {
	const char *text, *expected;
};

/* "<address>" and the parameters; or "CODE STATUS" */
static void
mail_describe(const char *argument, struct buf *b)
{
	static const char *const rets[] = { "", " RET=FULL", " RET=HDRS" };
	struct smtp_problem problem;
	struct smtp_mail m;
	char *copy = strdup(argument);

	if (smtp_mail_parse(copy, &m, &problem) < 0) {
		buf_addf(b, "%d %s", problem.code, problem.status);
		assert_true(*problem.text != '\0');
	} else {
		buf_addf(b, "<%s>", m.address);
		if (m.size_given)
			buf_addf(b, " SIZE=%llu", (unsigned long long)m.size);
		if (m.utf8)
			buf_add_string(b, " SMTPUTF8");
		buf_add_string(b, rets[m.ret]);
		if (m.envid != NULL)
			buf_addf(b, " ENVID=%s", m.envid);
	}
	free(copy);
}

static void
rcpt_describe(const char *argument, struct buf *b)
{
	struct smtp_problem problem;
	struct smtp_rcpt r;
	char *copy = strdup(argument);

	if (smtp_rcpt_parse(copy, &r, &problem) < 0) {
		buf_addf(b, "%d %s", problem.code, problem.status);
		assert_true(*problem.text != '\0');
	} else {
		buf_addf(b, "<%s>", r.address);
		if (r.notify != 0)
			buf_addf(b, " %u", r.notify);
		if (r.orcpt != NULL)
			buf_addf(b, " %s", r.orcpt);
	}
	free(copy);
}

static void
chunk_describe(const char *argument, struct buf *b)
{
	struct smtp_chunk chunk;
	char *copy = strdup(argument);

	if (smtp_chunk_parse(copy, &chunk))
		buf_addf(b, "%llu%s", (unsigned long long)chunk.size, chunk.last ? " LAST" : "");
	free(copy);
}

static void
verb_describe(const char *line, struct buf *b)
{
	char *copy = strdup(line);
	struct smtp_command c = smtp_command_parse(copy);

	buf_addf(b, "%d [%s]", c.verb, c.argument);
	free(copy);
}

static void
check(const struct row *rows, size_t count, void (*describe)(const char *, struct buf *))
{
	for (size_t i = 0; i < count; i++) {
		struct buf b = BUF_INIT(5000);

		describe(rows[i].text, &b);
		if (strcmp(buf_string(&b), rows[i].expected) != 0)
			fail_msg("\"%s\" gives \"%s\", not \"%s\"", rows[i].text, buf_string(&b),
			    rows[i].expected);
		buf_free(&b);
	}
}

static void
a_verb_is_a_whole_word_in_any_case(void **state)
{
	static const struct row rows[] = {
		{ "NOOP", "8 []" },
		{ "noop", "8 []" },
		{ "  NoOp  a b  ", "8 [a b]" },
		{ "NOOPS", "0 []" },
		{ "NOO", "0 []" },
		{ "", "0 []" },
		{ "   ", "0 []" },
		{ "MAIL FROM:<a@b>", "3 [FROM:<a@b>]" },
		{ "MAILFROM:<a@b>", "0 []" },
		{ "STARTTLS", "12 []" },
		{ "auth PLAIN AAA", "12 [PLAIN AAA]" },
	};

	(void)state;
	_Static_assert(VERB_MAIL == 3 && VERB_NOOP == 8 && VERB_REFUSED == 12, "as above");
	check(rows, COUNT(rows), verb_describe);
}

static void
a_path_is_read_as_clients_write_it(void **state)
{
	static const struct row rows[] = {
		{ "FROM:<a@b.example>", "<a@b.example>" },
		{ "from:<a@b.example>", "<a@b.example>" },
		{ "FROM: <a@b.example>", "<a@b.example>" },
		{ "FROM : <a@b.example>", "<a@b.example>" },
		{ "FROM:< a@b.example >", "<a@b.example>" },
		{ "FROM:a@b.example", "<a@b.example>" },
		{ "FROM: a@b.example SIZE=1", "<a@b.example> SIZE=1" },
		{ "FROM:<>", "<>" },
		{ "FROM: < >", "<>" },
		{ "FROM:<> SIZE=3", "<> SIZE=3" },
		{ "FROM:<root>", "<root>" },
		{ "FROM:<@one.example,@two.example:a@b.example>", "<a@b.example>" },
		{ "FROM:@one.example:a@b.example", "<a@b.example>" },
		{ "FROM:<\"a b>,<c\"@b.example>", "<\"a b>,<c\"@b.example>" },
		{ "FROM:<\"a\\\"b\"@b.example>", "<\"a\\\"b\"@b.example>" },
		{ "FROM:<a@[127.0.0.1]>", "<a@[127.0.0.1]>" },
		{ "FROM:<a@[IPv6:::1]>", "<a@[IPv6:::1]>" },
		{ "FROM:<\\root>", "<\\root>" },
		{ "FROM:<\xc3\xbc@b.example>", "<\xc3\xbc@b.example>" },
		{ "FROM:", "501 5.5.4" },
		{ "FROM", "501 5.5.4" },
		{ "", "501 5.5.4" },
		{ "TO:<a@b.example>", "501 5.5.4" },
		{ "FROM:<a@b.example", "501 5.5.4" },
		{ "FROM:a@b.example>", "501 5.5.4" },
		{ "FROM:<a@b.example>x", "501 5.5.4" },
		{ "FROM:<a@b.example>SIZE=1", "501 5.5.4" },
		{ "FROM:<a@b.example> <c@d.example>", "555 5.5.4" },
		{ "FROM:<a@b.example,c@d.example>", "501 5.5.4" },
		{ "FROM:<a b@c.example>", "501 5.5.4" },
		{ "FROM:<Joe <a@b.example>>", "501 5.5.4" },
		{ "FROM:Joe <a@b.example>", "555 5.5.4" },
		{ "FROM:<group: a@b.example;>", "501 5.5.4" },
		{ "FROM:<a(comment)@b.example>", "501 5.5.4" },
		{ "FROM:<a@b@c.example>", "501 5.5.4" },
		{ "FROM:<\"a@b.example>", "501 5.5.4" },
		{ "FROM:<a@[127.0.0.1>", "501 5.5.4" },
		{ "FROM:<@one.example>", "501 5.5.4" },
		{ "FROM:<a@b.example\\>", "501 5.5.4" },
	};

	(void)state;
	check(rows, COUNT(rows), mail_describe);
}

static void
parameters_of_mail_are_checked(void **state)
{
	static const struct row rows[] = {
		{ "FROM:<a@b> size=0", "<a@b> SIZE=0" },
		{ "FROM:<a@b>   SIZE=18446744073709551615  BODY=8BITMIME",
		    "<a@b> SIZE=18446744073709551615" },
		{ "FROM:<a@b> BODY=7bit SMTPUTF8", "<a@b> SMTPUTF8" },
		{ "FROM:<a@b> RET=FULL ENVID=QQ+2B314", "<a@b> RET=FULL ENVID=QQ+2B314" },
		{ "FROM:<a@b> ret=hdrs", "<a@b> RET=HDRS" },
		{ "FROM:<a@b> SIZE", "501 5.5.4" },
		{ "FROM:<a@b> SIZE=", "501 5.5.4" },
		{ "FROM:<a@b> SIZE=-1", "501 5.5.4" },
		{ "FROM:<a@b> SIZE=1x", "501 5.5.4" },
		{ "FROM:<a@b> SIZE=18446744073709551616", "501 5.5.4" },
		{ "FROM:<a@b> SIZE=1 SIZE=1", "501 5.5.4" },
		{ "FROM:<a@b> BODY=BINARYMIME", "555 5.5.4" },
		{ "FROM:<a@b> BODY", "501 5.5.4" },
		{ "FROM:<a@b> BODY=7BIT BODY=7BIT", "501 5.5.4" },
		{ "FROM:<a@b> SMTPUTF8=1", "501 5.5.4" },
		{ "FROM:<a@b> RET=", "501 5.5.4" },
		{ "FROM:<a@b> RET=ALL", "501 5.5.4" },
		{ "FROM:<a@b> RET=FULL RET=HDRS", "501 5.5.4" },
		{ "FROM:<a@b> ENVID=", "501 5.5.4" },
		{ "FROM:<a@b> ENVID=a+2b", "501 5.5.4" },
		{ "FROM:<a@b> ENVID=a+", "501 5.5.4" },
		{ "FROM:<a@b> ENVID=a=b", "501 5.5.4" },
		{ "FROM:<a@b> ENVID=\xc3\xbc", "501 5.5.4" },
		{ "FROM:<a@b> ENVID=a ENVID=a", "501 5.5.4" },
		{ "FROM:<a@b> AUTH=<>", "555 5.5.4" },
		{ "FROM:<a@b> NOTIFY=NEVER", "555 5.5.4" },
		{ "FROM:<a@b> =", "555 5.5.4" },
	};

	(void)state;
	check(rows, COUNT(rows), mail_describe);
}

static void
parameters_of_rcpt_are_checked(void **state)
{
	static const struct row rows[] = {
		{ "TO:<a@b>", "<a@b>" },
		{ "TO: postmaster", "<postmaster>" },
		{ "TO:<a@b> NOTIFY=NEVER", "<a@b> 1" },
		{ "TO:<a@b> notify=success,Failure,DELAY", "<a@b> 14" },
		{ "TO:<a@b> ORCPT=rfc822;a+2Bb@c NOTIFY=FAILURE", "<a@b> 4 rfc822;a+2Bb@c" },
		{ "TO:<a@b> ORCPT=utf-8;\\x{FC}@c", "<a@b> utf-8;\\x{FC}@c" },
		{ "TO:<a@b> ORCPT=UTF-8;\xc3\xbc@c", "<a@b> UTF-8;\xc3\xbc@c" },
		{ "TO:<a@b> ORCPT=utf-8;\xff@c", "501 5.5.4" },
		{ "TO:<a@b> ORCPT=rfc822;\xc3\xbc@c", "501 5.5.4" },
		{ "TO:<>", "501 5.5.4" },
		{ "TO:", "501 5.5.4" },
		{ "TO:<a@b> NOTIFY", "501 5.5.4" },
		{ "TO:<a@b> NOTIFY=", "501 5.5.4" },
		{ "TO:<a@b> NOTIFY=NEVER,DELAY", "501 5.5.4" },
		{ "TO:<a@b> NOTIFY=DELAY,", "501 5.5.4" },
		{ "TO:<a@b> NOTIFY=ALWAYS", "501 5.5.4" },
		{ "TO:<a@b> NOTIFY=DELAY NOTIFY=DELAY", "501 5.5.4" },
		{ "TO:<a@b> ORCPT=rfc822", "501 5.5.4" },
		{ "TO:<a@b> ORCPT=rfc822;", "501 5.5.4" },
		{ "TO:<a@b> ORCPT=;a", "501 5.5.4" },
		{ "TO:<a@b> ORCPT=rfc(822;a", "501 5.5.4" },
		{ "TO:<a@b> ORCPT=rfc822;a+zz", "501 5.5.4" },
		{ "TO:<a@b> ORCPT=rfc822;a ORCPT=rfc822;a", "501 5.5.4" },
		{ "TO:<a@b> SIZE=1", "555 5.5.4" },
	};

	(void)state;
	check(rows, COUNT(rows), rcpt_describe);
}

static void
utf_8_in_orcpt_is_written_in_ascii(void **state)
{
	struct buf b = BUF_INIT(100), small = BUF_INIT(10);

	(void)state;
	assert_int_equal(smtp_orcpt_encode("utf-8;a\xc3\xbc\xe2\x82\xac\xf0\x9f\x92\xa9@c", &b), 0);
	assert_string_equal(b.data, "utf-8;a\\x{FC}\\x{20AC}\\x{1F4A9}@c");
	assert_int_equal(smtp_orcpt_encode("utf-8;\xc3\xbc", &small), -1);
	buf_free(&b);
	buf_free(&small);
}

static void
the_size_of_a_chunk_is_understood_or_not_guessed(void **state)
{
	static const struct row rows[] = {
		{ "0", "0" },
		{ "10", "10" },
		{ "0 LAST", "0 LAST" },
		{ "10   last", "10 LAST" },
		{ "9223372036854775807", "9223372036854775807" },
		{ "", "" },
		{ "LAST", "" },
		{ "-1", "" },
		{ "10=1", "" },
		{ "10 LAST x", "" },
		{ "10 LATE", "" },
		{ "9223372036854775808", "" },
	};

	(void)state;
	check(rows, COUNT(rows), chunk_describe);
}

static void
only_a_name_or_an_address_stands_in_received(void **state)
{
	char longest[400];

	(void)state;
	assert_true(smtp_is_host_name("client.example"));
	assert_true(smtp_is_host_name("localhost"));
	assert_true(smtp_is_host_name("[127.0.0.1]"));
	assert_true(smtp_is_host_name("[IPv6:::1]"));
	assert_false(smtp_is_host_name(""));
	assert_false(smtp_is_host_name("a b"));
	assert_false(smtp_is_host_name("a@b"));
	assert_false(smtp_is_host_name("a..b"));
	assert_false(smtp_is_host_name("a (b)"));
	assert_false(smtp_is_host_name("[127.0.0.1"));
	assert_false(smtp_is_host_name("b\xc3\xbc.example"));
	memset(longest, 'a', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_false(smtp_is_host_name(longest));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_verb_is_a_whole_word_in_any_case),
		cmocka_unit_test(a_path_is_read_as_clients_write_it),
		cmocka_unit_test(parameters_of_mail_are_checked),
		cmocka_unit_test(parameters_of_rcpt_are_checked),
		cmocka_unit_test(utf_8_in_orcpt_is_written_in_ascii),
		cmocka_unit_test(the_size_of_a_chunk_is_understood_or_not_guessed),
		cmocka_unit_test(only_a_name_or_an_address_stands_in_received),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
