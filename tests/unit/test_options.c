/*
 * sendmail/options: the command line, row by row.
 */
#include "tests/unit/unit.h"

#include "sendmail/options.h"

#define WORDS_MAX 12

/* Cuts a line at blanks into words that o borrows; "''" is the empty word. */
static int
parsed(struct options *o, const char *line)
{
	static char text[1000];
	static char *argv[WORDS_MAX + 1];
	static char empty[1];
	int argc = 0;

	snprintf(text, sizeof(text), "%s", line);
	for (char *save = NULL, *w = strtok_r(text, " ", &save); w != NULL;
	     w = strtok_r(NULL, " ", &save)) {
		assert_true(argc < WORDS_MAX);
		argv[argc++] = strcmp(w, "''") == 0 ? empty : w;
	}
	argv[argc] = NULL;
	return options_parse(o, argc, argv);
}

static void
options_without_effect_take_their_argument_and_no_more(void **state)
{
	static const char *const lines[] = { "-Ac", "-A c", "-Am", "-B8BITMIME", "-B 8bitmime",
		"-B 7BIT", "-BBINARYMIME", "-bm", "-ba", "-bq", "-c", "-D file", "-Dfile", "-d",
		"-d0-99.1", "-E", "-Efoo", "-em", "-e p", "-eq", "-ew", "-ee", "-F Name", "-FName",
		"-G", "-h 5", "-h5", "-i", "-J", "-Jx", "-L tag", "-Ltag", "-M id", "-Mrid", "-m",
		"-n", "-O DeliveryMode=b", "-ODeliveryMode=b", "-O ErrorMode=m", "-oA/etc/aliases",
		"-odb", "-odi", "-odq", "-odf", "-oem", "-oep", "-oi", "-oitrue", "-om", "-oo",
		"-or0s", "-oT1h", "-o i", "-o7", "-p TEST", "-pTEST:host", "-Q", "-Qreason",
		"-S server", "-s", "-T", "-T1h", "-U", "-V id", "-v", "-vv", "-x", "-z line",
		"-R hdrs", "-N never", "-r a@b", "-f a@b", "-fa@b", "-itv", "-tvi", "-vf a@b",
		"-mnsUGc" };

	(void)state;
	for (size_t i = 0; i < COUNT(lines); i++) {
		struct options o;
		char line[200];

		snprintf(line, sizeof(line), "sendmail %s one two", lines[i]);
		if (parsed(&o, line) < 0)
			fail_msg("%s: %s", line, o.error);
		assert_int_equal(o.mode, MODE_DELIVER);
		assert_int_equal(o.recipient_count, 2);
		assert_string_equal(o.recipients[0], "one");
		assert_string_equal(o.recipients[1], "two");
		snprintf(line, sizeof(line), "sendmail one %s two", lines[i]);
		assert_int_equal(parsed(&o, line), 0);
		assert_int_equal(o.recipient_count, 2);
	}
}

static void
modes_are_understood(void **state)
{
	static const struct {
		const char *line;
		enum mode mode;
	} rows[] = {
		{ "sendmail", MODE_DELIVER },
		{ "/usr/sbin/sendmail -bm", MODE_DELIVER },
		{ "mailq", MODE_LIST },
		{ "/usr/bin/mailq", MODE_LIST },
		{ "sendmail -bp", MODE_LIST },
		{ "sendmail -b p", MODE_LIST },
		{ "newaliases", MODE_ALIASES },
		{ "sendmail -bi", MODE_ALIASES },
		{ "sendmail -I", MODE_ALIASES },
		{ "sendmail -q", MODE_FLUSH },
		{ "sendmail -q30m", MODE_FLUSH },
		{ "sendmail -qf", MODE_FLUSH },
		{ "sendmail -qRhost", MODE_FLUSH },
		{ "sendmail -qIid", MODE_FLUSH },
		{ "sendmail -q!Shost", MODE_FLUSH },
		{ "sendmail -bC", MODE_CHECK },
		{ "sendmail -bV", MODE_VERSION },
		{ "sendmail -d0.1", MODE_VERSION },
		{ "sendmail --version", MODE_VERSION },
		{ "sendmail --help", MODE_HELP },
		{ "sendmail -bd", MODE_NOTE },
		{ "sendmail -bD", MODE_NOTE },
		{ "sendmail -bh", MODE_NOTE },
		{ "sendmail -bH", MODE_NOTE },
		{ "sendmail -bP", MODE_NOTE },
		{ "sendmail -bt", MODE_NOTE },
		{ "sendmail -bl", MODE_NOTE },
		{ "sendmail-mailq", MODE_DELIVER },
		{ "send-mail", MODE_DELIVER },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct options o;

		if (parsed(&o, rows[i].line) < 0 || o.mode != rows[i].mode)
			fail_msg("%s: %s", rows[i].line, o.error);
		if (o.mode == MODE_NOTE)
			assert_non_null(o.note);
	}
}

static void
a_bare_q_does_not_swallow_the_next_word(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(parsed(&o, "sendmail -q -v"), 0);
	assert_int_equal(o.mode, MODE_FLUSH);
	assert_int_equal(parsed(&o, "sendmail -q one"), 0);
	assert_int_equal(o.recipient_count, 1);
}

static void
what_is_wrong_is_a_usage_error(void **state)
{
	static const struct {
		const char *words, *error;
	} rows[] = {
		{ "-F", "option requires an argument" },
		{ "-f", "option requires an argument" },
		{ "-C", "option requires an argument" },
		{ "-N", "option requires an argument" },
		{ "-V", "option requires an argument" },
		{ "-o", "option requires an argument" },
		{ "-tf", "option requires an argument" },
		{ "-K", "invalid option" },
		{ "-tK", "invalid option" },
		{ "-\x01", "invalid option -- '?'" },
		{ "--from x", "--from" },
		{ "---", "unknown" },
		{ "-X log", "-X" },
		{ "-Xlog", "-X" },
		{ "-oQ/var/tmp", "-oQ" },
		{ "-o Q/var/tmp", "-oQ" },
		{ "-O QueueDirectory=/x", "QueueDirectory" },
		{ "-Oqueuedirectory=/x", "QueueDirectory" },
		{ "-N sometimes", "-N" },
		{ "-N never,delay", "-N" },
		{ "-N success,", "-N" },
		{ "-N ''", "-N" },
		{ "-N succ", "-N" },
		{ "-N success,,delay", "-N" },
		{ "-R some", "-R" },
		{ "-R ''", "-R" },
		{ "-V ''", "-V" },
		{ "-V a=b", "-V" },
		{ "-bz", "-b" },
		{ "-b ''", "-b" },
		{ "-bpp", "-b" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct options o;
		char line[200];

		snprintf(line, sizeof(line), "sendmail %s", rows[i].words);
		assert_int_equal(parsed(&o, line), -1);
		if (strstr(o.error, rows[i].error) == NULL)
			fail_msg("%s: %s", rows[i].words, o.error);
	}
}

static void
sender_and_name_are_taken_attached_and_separate(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(parsed(&o, "sendmail -f a@b -F Joe -t"), 0);
	assert_string_equal(o.sender, "a@b");
	assert_string_equal(o.full_name, "Joe");
	assert_true(o.from_header);
	assert_int_equal(parsed(&o, "sendmail -tfa@b -FJoe"), 0);
	assert_string_equal(o.sender, "a@b");
	assert_int_equal(parsed(&o, "sendmail -r a@b"), 0);
	assert_string_equal(o.sender, "a@b");
	assert_int_equal(parsed(&o, "sendmail -f ''"), 0);
	assert_string_equal(o.sender, "");
	assert_int_equal(parsed(&o, "sendmail -f <>"), 0);
	assert_string_equal(o.sender, "<>");
	assert_int_equal(parsed(&o, "sendmail -t"), 0);
	assert_null(o.sender);
	assert_null(o.full_name);
	assert_null(o.config);
}

static void
dots_are_ignored_on_request_only(void **state)
{
	static const char *const with[] = { "-i", "-oi", "-oitrue", "-ti", "-it", "-o i",
		"-O IgnoreDots=true", "-OIgnoreDots" };
	static const char *const without[] = { "", "-t", "-om", "-f i", "-Fi", "-odi", "-Li",
		"-OIgnoreDots=False", "-O IgnoreDots=false", "-oifalse" };

	(void)state;
	for (size_t i = 0; i < COUNT(with) + COUNT(without); i++) {
		bool wanted = i < COUNT(with);
		struct options o;
		char line[100];

		snprintf(line, sizeof(line), "sendmail %s x@y",
		    wanted ? with[i] : without[i - COUNT(with)]);
		assert_int_equal(parsed(&o, line), 0);
		if (o.ignore_dots != wanted)
			fail_msg("%s", line);
	}
}

static void
dsn_options_are_understood(void **state)
{
	static const struct {
		const char *words;
		unsigned notify;
	} rows[] = {
		{ "-N never", NOTIFY_NEVER },
		{ "-NNEVER", NOTIFY_NEVER },
		{ "-N success", NOTIFY_SUCCESS },
		{ "-N failure,delay", NOTIFY_FAILURE | NOTIFY_DELAY },
		{ "-N Success,Failure,Delay", NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY },
		{ "-t", 0 },
	};
	struct options o;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char line[100];

		snprintf(line, sizeof(line), "sendmail %s x@y", rows[i].words);
		assert_int_equal(parsed(&o, line), 0);
		assert_int_equal(o.notify, rows[i].notify);
	}
	assert_int_equal(parsed(&o, "sendmail -R full -V QQ+2031 -C /x"), 0);
	assert_int_equal(o.ret, RET_FULL);
	assert_string_equal(o.envid, "QQ+2031");
	assert_string_equal(o.config, "/x");
	assert_int_equal(parsed(&o, "sendmail -RHDRS"), 0);
	assert_int_equal(o.ret, RET_HDRS);
}

static void
behind_two_dashes_all_words_are_addresses(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(parsed(&o, "sendmail -t one -- -f -- two"), 0);
	assert_int_equal(o.recipient_count, 4);
	assert_string_equal(o.recipients[1], "-f");
	assert_string_equal(o.recipients[2], "--");
	assert_string_equal(o.recipients[3], "two");
	assert_null(o.sender);
}

static void
posixly_correct_changes_nothing(void **state)
{
	struct options o;

	(void)state;
	setenv("POSIXLY_CORRECT", "1", 1);
	assert_int_equal(parsed(&o, "sendmail one -f a@b two"), 0);
	unsetenv("POSIXLY_CORRECT");
	assert_string_equal(o.sender, "a@b");
	assert_int_equal(o.recipient_count, 2);
}

static void
no_words_at_all_are_an_error(void **state)
{
	struct options o;
	char *argv[] = { NULL };

	(void)state;
	assert_int_equal(options_parse(&o, 0, argv), -1);
	assert_true(o.error[0] != '\0');
}

static void
the_last_of_two_wins(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(parsed(&o, "sendmail -f a@b -f c@d -bp -bm"), 0);
	assert_string_equal(o.sender, "c@d");
	assert_int_equal(o.mode, MODE_DELIVER);
}

static void
a_long_word_is_cut_in_the_error(void **state)
{
	struct options o;
	char word[5000], *argv[] = { word, word };

	(void)state;
	memset(word, '-', sizeof(word));
	word[sizeof(word) - 1] = '\0';
	assert_int_equal(options_parse(&o, 2, argv), -1);
	assert_true(strlen(o.error) < sizeof(o.error));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_without_effect_take_their_argument_and_no_more),
		cmocka_unit_test(modes_are_understood),
		cmocka_unit_test(a_bare_q_does_not_swallow_the_next_word),
		cmocka_unit_test(what_is_wrong_is_a_usage_error),
		cmocka_unit_test(sender_and_name_are_taken_attached_and_separate),
		cmocka_unit_test(dots_are_ignored_on_request_only),
		cmocka_unit_test(dsn_options_are_understood),
		cmocka_unit_test(behind_two_dashes_all_words_are_addresses),
		cmocka_unit_test(posixly_correct_changes_nothing),
		cmocka_unit_test(no_words_at_all_are_an_error),
		cmocka_unit_test(the_last_of_two_wins),
		cmocka_unit_test(a_long_word_is_cut_in_the_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
