/*
 * spool/listing: what mailq shows, and what it must not let through.
 */
#include "tests/unit/unit_spool.h"

#include "base/clock.h"
#include "base/number.h"
#include "spool/listing.h"

#define NAME_A "0aaaaaaaaaaaaaaaaaaaaaaaaa"
#define CONTENT "Subject: x\r\n\r\nbody\r\n"

static const struct listing_pause no_pause = { .reason = NULL };

static char *
listed_with(struct place *p, const struct index *x, int journal, const struct listing_pause *pause)
{
	int fd = memory_file("", 0);
	char *text;

	assert_int_equal(listing_queue(fd, x, p->queue, journal, pause, LISTING_ALL), 0);
	text = file_load(fd, NULL);
	close(fd);
	return text;
}

/* The list of the queue as the directory has it. */
static char *
listed(struct place *p)
{
	struct index x;
	char *text;

	assert_int_equal(index_init(&x, 1), 0);
	assert_int_equal(index_scan(&x, p->queue, 0), 0);
	text = listed_with(p, &x, -1, &no_pause);
	index_free(&x);
	return text;
}

static void
assert_printable(const char *text)
{
	for (; *text != '\0'; text++)
		assert_true(*text == '\n' || (*text >= 0x20 && *text < 0x7f));
}

static void
an_empty_queue_says_so(void **state)
{
	char *text = listed(*state);

	assert_string_equal(text, "Mail queue is empty\n");
	free(text);
}

static void
a_message_has_a_paragraph_and_the_queue_a_summary(void **state)
{
	struct place *p = *state;
	struct queue_name name = message_put_simple(p, CONTENT);
	char *text = listed(p);

	assert_memory_equal(text, name.text, QUEUE_ID_LEN);
	assert_null(strstr(text, name.text));
	assert_non_null(strstr(text, "<root@example.org>\n"));
	assert_non_null(strstr(text, "to  <ops@example.net>\n"));
	assert_non_null(strstr(text, "next attempt  now\n"));
	assert_non_null(strstr(text, "\n-- 1 Kbytes in 1 Request.\n"));
	free(text);
	message_put_simple(p, CONTENT);
	text = listed(p);
	assert_non_null(strstr(text, "in 2 Requests.\n"));
	free(text);
}

/* What uid sees. */
static char *
listed_for(struct place *p, int64_t uid)
{
	struct index x;
	int fd = memory_file("", 0);
	char *text;

	assert_int_equal(index_init(&x, 1), 0);
	assert_int_equal(index_scan(&x, p->queue, 0), 0);
	assert_int_equal(listing_queue(fd, &x, p->queue, -1, &no_pause, uid), 0);
	text = file_load(fd, NULL);
	close(fd);
	index_free(&x);
	return text;
}

static struct queue_name
message_put_of(struct place *p, uint32_t uid)
{
	struct envelope e;
	struct queue_name name;

	envelope_make(&e, "root@example.org", "ops@example.net");
	e.uid = uid;
	name = message_put(p, &e, CONTENT, strlen(CONTENT));
	envelope_free(&e);
	return name;
}

static void
a_user_sees_and_counts_only_what_he_has_submitted(void **state)
{
	struct place *p = *state;
	struct queue_name own = message_put_of(p, 1000), other = message_put_of(p, 0);
	char *text = listed_for(p, 1000);

	assert_memory_equal(text, own.text, QUEUE_ID_LEN);
	other.text[QUEUE_ID_LEN] = '\0';
	assert_null(strstr(text, other.text));
	assert_non_null(strstr(text, "-- 1 Kbytes in 1 Request.\n"));
	free(text);
	text = listed_for(p, 0);
	assert_memory_equal(text, other.text, QUEUE_ID_LEN);
	assert_non_null(strstr(text, "in 1 Request.\n"));
	free(text);
	text = listed_for(p, 1001);
	assert_string_equal(text, "Mail queue is empty\n");
	free(text);
	text = listed_for(p, LISTING_ALL);
	assert_non_null(strstr(text, "in 2 Requests.\n"));
	free(text);
}

static void
what_is_no_message_is_nobodys(void **state)
{
	struct place *p = *state;
	char *text;

	file_put(p->queue, NAME_A, "garbage", 7);
	for (int64_t uid = 0; uid <= 1000; uid += 1000) {
		text = listed_for(p, uid);
		assert_string_equal(text, "Mail queue is empty\n");
		free(text);
	}
}

static void
a_message_that_is_gone_is_not_listed(void **state)
{
	struct place *p = *state;
	struct index x;
	char *text;

	assert_int_equal(index_init(&x, 1), 0);
	assert_non_null(index_add(&x, NAME_A, 0));
	text = listed_with(p, &x, -1, &no_pause);
	assert_string_equal(text, "Mail queue is empty\n");
	free(text);
	index_free(&x);
}

static void
finished_recipients_are_not_listed(void **state)
{
	struct place *p = *state;
	struct envelope e;
	struct index x;
	char *text;

	envelope_make(&e, "", "first@example.net");
	assert_int_equal(envelope_add_recipient(&e, "second@example.net", 0, NULL), 0);
	message_put(p, &e, CONTENT, strlen(CONTENT));
	envelope_free(&e);
	assert_int_equal(index_init(&x, 1), 0);
	assert_int_equal(index_scan(&x, p->queue, 0), 0);
	index_set_finished(&x, index_next(&x, &(uint32_t){ 0 }), 0);
	text = listed_with(p, &x, -1, &no_pause);
	assert_null(strstr(text, "first@"));
	assert_non_null(strstr(text, "second@"));
	free(text);
	index_free(&x);
}

static void
hostile_addresses_reach_no_terminal(void **state)
{
	static const char *const addresses[] = { "\"\xc2\x9b!\"@x.y", "\xe2\x80\xae@x.y",
		"a@x\xe2\x80\xa8.y" };
	struct place *p = *state;

	for (size_t i = 0; i < COUNT(addresses); i++) {
		struct envelope e;
		struct queue_name name;
		char *text;

		envelope_make(&e, addresses[i], addresses[i]);
		name = message_put(p, &e, CONTENT, strlen(CONTENT));
		envelope_free(&e);
		text = listed(p);
		assert_printable(text);
		assert_non_null(strstr(text, "\\x"));
		free(text);
		unlinkat(p->queue, name.text, 0);
	}
}

static void
hostile_reasons_reach_no_terminal(void **state)
{
	struct place *p = *state;
	struct queue_name name = message_put_simple(p, CONTENT);
	struct listing_pause pause = { .reason = "\x1b]0;title\x07\nroot" };
	struct journal_record r = { .time = clock_real(),
		.name = name.text,
		.recipient = 0,
		.event = EVENT_DEFERRED,
		.pause = 60000,
		.code = 451,
		.text = "451 \x1b[2J\r\n\x9b!" };
	struct journal j;
	struct index x;
	size_t damaged;
	char *text;

	assert_int_equal(index_init(&x, 1), 0);
	assert_int_equal(index_scan(&x, p->queue, 0), 0);
	assert_int_equal(journal_open(&j, p->state, index_apply, &x, &damaged), 0);
	index_apply(&x, &r, journal_append(&j, &r));
	assert_int_equal(journal_commit(&j, true), 0);
	text = listed_with(p, &x, j.fd, &pause);
	assert_printable(text);
	assert_non_null(strstr(text, "deferred"));
	assert_non_null(strstr(text, "reason  451 \\x1b[2J\\x0d\\x0a\\x9b!\n"));
	assert_non_null(strstr(text, "waits for  \\x1b]0;title\\x07\\x0aroot\n"));
	free(text);
	journal_close(&j);
	index_free(&x);
}

static void
a_file_that_is_no_message_is_listed_as_such(void **state)
{
	struct place *p = *state;
	char *text;

	file_put(p->queue, NAME_A, "garbage \x1b[2J", 12);
	text = listed(p);
	assert_printable(text);
	assert_non_null(strstr(text, "it is too short to be a message"));
	free(text);
}

static char *
shown(struct place *p, const char *name)
{
	struct index x;
	int fd = memory_file("", 0);
	char *text;

	assert_int_equal(index_init(&x, 1), 0);
	assert_non_null(index_add(&x, name, 0));
	assert_int_equal(listing_message(fd, &x, index_find(&x, name), p->queue, -1, &no_pause), 0);
	text = file_load(fd, NULL);
	close(fd);
	index_free(&x);
	return text;
}

static void
content_is_shown_without_control_characters(void **state)
{
	struct place *p = *state;
	struct queue_name name = message_put_simple(p, "Subject: \x1b[2J\r\n\r\nb\rc\x07\r\nend");
	char *text = shown(p, name.text);

	assert_printable(text);
	assert_non_null(strstr(text, name.text));
	assert_non_null(strstr(text, "\nSubject: \\x1b[2J\n\nb\\x0dc\\x07\nend"));
	free(text);
}

static void
long_content_is_shown_whole(void **state)
{
	enum { LINES = 3000 };
	struct place *p = *state;
	struct buf b = BUF_INIT(1 << 20);
	struct queue_name name;
	char *text, *at;

	for (int i = 0; i < LINES; i++)
		buf_addf(&b, "line %d \xc3\xa4\r\n", i);
	name = message_put_simple(p, buf_string(&b));
	buf_free(&b);
	text = at = shown(p, name.text);
	for (int i = 0; i < LINES; i++) {
		char line[40];

		snprintf(line, sizeof(line), "\nline %d \xc3\xa4\n", i);
		at = strstr(at, line);
		assert_non_null(at);
	}
	free(text);
}

static void
a_line_of_a_megabyte_is_shown_whole(void **state)
{
	enum { SIZE = 1 << 20 };
	struct place *p = *state;
	char *line = malloc(SIZE + 1), *text;
	struct queue_name name;

	memset(line, 'x', SIZE);
	line[SIZE] = '\0';
	name = message_put_simple(p, line);
	text = shown(p, name.text);
	assert_non_null(strstr(text, line));
	free(text);
	free(line);
}

static size_t
descriptors(void)
{
	size_t n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void
showing_what_is_no_message_leaks_no_descriptor(void **state)
{
	struct place *p = *state;
	size_t before = descriptors();

	file_put(p->queue, NAME_A, "garbage", 7);
	free(shown(p, NAME_A));
	assert_int_equal(descriptors(), before);
}

static void
find_wants_a_whole_id_and_one_match(void **state)
{
	static const struct {
		const char *id;
		size_t matches;
	} rows[] = {
		{ "0aaaaaaaaaaaxxxxxxxxxxxxx1", 1 },
		{ "0aaaaaaaaaaaxxxxxxxxxxxxx2", 1 },
		{ "0aaaaaaaaaaa", 2 },
		{ "0aaaaaaaaaa", 0 },
		{ "", 0 },
		{ "0bbbbbbbbbbb", 0 },
		{ "0aaaaaaaaaaaxxxxxxxxxxxxx11", 0 },
		{ "../../../../etc", 0 },
	};
	struct index x;

	(void)state;
	assert_int_equal(index_init(&x, 1), 0);
	index_add(&x, rows[0].id, 0);
	index_add(&x, rows[1].id, 0);
	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t matches = 99;
		const struct index_entry *e = listing_find(&x, rows[i].id, &matches);

		assert_int_equal(matches, rows[i].matches);
		assert_int_equal(e != NULL, rows[i].matches == 1);
	}
	index_free(&x);
}

static void
matches_are_listed_to_choose_from(void **state)
{
	struct index x;
	struct buf b = BUF_INIT(1000);

	(void)state;
	assert_int_equal(index_init(&x, 1), 0);
	index_add(&x, "0aaaaaaaaaaaxxxxxxxxxxxxx2", 0);
	index_add(&x, "0aaaaaaaaaaaxxxxxxxxxxxxx1", 0);
	index_add(&x, "0bbbbbbbbbbbxxxxxxxxxxxxx1", 0);
	listing_matches(&x, "0aaaaaaaaaaa", &b);
	assert_string_equal(
	    buf_string(&b), "0aaaaaaaaaaaxxxxxxxxxxxxx2\n0aaaaaaaaaaaxxxxxxxxxxxxx1\n");
	buf_free(&b);
	index_free(&x);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_empty_queue_says_so),
		TEST(a_message_has_a_paragraph_and_the_queue_a_summary),
		TEST(a_user_sees_and_counts_only_what_he_has_submitted),
		TEST(what_is_no_message_is_nobodys),
		TEST(a_message_that_is_gone_is_not_listed),
		TEST(finished_recipients_are_not_listed),
		TEST(hostile_addresses_reach_no_terminal),
		TEST(hostile_reasons_reach_no_terminal),
		TEST(a_file_that_is_no_message_is_listed_as_such),
		TEST(content_is_shown_without_control_characters),
		TEST(long_content_is_shown_whole),
		TEST(a_line_of_a_megabyte_is_shown_whole),
		TEST(showing_what_is_no_message_leaks_no_descriptor),
		TEST(find_wants_a_whole_id_and_one_match),
		TEST(matches_are_listed_to_choose_from),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
