/*
 * spool/index: what the directory and the journal say together.
 */
#include "tests/unit/unit_spool.h"

#include "base/clock.h"
#include "base/number.h"
#include "spool/index.h"

#define NAME_A "0aaaaaaaaaaaaaaaaaaaaaaaaa"
#define NAME_B "0bbbbbbbbbbbbbbbbbbbbbbbbb"
#define IN_DOUBT (900 * (int64_t)USEC_PER_SEC)
#define SECOND ((int64_t)USEC_PER_SEC)

static struct index
index_with(const char *name)
{
	struct index x;

	assert_int_equal(index_init(&x, IN_DOUBT), 0);
	assert_non_null(index_add(&x, name, 0));
	return x;
}

static const struct index_entry *
apply(struct index *x, struct journal_record r)
{
	r.name = NAME_A;
	r.text = "";
	index_apply(x, &r, 77);
	return index_find(x, NAME_A);
}

static void
an_entry_is_found_until_it_is_removed(void **state)
{
	struct index x = index_with(NAME_A);
	struct index_entry *e = index_find(&x, NAME_A);

	(void)state;
	assert_non_null(e);
	assert_null(index_find(&x, NAME_B));
	assert_ptr_equal(index_add(&x, NAME_A, 5), e);
	assert_int_equal(e->due, 0);
	assert_int_equal(x.count, 1);
	index_remove(&x, e);
	assert_null(index_find(&x, NAME_A));
	assert_int_equal(x.count, 0);
	index_free(&x);
}

static void
thousands_of_entries_stay_findable_and_sorted(void **state)
{
	enum { N = 5000 };
	struct index x;
	struct index_entry **all;
	struct queue_name *names = calloc(N, sizeof(*names));

	(void)state;
	assert_int_equal(index_init(&x, IN_DOUBT), 0);
	for (int i = 0; i < N; i++) {
		assert_int_equal(name_make(&names[i]), 0);
		assert_non_null(index_add(&x, names[i].text, i));
	}
	assert_int_equal(x.count, N);
	for (int i = 0; i < N; i++)
		assert_int_equal(index_find(&x, names[i].text)->due, i);
	all = index_sorted(&x);
	for (int i = 1; i < N; i++)
		assert_true(
		    memcmp(index_name(all[i - 1]).text, index_name(all[i]).text, NAME_LEN) < 0);
	free(all);
	free(names);
	index_free(&x);
}

/* Through several chunks and sizes of the table, down to nothing and up again. */
static void
entries_stay_where_they_are_while_others_come_and_go(void **state)
{
	enum { N = 30000 };
	struct index x;
	struct queue_name *names = calloc(N, sizeof(*names));
	struct index_entry **entries = calloc(N, sizeof(*entries));

	(void)state;
	assert_int_equal(index_init(&x, IN_DOUBT), 0);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < N; i++) {
			assert_int_equal(name_make(&names[i]), 0);
			entries[i] = index_add(&x, names[i].text, i);
			assert_non_null(entries[i]);
		}
		/* all but every 7th in the first round, all in the second */
		for (int i = 0; i < N; i++)
			if (round == 1 || i % 7 != 0)
				index_remove(&x, entries[i]);
		/* those of the first round that stay */
		assert_int_equal(x.count, (N + 6) / 7);
		for (int i = 0; i < N; i++) {
			struct index_entry *e = index_find(&x, names[i].text);

			assert_ptr_equal(e, round == 0 && i % 7 == 0 ? entries[i] : NULL);
			if (e == NULL)
				continue;
			assert_int_equal(e->due, i);
			assert_string_equal(index_name(e).text, names[i].text);
			assert_ptr_equal(index_at(&x, index_number(e)), e);
		}
	}
	free(names);
	free(entries);
	index_free(&x);
}

static void
memory_goes_back_when_the_entries_go(void **state)
{
	struct index x;
	struct queue_name name;
	struct index_entry *e;

	(void)state;
	assert_int_equal(index_init(&x, IN_DOUBT), 0);
	for (int i = 0; i < 100000; i++) {
		assert_int_equal(name_make(&name), 0);
		assert_non_null(e = index_add(&x, name.text, 0));
		assert_int_equal(index_set_finished(&x, e, 1), 0);
	}
	/* of 48 octets each, and a table of four octets that is at most four fifths full */
	assert_true(x.chunk_count <= 19);
	assert_true(x.slot_count <= 262144);
	for (uint32_t at = 0; (e = index_next(&x, &at)) != NULL;)
		index_remove(&x, e);
	assert_int_equal(x.count, 0);
	assert_true(x.slot_count <= 64);
	assert_null(x.partials);
	for (uint32_t i = 0, left = 0; i < x.chunk_count; i++)
		assert_true((left += x.chunks[i] != NULL) <= 1);
	index_free(&x);
}

/* Names that differ in one character each, and end in the same slots now and then. */
static void
each_entry_is_seen_once_in_a_pass(void **state)
{
	static const char alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	struct index x;
	struct index_entry *e;
	char name[NAME_LEN + 1] = NAME_A;
	size_t seen = 0;

	(void)state;
	assert_int_equal(index_init(&x, IN_DOUBT), 0);
	for (int i = 0; i < NAME_LEN; i++) {
		for (const char *c = alphabet; *c != '\0'; c++) {
			name[i] = *c;
			assert_non_null(e = index_add(&x, name, 0));
			assert_string_equal(index_name(e).text, name);
			assert_int_equal(index_time(e), name_time(name));
		}
		name[i] = NAME_A[i];
	}
	assert_int_equal(x.count, 1 + 35 * NAME_LEN);
	for (uint32_t at = 0; (e = index_next(&x, &at)) != NULL; seen++)
		if (seen % 2 == 0)
			index_remove(&x, e);
	assert_int_equal(seen, 1 + 35 * NAME_LEN);
	assert_int_equal(x.count, seen / 2);
	index_free(&x);
}

static void
reason_and_first_attempt_keep_their_values(void **state)
{
	static const off_t reasons[] = { -1, 0, 77, INT64_C(1) << 32, (INT64_C(1) << 48) - 2 };
	struct index x = index_with(NAME_A);
	struct index_entry *e = index_find(&x, NAME_A);

	(void)state;
	assert_int_equal(index_reason(e), -1);
	for (size_t i = 0; i < COUNT(reasons); i++) {
		index_set_reason(e, reasons[i]);
		assert_int_equal(index_reason(e), reasons[i]);
	}
	index_set_reason(e, INT64_C(1) << 50);
	assert_int_equal(index_reason(e), -1);
	assert_int_equal(index_first(e), 0);
	for (int64_t boot = -3 * SECOND; boot < 3 * SECOND; boot += SECOND / 4) {
		index_set_first(e, boot);
		assert_true(index_first(e) >= boot && index_first(e) < boot + SECOND);
	}
	index_free(&x);
}

static void
scan_takes_messages_and_nothing_else(void **state)
{
	struct place *p = *state;
	struct index x;

	file_put(p->queue, NAME_A, "", 0);
	file_put(p->queue, "." NAME_B, "", 0);
	file_put(p->queue, "README", "", 0);
	file_put(p->queue, NAME_B "x", "", 0);
	assert_int_equal(index_init(&x, IN_DOUBT), 0);
	assert_int_equal(index_scan(&x, p->queue, 42), 0);
	assert_int_equal(x.count, 1);
	assert_int_equal(index_find(&x, NAME_A)->due, 42);
	assert_int_equal(index_find(&x, NAME_A)->state, STATE_DUE);
	assert_int_equal(index_scan(&x, -1, 0), -1);
	index_free(&x);
}

static void
records_of_other_files_are_passed_over(void **state)
{
	struct index x = index_with(NAME_B);

	(void)state;
	assert_null(apply(&x, (struct journal_record){ .event = EVENT_HELD }));
	assert_int_equal(index_find(&x, NAME_B)->state, STATE_DUE);
	index_free(&x);
}

static void
each_event_leads_to_its_state(void **state)
{
	static const struct {
		enum journal_event event;
		enum index_state state;
		off_t reason;
	} rows[] = {
		{ EVENT_DOUBT, STATE_DOUBT, 77 },
		{ EVENT_DEFERRED, STATE_DEFERRED, 77 },
		{ EVENT_HELD, STATE_HELD, 77 },
		{ EVENT_FAILED, STATE_FAILED, 77 },
		{ EVENT_CORRUPT, STATE_CORRUPT, 77 },
		{ EVENT_CLEAR, STATE_DUE, -1 },
		{ EVENT_RETRY, STATE_DUE, -1 },
		{ EVENT_DONE, STATE_DUE, -1 },
		{ EVENT_REMOVED, STATE_FINISHED, -1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct index x = index_with(NAME_A);
		const struct index_entry *e =
		    apply(&x, (struct journal_record){ .time = clock_real(),
				  .recipient = 0,
				  .event = rows[i].event,
				  .attempts = 3 });

		assert_int_equal(e->state, rows[i].state);
		assert_int_equal(index_reason(e), rows[i].reason);
		index_free(&x);
	}
}

static void
a_warning_changes_no_state(void **state)
{
	static const enum journal_event events[] = { EVENT_DOUBT, EVENT_DEFERRED, EVENT_CLEAR };

	(void)state;
	for (size_t i = 0; i < COUNT(events); i++) {
		struct index x = index_with(NAME_A);
		const struct index_entry *e = apply(&x,
		    (struct journal_record){
			.time = clock_real(), .event = events[i], .pause = 60000, .attempts = 1 });
		struct index_entry before = *e;

		assert_false(e->warned);
		e = apply(&x, (struct journal_record){
				  .time = clock_real(), .event = EVENT_WARNED, .attempts = 1 });
		assert_true(e->warned);
		assert_int_equal(e->state, before.state);
		assert_int_equal(e->due, before.due);
		assert_int_equal(index_reason(e), index_reason(&before));
		index_free(&x);
	}
}

static void
retry_and_clear_make_due_at_once(void **state)
{
	static const enum journal_event events[] = { EVENT_RETRY, EVENT_CLEAR };

	(void)state;
	for (size_t i = 0; i < COUNT(events); i++) {
		struct index x = index_with(NAME_A);
		const struct index_entry *e = apply(
		    &x, (struct journal_record){ .time = clock_real(), .event = EVENT_DOUBT });

		assert_true(e->due > clock_boot());
		e = apply(&x, (struct journal_record){ .event = events[i] });
		assert_int_equal(e->state, STATE_DUE);
		assert_true(e->due <= clock_boot());
		index_free(&x);
	}
}

static void
a_deferral_waits_for_what_is_left_of_its_pause(void **state)
{
	struct index x = index_with(NAME_A);
	int64_t now = clock_boot();
	const struct index_entry *e =
	    apply(&x, (struct journal_record){ .time = clock_real() - 20 * SECOND,
			  .event = EVENT_DEFERRED,
			  .pause = 60000,
			  .attempts = 4,
			  .elapsed = 5000 });

	(void)state;
	assert_int_equal(e->attempts, 4);
	assert_in_range(e->due - now, 39 * SECOND, 41 * SECOND);
	assert_in_range(now - index_first(e) + SECOND, 5 * SECOND, 7 * SECOND);
	index_free(&x);
}

static void
a_clock_that_jumps_only_brings_the_attempt_forward(void **state)
{
	static const int64_t jumps[] = { -100 * 86400 * INT64_C(1000000), 0,
		86400 * INT64_C(1000000), INT64_C(1) << 60 };

	(void)state;
	for (size_t i = 0; i < COUNT(jumps); i++) {
		struct index x = index_with(NAME_A);
		int64_t now = clock_boot(), time = clock_real() + jumps[i];
		const struct index_entry *e =
		    apply(&x, (struct journal_record){
				  .time = time, .event = EVENT_DEFERRED, .pause = 60000 });

		assert_true(e->due >= now && e->due <= now + 61 * SECOND);
		e = apply(&x, (struct journal_record){ .time = time, .event = EVENT_DOUBT });
		assert_true(e->due >= now && e->due <= now + IN_DOUBT + SECOND);
		index_free(&x);
	}
}

/* Such values pass the journal's own checks. */
static void
extreme_times_do_not_overflow(void **state)
{
	static const struct journal_record rows[] = {
		{ .event = EVENT_DEFERRED, .time = INT64_MAX, .pause = 60000 },
		{ .event = EVENT_DEFERRED, .time = 0, .pause = UINT64_MAX / 1000 },
		{ .event = EVENT_DEFERRED, .elapsed = UINT64_MAX / 1000 },
		{ .event = EVENT_DEFERRED, .elapsed = UINT64_C(9223372036854776) },
		{ .event = EVENT_DOUBT, .time = INT64_MAX },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct index x = index_with(NAME_A);
		int64_t now = clock_boot();
		const struct index_entry *e = apply(&x, rows[i]);

		assert_true(e->due >= now);
		assert_true(index_first(e) <= clock_boot() + SECOND);
		index_free(&x);
	}
}

static void
finished_recipients_are_remembered_each(void **state)
{
	static const size_t some[] = { 0, 1, 63, 64, 65, 1000, ENVELOPE_RECIPIENTS_MAX - 1 };
	struct index x = index_with(NAME_A);
	struct index_entry *e = index_find(&x, NAME_A);

	(void)state;
	for (size_t i = 0; i < COUNT(some); i++) {
		assert_false(index_is_finished(&x, e, some[i]));
		assert_int_equal(index_set_finished(&x, e, some[i]), 0);
		assert_true(index_is_finished(&x, e, some[i]));
		assert_false(index_is_finished(&x, e, some[i] + 7));
	}
	assert_int_equal(index_set_finished(&x, e, ENVELOPE_RECIPIENTS_MAX), 0);
	assert_false(index_is_finished(&x, e, ENVELOPE_RECIPIENTS_MAX));
	index_free(&x);
}

static void
done_bounced_and_dropped_finish_a_recipient(void **state)
{
	static const enum journal_event events[] = { EVENT_DONE, EVENT_BOUNCED, EVENT_DROPPED };

	(void)state;
	for (size_t i = 0; i < COUNT(events); i++) {
		struct index x = index_with(NAME_A);
		const struct index_entry *e =
		    apply(&x, (struct journal_record){ .event = events[i], .recipient = 70 });

		assert_true(index_is_finished(&x, e, 70));
		assert_false(index_is_finished(&x, e, 0));
		assert_int_equal(e->state, STATE_DUE);
		index_free(&x);
	}
}

static void
a_message_that_is_finished_stays_finished(void **state)
{
	static const enum journal_event ends[] = { EVENT_DONE, EVENT_BOUNCED, EVENT_DROPPED,
		EVENT_REMOVED };

	(void)state;
	for (size_t i = 0; i < COUNT(ends); i++) {
		struct index x = index_with(NAME_A);
		const struct index_entry *e = apply(
		    &x, (struct journal_record){ .event = ends[i], .recipient = JOURNAL_ALL });

		assert_int_equal(e->state, STATE_FINISHED);
		for (int k = EVENT_DOUBT; k <= EVENT_REMOVED; k++)
			e = apply(&x, (struct journal_record){ .event = (enum journal_event)k });
		assert_int_equal(e->state, STATE_FINISHED);
		index_free(&x);
	}
}

static void
every_state_has_a_name(void **state)
{
	(void)state;
	for (int i = STATE_DUE; i <= STATE_FINISHED; i++)
		assert_true(strlen(index_state_name((enum index_state)i)) > 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_entry_is_found_until_it_is_removed),
		cmocka_unit_test(thousands_of_entries_stay_findable_and_sorted),
		cmocka_unit_test(entries_stay_where_they_are_while_others_come_and_go),
		cmocka_unit_test(memory_goes_back_when_the_entries_go),
		cmocka_unit_test(each_entry_is_seen_once_in_a_pass),
		cmocka_unit_test(reason_and_first_attempt_keep_their_values),
		cmocka_unit_test_setup_teardown(
		    scan_takes_messages_and_nothing_else, place_setup, place_teardown),
		cmocka_unit_test(records_of_other_files_are_passed_over),
		cmocka_unit_test(each_event_leads_to_its_state),
		cmocka_unit_test(retry_and_clear_make_due_at_once),
		cmocka_unit_test(a_warning_changes_no_state),
		cmocka_unit_test(a_deferral_waits_for_what_is_left_of_its_pause),
		cmocka_unit_test(a_clock_that_jumps_only_brings_the_attempt_forward),
		cmocka_unit_test(extreme_times_do_not_overflow),
		cmocka_unit_test(finished_recipients_are_remembered_each),
		cmocka_unit_test(done_bounced_and_dropped_finish_a_recipient),
		cmocka_unit_test(a_message_that_is_finished_stays_finished),
		cmocka_unit_test(every_state_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
