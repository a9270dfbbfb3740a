/*
 * base/conf: lines of a configuration file.
 */
#include "tests/unit/unit.h"

#include "base/conf.h"

/* All settings of a text as "NUMBER name=value;", errors as "NUMBER!". */
static const char *
lines_of(const char *content)
{
	static char result[1000];
	struct buf text = BUF_INIT(CONF_FILE_MAX), b = BUF_INIT(sizeof(result) - 1);
	struct conf_reader r;
	struct conf_line line;
	const char *error;
	int status;

	buf_add_string(&text, content);
	conf_reader_init(&r, &text);
	while ((status = conf_reader_next(&r, &line, &error)) != 0) {
		if (status > 0)
			buf_addf(&b, "%u %s=%s;", line.number, line.name, line.value);
		else
			buf_addf(&b, "%u!", line.number);
	}
	snprintf(result, sizeof(result), "%s", buf_string(&b));
	buf_free(&b);
	buf_free(&text);
	return result;
}

static void
lines_are_cut_into_name_and_value(void **state)
{
	static const struct {
		const char *text, *lines;
	} rows[] = {
		{ "", "" },
		{ "\n\n", "" },
		{ "a b", "1 a=b;" },
		{ "a b\nc d\n", "1 a=b;2 c=d;" },
		{ "  a\t b  c \t\n", "1 a=b  c;" },
		{ "a", "1 a=;" },
		{ "a \n", "1 a=;" },
		{ "# comment\na b\n", "2 a=b;" },
		{ " # comment", "" },
		{ "a b # c", "1 a=b;" },
		{ "a b#c", "1 a=b#c;" },
		{ "a #c", "1 a=;" },
		{ "a b\t#c", "1 a=b;" },
		{ "a#b c", "1 a#b=c;" },
		{ "a \"b # c \" # d", "1 a=b # c ;" },
		{ "a \"\"", "1 a=;" },
		{ "a \"\\\"\\\\\\x\"", "1 a=\"\\\\x;" },
		{ "a \"b", "1!" },
		{ "a \"b\" c", "1!" },
		{ "a \"b\"c", "1!" },
		{ "a \"b\\\"", "1!" },
		{ "a \"", "1!" },
		{ "a \"b\nc d", "1!2 c=d;" },
		{ "a b\"c", "1 a=b\"c;" },
		{ "a b\r\nc d\r\n\r\n", "1 a=b;2 c=d;" },
		{ "a \"b \"\r\n", "1 a=b ;" },
		{ "a b\r", "1 a=b;" },
		{ "\xef\xbb\xbf"
		  "a b\n",
		    "1 a=b;" },
		{ "\xef\xbb\xbf", "" },
		{ "a b\n\xef\xbb\xbf"
		  "c d",
		    "1 a=b;2 \xef\xbb\xbf"
		    "c=d;" },
		{ "a b\rc\n", "1!" },
		{ "a \x1b[2J\nc d", "1!2 c=d;" },
		{ "a \x7f", "1!" },
		{ "a \xc3\xa4", "1 a=\xc3\xa4;" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		if (strcmp(lines_of(rows[i].text), rows[i].lines) != 0)
			fail_msg("%s\ngives %s", rows[i].text, lines_of(rows[i].text));
}

static void
a_line_has_a_longest_length(void **state)
{
	char *text = malloc((1 << 20) + 1);

	(void)state;
	memset(text, 'x', 1 << 20);
	strcpy(text + CONF_LINE_MAX, "\nc d");
	assert_int_equal(strlen(lines_of(text)) > 0, 1);
	strcpy(text + CONF_LINE_MAX, "x\nc d");
	assert_string_equal(lines_of(text), "1!2 c=d;");
	memset(text, 'x', 1 << 20);
	text[1 << 20] = '\0';
	assert_string_equal(lines_of(text), "1!");
	free(text);
}

static int
load_error(const char *path)
{
	struct buf text = BUF_INIT(0);
	int r = conf_load(path, &text), error = errno;

	buf_free(&text);
	return r == 0 ? 0 : error;
}

static int
load_error_of(const void *data, size_t len)
{
	char path[64];
	int fd = memory_file(data, len), error;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	error = load_error(path);
	close(fd);
	return error;
}

static void
only_a_regular_file_of_text_is_loaded(void **state)
{
	char *big = calloc(1, CONF_FILE_MAX + 1), path[100], dir[64];

	(void)state;
	memset(big, '\n', CONF_FILE_MAX + 1);
	assert_int_equal(load_error_of("", 0), 0);
	assert_int_equal(load_error_of(big, CONF_FILE_MAX), 0);
	assert_int_equal(load_error_of(big, CONF_FILE_MAX + 1), ENOBUFS);
	assert_int_equal(load_error_of("a b\0c\n", 6), EILSEQ);
	free(big);
	directory_make(dir);
	snprintf(path, sizeof(path), "%s/fifo", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(load_error(dir), EINVAL);
	assert_int_equal(load_error(path), EINVAL);
	assert_int_equal(load_error("/dev/zero"), EINVAL);
	snprintf(path, sizeof(path), "%s/missing", dir);
	assert_int_equal(load_error(path), ENOENT);
	directory_remove(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_cut_into_name_and_value),
		cmocka_unit_test(a_line_has_a_longest_length),
		cmocka_unit_test(only_a_regular_file_of_text_is_loaded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
