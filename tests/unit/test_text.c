/*
 * base/text: nothing that moves a cursor, hides or reorders.
 */
#include "tests/unit/unit.h"

#include "base/text.h"

static const struct row {
	const char *text, *shown;
} rows[] = {
	{ "", "" },
	{ "plain ~!", "plain ~!" },
	{ "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80" },
	{ "a\nb", "a\\x0ab" },
	{ "\r\t\x1b\x7f", "\\x0d\t\\x1b\\x7f" },
	{ "\xc2\x9b", "\\xc2\\x9b" },
	{ "\xc2\xad", "\\xc2\\xad" },
	{ "\xe2\x80\xae", "\\xe2\\x80\\xae" },
	{ "\xe2\x80\x8b", "\\xe2\\x80\\x8b" },
	{ "\xe2\x80\xa8", "\\xe2\\x80\\xa8" },
	{ "\xe2\x81\xa6", "\\xe2\\x81\\xa6" },
	{ "\xef\xbb\xbf", "\\xef\\xbb\\xbf" },
	{ "\xd8\x9c", "\\xd8\\x9c" },
	{ "\xf3\xa0\x80\x81", "\\xf3\\xa0\\x80\\x81" },
	{ "\xff", "\\xff" },
	{ "\xc3", "\\xc3" },
	{ "\xe2\x82", "\\xe2\\x82" },
	{ "\xc0\xaf", "\\xc0\\xaf" },
	{ "\xed\xa0\x80", "\\xed\\xa0\\x80" },
	{ "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" },
	{ "\xe0\x80\xaf", "\\xe0\\x80\\xaf" },
	{ "\xc3(", "\\xc3(" },
};

static void
hidden_characters_are_shown(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf b = BUF_INIT(100);

		assert_int_equal(text_add_printable(&b, rows[i].text, strlen(rows[i].text)), 0);
		assert_string_equal(buf_string(&b), rows[i].shown);
		buf_free(&b);
	}
}

static void
a_nul_octet_is_shown(void **state)
{
	char dst[10];

	(void)state;
	assert_string_equal(text_copy_printable(dst, sizeof(dst), "a\0b", 3), "a\\x00b");
}

static void
a_fixed_field_is_cut_between_characters(void **state)
{
	static const char *const cut[] = { "", "", "", "\xe2\x82\xac", "\xe2\x82\xac",
		"\xe2\x82\xac", "\xe2\x82\xac", "\xe2\x82\xac\\x1b", "\xe2\x82\xac\\x1bz" };

	(void)state;
	for (size_t size = 1; size <= COUNT(cut); size++) {
		char dst[16];

		memset(dst, 'z', sizeof(dst));
		text_copy_printable(dst, size, "\xe2\x82\xac\x1bz", 5);
		assert_true(strlen(dst) < size);
		assert_string_equal(dst, cut[size - 1]);
		assert_int_equal(dst[size], 'z');
	}
}

static void
utf8_and_ascii_are_told_apart(void **state)
{
	(void)state;
	assert_true(text_is_ascii("abc\x7f", 4));
	assert_false(text_is_ascii("\xc3\xa4", 2));
	assert_true(text_is_utf8("", 0));
	assert_true(text_is_utf8("a\xc3\xa4", 3));
	assert_false(text_is_utf8("a\xc3\xa4", 2));
	assert_false(text_is_utf8("\x80", 1));
	assert_true(text_is_utf8("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf", 10));
}

static void
utf8_is_what_rfc_3629_says(void **state)
{
	size_t n = 0;

	(void)state;
	for (unsigned i = 0; i < 0x1000000; i += 1) {
		char s[3] = { (char)(i >> 16), (char)(i >> 8), (char)i };
		size_t len = text_utf8_length(s, 3);

		n += len == 3;
		assert_true(len <= 3);
	}
	/* U+0800 to U+FFFF less the surrogates */
	assert_int_equal(n, 0x10000 - 0x800 - 0x800);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hidden_characters_are_shown),
		cmocka_unit_test(a_nul_octet_is_shown),
		cmocka_unit_test(a_fixed_field_is_cut_between_characters),
		cmocka_unit_test(utf8_and_ascii_are_told_apart),
		cmocka_unit_test(utf8_is_what_rfc_3629_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
