/*
 * relayd/session/program and secret: what becomes of a program that prints a secret.
 */
#include "tests/unit/unit.h"

#include <time.h>

#include "base/log.h"
#include "relayd/session/program.h"
#include "relayd/session/secret.h"

static char logged[4000];

static void
log_keep(void *context, enum log_level level, const char *line)
{
	(void)context;
	(void)level;
	strncat(logged, line, sizeof(logged) - strlen(logged) - 2);
	strncat(logged, "\n", 2);
}

/* The problem in words; "" if there is none, and the output is in `out`. */
static const char *
run(const char *command, struct buf *out)
{
	static char problem[512];

	logged[0] = '\0';
	log_to_sink(log_keep, NULL);
	*out = BUF_INIT(SECRET_OCTETS_MAX);
	if (program_run(command, "token", out, problem, sizeof(problem)) == 0)
		return "";
	buf_free(out);
	return problem;
}

static void
output_is(const char *command, const char *expected)
{
	struct buf out;

	assert_string_equal(run(command, &out), "");
	assert_string_equal(buf_string(&out), expected);
	buf_free(&out);
}

static void
problem_is(const char *command, const char *expected)
{
	struct buf out;

	assert_string_equal(run(command, &out), expected);
}

static void
words_are_arguments_as_they_stand(void **state)
{
	(void)state;
	output_is("/bin/echo one  two\tthree=3 %s", "one two three=3 %s\n");
}

static void
no_argument_is_lost(void **state)
{
	char command[4000] = "/bin/echo", expected[4000] = "";

	(void)state;
	for (size_t n = strlen(command); n + 2 < sizeof(command); n += 2)
		memcpy(command + n, " x", 3);
	snprintf(expected, sizeof(expected), "%s\n", command + sizeof("/bin/echo"));
	output_is(command, expected);
}

static void
a_line_that_needs_a_shell_gets_one(void **state)
{
	(void)state;
	output_is("/bin/echo 'a  b' | /usr/bin/tr a-z A-Z", "A  B\n");
	output_is("/bin/echo $((6 * 7))", "42\n");
}

static void
the_environment_is_small_and_the_input_empty(void **state)
{
	struct buf out;

	(void)state;
	setenv("SECRET_OF_RELAYD", "x", 1);
	setenv("CREDENTIALS_DIRECTORY", "/run/c", 1);
	assert_string_equal(run("/usr/bin/env", &out), "");
	assert_null(strstr(buf_string(&out), "SECRET_OF_RELAYD"));
	assert_non_null(strstr(buf_string(&out), "PATH=/usr/local/bin:/usr/bin:/bin\n"));
	assert_non_null(strstr(buf_string(&out), "CREDENTIALS_DIRECTORY=/run/c\n"));
	buf_free(&out);
	output_is("/bin/cat", "");
}

static void
standard_error_goes_to_the_log(void **state)
{
	(void)state;
	output_is("/bin/echo careful >&2; echo s3cret", "s3cret\n");
	assert_string_equal(logged, "token command /bin/echo: careful\n");
}

static void
an_exit_status_other_than_0_is_a_failure(void **state)
{
	(void)state;
	problem_is("/bin/false", "the token command /bin/false exits with status 1; see the log");
	problem_is("/bin/kill -KILL $$", "the token command /bin/kill was ended by signal 9");
}

static void
a_program_that_is_not_there_is_a_failure(void **state)
{
	(void)state;
	problem_is("/no/such x", "the token command /no/such exits with status 127; see the log");
	assert_string_equal(
	    logged, "token command /no/such: cannot run it: No such file or directory\n");
}

static void
output_without_end_is_a_failure_at_once(void **state)
{
	(void)state;
	problem_is("/usr/bin/yes", "the token command /usr/bin/yes prints more than 64K");
}

static void
an_agent_that_stays_behind_does_not_hold_us_up(void **state)
{
	time_t start = time(NULL);

	(void)state;
	output_is("/bin/sleep 5 & echo s3cret", "s3cret\n");
	assert_true(time(NULL) - start < 4);
}

static void
a_program_that_hangs_is_killed_with_its_children(void **state)
{
	time_t start = time(NULL);

	(void)state;
	problem_is("/bin/sleep 60 | /bin/cat",
	    "the token command /bin/sleep has not ended within 10 seconds; killed");
	assert_in_range(time(NULL) - start, 9, 20);
}

static void
secret_is(enum secret_kind kind, const char *source, const char *secret, const char *expected)
{
	char problem[512] = "";
	struct buf out;
	int r = secret_read(kind, source, &out, problem, sizeof(problem));

	assert_string_equal(problem, expected);
	assert_int_equal(r, *expected == '\0' ? 0 : -1);
	if (r == 0)
		assert_string_equal(buf_string(&out), secret);
	buf_free(&out);
}

static void
one_line_end_does_not_belong_to_the_secret(void **state)
{
	(void)state;
	secret_is(SECRET_PASSWORD, "command:/usr/bin/printf 'a%sb\\r\\n' 'x y'", "ax yb", "");
	secret_is(SECRET_PASSWORD, "command:/usr/bin/printf 'a\\n\\n'", "a\n", "");
	secret_is(SECRET_PASSWORD, "command:/bin/echo", "",
	    "the password command \"/bin/echo\" prints nothing: its output is empty or contains a "
	    "NUL octet");
}

static void
a_token_has_no_blanks(void **state)
{
	(void)state;
	secret_is(SECRET_TOKEN, "command:/bin/echo ya29.a0-_~+/=", "ya29.a0-_~+/=", "");
	secret_is(SECRET_TOKEN, "command:/bin/echo a b", "",
	    "the token command \"/bin/echo\" has no bearer token: there are blanks or other "
	    "characters that none has");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_arguments_as_they_stand),
		cmocka_unit_test(no_argument_is_lost),
		cmocka_unit_test(a_line_that_needs_a_shell_gets_one),
		cmocka_unit_test(the_environment_is_small_and_the_input_empty),
		cmocka_unit_test(standard_error_goes_to_the_log),
		cmocka_unit_test(an_exit_status_other_than_0_is_a_failure),
		cmocka_unit_test(a_program_that_is_not_there_is_a_failure),
		cmocka_unit_test(output_without_end_is_a_failure_at_once),
		cmocka_unit_test(an_agent_that_stays_behind_does_not_hold_us_up),
		cmocka_unit_test(a_program_that_hangs_is_killed_with_its_children),
		cmocka_unit_test(one_line_end_does_not_belong_to_the_secret),
		cmocka_unit_test(a_token_has_no_blanks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
