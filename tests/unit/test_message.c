/*
 * spool/writer and spool/reader: what was written comes back, or is known not to
 * be whole.
 */
#include "tests/unit/unit_spool.h"

#include <sys/statvfs.h>

#include "base/crc32c.h"
#include "spool/format.h"

#define CONTENT "Subject: x\r\n\r\nbody\r\n.\r\nlast\r\n"
#define NAME_A "0abcdefghijklmnopqrstuvwxy"

static bool
check_value_fits(const struct message *m)
{
	char *data = malloc(m->length + 1);
	uint32_t crc;
	bool fits;

	assert_int_equal(message_check_begin(m, &crc), 0);
	assert_int_equal(pread(m->fd, data, m->length, m->content), (ssize_t)m->length);
	fits = message_check_end(m, crc32c(crc, data, m->length));
	free(data);
	return fits;
}

/* The octets of one ordinary message. */
static char *
message_octets(struct place *p, size_t *len)
{
	struct queue_name name = message_put_simple(p, CONTENT);
	int fd = openat(p->queue, name.text, O_RDONLY);
	char *data = file_load(fd, len);

	close(fd);
	assert_int_equal(unlinkat(p->queue, name.text, 0), 0);
	return data;
}

static enum message_status
status_of_octets(const void *data, size_t len)
{
	struct message m;
	enum message_status status = message_open_fd(&m, memory_file(data, len));

	if (status == MESSAGE_CORRUPT)
		assert_non_null(m.error);
	message_close(&m);
	return status;
}

static enum message_status
status_of_file(struct place *p, const char *name)
{
	struct message m;
	enum message_status status = message_open(&m, p->queue, name);

	message_close(&m);
	return status;
}

static void
what_was_written_comes_back(void **state)
{
	struct place *p = *state;
	struct queue_name name = message_put_simple(p, CONTENT);
	struct message m;

	assert_true(name_is_valid(name.text));
	assert_int_equal(message_open(&m, p->queue, name.text), MESSAGE_OK);
	assert_string_equal(m.envelope.sender, "root@example.org");
	assert_int_equal(m.envelope.recipient_count, 1);
	assert_string_equal(m.envelope.recipients[0].address, "ops@example.net");
	assert_int_equal(m.envelope.time, 1763912345123456);
	assert_int_equal(m.envelope.uid, 1000);
	assert_int_equal(m.length, strlen(CONTENT));
	assert_int_equal(m.longest, 10);
	assert_int_equal(m.flags, 0);
	assert_true(check_value_fits(&m));
	message_close(&m);
}

static void
content_comes_back_whatever_the_pieces(void **state)
{
	static const size_t pieces[] = { 1, 2, 3, 997, 16384, 65535, 65536, 65537, 300000 };
	enum { SIZE = 300000 };
	struct place *p = *state;
	struct envelope e;
	char *data = malloc(SIZE);

	for (size_t i = 0; i < SIZE; i++)
		data[i] = "abcdefg\r\n."[i % 10];
	envelope_make(&e, "", "ops@example.net");
	for (size_t k = 0; k < COUNT(pieces); k++) {
		struct message_writer w;
		struct message m;
		char *read = malloc(SIZE);

		assert_int_equal(message_begin(&w, &p->spool, &e), 0);
		for (size_t at = 0; at < SIZE; at += pieces[k])
			assert_int_equal(message_write(&w, data + at,
					     at + pieces[k] < SIZE ? pieces[k] : SIZE - at),
			    0);
		assert_int_equal(message_commit(&w), 0);
		assert_int_equal(message_open(&m, p->queue, w.name.text), MESSAGE_OK);
		assert_int_equal(m.length, SIZE);
		assert_int_equal(pread(m.fd, read, SIZE, m.content), SIZE);
		assert_memory_equal(read, data, SIZE);
		assert_int_equal(m.longest, 8);
		assert_true(check_value_fits(&m));
		message_close(&m);
		free(read);
	}
	envelope_free(&e);
	free(data);
}

static void
flags_and_longest_line_are_measured(void **state)
{
	static const struct {
		const char *sender, *recipient, *content;
		unsigned flags;
		uint64_t longest;
	} rows[] = {
		{ "a@b.c", "d@e.f", "", 0, 0 },
		{ "a@b.c", "d@e.f", "\r\n", 0, 0 },
		{ "a@b.c", "d@e.f", "x\r\n\r\nlonger\r\n", 0, 6 },
		{ "a@b.c", "d@e.f", "x: y\r\n\r\n\xc3\xa4\r\n", MESSAGE_8BIT, 4 },
		{ "\xc3\xa4@b.c", "d@e.f", "x\r\n", MESSAGE_SMTPUTF8, 1 },
		{ "a@b.c", "d@\xc3\xa4.f", "x\r\n", MESSAGE_SMTPUTF8, 1 },
	};
	struct place *p = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct envelope e;
		struct message m;
		struct queue_name name;

		envelope_make(&e, rows[i].sender, rows[i].recipient);
		name = message_put(p, &e, rows[i].content, strlen(rows[i].content));
		envelope_free(&e);
		assert_int_equal(message_open(&m, p->queue, name.text), MESSAGE_OK);
		assert_int_equal(m.flags, rows[i].flags);
		assert_int_equal(m.longest, rows[i].longest);
		message_close(&m);
	}
}

static void
mode_is_0440_whatever_the_umask(void **state)
{
	static const mode_t masks[] = { 0, 022, 077, 0777 };
	struct place *p = *state;

	for (size_t i = 0; i < COUNT(masks); i++) {
		mode_t old = umask(masks[i]);
		struct queue_name name = message_put_simple(p, CONTENT);
		struct stat st;

		umask(old);
		assert_int_equal(fstatat(p->queue, name.text, &st, 0), 0);
		assert_int_equal(st.st_mode & 07777, 0440);
		assert_int_equal(st.st_nlink, 1);
	}
}

static void
a_message_appears_only_at_its_commit(void **state)
{
	struct place *p = *state;
	struct message_writer w;
	struct envelope e;

	envelope_make(&e, "a@b.c", "d@e.f");
	assert_int_equal(message_begin(&w, &p->spool, &e), 0);
	assert_int_equal(message_write(&w, CONTENT, strlen(CONTENT)), 0);
	assert_int_equal(status_of_file(p, w.name.text), MESSAGE_GONE);
	assert_int_equal(message_commit(&w), 0);
	assert_int_equal(status_of_file(p, w.name.text), MESSAGE_OK);
	assert_int_equal(place_count(p), 1);
	envelope_free(&e);
}

static void
abort_leaves_nothing(void **state)
{
	struct place *p = *state;
	struct message_writer w = { .fd = -1 };
	struct envelope e;

	message_abort(&w);
	envelope_make(&e, "a@b.c", "d@e.f");
	assert_int_equal(message_begin(&w, &p->spool, &e), 0);
	assert_int_equal(message_write(&w, CONTENT, strlen(CONTENT)), 0);
	message_abort(&w);
	message_abort(&w);
	assert_int_equal(place_count(p), 0);
	envelope_free(&e);
}

static void
no_truncated_file_is_ok(void **state)
{
	size_t len;
	char *data = message_octets(*state, &len);

	assert_int_equal(status_of_octets(data, len), MESSAGE_OK);
	assert_int_equal(status_of_octets(data, 0), MESSAGE_EMPTY);
	for (size_t n = 1; n < len; n++)
		assert_int_equal(status_of_octets(data, n), MESSAGE_CORRUPT);
	free(data);
}

static void
every_flipped_bit_is_found(void **state)
{
	size_t len;
	char *data = message_octets(*state, &len);

	for (size_t bit = 0; bit < 8 * len; bit++) {
		struct message m;
		enum message_status status;

		data[bit / 8] = (char)(data[bit / 8] ^ 1 << bit % 8);
		status = message_open_fd(&m, memory_file(data, len));
		if (status == MESSAGE_OK && check_value_fits(&m))
			fail_msg("bit %zu of octet %zu is not noticed", bit % 8, bit / 8);
		message_close(&m);
		data[bit / 8] = (char)(data[bit / 8] ^ 1 << bit % 8);
	}
	free(data);
}

/* Replaces the 20 digits of the length. */
static void
length_set(char *data, unsigned long long length)
{
	char digits[21];

	snprintf(digits, sizeof(digits), "%020llu", length);
	memcpy(data + FORMAT_CHECKED_AT + strlen("length "), digits, 20);
}

static void
a_length_that_is_not_the_files_is_corrupt(void **state)
{
	static const unsigned long long lengths[] = { 0, 1, UINT64_MAX, INT64_MAX, INT64_MAX / 2,
		1ULL << 32 };
	unsigned long long right = strlen(CONTENT);
	size_t len;
	char *data = message_octets(*state, &len);

	length_set(data, right);
	assert_int_equal(status_of_octets(data, len), MESSAGE_OK);
	length_set(data, right - 1);
	assert_int_equal(status_of_octets(data, len), MESSAGE_CORRUPT);
	length_set(data, right + 1);
	assert_int_equal(status_of_octets(data, len), MESSAGE_CORRUPT);
	for (size_t i = 0; i < COUNT(lengths); i++) {
		length_set(data, lengths[i]);
		assert_int_equal(status_of_octets(data, len), MESSAGE_CORRUPT);
	}
	free(data);
}

static void
garbage_behind_is_corrupt(void **state)
{
	size_t len;
	char *data = message_octets(*state, &len);

	data = realloc(data, len + 1);
	for (int c = 0; c < 256; c++) {
		data[len] = (char)c;
		assert_int_equal(status_of_octets(data, len + 1), MESSAGE_CORRUPT);
	}
	free(data);
}

static void
a_future_version_is_newer_and_not_corrupt(void **state)
{
	static const char *const heads[] = { "postbag-message 2\n", "postbag-message 10\n",
		"postbag-message 2.1 zstd\n" };
	size_t len;
	char *data = message_octets(*state, &len);

	for (size_t i = 0; i < COUNT(heads); i++) {
		memcpy(data, heads[i], strlen(heads[i]));
		assert_int_equal(status_of_octets(data, len), MESSAGE_NEWER);
	}
	free(data);
}

static void
a_file_of_something_else_is_corrupt(void **state)
{
	static const char *const texts[] = { "x", "\n", "\n\n", "From root\n\nhello\n",
		"postbag-message 1\n", "postbag-message 1\ncrc32c 00000000\n\n" };
	char zeros[4096] = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++)
		assert_int_equal(status_of_octets(texts[i], strlen(texts[i])), MESSAGE_CORRUPT);
	assert_int_equal(status_of_octets(zeros, sizeof(zeros)), MESSAGE_CORRUPT);
}

static void
a_missing_file_is_gone(void **state)
{
	assert_int_equal(status_of_file(*state, NAME_A), MESSAGE_GONE);
}

static void
a_hard_link_is_corrupt(void **state)
{
	struct place *p = *state;
	struct queue_name name = message_put_simple(p, CONTENT);

	assert_int_equal(linkat(p->queue, name.text, p->queue, NAME_A, 0), 0);
	assert_int_equal(status_of_file(p, NAME_A), MESSAGE_CORRUPT);
	assert_int_equal(status_of_file(p, name.text), MESSAGE_CORRUPT);
}

static void
a_symbolic_link_is_never_followed(void **state)
{
	struct place *p = *state;
	struct queue_name name = message_put_simple(p, CONTENT);

	assert_int_equal(symlinkat(name.text, p->queue, NAME_A), 0);
	assert_int_equal(status_of_file(p, NAME_A), MESSAGE_CORRUPT);
}

static void
a_fifo_neither_blocks_nor_passes(void **state)
{
	struct place *p = *state;

	assert_int_equal(mkfifoat(p->queue, NAME_A, 0666), 0);
	alarm(5);
	assert_int_equal(status_of_file(p, NAME_A), MESSAGE_CORRUPT);
	alarm(0);
}

static void
a_directory_is_corrupt(void **state)
{
	struct place *p = *state;

	assert_int_equal(mkdirat(p->queue, NAME_A, 0777), 0);
	assert_int_equal(status_of_file(p, NAME_A), MESSAGE_CORRUPT);
}

static void
a_descriptor_read_before_is_read_from_its_start(void **state)
{
	size_t len;
	char *data = message_octets(*state, &len);
	int fd = memory_file(data, len);
	struct message m;

	assert_int_equal(lseek(fd, 7, SEEK_SET), 7);
	assert_int_equal(message_open_fd(&m, fd), MESSAGE_OK);
	message_close(&m);
	free(data);
}

static void
a_content_that_shrinks_is_an_error_and_no_end(void **state)
{
	size_t len;
	char *data = message_octets(*state, &len);
	int fd = memory_file(data, len);
	struct message m;
	uint32_t crc;

	assert_int_equal(message_open_fd(&m, fd), MESSAGE_OK);
	assert_int_equal(ftruncate(fd, (off_t)FORMAT_HEAD_LEN + 3), 0);
	assert_int_equal(message_check_begin(&m, &crc), -1);
	message_close(&m);
	free(data);
}

static void
an_envelope_without_end_is_capped(void **state)
{
	enum { SIZE = (9 << 20) };
	size_t len;
	char *data = message_octets(*state, &len), *big = malloc(SIZE);

	memset(big, 'x', SIZE);
	memcpy(big, data, FORMAT_HEAD_LEN);
	assert_int_equal(status_of_octets(big, SIZE), MESSAGE_CORRUPT);
	free(big);
	free(data);
}

static void
the_most_recipients_come_back(void **state)
{
	struct place *p = *state;
	struct envelope e;
	struct message m;
	struct queue_name name;

	envelope_make(&e, "", "r0@example.net");
	for (int i = 1; i < ENVELOPE_RECIPIENTS_MAX; i++) {
		char address[64];

		snprintf(address, sizeof(address), "r%d@example.net", i);
		assert_int_equal(envelope_add_recipient(&e, address, NOTIFY_FAILURE, NULL), 0);
	}
	assert_int_equal(envelope_add_recipient(&e, "x@y.z", 0, NULL), -1);
	assert_int_equal(errno, ENOBUFS);
	name = message_put(p, &e, CONTENT, strlen(CONTENT));
	assert_int_equal(message_open(&m, p->queue, name.text), MESSAGE_OK);
	assert_int_equal(m.envelope.recipient_count, ENVELOPE_RECIPIENTS_MAX);
	message_close(&m);
	envelope_free(&e);
}

static void
an_envelope_too_large_for_a_file_is_refused(void **state)
{
	struct place *p = *state;
	struct envelope e;
	struct message_writer w;
	char address[260], orcpt[480];

	memset(orcpt, 'x', sizeof(orcpt));
	memcpy(orcpt, "rfc822;", 7);
	orcpt[sizeof(orcpt) - 1] = '\0';
	snprintf(address, sizeof(address), "a@%0*d.example", 60, 0);
	envelope_make(&e, "a@b.c", address);
	for (int i = 0; i < 20000; i++)
		assert_int_equal(envelope_add_recipient(&e, address, 0, orcpt), 0);
	assert_int_equal(message_begin(&w, &p->spool, &e), -1);
	assert_non_null(strstr(p->spool.problem, p->path));
	message_abort(&w);
	assert_int_equal(place_count(p), 0);
	envelope_free(&e);
}

static void
a_missing_spool_directory_is_named(void **state)
{
	struct spool s;

	(void)state;
	assert_int_equal(spool_open(&s, "/nowhere/postbag", own_name(), 0), -1);
	assert_int_equal(errno, ENOENT);
	assert_non_null(strstr(s.problem, "/nowhere/postbag"));
	spool_close(&s);
}

static void
an_account_that_is_missing_is_named(void **state)
{
	char path[64];
	struct spool s;

	(void)state;
	if (geteuid() != 0)
		skip();
	directory_make(path);
	assert_int_equal(spool_open(&s, path, "no-such-account", 0), -1);
	assert_non_null(strstr(s.problem, "no-such-account"));
	assert_non_null(strstr(s.problem, path));
	spool_close(&s);
	directory_remove(path);
}

static void
a_queue_that_vanishes_is_named(void **state)
{
	struct place *p = *state;
	struct message_writer w;
	struct envelope e;

	envelope_make(&e, "a@b.c", "d@e.f");
	assert_int_equal(unlinkat(p->spool.dir, "queue", AT_REMOVEDIR), 0);
	assert_int_equal(message_begin(&w, &p->spool, &e), -1);
	assert_non_null(strstr(p->spool.problem, p->path));
	assert_non_null(strstr(p->spool.problem, "queue"));
	message_abort(&w);
	envelope_free(&e);
}

static void
a_queue_that_may_not_be_written_is_named(void **state)
{
	struct place *p = *state;
	struct message_writer w;
	struct envelope e;
	uid_t old = geteuid();
	int r, error;

	envelope_make(&e, "a@b.c", "d@e.f");
	assert_int_equal(fchmod(p->queue, 0555), 0);
	if (old == 0)
		assert_int_equal(seteuid(65534), 0);
	r = message_begin(&w, &p->spool, &e);
	error = errno;
	assert_int_equal(seteuid(old), 0);
	assert_int_equal(fchmod(p->queue, 0700), 0);
	assert_int_equal(r, -1);
	assert_int_equal(error, EACCES);
	assert_non_null(strstr(p->spool.problem, p->path));
	message_abort(&w);
	assert_int_equal(place_count(p), 0);
	envelope_free(&e);
}

static void
the_reserve_of_free_space_is_kept(void **state)
{
	struct place *p = *state;
	struct message_writer w;
	struct envelope e;

	envelope_make(&e, "a@b.c", "d@e.f");
	p->spool.reserve = UINT64_MAX / 2;
	assert_int_equal(message_begin(&w, &p->spool, &e), -1);
	assert_int_equal(errno, ENOSPC);
	assert_non_null(strstr(p->spool.problem, "spool_reserve"));
	message_abort(&w);
	envelope_free(&e);
}

static void
sub_directories_are_made_once_and_kept(void **state)
{
	struct place *p = *state;
	struct queue_name name = message_put_simple(p, CONTENT);
	struct spool again;

	assert_int_equal(spool_open(&again, p->path, own_name(), 0), 0);
	assert_int_equal(status_of_file(p, name.text), MESSAGE_OK);
	spool_close(&again);
}

static void
sweep_removes_only_old_unlocked_dot_files(void **state)
{
	static const struct timespec old[2] = { { .tv_sec = 1000000000 },
		{ .tv_sec = 1000000000 } };
	static const char *const names[] = { "." NAME_A, NAME_A, ".other" };
	struct place *p = *state;

	for (size_t i = 0; i < COUNT(names); i++) {
		file_put(p->queue, names[i], "x", 1);
		spool_sweep(p->queue, names[i]);
	}
	assert_int_equal(place_count(p), 3);
	for (size_t i = 0; i < COUNT(names); i++) {
		assert_int_equal(utimensat(p->queue, names[i], old, 0), 0);
		spool_sweep(p->queue, names[i]);
	}
	assert_int_equal(faccessat(p->queue, "." NAME_A, F_OK, 0), -1);
	assert_int_equal(place_count(p), 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_was_written_comes_back),
		TEST(content_comes_back_whatever_the_pieces),
		TEST(flags_and_longest_line_are_measured),
		TEST(mode_is_0440_whatever_the_umask),
		TEST(a_message_appears_only_at_its_commit),
		TEST(abort_leaves_nothing),
		TEST(no_truncated_file_is_ok),
		TEST(every_flipped_bit_is_found),
		TEST(a_length_that_is_not_the_files_is_corrupt),
		TEST(garbage_behind_is_corrupt),
		TEST(a_future_version_is_newer_and_not_corrupt),
		TEST(a_file_of_something_else_is_corrupt),
		TEST(a_missing_file_is_gone),
		TEST(a_hard_link_is_corrupt),
		TEST(a_symbolic_link_is_never_followed),
		TEST(a_fifo_neither_blocks_nor_passes),
		TEST(a_directory_is_corrupt),
		TEST(a_descriptor_read_before_is_read_from_its_start),
		TEST(a_content_that_shrinks_is_an_error_and_no_end),
		TEST(an_envelope_without_end_is_capped),
		TEST(the_most_recipients_come_back),
		TEST(an_envelope_too_large_for_a_file_is_refused),
		TEST(a_missing_spool_directory_is_named),
		TEST(an_account_that_is_missing_is_named),
		TEST(a_queue_that_vanishes_is_named),
		TEST(a_queue_that_may_not_be_written_is_named),
		TEST(the_reserve_of_free_space_is_kept),
		TEST(sub_directories_are_made_once_and_kept),
		TEST(sweep_removes_only_old_unlocked_dot_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
