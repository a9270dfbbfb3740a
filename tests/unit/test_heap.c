/*
 * relayd/heap: the earliest first, whatever is put, moved and removed.
 */
#include "tests/unit/unit.h"

#include "relayd/heap.h"

static struct index_entry
entry(int64_t due, char letter)
{
	struct index_entry e = { .due = due };

	memset(e.name, letter, NAME_LEN);
	return e;
}

static void
an_empty_heap_has_no_first(void **state)
{
	struct heap h = { .count = 0 };
	struct index_entry e = entry(1, 'a');

	(void)state;
	assert_null(heap_top(&h));
	heap_remove(&h, &e);
	assert_null(heap_top(&h));
	heap_free(&h);
}

static void
the_earliest_is_first_and_among_equals_the_oldest(void **state)
{
	struct heap h = { .count = 0 };
	struct index_entry a = entry(5, 'a'), b = entry(5, 'b'), c = entry(4, 'c');

	(void)state;
	assert_int_equal(heap_put(&h, &b), 0);
	assert_int_equal(heap_put(&h, &a), 0);
	assert_ptr_equal(heap_top(&h), &a);
	assert_int_equal(heap_put(&h, &c), 0);
	assert_ptr_equal(heap_top(&h), &c);
	heap_remove(&h, &c);
	heap_remove(&h, &c);
	assert_ptr_equal(heap_top(&h), &a);
	heap_remove(&h, &a);
	assert_ptr_equal(heap_top(&h), &b);
	assert_int_equal(h.count, 1);
	heap_free(&h);
}

static void
an_entry_that_is_put_again_moves(void **state)
{
	struct heap h = { .count = 0 };
	struct index_entry a = entry(1, 'a'), b = entry(2, 'b');

	(void)state;
	heap_put(&h, &a);
	heap_put(&h, &b);
	a.due = 3;
	heap_put(&h, &a);
	assert_int_equal(h.count, 2);
	assert_ptr_equal(heap_top(&h), &b);
	a.due = 0;
	heap_put(&h, &a);
	assert_ptr_equal(heap_top(&h), &a);
	heap_free(&h);
}

static const struct index_entry *
earliest(const struct index_entry *all, size_t n)
{
	const struct index_entry *best = NULL;

	for (size_t i = 0; i < n; i++)
		if (all[i].heap != 0 && (best == NULL || all[i].due < best->due))
			best = &all[i];
	return best;
}

static void
thousands_of_random_moves_keep_the_order(void **state)
{
	enum { N = 300 };
	struct heap h = { .count = 0 };
	struct index_entry *all = calloc(N, sizeof(*all));

	(void)state;
	srandom(1);
	for (int i = 0; i < 20000; i++) {
		struct index_entry *e = &all[random() % N];
		const struct index_entry *best;

		if (random() % 3 == 0) {
			heap_remove(&h, e);
		} else {
			e->due = random() % 100000;
			assert_int_equal(heap_put(&h, e), 0);
		}
		best = earliest(all, N);
		assert_true(best == NULL ? heap_top(&h) == NULL : heap_top(&h)->due == best->due);
	}
	for (int64_t last = -1; heap_top(&h) != NULL; heap_remove(&h, heap_top(&h))) {
		assert_true(heap_top(&h)->due >= last);
		last = heap_top(&h)->due;
	}
	heap_free(&h);
	free(all);
}

static void
those_that_are_due_are_counted_up_to_a_limit(void **state)
{
	enum { N = 100 };
	struct heap h = { .count = 0 };
	struct index_entry *all = calloc(N, sizeof(*all));

	(void)state;
	assert_int_equal(heap_count_due(&h, 5, 10), 0);
	for (int i = 0; i < N; i++) {
		all[i].due = (i * 37) % N;
		assert_int_equal(heap_put(&h, &all[i]), 0);
	}
	for (int now = -1; now <= N; now++) {
		size_t due = now < N ? (size_t)(now + 1) : N;

		for (size_t limit = 0; limit <= N + 1; limit++)
			assert_int_equal(heap_count_due(&h, now, limit), due < limit ? due : limit);
	}
	heap_free(&h);
	free(all);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_heap_has_no_first),
		cmocka_unit_test(the_earliest_is_first_and_among_equals_the_oldest),
		cmocka_unit_test(an_entry_that_is_put_again_moves),
		cmocka_unit_test(those_that_are_due_are_counted_up_to_a_limit),
		cmocka_unit_test(thousands_of_random_moves_keep_the_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
