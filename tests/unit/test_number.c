/*
 * base/number: nothing but the number.
 */
#include "tests/unit/unit.h"

#include "base/number.h"

typedef int parser(const char *s, uint64_t min, uint64_t max, uint64_t *value);

struct row {
	const char *text;
	uint64_t min, max;
	int error; /* 0: value */
	uint64_t value;
};

static void
check(parser *parse, const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t value = 4711;
		int r = parse(rows[i].text, rows[i].min, rows[i].max, &value);

		if ((r < 0 ? errno : 0) != rows[i].error)
			fail_msg("\"%s\"", rows[i].text);
		assert_int_equal(value, r < 0 ? 4711 : rows[i].value);
	}
}

static void
a_number_has_digits_and_a_range(void **state)
{
	static const struct row rows[] = {
		{ "0", 0, 10, 0, 0 },
		{ "10", 0, 10, 0, 10 },
		{ "007", 0, 10, 0, 7 },
		{ "11", 0, 10, ERANGE, 0 },
		{ "4", 5, 10, ERANGE, 0 },
		{ "18446744073709551615", 0, UINT64_MAX, 0, UINT64_MAX },
		{ "18446744073709551616", 0, UINT64_MAX, ERANGE, 0 },
		{ "99999999999999999999999", 0, UINT64_MAX, ERANGE, 0 },
		{ "", 0, 10, EINVAL, 0 },
		{ " 1", 0, 10, EINVAL, 0 },
		{ "1 ", 0, 10, EINVAL, 0 },
		{ "+1", 0, 10, EINVAL, 0 },
		{ "-1", 0, 10, EINVAL, 0 },
		{ "0x1", 0, 10, EINVAL, 0 },
		{ "1.0", 0, 10, EINVAL, 0 },
		{ "1e1", 0, 10, EINVAL, 0 },
		{ "\xd9\xa1", 0, 10, EINVAL, 0 },
	};

	(void)state;
	check(number_parse, rows, COUNT(rows));
}

static void
a_duration_has_a_unit(void **state)
{
	static const struct row rows[] = {
		{ "1ms", 0, UINT64_MAX, 0, 1000 },
		{ "1s", 0, UINT64_MAX, 0, USEC_PER_SEC },
		{ "2m", 0, UINT64_MAX, 0, 2 * USEC_PER_MIN },
		{ "3h", 0, UINT64_MAX, 0, 3 * USEC_PER_HOUR },
		{ "4d", 0, UINT64_MAX, 0, 4 * USEC_PER_DAY },
		{ "1w", 0, UINT64_MAX, 0, 7 * USEC_PER_DAY },
		{ "0s", 0, UINT64_MAX, 0, 0 },
		{ "1", 0, UINT64_MAX, EINVAL, 0 },
		{ "s", 0, UINT64_MAX, EINVAL, 0 },
		{ "1 s", 0, UINT64_MAX, EINVAL, 0 },
		{ "1S", 0, UINT64_MAX, EINVAL, 0 },
		{ "1h30m", 0, UINT64_MAX, EINVAL, 0 },
		{ "1us", 0, UINT64_MAX, EINVAL, 0 },
		{ "1mss", 0, UINT64_MAX, EINVAL, 0 },
		{ "61s", 0, USEC_PER_MIN, ERANGE, 0 },
		{ "99999999999999999w", 0, UINT64_MAX, ERANGE, 0 },
	};

	(void)state;
	check(duration_parse, rows, COUNT(rows));
}

static void
a_size_may_have_a_unit(void **state)
{
	static const struct row rows[] = {
		{ "0", 0, UINT64_MAX, 0, 0 },
		{ "1", 0, UINT64_MAX, 0, 1 },
		{ "2K", 0, UINT64_MAX, 0, 2048 },
		{ "3M", 0, UINT64_MAX, 0, 3 << 20 },
		{ "4G", 0, UINT64_MAX, 0, UINT64_C(4) << 30 },
		{ "1k", 0, UINT64_MAX, EINVAL, 0 },
		{ "1T", 0, UINT64_MAX, EINVAL, 0 },
		{ "1KB", 0, UINT64_MAX, EINVAL, 0 },
		{ "K", 0, UINT64_MAX, EINVAL, 0 },
		{ "17179869184G", 0, UINT64_MAX, ERANGE, 0 },
	};

	(void)state;
	check(size_parse, rows, COUNT(rows));
}

static void
a_boolean_is_yes_or_no(void **state)
{
	static const char *const bad[] = { "", "Yes", "true", "1", "yes ", "on", "y" };
	bool value = false;

	(void)state;
	assert_int_equal(bool_parse("yes", &value), 0);
	assert_true(value);
	assert_int_equal(bool_parse("no", &value), 0);
	assert_false(value);
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_int_equal(bool_parse(bad[i], &value), -1);
		assert_int_equal(errno, EINVAL);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_number_has_digits_and_a_range),
		cmocka_unit_test(a_duration_has_a_unit),
		cmocka_unit_test(a_size_may_have_a_unit),
		cmocka_unit_test(a_boolean_is_yes_or_no),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
