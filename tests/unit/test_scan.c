/*
 * sendmail/scan: what a smarthost would refuse is seen, in whatever pieces it comes.
 */
#include "tests/unit/unit.h"

#include "sendmail/scan.h"

static struct scan
scanned(const char *s, size_t len, size_t piece)
{
	struct scan scan = { .line = 0 };

	for (size_t at = 0; at < len; at += piece)
		scan_add(&scan, s + at, len - at < piece ? len - at : piece);
	return scan;
}

struct sample {
	const char *text;
	size_t len;
	bool refused, eight_bit, utf8;
};

#define SAMPLE(text, ...)                           \
	{                                           \
		text, sizeof(text) - 1, __VA_ARGS__ \
	}

static void
each_fault_is_seen_in_any_pieces(void **state)
{
	static const struct sample samples[] = {
		SAMPLE("", false, false, true),
		SAMPLE("a\r\nb\r\n", false, false, true),
		SAMPLE("a\rb\r\n", true, false, true),
		SAMPLE("a\r\r\n", true, false, true),
		SAMPLE("a\r", true, false, true),
		SAMPLE("a\0b\r\n", true, false, true),
		SAMPLE("G\xc3\xbc\r\n", false, true, true),
		SAMPLE("\xe2\x82\xac \xf0\x9f\x98\x80\r\n", false, true, true),
		SAMPLE("G\xfc\r\n", false, true, false),
		SAMPLE("\xc3\r\n", false, true, false),
		SAMPLE("\xc3", false, true, false),
		SAMPLE("\xc0\x80\r\n", false, true, false),
		SAMPLE("\xe0\x80\x80\r\n", false, true, false),
		SAMPLE("\xed\xa0\x80\r\n", false, true, false),
		SAMPLE("\xf4\x90\x80\x80\r\n", false, true, false),
	};

	(void)state;
	for (size_t i = 0; i < COUNT(samples); i++)
		for (size_t piece = 1; piece < 9; piece++) {
			struct scan s = scanned(samples[i].text, samples[i].len, piece);

			assert_int_equal(scan_is_refused(&s), samples[i].refused);
			assert_int_equal(s.eight_bit, samples[i].eight_bit);
			assert_int_equal(scan_is_utf8(&s), samples[i].utf8);
		}
}

static void
a_line_may_have_998_octets(void **state)
{
	static const size_t pieces[] = { 1, 7, 500, 997, 998, 999, 1000, 4000 };
	char line[2100];

	(void)state;
	for (size_t i = 0; i < COUNT(pieces); i++) {
		struct scan s;

		memset(line, 'x', sizeof(line));
		memcpy(line + 998, "\r\n", 2);
		memcpy(line + 1998, "\r\n", 2);
		s = scanned(line, 2000, pieces[i]);
		assert_int_equal(s.longest, 998);
		assert_false(scan_is_refused(&s));
		memset(line, 'x', sizeof(line));
		memcpy(line + 999, "\r\n", 2);
		s = scanned(line, 1001, pieces[i]);
		assert_int_equal(s.longest, 999);
		assert_true(scan_is_refused(&s));
		s = scanned(line, 999, pieces[i]);
		assert_true(scan_is_refused(&s));
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_fault_is_seen_in_any_pieces),
		cmocka_unit_test(a_line_may_have_998_octets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
