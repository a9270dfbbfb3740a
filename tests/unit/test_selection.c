/*
 * spool/selection: whom a selection means.
 */
#include "tests/unit/unit_spool.h"

#include "spool/selection.h"

#define NAME_A "0aaaaaaaaaaaxxxxxxxxxxxxxx"
#define CONTENT "Subject: x\r\n\r\nbody\r\n"

static void
what_is_no_selection_is_refused(void **state)
{
	static const char *const arguments[] = { "", "!", "R", "R ", "!R ", "Rx", "R\tx", "X x",
		"r x", "!!R x", " R x", "! R x", "RS x", "R!x" };
	struct selection s;

	(void)state;
	for (size_t i = 0; i < COUNT(arguments); i++)
		assert_false(selection_parse(&s, arguments[i]));
}

static void
a_text_may_have_blanks_and_begin_with_an_exclamation_mark(void **state)
{
	struct selection s;

	(void)state;
	assert_true(selection_parse(&s, "R !a b "));
	assert_int_equal(s.kind, 'R');
	assert_false(s.negated);
	assert_string_equal(s.text, "!a b ");
	assert_true(selection_parse(&s, "!S  x"));
	assert_int_equal(s.kind, 'S');
	assert_true(s.negated);
	assert_string_equal(s.text, " x");
}

/* Is the message under that name, whose recipient number `finished` is finished, meant? */
static bool
is_meant(struct place *p, const char *name, int finished, const char *argument)
{
	struct selection s;
	struct index x;
	struct index_entry *e;
	bool meant;

	assert_int_equal(index_init(&x, 1), 0);
	assert_non_null(e = index_add(&x, name, 0));
	if (finished >= 0)
		assert_int_equal(index_set_finished(&x, e, (size_t)finished), 0);
	assert_true(selection_parse(&s, argument));
	meant = selection_matches(&s, &x, e, p->queue);
	index_free(&x);
	return meant;
}

static struct queue_name
message_to_two(struct place *p)
{
	struct envelope e;
	struct queue_name name;

	envelope_make(&e, "Root@Example.org", "first@example.net");
	assert_int_equal(
	    envelope_add_recipient(&e, "\"second !one\"@m\xc3\xbcnchen.example", 0, NULL), 0);
	name = message_put(p, &e, CONTENT, strlen(CONTENT));
	envelope_free(&e);
	return name;
}

static void
sender_and_recipients_match_by_a_part_in_any_case(void **state)
{
	static const struct {
		const char *argument;
		bool meant;
	} rows[] = {
		{ "S root@example.ORG", true },
		{ "S oot@", true },
		{ "S first", false },
		{ "!S first", true },
		{ "!S root", false },
		{ "R FIRST@", true },
		{ "R root", false },
		{ "R second !ONE", true },
		{ "R M\xc3\xbcNCHEN", true },
		{ "R m\xc3\xbcnchen.example ", false },
		{ "R first@example.net,", false },
		{ "!R second", false },
		{ "!R third", true },
		{ "R .*", false },
	};
	struct place *p = *state;
	struct queue_name name = message_to_two(p);

	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(is_meant(p, name.text, -1, rows[i].argument), rows[i].meant);
}

static void
a_queue_id_matches_by_its_public_part(void **state)
{
	struct place *p = *state;

	assert_true(is_meant(p, NAME_A, -1, "I 0aaaaaaaaaaa"));
	assert_true(is_meant(p, NAME_A, -1, "I a"));
	assert_false(is_meant(p, NAME_A, -1, "I 0aaaaaaaaaaax"));
	assert_false(is_meant(p, NAME_A, -1, "I x"));
	assert_true(is_meant(p, NAME_A, -1, "!I x"));
	assert_false(is_meant(p, NAME_A, -1, "!I 0a"));
}

static void
a_recipient_that_is_finished_does_not_count(void **state)
{
	struct place *p = *state;
	struct queue_name name = message_to_two(p);

	assert_false(is_meant(p, name.text, 0, "R first"));
	assert_true(is_meant(p, name.text, 0, "!R first"));
	assert_true(is_meant(p, name.text, 1, "R first"));
	assert_true(is_meant(p, name.text, 0, "R second"));
}

static void
what_is_no_message_has_no_addresses(void **state)
{
	struct place *p = *state;

	file_put(p->queue, NAME_A, "postbag garbage", 15);
	assert_false(is_meant(p, NAME_A, -1, "R o"));
	assert_false(is_meant(p, NAME_A, -1, "S o"));
	assert_true(is_meant(p, NAME_A, -1, "!S o"));
	unlinkat(p->queue, NAME_A, 0);
	assert_false(is_meant(p, NAME_A, -1, "R o"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_no_selection_is_refused),
		TEST(a_text_may_have_blanks_and_begin_with_an_exclamation_mark),
		TEST(sender_and_recipients_match_by_a_part_in_any_case),
		TEST(a_queue_id_matches_by_its_public_part),
		TEST(a_recipient_that_is_finished_does_not_count),
		TEST(what_is_no_message_has_no_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
