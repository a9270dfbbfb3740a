/*
 * relayd/rate: no more messages than are allowed, in any stretch of time.
 */
#include "tests/unit/unit.h"

#include "base/number.h"
#include "relayd/rate.h"

#define BEGIN INT64_C(123456789)

static void
all_may_go_at_once_and_no_more(void **state)
{
	struct rate r;

	(void)state;
	rate_init(&r, 5, USEC_PER_MIN);
	for (int i = 0; i < 5; i++) {
		assert_true(rate_next(&r, BEGIN) == 0);
		rate_take(&r, BEGIN);
	}
	assert_true(rate_next(&r, BEGIN) >= BEGIN + (int64_t)USEC_PER_MIN);
	assert_true(rate_next(&r, BEGIN) <= BEGIN + (int64_t)USEC_PER_MIN * 62 / 60);
	assert_true(rate_next(&r, rate_next(&r, BEGIN) - 1) != 0);
	assert_true(rate_next(&r, rate_next(&r, BEGIN)) == 0);
}

/* Messages come at random times, and one goes whenever it may. */
static void
no_stretch_of_the_unit_has_more(void **state)
{
	static const struct {
		uint64_t most, unit;
	} rows[] = { { 1, USEC_PER_SEC }, { 3, USEC_PER_SEC }, { 30, USEC_PER_MIN },
		{ 100, USEC_PER_HOUR }, { 7, USEC_PER_DAY } };
	static int64_t sent[2000];

	(void)state;
	srandom(1);
	for (size_t row = 0; row < COUNT(rows); row++) {
		int64_t now = BEGIN, next, unit = (int64_t)rows[row].unit;
		size_t count = 0, most = rows[row].most;
		struct rate r;

		rate_init(&r, most, rows[row].unit);
		while (count < COUNT(sent)) {
			if ((next = rate_next(&r, now)) == 0) {
				rate_take(&r, now);
				sent[count++] = now;
				now +=
				    random() % 4 != 0 ? 0 : random() % (unit / (int64_t)most + 1);
			} else {
				assert_true(next > now && next <= now + unit * 62 / 60);
				/* also looked at in between */
				now = random() % 2 != 0 ? next : now + (next - now + 1) / 2;
			}
		}
		for (size_t i = most; i < count; i++)
			assert_true(sent[i] - sent[i - most] >= unit);
	}
}

static void
without_a_rate_there_is_no_limit(void **state)
{
	struct rate r;

	(void)state;
	rate_init(&r, 0, 0);
	for (int i = 0; i < 1000; i++) {
		rate_take(&r, BEGIN);
		assert_true(rate_next(&r, BEGIN) == 0);
	}
	rate_return(&r, BEGIN);
	rate_slow(&r, BEGIN);
	rate_grow(&r, BEGIN + (int64_t)USEC_PER_DAY);
	assert_true(rate_next(&r, BEGIN) == 0);
}

static void
what_was_not_sent_does_not_count(void **state)
{
	struct rate r;

	(void)state;
	rate_init(&r, 1, USEC_PER_SEC);
	rate_take(&r, BEGIN);
	assert_true(rate_next(&r, BEGIN) != 0);
	rate_return(&r, BEGIN);
	assert_true(rate_next(&r, BEGIN) == 0);
	/* once, and not what has left the count */
	rate_return(&r, BEGIN);
	rate_take(&r, BEGIN + (int64_t)USEC_PER_SEC);
	rate_return(&r, BEGIN);
	assert_true(rate_next(&r, BEGIN + (int64_t)USEC_PER_SEC) != 0);
}

static void
a_throttle_halves_it_and_success_brings_it_back_slowly(void **state)
{
	static const uint64_t limits[] = { 9, 12, 15, 16 };
	int64_t now = BEGIN;
	struct rate r;

	(void)state;
	rate_init(&r, 16, USEC_PER_SEC);
	rate_slow(&r, now);
	assert_int_equal(r.limit, 8);
	for (int i = 0; i < 4; i++)
		rate_slow(&r, now);
	assert_int_equal(r.limit, 1);
	r.limit = 6;
	for (size_t i = 0; i < COUNT(limits); i++) {
		uint64_t before = r.limit;

		rate_grow(&r, now + (int64_t)USEC_PER_MIN);
		assert_int_equal(r.limit, before);
		now += (int64_t)(10 * USEC_PER_MIN);
		rate_grow(&r, now);
		assert_int_equal(r.limit, limits[i]);
	}
}

static void
a_reload_goes_on_counting(void **state)
{
	struct rate before, r;

	(void)state;
	rate_init(&before, 4, USEC_PER_HOUR);
	for (int i = 0; i < 4; i++)
		rate_take(&before, BEGIN);
	rate_init(&r, 5, USEC_PER_HOUR);
	rate_continue(&r, &before);
	assert_true(rate_next(&r, BEGIN) == 0);
	rate_take(&r, BEGIN);
	assert_true(rate_next(&r, BEGIN) != 0);
	rate_init(&r, 4, USEC_PER_MIN);
	rate_continue(&r, &before);
	assert_true(rate_next(&r, BEGIN) == 0);
	rate_init(&r, 0, 0);
	rate_continue(&r, &before);
	assert_true(rate_next(&r, BEGIN) == 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_may_go_at_once_and_no_more),
		cmocka_unit_test(no_stretch_of_the_unit_has_more),
		cmocka_unit_test(without_a_rate_there_is_no_limit),
		cmocka_unit_test(what_was_not_sent_does_not_count),
		cmocka_unit_test(a_throttle_halves_it_and_success_brings_it_back_slowly),
		cmocka_unit_test(a_reload_goes_on_counting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
