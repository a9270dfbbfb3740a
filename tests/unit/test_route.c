/*
 * relayd/route: whose mail a smarthost carries; relayd/lanes: where it waits.
 */
#include "tests/unit/unit.h"

#include "relayd/lanes.h"
#include "relayd/route.h"

/* Does a block with this one pattern carry it? */
static bool
carries(const char *pattern, const char *sender, const char *recipient)
{
	bool to = strncmp(pattern, "to:", 3) == 0;
	struct settings_pattern one = { .recipient = to,
		.text = (char *)(uintptr_t)(pattern + (to ? 3 : 0)) };
	struct settings_smarthost h = { .patterns = &one, .pattern_count = 1 };
	struct settings s = { .smarthosts = &h, .smarthost_count = 1 };

	assert_true(route_is_needed(&s));
	return route_carriers(&s, sender, recipient) == 1;
}

static void
patterns_are_about_the_sender_or_the_recipient(void **state)
{
	static const struct {
		const char *pattern, *sender, *recipient;
		bool carries;
	} rows[] = {
		{ "*", "a@b.x", "c@d.x", true },
		{ "*", "", "c@d.x", true },
		{ "to:*", "", "c@d.x", true },
		{ "a@b.x", "a@b.x", "c@d.x", true },
		{ "A@b.X", "a@B.x", "c@d.x", true },
		{ "a@b.x", "aa@b.x", "c@d.x", false },
		{ "a@b.x", "c@d.x", "a@b.x", false },
		{ "to:a@b.x", "c@d.x", "a@b.x", true },
		{ "to:a@b.x", "a@b.x", "c@d.x", false },
		{ "@b.x", "a@b.x", "c@d.x", true },
		{ "@b.x", "a@c.b.x", "c@d.x", false },
		{ "@b.x", "a@bb.x", "c@d.x", false },
		{ "@b.x", "\"@b.x\"@c.x", "c@d.x", false },
		{ "@.b.x", "a@b.x", "c@d.x", true },
		{ "@.B.x", "a@c.b.X", "c@d.x", true },
		{ "@.b.x", "a@e.c.b.x", "c@d.x", true },
		{ "@.b.x", "a@bb.x", "c@d.x", false },
		{ "@.b.x", "a@x", "c@d.x", false },
		{ "@\303\244.x", "a@\303\244.x", "c@d.x", true },
		{ "@xn--4ca.x", "a@\303\244.x", "c@d.x", false },
		{ "<>", "", "c@d.x", true },
		{ "<>", "a@b.x", "c@d.x", false },
		/* a report goes the way of what its recipient sends */
		{ "@b.x", "", "a@b.x", true },
		{ "a@b.x", "", "c@d.x", false },
		{ "@b.x", "bare", "c@d.x", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		if (carries(rows[i].pattern, rows[i].sender, rows[i].recipient) != rows[i].carries)
			fail_msg(
			    "%s: <%s> to <%s>", rows[i].pattern, rows[i].sender, rows[i].recipient);
}

static void
each_smarthost_has_its_bit(void **state)
{
	struct settings_pattern a = { .text = (char[]){ "@a.x" } };
	struct settings_pattern ab[] = { a, { .text = (char[]){ "@b.x" } } };
	struct settings_smarthost h[] = { { .patterns = &a, .pattern_count = 1 },
		{ .patterns = ab, .pattern_count = 2 }, { .pattern_count = 0 } };
	struct settings s = { .smarthosts = h, .smarthost_count = 3 };

	(void)state;
	assert_true(route_carriers(&s, "x@a.x", "y@z") == 7);
	assert_true(route_carriers(&s, "x@b.x", "y@z") == 6);
	assert_true(route_carriers(&s, "x@c.x", "y@z") == 4);
	s.smarthost_count = 2;
	assert_true(route_carriers(&s, "x@c.x", "y@z") == 0);
	s.smarthosts += 2;
	s.smarthost_count = 1;
	assert_false(route_is_needed(&s));
}

static void
the_lane_that_has_waited_longest_comes_first(void **state)
{
	static const char *const names[] = { "h0000000aaaaaaaaaaaaaaaaaa",
		"h0000000bbbbbbbbbbbbbbbbbb", "h0000000cccccccccccccccccc" };
	struct index x;
	struct lanes l = { .index = &x };
	struct heap h = { .index = &x };
	struct index_entry *e[COUNT(names)];
	struct lane *one, *two;

	(void)state;
	assert_int_equal(index_init(&x, 0), 0);
	for (size_t i = 0; i < COUNT(names); i++)
		e[i] = index_add(&x, names[i], 30 - 10 * (int64_t)i);
	assert_null(lanes_first(&l));
	one = lanes_put(&l, 1, e[0]);
	assert_ptr_equal(lanes_first(&l), one);
	two = lanes_put(&l, 2, e[1]);
	assert_ptr_equal(lanes_first(&l), two);
	assert_ptr_equal(lanes_put(&l, 1, e[2]), one);
	assert_ptr_equal(lanes_first(&l), one);
	assert_true(lanes_carriers(&l, e[1]) == 2);
	one->blocked = true;
	assert_ptr_equal(lanes_first(&l), two);
	/* what is empty is used again */
	lanes_remove(&l, e[1]);
	assert_int_equal(e[1]->heap, 0);
	assert_true(lanes_carriers(&l, e[1]) == ROUTE_ALL);
	assert_null(lanes_first(&l));
	assert_ptr_equal(lanes_put(&l, 3, e[1]), two);
	assert_int_equal(l.count, 2);
	assert_int_equal(lanes_dissolve(&l, &h), 0);
	assert_int_equal(h.count, 3);
	assert_ptr_equal(heap_top(&h), e[2]);
	for (size_t i = 0; i < COUNT(names); i++)
		assert_true(heap_has(&h, e[i]));
	heap_free(&h);
	lanes_free(&l);
	index_free(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns_are_about_the_sender_or_the_recipient),
		cmocka_unit_test(each_smarthost_has_its_bit),
		cmocka_unit_test(the_lane_that_has_waited_longest_comes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
