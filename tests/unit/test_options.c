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
		{ "sendmail -qLx", MODE_FLUSH },
		{ "sendmail -qGgroup", MODE_FLUSH },
		{ "sendmail -qRhost", MODE_FLUSH },
		{ "sendmail -qIid", MODE_FLUSH },
		{ "sendmail -q!Shost", MODE_FLUSH },
		{ "sendmail -bC", MODE_CHECK },
		{ "sendmail -bV", MODE_VERSION },
		{ "sendmail -d0.1", MODE_VERSION },
		{ "sendmail -d0.1 -t", MODE_DELIVER },
		{ "sendmail -d0.1 a@b", MODE_DELIVER },
		{ "sendmail -d0.1 -bt", MODE_NOTE },
		{ "sendmail -bv -d0.1 a@b", MODE_VERIFY },
		{ "sendmail -bv a@b", MODE_VERIFY },
		{ "sendmail -bs", MODE_SMTP },
		{ "sendmail -bS -i", MODE_SMTP },
		{ "sendmail -bp -q", MODE_LIST },
		{ "sendmail -q -bp", MODE_LIST },
		{ "mailq -qRx", MODE_LIST },
		{ "sendmail -bs -q", MODE_SMTP },
		{ "sendmail -bd -q30m", MODE_NOTE },
		{ "sendmail -q30m -bd", MODE_NOTE },
		{ "sendmail -qQ", MODE_NOTE },
		{ "sendmail -q!Qid", MODE_NOTE },
		{ "sendmail -bp -qQ", MODE_LIST },
		{ "sendmail -qG -bm", MODE_DELIVER },
		{ "hoststat", MODE_NOTE },
		{ "/usr/bin/purgestat", MODE_NOTE },
		{ "smtpd -q1h", MODE_NOTE },
		{ "mailq -bm", MODE_DELIVER },
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
		{ "-V a+b", "-V" },
		{ "-V a+2b", "-V" },
		{ "-V a+", "-V" },
		{ "-h", "option requires an argument" },
		{ "-h many", "-h" },
		{ "-h -1", "-h" },
		{ "-h 1001", "-h" },
		{ "-h ''", "-h" },
		{ "-oe", "-oe" },
		{ "-oez", "-oe" },
		{ "-e z", "-oe" },
		{ "-OErrorMode=z", "-oe" },
		{ "-OErrorMode", "-oe" },
		{ "-od", "-od" },
		{ "-odx", "-od" },
		{ "-ODeliveryMode=x", "-od" },
		{ "-or", "-or" },
		{ "-orx", "-or" },
		{ "-or-1s", "-or" },
		{ "-or8d", "-or" },
		{ "-or99999999999999999999999s", "-or" },
		{ "-qI", "-qI" },
		{ "-qR", "-qR" },
		{ "-qS", "-qS" },
		{ "-q!S", "-qS" },
		{ "-qRa\nb", "-qR" },
		{ "-qRa\rb", "-qR" },
		{ "-bp -qR", "-qR" },
		{ "-q!", "-q!" },
		{ "-q!f", "-q!" },
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
waiting_is_asked_for_by_delivery_mode_or_verbosity(void **state)
{
	static const struct {
		const char *words;
		bool wait, verbose;
	} rows[] = {
		{ "-t", false, false },
		{ "-odi", true, false },
		{ "-odf", true, false },
		{ "-o di", true, false },
		{ "-ODeliveryMode=interactive", true, false },
		{ "-O deliverymode=i", true, false },
		{ "-odb", false, false },
		{ "-odq", false, false },
		{ "-odd", false, false },
		{ "-odi -odb", false, false },
		{ "-OXDeliveryMode=i", false, false },
		{ "-ODeliveryModes=i", false, false },
		{ "-v", false, true },
		{ "-tvi", false, true },
		{ "-v -odi", true, true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct options o;
		char line[100];

		snprintf(line, sizeof(line), "sendmail %s x@y", rows[i].words);
		assert_int_equal(parsed(&o, line), 0);
		if (o.wait != rows[i].wait || o.verbose != rows[i].verbose)
			fail_msg("%s", line);
	}
}

static void
only_the_error_mode_q_is_quiet(void **state)
{
	static const char *const quiet[] = { "-oeq", "-eq", "-e q", "-o eq", "-OErrorMode=q",
		"-O errormode=quiet", "-oem -oeq" };
	static const char *const loud[] = { "", "-oem", "-oep", "-oew", "-oee", "-em", "-e p",
		"-OErrorMode=print", "-oeq -oem" };

	(void)state;
	for (size_t i = 0; i < COUNT(quiet) + COUNT(loud); i++) {
		bool wanted = i < COUNT(quiet);
		struct options o;
		char line[100];

		snprintf(line, sizeof(line), "sendmail %s x@y",
		    wanted ? quiet[i] : loud[i - COUNT(quiet)]);
		assert_int_equal(parsed(&o, line), 0);
		if (o.quiet != wanted)
			fail_msg("%s", line);
	}
}

static void
the_read_timeout_counts_minutes_unless_a_unit_is_there(void **state)
{
	static const struct {
		const char *words;
		uint64_t seconds;
	} rows[] = { { "-t", 0 }, { "-or0s", 0 }, { "-or0", 0 }, { "-or30s", 30 },
		{ "-o r2m", 120 }, { "-or5", 300 }, { "-or1h", 3600 }, { "-or7d", 604800 },
		{ "-or1h -or2s", 2 } };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct options o;
		char line[100];

		snprintf(line, sizeof(line), "sendmail %s x@y", rows[i].words);
		assert_int_equal(parsed(&o, line), 0);
		assert_int_equal(o.read_timeout, rows[i].seconds * 1000000);
	}
}

static void
hops_are_a_number(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(parsed(&o, "sendmail x@y"), 0);
	assert_int_equal(o.hops, 0);
	assert_int_equal(parsed(&o, "sendmail -h17 x@y"), 0);
	assert_int_equal(o.hops, 17);
	assert_int_equal(parsed(&o, "sendmail -h 1000 x@y"), 0);
	assert_int_equal(o.hops, 1000);
}

static void
tag_and_protocol_keep_only_harmless_characters(void **state)
{
	static const struct {
		const char *value, *tag, *protocol;
	} rows[] = {
		{ "", "", "" },
		{ "ESMTPS", "ESMTPS", "ESMTPS" },
		{ "my-app_1.2/x", "my-app_1.2/x", "my-app_1.2/x" },
		{ "t\n<0>fake", "t0fake", "t0fake" },
		{ "%n%s \x1b[31m", "ns31m", "ns31m" },
		{ "smtp:host.example", "smtphost.example", "smtp" },
		{ ":host", "host", "" },
		{ "\xc3\xa4", "", "" },
		{ "0123456789012345678901234567890123456789", "01234567890123456789012345678901",
		    "0123456789012345" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char value[100], *argv[] = { "sendmail", "-L", value, "-p", value, NULL };
		struct options o;

		snprintf(value, sizeof(value), "%s", rows[i].value);
		assert_int_equal(options_parse(&o, 5, argv), 0);
		assert_string_equal(o.log_tag, rows[i].tag);
		assert_string_equal(o.protocol, rows[i].protocol);
	}
}

static void
a_flush_may_choose_by_queue_id_recipient_or_sender(void **state)
{
	static const struct {
		const char *words, *text;
		char select;
		bool not ;
	} rows[] = {
		{ "-q", NULL, 0, false },
		{ "-q30m", NULL, 0, false },
		{ "-qf", NULL, 0, false },
		{ "-qGgroup", NULL, 0, false },
		{ "-qIhofox1", "hofox1", 'I', false },
		{ "-qRexample.org", "example.org", 'R', false },
		{ "-qSroot", "root", 'S', false },
		{ "-q!Sroot", "root", 'S', true },
		{ "-q!R!x", "!x", 'R', true },
		{ "-qRx -q", "x", 'R', false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct options o;
		char line[100];

		snprintf(line, sizeof(line), "sendmail %s", rows[i].words);
		assert_int_equal(parsed(&o, line), 0);
		assert_int_equal(o.mode, MODE_FLUSH);
		assert_int_equal(o.select, rows[i].select);
		assert_int_equal(o.select_negated, rows[i].not );
		if (rows[i].text != NULL)
			assert_string_equal(o.select_text, rows[i].text);
	}
}

static void
a_text_to_choose_by_has_at_most_200_octets(void **state)
{
	char word[300], *argv[] = { "sendmail", word, NULL };
	struct options o;

	(void)state;
	memset(word, 'x', sizeof(word));
	memcpy(word, "-qR", 3);
	word[203] = '\0';
	assert_int_equal(options_parse(&o, 2, argv), 0);
	assert_int_equal(strlen(o.select_text), 200);
	word[203] = 'x';
	word[204] = '\0';
	assert_int_equal(options_parse(&o, 2, argv), -1);
}

static void
further_switches_are_off_until_given(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(parsed(&o, "sendmail x@y"), 0);
	assert_false(o.no_aliases || o.quarantine || o.show_version || o.quiet);
	assert_int_equal(parsed(&o, "sendmail -nQ x@y"), 0);
	assert_true(o.no_aliases && o.quarantine);
	assert_int_equal(parsed(&o, "sendmail -Qn x@y"), 0);
	assert_true(!o.no_aliases && o.quarantine);
	assert_int_equal(parsed(&o, "sendmail -d0.1 x@y"), 0);
	assert_true(o.show_version);
	assert_int_equal(parsed(&o, "sendmail -d0.10 x@y"), 0);
	assert_false(o.show_version);
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
		cmocka_unit_test(waiting_is_asked_for_by_delivery_mode_or_verbosity),
		cmocka_unit_test(only_the_error_mode_q_is_quiet),
		cmocka_unit_test(the_read_timeout_counts_minutes_unless_a_unit_is_there),
		cmocka_unit_test(hops_are_a_number),
		cmocka_unit_test(tag_and_protocol_keep_only_harmless_characters),
		cmocka_unit_test(a_flush_may_choose_by_queue_id_recipient_or_sender),
		cmocka_unit_test(a_text_to_choose_by_has_at_most_200_octets),
		cmocka_unit_test(further_switches_are_off_until_given),
		cmocka_unit_test(behind_two_dashes_all_words_are_addresses),
		cmocka_unit_test(posixly_correct_changes_nothing),
		cmocka_unit_test(no_words_at_all_are_an_error),
		cmocka_unit_test(the_last_of_two_wins),
		cmocka_unit_test(a_long_word_is_cut_in_the_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
