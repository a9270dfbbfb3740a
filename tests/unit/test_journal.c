/*
 * spool/journal: a line that is lost costs at most itself.
 */
#include "tests/unit/unit_spool.h"

#include <signal.h>
#include <sys/resource.h>

#include "spool/journal.h"

#define NAME_A "0aaaaaaaaaaaaaaaaaaaaaaaaa"
#define NAME_B "0bbbbbbbbbbbbbbbbbbbbbbbbb"

struct seen {
	size_t count;
	struct {
		struct journal_record r;
		char name[NAME_LEN + 1], text[JOURNAL_TEXT_MAX + 1];
		off_t at;
	} rows[40];
};

static void
note(void *context, const struct journal_record *r, off_t at)
{
	struct seen *seen = context;

	assert_true(seen->count < COUNT(seen->rows));
	seen->rows[seen->count].r = *r;
	seen->rows[seen->count].at = at;
	memcpy(seen->rows[seen->count].name, r->name, NAME_LEN);
	snprintf(seen->rows[seen->count].text, JOURNAL_TEXT_MAX + 1, "%s", r->text);
	seen->count++;
}

static struct journal_record
record(const char *name, enum journal_event event, const char *text)
{
	return (struct journal_record){ .time = 1763912345123456,
		.name = name,
		.recipient = JOURNAL_ALL,
		.event = event,
		.text = text };
}

static void
add(struct journal *j, const char *name, const char *text)
{
	struct journal_record r = record(name, EVENT_DEFERRED, text);

	journal_append(j, &r);
	assert_int_equal(journal_commit(j, true), 0);
}

/* Opens the journal, notes what is in it, and closes it: the damaged lines. */
static size_t
reopen(struct place *p, struct seen *seen)
{
	struct journal j;
	size_t damaged;

	*seen = (struct seen){ .count = 0 };
	assert_int_equal(journal_open(&j, p->state, note, seen, &damaged), 0);
	journal_close(&j);
	return damaged;
}

/* A journal with the records "one", "two", "three". */
static void
three_records(struct place *p)
{
	struct journal j;
	struct seen seen = { .count = 0 };
	size_t damaged;

	assert_int_equal(journal_open(&j, p->state, note, &seen, &damaged), 0);
	add(&j, NAME_A, "one");
	add(&j, NAME_B, "two");
	add(&j, NAME_A, "three");
	journal_close(&j);
}

static char *
journal_octets(struct place *p, size_t *len)
{
	int fd = openat(p->state, "journal", O_RDONLY);
	char *data = file_load(fd, len);

	close(fd);
	return data;
}

static void
each_event_comes_back(void **state)
{
	struct place *p = *state;
	struct seen seen = { .count = 0 };
	struct journal j;
	off_t at[EVENT_REMOVED + 1];
	size_t damaged;

	assert_int_equal(journal_open(&j, p->state, note, &seen, &damaged), 0);
	for (int e = EVENT_DOUBT; e <= EVENT_REMOVED; e++)
		at[e] = journal_append(&j, &(struct journal_record){ .time = 5 + e,
					       .name = NAME_A,
					       .recipient = e - 1,
					       .event = (enum journal_event)e,
					       .attempts = 7,
					       .elapsed = 1ULL << 40,
					       .pause = 60000,
					       .code = 451,
					       .text = e % 2 ? "451 4.7.1 try later" : "" });
	assert_int_equal(journal_commit(&j, true), 0);
	journal_close(&j);
	assert_int_equal(reopen(p, &seen), 0);
	assert_int_equal(seen.count, EVENT_REMOVED + 1);
	for (int e = EVENT_DOUBT; e <= EVENT_REMOVED; e++) {
		const struct journal_record *r = &seen.rows[e].r;

		assert_int_equal(seen.rows[e].at, at[e]);
		assert_int_equal(r->time, 5 + e);
		assert_string_equal(seen.rows[e].name, NAME_A);
		assert_int_equal(r->recipient, e - 1);
		assert_int_equal(r->event, e);
		assert_int_equal(r->attempts, 7);
		assert_int_equal(r->elapsed, 1ULL << 40);
		assert_int_equal(r->pause, 60000);
		assert_int_equal(r->code, 451);
		assert_string_equal(seen.rows[e].text, e % 2 ? "451 4.7.1 try later" : "");
	}
}

static void
a_record_is_found_again_at_its_offset(void **state)
{
	struct place *p = *state;
	struct seen seen;
	struct journal_record r;
	struct buf text;
	int fd;

	three_records(p);
	reopen(p, &seen);
	fd = openat(p->state, "journal", O_RDONLY);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(journal_read_at(fd, seen.rows[i].at, &r, &text), 0);
		assert_string_equal(r.text, seen.rows[i].text);
		buf_free(&text);
	}
	assert_int_equal(journal_read_at(fd, seen.rows[1].at + 1, &r, &text), -1);
	assert_int_equal(journal_read_at(fd, 1 << 20, &r, &text), -1);
	close(fd);
}

static void
text_cannot_forge_a_line(void **state)
{
	struct place *p = *state;
	struct seen seen = { .count = 0 };
	struct journal j;
	size_t damaged;
	char big[5000];

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	assert_int_equal(journal_open(&j, p->state, note, &seen, &damaged), 0);
	add(&j, NAME_A, "a\nb\r\x1b[2J \xff");
	add(&j, NAME_A, big);
	journal_close(&j);
	assert_int_equal(reopen(p, &seen), 0);
	assert_int_equal(seen.count, 2);
	assert_string_equal(seen.rows[0].text, "a\\x0ab\\x0d\\x1b[2J \\xff");
	assert_int_equal(strlen(seen.rows[1].text), JOURNAL_TEXT_MAX);
}

static void
a_torn_tail_of_any_length_is_cut_off(void **state)
{
	struct place *p = *state;
	struct seen seen;
	size_t len, last;
	char *data;

	three_records(p);
	data = journal_octets(p, &len);
	reopen(p, &seen);
	last = (size_t)seen.rows[2].at;
	for (size_t n = last; n < len; n++) {
		struct stat st;

		file_put(p->state, "journal", data, n);
		assert_int_equal(reopen(p, &seen), 0);
		assert_int_equal(seen.count, 2);
		assert_int_equal(fstatat(p->state, "journal", &st, 0), 0);
		assert_int_equal(st.st_size, last);
	}
	free(data);
}

/* What a crash leaves where the size of a file reached the disk before its data. */
static void
a_record_behind_a_tail_of_zeros_is_not_lost(void **state)
{
	static const size_t tails[] = { 1, 100, 1023, 1024, 4096, 300000 };
	struct place *p = *state;

	for (size_t i = 0; i < COUNT(tails); i++) {
		struct seen seen = { .count = 0 };
		struct journal j;
		size_t damaged, len;
		char *data;

		unlinkat(p->state, "journal", 0);
		three_records(p);
		data = journal_octets(p, &len);
		data = realloc(data, len + tails[i]);
		memset(data + len, 0, tails[i]);
		file_put(p->state, "journal", data, len + tails[i]);
		free(data);
		assert_int_equal(journal_open(&j, p->state, note, &seen, &damaged), 0);
		assert_int_equal(seen.count, 3);
		add(&j, NAME_B, "four");
		journal_close(&j);
		reopen(p, &seen);
		assert_int_equal(seen.count, 4);
		assert_string_equal(seen.rows[3].text, "four");
	}
}

static void
a_flipped_bit_costs_one_line(void **state)
{
	struct place *p = *state;
	struct seen seen;
	size_t len, from, to;
	char *data;

	three_records(p);
	data = journal_octets(p, &len);
	reopen(p, &seen);
	from = (size_t)seen.rows[1].at;
	to = (size_t)seen.rows[2].at - 1;
	for (size_t bit = 8 * from; bit < 8 * to; bit++) {
		data[bit / 8] = (char)(data[bit / 8] ^ 1 << bit % 8);
		file_put(p->state, "journal", data, len);
		assert_in_range(reopen(p, &seen), 1, 2);
		assert_int_equal(seen.count, 2);
		assert_string_equal(seen.rows[0].text, "one");
		assert_string_equal(seen.rows[1].text, "three");
		data[bit / 8] = (char)(data[bit / 8] ^ 1 << bit % 8);
	}
	free(data);
}

static void
garbage_lines_are_skipped_and_counted(void **state)
{
	static const char *const garbage[] = { "\n", "x\n", "00000000\n", "00000000 \n",
		"00000000 1 " NAME_A " * done 0 0 0 0 \n" };
	struct place *p = *state;
	struct seen seen;
	size_t len;
	char *data, all[4096];

	three_records(p);
	data = journal_octets(p, &len);
	for (size_t i = 0; i < COUNT(garbage); i++) {
		size_t n = strlen(garbage[i]);

		memcpy(all, garbage[i], n);
		memcpy(all + n, data, len);
		file_put(p->state, "journal", all, n + len);
		assert_int_equal(reopen(p, &seen), 1);
		assert_int_equal(seen.count, 3);
	}
	free(data);
}

static void
a_line_without_end_does_not_hide_the_next(void **state)
{
	enum { BEFORE = 700000 };
	struct place *p = *state;
	struct seen seen;
	size_t len;
	char *data, *all = malloc(BEFORE + 4096);

	three_records(p);
	data = journal_octets(p, &len);
	memset(all, 'x', BEFORE);
	all[BEFORE - 1] = '\n';
	memcpy(all + BEFORE, data, len);
	file_put(p->state, "journal", all, BEFORE + len);
	assert_true(reopen(p, &seen) >= 1);
	assert_int_equal(seen.count, 3);
	free(all);
	free(data);
}

static void
reading_needs_no_journal_and_changes_none(void **state)
{
	struct place *p = *state;
	struct seen seen = { .count = 0 };
	size_t damaged, len, after;
	char *data;

	assert_int_equal(journal_read(p->state, note, &seen, &damaged), 0);
	assert_int_equal(seen.count, 0);
	three_records(p);
	data = journal_octets(p, &len);
	file_put(p->state, "journal", data, len - 5);
	free(data);
	assert_int_equal(journal_read(p->state, note, &seen, &damaged), 0);
	assert_int_equal(seen.count, 2);
	free(journal_octets(p, &after));
	assert_int_equal(after, len - 5);
}

static void
what_is_not_committed_is_not_written(void **state)
{
	struct place *p = *state;
	struct seen seen = { .count = 0 };
	struct journal j;
	struct journal_record r = record(NAME_A, EVENT_DONE, "");
	size_t damaged;

	assert_int_equal(journal_open(&j, p->state, note, &seen, &damaged), 0);
	journal_append(&j, &r);
	journal_close(&j);
	reopen(p, &seen);
	assert_int_equal(seen.count, 0);
}

/* Writes until the file may not grow: as when the disk is full. */
static void
fill_up(struct journal *j)
{
	struct rlimit old, limit;
	struct journal_record r = record(NAME_B, EVENT_DONE, "250 2.0.0 a text of some length");

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	limit.rlim_cur = (rlim_t)j->size + 150;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (int i = 0; i < 10; i++)
		journal_append(j, &r);
	assert_int_equal(journal_commit(j, true), -1);
	assert_int_equal(errno, EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
}

static void
a_full_disk_breaks_the_journal_and_loses_nothing(void **state)
{
	struct place *p = *state;
	struct seen seen = { .count = 0 };
	struct journal j;
	size_t damaged;

	assert_int_equal(journal_open(&j, p->state, note, &seen, &damaged), 0);
	add(&j, NAME_A, "one");
	fill_up(&j);
	assert_true(j.broken);
	assert_int_equal(j.error, EFBIG);
	assert_true(j.pending.len > 0);
	assert_int_equal(journal_commit(&j, false), -1);
	assert_int_equal(errno, EFBIG);
	journal_close(&j);
	assert_int_equal(reopen(p, &seen), 0);
	assert_int_equal(seen.count, 1);
}

static void
replace_mends_a_broken_journal(void **state)
{
	struct place *p = *state;
	struct seen seen = { .count = 0 };
	struct journal j, next;
	struct journal_record r = record(NAME_B, EVENT_HELD, "kept");
	size_t damaged;

	assert_int_equal(journal_open(&j, p->state, note, &seen, &damaged), 0);
	add(&j, NAME_A, "one");
	fill_up(&j);
	assert_int_equal(journal_replace_begin(&j, &next), 0);
	journal_append(&next, &r);
	assert_int_equal(journal_replace_end(&j, &next, p->queue), 0);
	assert_false(j.broken);
	add(&j, NAME_A, "new");
	journal_close(&j);
	assert_int_equal(reopen(p, &seen), 0);
	assert_int_equal(seen.count, 2);
	assert_string_equal(seen.rows[0].text, "kept");
	assert_string_equal(seen.rows[1].text, "new");
	assert_int_equal(faccessat(p->state, "journal.new", F_OK, 0), -1);
}

static void
a_replacement_that_fails_leaves_the_old_journal(void **state)
{
	struct place *p = *state;
	struct seen seen = { .count = 0 };
	struct journal j, next;
	size_t damaged;

	assert_int_equal(journal_open(&j, p->state, note, &seen, &damaged), 0);
	add(&j, NAME_A, "one");
	assert_int_equal(journal_replace_begin(&j, &next), 0);
	assert_int_equal(journal_replace_end(&j, &next, -1), -1);
	assert_int_equal(errno, EBADF);
	add(&j, NAME_A, "two");
	journal_close(&j);
	assert_int_equal(reopen(p, &seen), 0);
	assert_int_equal(seen.count, 2);
	assert_int_equal(faccessat(p->state, "journal.new", F_OK, 0), -1);
}

static void
a_replacement_that_is_dropped_leaves_the_old_journal(void **state)
{
	struct place *p = *state;
	struct journal j, next;
	struct journal_record r = record(NAME_A, EVENT_HELD, "other");
	struct seen seen = { .count = 0 };
	size_t damaged;

	three_records(p);
	assert_int_equal(journal_open(&j, p->state, note, &seen, &damaged), 0);
	assert_int_equal(journal_replace_begin(&j, &next), 0);
	journal_append(&next, &r);
	assert_int_equal(journal_commit(&next, true), 0);
	journal_replace_cancel(&next);
	assert_int_equal(faccessat(p->state, "journal.new", F_OK, 0), -1);
	add(&j, NAME_B, "four");
	journal_close(&j);
	assert_int_equal(reopen(p, &seen), 0);
	assert_int_equal(seen.count, 4);
	assert_string_equal(seen.rows[3].text, "four");
}

static void
a_replacement_that_a_crash_left_is_removed(void **state)
{
	struct place *p = *state;
	struct seen seen;

	three_records(p);
	file_put(p->state, "journal.new", "half a li", 9);
	assert_int_equal(reopen(p, &seen), 0);
	assert_int_equal(seen.count, 3);
	assert_int_equal(faccessat(p->state, "journal.new", F_OK, 0), -1);
}

/* What is reserved is no part of the file's size, for whoever reads it. */
static void
space_is_reserved_ahead_of_the_end(void **state)
{
	enum { AHEAD = 512 << 10 };
	struct place *p = *state;
	struct journal j, next;
	struct seen seen = { .count = 0 };
	struct journal_record r = record(NAME_A, EVENT_DEFERRED, "451 4.7.1 try again later");
	size_t damaged;
	struct stat st;

	assert_int_equal(journal_open(&j, p->state, note, &seen, &damaged), 0);
	for (int i = 0; i < 20; i++) {
		for (int k = 0; k < 1000; k++)
			journal_append(&j, &r);
		assert_int_equal(journal_commit(&j, true), 0);
		assert_int_equal(fstat(j.fd, &st), 0);
		assert_int_equal(st.st_size, j.size);
		assert_true(j.no_reserve || st.st_blocks * 512 >= st.st_size + AHEAD);
	}
	assert_int_equal(journal_replace_begin(&j, &next), 0);
	assert_true(journal_reserve(&next));
	assert_int_equal(fstat(next.fd, &st), 0);
	assert_int_equal(st.st_size, 0);
	assert_true(next.no_reserve || st.st_blocks * 512 >= AHEAD);
	journal_replace_cancel(&next);
	journal_close(&j);
}

static void
the_lock_has_one_owner(void **state)
{
	struct place *p = *state;
	int first = journal_lock(p->state), second;

	assert_true(first >= 0);
	assert_int_equal(journal_lock(p->state), -1);
	assert_int_equal(errno, EWOULDBLOCK);
	close(first);
	second = journal_lock(p->state);
	assert_true(second >= 0);
	close(second);
}

static void
a_symbolic_link_is_no_journal(void **state)
{
	struct place *p = *state;
	struct seen seen = { .count = 0 };
	struct journal j;
	size_t damaged;

	assert_int_equal(symlinkat("elsewhere", p->state, "journal"), 0);
	assert_int_equal(journal_open(&j, p->state, note, &seen, &damaged), -1);
	assert_int_equal(errno, ELOOP);
	assert_int_equal(faccessat(p->state, "elsewhere", F_OK, 0), -1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_event_comes_back),
		TEST(a_record_is_found_again_at_its_offset),
		TEST(text_cannot_forge_a_line),
		TEST(a_torn_tail_of_any_length_is_cut_off),
		TEST(a_record_behind_a_tail_of_zeros_is_not_lost),
		TEST(a_flipped_bit_costs_one_line),
		TEST(garbage_lines_are_skipped_and_counted),
		TEST(a_line_without_end_does_not_hide_the_next),
		TEST(reading_needs_no_journal_and_changes_none),
		TEST(what_is_not_committed_is_not_written),
		TEST(a_full_disk_breaks_the_journal_and_loses_nothing),
		TEST(replace_mends_a_broken_journal),
		TEST(a_replacement_that_fails_leaves_the_old_journal),
		TEST(a_replacement_that_is_dropped_leaves_the_old_journal),
		TEST(a_replacement_that_a_crash_left_is_removed),
		TEST(space_is_reserved_ahead_of_the_end),
		TEST(the_lock_has_one_owner),
		TEST(a_symbolic_link_is_no_journal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
