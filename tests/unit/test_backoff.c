/*
 * relayd/backoff: how long to wait.
 */
#include "tests/unit/unit.h"

#include "base/number.h"
#include "relayd/backoff.h"

static void
pauses_double_up_to_the_longest(void **state)
{
	static const struct {
		uint64_t first, max;
		unsigned n;
		uint64_t pause;
	} rows[] = {
		{ 60, 14400, 1, 60 },
		{ 60, 14400, 2, 120 },
		{ 60, 14400, 8, 7680 },
		{ 60, 14400, 9, 14400 },
		{ 60, 14400, 1000, 14400 },
		{ 60, 14400, UINT32_MAX, 14400 },
		{ 60, 60, 5, 60 },
		{ 60, 14400, 0, 60 },
		{ 1, UINT64_MAX, 64, UINT64_C(1) << 63 },
		{ 1, UINT64_MAX, 65, UINT64_MAX },
		{ 100, 60, 1, 60 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(
		    backoff_pause(rows[i].first, rows[i].max, rows[i].n), rows[i].pause);
}

static void
jitter_only_lengthens_and_by_a_quarter_at_most(void **state)
{
	static const uint64_t pauses[] = { 0, 1, 1000, USEC_PER_SEC, USEC_PER_HOUR,
		7 * USEC_PER_DAY };

	(void)state;
	for (size_t i = 0; i < COUNT(pauses); i++) {
		for (uint32_t random = 0; random < 100000; random += 97) {
			uint64_t p = backoff_jitter(pauses[i], random);

			assert_true(p >= pauses[i] && p <= pauses[i] + pauses[i] / 4);
		}
		assert_int_equal(backoff_jitter(pauses[i], 0), pauses[i]);
	}
	assert_true(backoff_jitter(USEC_PER_HOUR, 1024) > USEC_PER_HOUR / 100 * 124);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pauses_double_up_to_the_longest),
		cmocka_unit_test(jitter_only_lengthens_and_by_a_quarter_at_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
