/*
 * sendmail/input: lines, whatever their ends and however they arrive.
 */
#include "tests/unit/unit.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "sendmail/input.h"

/* Reads all: pieces joined, '|' for each line end, '$' for a dot. */
static void
read_all(int fd, bool ignore_dots, struct buf *b)
{
	struct input in;
	struct piece p;
	bool within = false;
	int r;

	assert_int_equal(input_init(&in, fd, ignore_dots), 0);
	while ((r = input_next(&in, &p)) > 0) {
		assert_int_equal(p.begins_line, !within);
		buf_append(b, p.data, p.len);
		if (p.ends_line)
			buf_add_char(b, '|');
		within = !p.ends_line;
	}
	assert_int_equal(r, 0);
	assert_false(within);
	assert_true(in.ended);
	if (in.dot)
		buf_add_char(b, '$');
	assert_int_equal(input_next(&in, &p), 0);
	input_fini(&in);
}

/* The same through a pipe that is written in pieces of `size`. */
static void
read_piped(const char *text, size_t len, size_t size, bool ignore_dots, struct buf *b)
{
	int fds[2];
	pid_t child;

	assert_int_equal(pipe2(fds, O_DIRECT), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		signal(SIGPIPE, SIG_IGN);
		/* O_DIRECT: each write is a read of its own */
		for (size_t at = 0; at < len; at += size)
			if (write(fds[1], text + at, len - at < size ? len - at : size) < 0)
				break;
		_exit(0);
	}
	close(fds[1]);
	read_all(fds[0], ignore_dots, b);
	close(fds[0]);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

static const struct row {
	const char *text, *strict, *lenient; /* NULL: the same */
} rows[] = {
	{ "", "", NULL },
	{ "\n", "|", NULL },
	{ "a", "a|", NULL },
	{ "a\n", "a|", NULL },
	{ "a\r\n", "a|", NULL },
	{ "a\r\r\n", "a|", NULL },
	{ "a\r\r\r\n", "a|", NULL },
	{ "a\nb\r\nc\r\r\nd", "a|b|c|d|", NULL },
	{ "a\n\nb\n\n", "a||b||", NULL },
	{ "\r\n\r\n", "||", NULL },
	{ "a\rb\n", "a\rb|", NULL },
	{ "\rb\n", "\rb|", NULL },
	{ "a\r\rb\n", "a\r\rb|", NULL },
	{ "a\r", "a|", NULL },
	{ "\r", "|", NULL },
	{ "a\nb", "a|b|", NULL },
	{ "a\n.\nb\n", "a|$", "a|.|b|" },
	{ "a\r\n.\r\nb\r\n", "a|$", "a|.|b|" },
	{ "a\n.\r\nb\n", "a|$", "a|.|b|" },
	{ "a\r\n.\nb\n", "a|$", "a|.|b|" },
	{ ".\n", "$", ".|" },
	{ ".", "$", ".|" },
	{ ".\r", "$", ".|" },
	{ "a\n.", "a|$", "a|.|" },
	{ "a\n..\nb\n", "a|..|b|", NULL },
	{ "a\n.b\nc\n", "a|.b|c|", NULL },
	{ "a\n. \nb\n", "a|. |b|", NULL },
	{ "a.\nb\n", "a.|b|", NULL },
	{ "a\n .\nb\n", "a| .|b|", NULL },
	/* what smuggles a second message past other programs is an ordinary line here */
	{ "a\r.\rb\n", "a\r.\rb|", NULL },
	{ "a\r.\nb\n", "a\r.|b|", NULL },
	{ "a\n.\rb\n", "a|.\rb|", NULL },
	{ "a\r\r.\r\nb\n", "a\r\r.|b|", NULL },
	{ "a\n\r.\nb\n", "a|\r.|b|", NULL },
};

static void
lines_and_dots_are_found_in_any_pieces(void **state)
{
	static const size_t sizes[] = { 1, 2, 3, 5, 1000 };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		for (size_t k = 0; k < 2 * COUNT(sizes); k++) {
			bool ignore = k % 2 == 1;
			const char *expected =
			    ignore && rows[i].lenient != NULL ? rows[i].lenient : rows[i].strict;
			struct buf b = BUF_INIT(1000);

			read_piped(rows[i].text, strlen(rows[i].text), sizes[k / 2], ignore, &b);
			if (strcmp(buf_string(&b), expected) != 0)
				fail_msg("row %zu in pieces of %zu: %s", i, sizes[k / 2],
				    buf_string(&b));
			buf_free(&b);
		}
	}
}

static void
a_line_of_a_megabyte_comes_whole(void **state)
{
	enum { SIZE = 1 << 20 };
	char *text = malloc(SIZE);
	struct buf b = BUF_INIT(SIZE + 10);
	int fd;

	(void)state;
	memset(text, 'x', SIZE);
	fd = memory_file(text, SIZE);
	read_all(fd, false, &b);
	assert_int_equal(b.len, SIZE + 1);
	assert_int_equal(b.data[SIZE], '|');
	assert_memory_equal(b.data, text, SIZE);
	close(fd);
	buf_free(&b);
	free(text);
}

static void
line_ends_and_dots_are_found_across_chunk_borders(void **state)
{
	static const char *const ends[] = { "\n.\nb", "\r\n.\r\nb", "\r\r\n.\r\nb", "\n..\nb",
		"\r.\nb", "\n.b\n" };
	static const char *const expected[] = { "|$", "|$", "|$", "|..|b|", "\r.|b|", "|.b|" };
	enum { CHUNK = 64 << 10 };

	(void)state;
	for (size_t i = 0; i < COUNT(ends); i++) {
		for (size_t before = CHUNK - 6; before <= CHUNK + 1; before++) {
			char *text = malloc(CHUNK + 20);
			struct buf b = BUF_INIT(CHUNK + 40);
			int fd;

			memset(text, 'x', before);
			strcpy(text + before, ends[i]);
			fd = memory_file(text, strlen(text));
			read_all(fd, false, &b);
			assert_string_equal(b.data + before, expected[i]);
			close(fd);
			buf_free(&b);
			free(text);
		}
	}
}

static void
carriage_returns_without_end_are_kept_or_cut(void **state)
{
	enum { SIZE = 200000 };
	char *text = malloc(SIZE + 10);
	struct buf b = BUF_INIT(SIZE + 20);
	int fd;

	(void)state;
	memset(text, '\r', SIZE);
	strcpy(text + SIZE, "x\n.\n");
	fd = memory_file(text, SIZE + 4);
	alarm(20);
	read_all(fd, false, &b);
	alarm(0);
	assert_int_equal(b.len, SIZE + 3);
	assert_string_equal(b.data + SIZE, "x|$");
	close(fd);
	buf_free(&b);
	free(text);
}

static void
nul_octets_pass(void **state)
{
	struct buf b = BUF_INIT(100);
	int fd = memory_file("a\0b\n\0\n", 6);

	(void)state;
	read_all(fd, false, &b);
	assert_int_equal(b.len, 6);
	assert_memory_equal(b.data, "a\0b|\0|", 6);
	close(fd);
	buf_free(&b);
}

static void
a_read_that_fails_stays_an_error(void **state)
{
	struct input in;
	struct piece p;

	(void)state;
	assert_int_equal(input_init(&in, -1, false), 0);
	assert_int_equal(input_next(&in, &p), -1);
	assert_int_equal(in.error, EBADF);
	assert_int_equal(input_next(&in, &p), -1);
	assert_true(in.failed);
	input_fini(&in);
}

static void
a_directory_is_an_error_and_no_empty_message(void **state)
{
	struct input in;
	struct piece p;
	int fd = open("/", O_RDONLY | O_DIRECTORY);

	(void)state;
	assert_int_equal(input_init(&in, fd, false), 0);
	assert_int_equal(input_next(&in, &p), -1);
	assert_int_equal(in.error, EISDIR);
	input_fini(&in);
	close(fd);
}

/* Gives a text in pieces, an error at '!'. */
struct pieces {
	const char *text;
	size_t size;
};

static ssize_t
pieces_read(void *context, char *data, size_t size)
{
	struct pieces *p = context;
	size_t n = strcspn(p->text, "!");

	if (n == 0 && *p->text == '!') {
		errno = ECONNABORTED;
		return -1;
	}
	n = n < p->size ? n : p->size;
	n = n < size ? n : size;
	memcpy(data, p->text, n);
	p->text += n;
	return (ssize_t)n;
}

static void
a_source_says_itself_where_the_message_ends(void **state)
{
	(void)state;
	for (size_t size = 1; size < 10; size++) {
		struct pieces all = { .text = "a\r\n.\r\n.\nb", .size = size };
		struct buf b = BUF_INIT(100);
		struct input in;
		struct piece p;

		assert_int_equal(input_init_source(&in, pieces_read, &all), 0);
		while (input_next(&in, &p) > 0) {
			buf_append(&b, p.data, p.len);
			if (p.ends_line)
				buf_add_char(&b, '|');
		}
		assert_string_equal(buf_string(&b), "a|.|.|b|");
		assert_false(in.failed);
		input_fini(&in);
		buf_free(&b);
	}
}

static void
a_source_that_fails_fails_the_input(void **state)
{
	struct pieces all = { .text = "a\r\nbc!", .size = 100 };
	struct input in;
	struct piece p;

	(void)state;
	assert_int_equal(input_init_source(&in, pieces_read, &all), 0);
	assert_int_equal(input_next(&in, &p), 1);
	assert_int_equal(input_next(&in, &p), 1);
	assert_false(p.ends_line);
	assert_int_equal(input_next(&in, &p), -1);
	assert_int_equal(in.error, ECONNABORTED);
	input_fini(&in);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_and_dots_are_found_in_any_pieces),
		cmocka_unit_test(a_line_of_a_megabyte_comes_whole),
		cmocka_unit_test(line_ends_and_dots_are_found_across_chunk_borders),
		cmocka_unit_test(carriage_returns_without_end_are_kept_or_cut),
		cmocka_unit_test(nul_octets_pass),
		cmocka_unit_test(a_read_that_fails_stays_an_error),
		cmocka_unit_test(a_directory_is_an_error_and_no_empty_message),
		cmocka_unit_test(a_source_says_itself_where_the_message_ends),
		cmocka_unit_test(a_source_that_fails_fails_the_input),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
