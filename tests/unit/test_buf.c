/*
 * base/buf: a buffer that never passes its cap.
 */
#include "tests/unit/unit.h"

#include "base/buf.h"

static void
the_zero_value_is_empty_and_holds_nothing(void **state)
{
	struct buf b = { .max = 0 };

	(void)state;
	assert_string_equal(buf_string(&b), "");
	assert_int_equal(buf_append(&b, "", 0), 0);
	assert_int_equal(buf_add_char(&b, 'x'), -1);
	assert_int_equal(errno, ENOBUFS);
	assert_true(b.failed);
	buf_consume(&b, 0);
	buf_truncate(&b, 0);
	buf_reset(&b);
	assert_false(b.failed);
	buf_free(&b);
	buf_free(&b);
}

static void
what_was_appended_is_there(void **state)
{
	struct buf b = BUF_INIT(100);

	(void)state;
	buf_add_string(&b, "one ");
	buf_append(&b, "t\0wo", 4);
	buf_add_char(&b, ' ');
	buf_addf(&b, "%d-%s", 3, "x");
	assert_int_equal(b.len, 12);
	assert_memory_equal(b.data, "one t\0wo 3-x", 13);
	assert_false(b.failed);
	buf_free(&b);
	assert_int_equal(b.max, 100);
}

static void
an_append_beyond_the_cap_changes_nothing(void **state)
{
	struct buf b = BUF_INIT(10);

	(void)state;
	assert_int_equal(buf_add_string(&b, "0123456789"), 0);
	assert_int_equal(buf_add_char(&b, 'x'), -1);
	assert_int_equal(errno, ENOBUFS);
	assert_int_equal(buf_addf(&b, "%s", "xyz"), -1);
	assert_int_equal(buf_append(&b, "x", SIZE_MAX), -1);
	assert_null(buf_reserve(&b, 1));
	assert_string_equal(b.data, "0123456789");
	assert_true(b.failed);
	buf_truncate(&b, 4);
	assert_true(b.failed);
	assert_string_equal(b.data, "0123");
	assert_int_equal(buf_addf(&b, "%s", "abcdef"), 0);
	assert_string_equal(b.data, "0123abcdef");
	buf_free(&b);
}

static void
it_grows_octet_by_octet_to_its_cap(void **state)
{
	enum { SIZE = 100000 };
	struct buf b = BUF_INIT(SIZE);

	(void)state;
	for (int i = 0; i < SIZE; i++)
		assert_int_equal(buf_add_char(&b, (char)i), 0);
	assert_int_equal(buf_add_char(&b, 'x'), -1);
	for (int i = 0; i < SIZE; i++)
		assert_int_equal((char)i, b.data[i]);
	assert_int_equal(b.data[SIZE], '\0');
	buf_free(&b);
}

static void
consume_takes_from_the_front(void **state)
{
	struct buf b = BUF_INIT(10);

	(void)state;
	buf_add_string(&b, "abcdef");
	buf_consume(&b, 2);
	assert_string_equal(b.data, "cdef");
	buf_consume(&b, 4);
	assert_string_equal(buf_string(&b), "");
	assert_int_equal(b.len, 0);
	buf_free(&b);
}

static void
reserve_and_added_go_together(void **state)
{
	struct buf b = BUF_INIT(1000);
	char *to = buf_reserve(&b, 1000);

	(void)state;
	assert_non_null(to);
	memset(to, 'x', 1000);
	buf_added(&b, 1000);
	assert_int_equal(strlen(b.data), 1000);
	assert_null(buf_reserve(&b, 1));
	buf_reset(&b);
	assert_int_equal(b.len, 0);
	assert_non_null(buf_reserve(&b, 1));
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_zero_value_is_empty_and_holds_nothing),
		cmocka_unit_test(what_was_appended_is_there),
		cmocka_unit_test(an_append_beyond_the_cap_changes_nothing),
		cmocka_unit_test(it_grows_octet_by_octet_to_its_cap),
		cmocka_unit_test(consume_takes_from_the_front),
		cmocka_unit_test(reserve_and_added_go_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
