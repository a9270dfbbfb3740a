/*
 * spool/name: names that sort by age and cannot be guessed.
 */
#include "tests/unit/unit.h"

#include "base/clock.h"
#include "spool/name.h"

static void
a_name_is_valid_and_tells_its_time(void **state)
{
	struct queue_name name;
	int64_t before = clock_real(), after;

	(void)state;
	assert_int_equal(name_make(&name), 0);
	after = clock_real();
	assert_true(name_is_valid(name.text));
	assert_true(name_time(name.text) >= before && name_time(name.text) <= after);
}

static void
names_differ_and_sort_by_age(void **state)
{
	struct queue_name last, next;

	(void)state;
	assert_int_equal(name_make(&last), 0);
	for (int i = 0; i < 2000; i++) {
		assert_int_equal(name_make(&next), 0);
		assert_true(memcmp(last.text, next.text, NAME_TIME_LEN) <= 0);
		assert_string_not_equal(last.text + NAME_TIME_LEN, next.text + NAME_TIME_LEN);
		last = next;
	}
}

static void
only_26_letters_and_digits_are_a_name(void **state)
{
	static const struct {
		const char *text;
		bool prefix, name;
	} rows[] = {
		{ "0abcdefghijklmnopqrstuvwxy", true, true },
		{ "zzzzzzzzzzzzzzzzzzzzzzzzzz", true, true },
		{ "0abcdefghijklmnopqrstuvwx", true, false },
		{ "0", true, false },
		{ "", false, false },
		{ "0abcdefghijklmnopqrstuvwxyz", false, false },
		{ "0abcdefghijklmnopqrstuvwxY", false, false },
		{ "0abcdefghijklmnop/rstuvwxy", false, false },
		{ ".abcdefghijklmnopqrstuvwxy", false, false },
		{ "..", false, false },
		{ "0abc defghijklmnopqrstuvwx", false, false },
		{ "0abc\n", false, false },
		{ "\xc3\xa4", false, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(name_is_prefix(rows[i].text), rows[i].prefix);
		assert_int_equal(name_is_valid(rows[i].text), rows[i].name);
	}
}

static void
time_is_base_36(void **state)
{
	(void)state;
	assert_int_equal(name_time("0000000000aaaaaaaaaaaaaaaa"), 0);
	assert_int_equal(name_time("00000000z1aaaaaaaaaaaaaaaa"), 35 * 36 + 1);
	assert_int_equal(name_time("zzzzzzzzzzaaaaaaaaaaaaaaaa"), INT64_C(3656158440062975));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_is_valid_and_tells_its_time),
		cmocka_unit_test(names_differ_and_sort_by_age),
		cmocka_unit_test(only_26_letters_and_digits_are_a_name),
		cmocka_unit_test(time_is_base_36),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
