/*
 * relayd/heap: the earliest first, whatever is put, moved and removed.
 */
#include "tests/unit/unit.h"

#include "relayd/heap.h"

static struct index_entry *
entry(struct index *x, int64_t due, char letter)
{
	char name[NAME_LEN + 1];
	struct index_entry *e;

	memset(name, letter, NAME_LEN);
	name[NAME_LEN] = '\0';
	assert_non_null(e = index_add(x, name, due));
	return e;
}

static void
index_make(struct index *x, struct heap *h)
{
	assert_int_equal(index_init(x, 1), 0);
	*h = (struct heap){ .index = x };
}

static void
an_empty_heap_has_no_first(void **state)
{
	struct index x;
	struct heap h;
	struct index_entry *e;

	(void)state;
	index_make(&x, &h);
	e = entry(&x, 1, 'a');
	assert_null(heap_top(&h));
	heap_remove(&h, e);
	assert_null(heap_top(&h));
	heap_free(&h);
	index_free(&x);
}

static void
the_earliest_is_first_and_among_equals_the_oldest(void **state)
{
	struct index x;
	struct heap h;
	struct index_entry *a, *b, *c;

	(void)state;
	index_make(&x, &h);
	a = entry(&x, 5, 'a');
	b = entry(&x, 5, 'b');
	c = entry(&x, 4, 'c');
	assert_int_equal(heap_put(&h, b), 0);
	assert_int_equal(heap_put(&h, a), 0);
	assert_ptr_equal(heap_top(&h), a);
	assert_int_equal(heap_put(&h, c), 0);
	assert_ptr_equal(heap_top(&h), c);
	heap_remove(&h, c);
	heap_remove(&h, c);
	assert_ptr_equal(heap_top(&h), a);
	heap_remove(&h, a);
	assert_ptr_equal(heap_top(&h), b);
	assert_int_equal(h.count, 1);
	heap_free(&h);
	index_free(&x);
}

static void
an_entry_that_is_put_again_moves(void **state)
{
	struct index x;
	struct heap h;
	struct index_entry *a, *b;

	(void)state;
	index_make(&x, &h);
	a = entry(&x, 1, 'a');
	b = entry(&x, 2, 'b');
	heap_put(&h, a);
	heap_put(&h, b);
	a->due = 3;
	heap_put(&h, a);
	assert_int_equal(h.count, 2);
	assert_ptr_equal(heap_top(&h), b);
	a->due = 0;
	heap_put(&h, a);
	assert_ptr_equal(heap_top(&h), a);
	heap_free(&h);
	index_free(&x);
}

static const struct index_entry *
earliest(const struct index *x)
{
	const struct index_entry *best = NULL, *e;

	for (uint32_t at = 0; (e = index_next(x, &at)) != NULL;)
		if (e->heap != 0 && (best == NULL || e->due < best->due))
			best = e;
	return best;
}

/* So many entries, with numbers from 0. */
static void
entries_make(struct index *x, int count)
{
	struct queue_name name;

	for (int i = 0; i < count; i++) {
		assert_int_equal(name_make(&name), 0);
		assert_non_null(index_add(x, name.text, 0));
	}
}

static void
thousands_of_random_moves_keep_the_order(void **state)
{
	enum { N = 300 };
	struct index x;
	struct heap h;

	(void)state;
	index_make(&x, &h);
	entries_make(&x, N);
	srandom(1);
	for (int i = 0; i < 20000; i++) {
		struct index_entry *e = index_at(&x, (uint32_t)(random() % N));
		const struct index_entry *best;

		if (random() % 3 == 0) {
			heap_remove(&h, e);
		} else {
			e->due = random() % 100000;
			assert_int_equal(heap_put(&h, e), 0);
		}
		best = earliest(&x);
		assert_true(best == NULL ? heap_top(&h) == NULL : heap_top(&h)->due == best->due);
	}
	assert_true(h.size >= h.count + 1);
	for (int64_t last = -1; heap_top(&h) != NULL; heap_remove(&h, heap_top(&h))) {
		assert_true(heap_top(&h)->due >= last);
		last = heap_top(&h)->due;
	}
	/* 64 is the least */
	assert_int_equal(h.size, 64);
	heap_free(&h);
	index_free(&x);
}

static void
those_that_are_due_are_counted_up_to_a_limit(void **state)
{
	enum { N = 100 };
	struct index x;
	struct heap h;

	(void)state;
	index_make(&x, &h);
	entries_make(&x, N);
	assert_int_equal(heap_count_due(&h, 5, 10), 0);
	for (int i = 0; i < N; i++) {
		struct index_entry *e = index_at(&x, (uint32_t)i);

		e->due = (i * 37) % N;
		assert_int_equal(heap_put(&h, e), 0);
	}
	for (int now = -1; now <= N; now++) {
		size_t due = now < N ? (size_t)(now + 1) : N;

		for (size_t limit = 0; limit <= N + 1; limit++)
			assert_int_equal(heap_count_due(&h, now, limit), due < limit ? due : limit);
	}
	heap_free(&h);
	index_free(&x);
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
