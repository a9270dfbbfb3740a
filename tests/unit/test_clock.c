/*
 * base/clock: dates for headers and for people.
 */
#include "tests/unit/unit.h"

#include <locale.h>
#include <time.h>

#include "base/clock.h"

static void
dates_follow_rfc_5322_in_each_zone(void **state)
{
	static const struct {
		const char *zone;
		int64_t real;
		const char *date;
	} rows[] = {
		{ "UTC0", 0, "Thu, 1 Jan 1970 00:00:00 +0000" },
		{ "UTC0", INT64_C(1795451281999999), "Mon, 23 Nov 2026 16:28:01 +0000" },
		{ "UTC0", INT64_C(951782400000000), "Tue, 29 Feb 2000 00:00:00 +0000" },
		{ "ABC-5:30", 0, "Thu, 1 Jan 1970 05:30:00 +0530" },
		{ "ABC3:30", 0, "Wed, 31 Dec 1969 20:30:00 -0330" },
		{ "ABC0:30", 0, "Wed, 31 Dec 1969 23:30:00 -0030" },
	};

	(void)state;
	setlocale(LC_ALL, "");
	for (size_t i = 0; i < COUNT(rows); i++) {
		char date[CLOCK_RFC5322_SIZE];

		setenv("TZ", rows[i].zone, 1);
		tzset();
		assert_string_equal(clock_format_rfc5322(rows[i].real, date), rows[i].date);
	}
}

static void
local_dates_are_short(void **state)
{
	char date[CLOCK_LOCAL_SIZE];

	(void)state;
	setenv("TZ", "UTC0", 1);
	tzset();
	assert_string_equal(
	    clock_format_local(INT64_C(1795451281999999), date), "2026-11-23 16:28:01");
}

static void
extreme_times_stay_within_their_field(void **state)
{
	static const int64_t times[] = { INT64_MIN, -1, INT64_MAX };

	(void)state;
	for (size_t i = 0; i < COUNT(times); i++) {
		char date[CLOCK_RFC5322_SIZE], local[CLOCK_LOCAL_SIZE];

		assert_true(strlen(clock_format_rfc5322(times[i], date)) < sizeof(date));
		assert_true(strlen(clock_format_local(times[i], local)) < sizeof(local));
	}
}

static void
clocks_go_on(void **state)
{
	int64_t boot = clock_boot(), real = clock_real();

	(void)state;
	usleep(2000);
	assert_true(clock_boot() >= boot + 2000);
	assert_true(clock_real() > real);
	assert_true(real > INT64_C(1700000000000000));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dates_follow_rfc_5322_in_each_zone),
		cmocka_unit_test(local_dates_are_short),
		cmocka_unit_test(extreme_times_stay_within_their_field),
		cmocka_unit_test(clocks_go_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
