/*
 * sendmail/expand and sendmail/local: where the mail for an address goes.
 */
#include "tests/unit/unit_aliases.h"

#include <sysexits.h>

#include "sendmail/expand.h"
#include "sendmail/local.h"
#include "spool/envelope.h"

static struct settings_map maps[] = { { (char *)"mapped", (char *)"m@prov.example" },
	{ (char *)"both", (char *)"b@prov.example" } };
static char *local_domains[] = { (char *)"here.example" };
static char ops[] = "ops@prov.example";

static int
take(void *context, const char *address)
{
	struct buf *b = context;

	assert_null(envelope_address_check(address));
	buf_addf(b, "%s%s", b->len > 0 ? " " : "", address);
	return 0;
}

struct list {
	struct expansion *expansion;
	struct buf *finals;
	int result;
};

static int
expand_one(void *context, const struct address *a)
{
	struct list *l = context;

	if (l->result == 0)
		l->result = expand_address(l->expansion, a, take, l->finals);
	return 0;
}

/* The final addresses of all recipients, with those that come twice; or "CODE error". */
static void
expand(struct alias_host *h, const char *recipients, bool no_aliases, char result[static 4000])
{
	struct buf finals = BUF_INIT(64 << 20);
	struct expansion x;
	struct list l = { .expansion = &x, .finals = &finals };
	const char *error;

	buf_reset(&h->log);
	expand_init(&x, &h->settings, &h->identity);
	x.no_aliases = no_aliases;
	assert_int_equal(
	    address_list_parse(recipients, strlen(recipients), expand_one, &l, &error), 0);
	if (l.result == 0)
		snprintf(result, 4000, "%s", buf_string(&finals));
	else
		snprintf(result, 4000, "%d %s", x.code, buf_string(&x.error));
	alias_host_shorten(h, result);
	if (h->log.len > 0)
		alias_host_shorten(h, h->log.data);
	expand_fini(&x);
	buf_free(&finals);
}

struct row {
	const char *aliases, *recipients, *expected;
};

static void
check_host(struct alias_host *h, const struct row *rows, size_t count, bool no_aliases)
{
	char result[4000];

	for (size_t i = 0; i < count; i++) {
		alias_host_write(h, "aliases", rows[i].aliases);
		expand(h, rows[i].recipients, no_aliases, result);
		if (strcmp(result, rows[i].expected) != 0)
			fail_msg("\"%s\" gives for %s \"%s\", not \"%s\"", rows[i].aliases,
			    rows[i].recipients, result, rows[i].expected);
	}
}

static void
check(const struct row *rows, size_t count, char *local_mail_to, bool no_aliases)
{
	struct alias_host h;

	alias_host_init(&h, NULL);
	h.settings.maps = maps;
	h.settings.map_count = COUNT(maps);
	h.settings.local_domains = local_domains;
	h.settings.local_domain_count = COUNT(local_domains);
	h.settings.local_mail_to = local_mail_to;
	check_host(&h, rows, count, no_aliases);
	alias_host_fini(&h);
}

static void
what_is_local_is_known(void **state)
{
	static const struct row rows[] = {
		{ "r: x@y.z", "r", "x@y.z" },
		{ "r: x@y.z", "R", "x@y.z" },
		{ "r: x@y.z", "\"r\"", "x@y.z" },
		{ "r: x@y.z", "\"\\r\"", "x@y.z" },
		{ "\"r s\": x@y.z", "\"R s\"@localhost", "x@y.z" },
		{ "r: x@y.z", "r@localhost", "x@y.z" },
		{ "r: x@y.z", "r@LocalHost", "x@y.z" },
		{ "r: x@y.z", "r@Host.Example", "x@y.z" },
		{ "r: x@y.z", "r@here.EXAMPLE", "x@y.z" },
		{ "r: x@y.z", "r@dom.example", "r@dom.example" },
		{ "r: x@y.z", "r@x.here.example", "r@x.here.example" },
		{ "r: x@y.z", "r@localhost.localdomain", "x@y.z" },
		{ "r: x@y.z", "r@[127.0.0.1]", "r@[127.0.0.1]" },
		{ "", "Joe@localhost", "Joe@dom.example" },
		{ "", "\"a b\"@host.example", "\"a b\"@host.example" },
		{ "", "\"a@localhost\"", "\"a@localhost\"@dom.example" },
	};

	(void)state;
	check(rows, COUNT(rows), NULL, false);
}

static void
the_order_is_alias_map_default_local_mail_to_domain(void **state)
{
	static const struct row without[] = {
		{ "both: x@y.z", "both", "x@y.z" },
		{ "default: x@y.z", "both", "b@prov.example" },
		{ "default: x@y.z", "other", "x@y.z" },
		{ "*: x@y.z", "other", "x@y.z" },
		{ "", "other", "other@dom.example" },
		{ "", "mapped", "m@prov.example" },
		{ "", "MAPPED@localhost", "m@prov.example" },
		{ "", "mapped@dom.example", "mapped@dom.example" },
		{ "r: mapped", "r", "m@prov.example" },
		{ "r: joe\njoe: x@y.z", "r", "x@y.z" },
		{ "r: joe@localhost\njoe: x@y.z", "r", "x@y.z" },
		{ "r: joe@dom.example\njoe: x@y.z", "r", "joe@dom.example" },
		{ "default: joe", "other", "joe@dom.example" },
		{ "default: joe\njoe: x@y.z", "other, joe", "x@y.z" },
		{ "default: default", "other", "default@dom.example" },
		{ "default: mapped", "other", "m@prov.example" },
		{ "r: x@y.z, joe, mapped", "r, other",
		    "x@y.z joe@dom.example m@prov.example other@dom.example" },
	};
	static const struct row with[] = {
		{ "both: x@y.z", "both, mapped, other, other@dom.example",
		    "x@y.z m@prov.example ops@prov.example other@dom.example" },
		{ "default: x@y.z", "other", "x@y.z" },
		{ "default: joe", "other", "ops@prov.example" },
	};

	(void)state;
	check(without, COUNT(without), NULL, false);
	check(with, COUNT(with), ops, false);
}

static void
a_backslash_or_an_option_ends_aliasing(void **state)
{
	static const struct row escaped[] = {
		{ "r: x@y.z\ndefault: d@y.z", "\\r", "r@dom.example" },
		{ "r: x@y.z", "<\\r@localhost>", "r@dom.example" },
		{ "r: \\r, x@y.z", "r", "r@dom.example x@y.z" },
		{ "r: \\joe\njoe: x@y.z", "r", "joe@dom.example" },
		{ "mapped: x@y.z", "\\mapped", "m@prov.example" },
	};
	static const struct row option[] = {
		{ "r: x@y.z\ndefault: d@y.z", "r, other, mapped, a@b.c",
		    "r@dom.example other@dom.example m@prov.example a@b.c" },
	};

	(void)state;
	check(escaped, COUNT(escaped), NULL, false);
	check(option, COUNT(option), NULL, true);
}

static void
a_name_that_leads_to_itself_is_final(void **state)
{
	static const struct row rows[] = {
		{ "a: a", "a", "a@dom.example" },
		/* as the target writes it */
		{ "a: A@localhost, x@y.z", "a", "A@dom.example x@y.z" },
		{ "a: a\ndefault: d@y.z", "a", "a@dom.example" },
		{ "both: both", "both", "b@prov.example" },
		{ "a: b\nb: a", "a", "a@dom.example" },
		{ "a: b\nb: a", "a, b", "a@dom.example" },
		{ "a: b\nb: c, x@y.z\nc: a, b", "a", "a@dom.example b@dom.example x@y.z" },
	};

	(void)state;
	check(rows, COUNT(rows), NULL, false);
}

static void
a_circle_is_logged_once_and_a_name_of_its_own_is_not(void **state)
{
	struct alias_host h;
	char result[4000];

	(void)state;
	alias_host_init(&h, "x: y@z.w\na: b\nb: a\n");
	expand(&h, "a, b, a", false, result);
	assert_string_equal(buf_string(&h.log),
	    "/aliases:3: b: the aliases lead in a circle, back to: a; it is used as if it were "
	    "no alias\n");
	alias_host_write(&h, "aliases", "a: a, b\ndefault: joe\n");
	expand(&h, "a, b, joe", false, result);
	assert_string_equal(result, "a@dom.example joe@dom.example");
	assert_int_equal(h.log.len, 0);
	alias_host_fini(&h);
}

/* n1 to nCOUNT, the last of which is x@y.z. */
static void
chain_write(struct alias_host *h, unsigned count)
{
	FILE *file = fopen(h->path, "w");

	assert_non_null(file);
	for (unsigned i = 1; i < count; i++)
		fprintf(file, "n%u: n%u\n", i, i + 1);
	fprintf(file, "n%u: x@y.z\n", count);
	fclose(file);
}

static void
a_chain_ends_after_a_hundred_aliases(void **state)
{
	struct alias_host h;
	char result[4000];

	(void)state;
	alias_host_init(&h, NULL);
	chain_write(&h, 100);
	expand(&h, "n1", false, result);
	assert_string_equal(result, "x@y.z");
	assert_int_equal(h.log.len, 0);
	chain_write(&h, 1000);
	expand(&h, "n1", false, result);
	assert_string_equal(result, "n101@dom.example");
	assert_string_equal(buf_string(&h.log),
	    "/aliases:100: n100: the aliases lead too deep, to: n101; it is used as if it were no "
	    "alias\n");
	h.settings.local_mail_to = ops;
	expand(&h, "n1", false, result);
	assert_string_equal(result, "ops@prov.example");
	alias_host_fini(&h);
}

static void
each_alias_is_expanded_once(void **state)
{
	struct alias_host h;
	struct buf text = BUF_INIT(1 << 20);
	char result[4000];

	(void)state;
	/* sixty diamonds: 2^60 ways */
	for (unsigned i = 0; i < 60; i++)
		buf_addf(&text, "n%u: l%u, r%u\nl%u: n%u\nr%u: n%u\n", i, i, i, i, i + 1, i, i + 1);
	buf_add_string(&text, "n60: x@y.z\n");
	alias_host_init(&h, text.data);
	expand(&h, "n0", false, result);
	/* the chain is longer than the limit */
	assert_string_equal(result, "n50@dom.example n50@dom.example");
	expand(&h, "n20, n0, n30", false, result);
	assert_string_equal(result, "x@y.z");
	buf_free(&text);
	alias_host_fini(&h);
}

static void
what_cannot_be_used_goes_to_local_mail_to(void **state)
{
	static const struct row rows[] = {
		{ "r: \"|cat x\"", "r", "ops@prov.example" },
		{ "r: x@y.z, |cat, w@y.z", "r", "x@y.z ops@prov.example w@y.z" },
		{ "r: /dev/null", "r", "ops@prov.example" },
		{ "r:", "r", "ops@prov.example" },
		{ "r: ,", "r", "ops@prov.example" },
		{ "r: a b", "r", "ops@prov.example" },
		{ "r: :include:/nonexistent", "r", "ops@prov.example" },
		{ "r: :fail: gone", "r", "ops@prov.example" },
		{ "r x@y.z", "r", "ops@prov.example" },
		{ "x: y@z.w\nr", "r", "ops@prov.example" },
		{ "\"r s\" x@y.z\n", "\"r s\"", "ops@prov.example" },
		{ "r x@y.z\nr: g@y.z\nr w@y.z", "r", "g@y.z" },
		{ "x: r,\nr |cat\nr", "x", "ops@prov.example ops@prov.example" },
	};

	(void)state;
	check(rows, COUNT(rows), ops, false);
}

static void
without_local_mail_to_it_is_refused(void **state)
{
	static const struct row rows[] = {
		{ "x: y@z.w\nr: a@b.c,\n \"|cat x\"", "r",
		    "65 /aliases:3: r: pipes are not supported: \"|cat x\"; correct the alias, or "
		    "set local_mail_to" },
		{ "x: y@z.w\nr:", "r",
		    "65 /aliases:2: r: there is no target behind the colon; correct the alias, or "
		    "set local_mail_to" },
		{ "r: s\ns: /dev/null", "r",
		    "65 /aliases:2: s: files are not supported: /dev/null; correct the alias, or "
		    "set local_mail_to" },
		{ "r: s\ns: /dev/null", "x", "x@dom.example" },
		{ "x: y@z.w\nr x@y.z", "r",
		    "65 /aliases:2: r: the colon behind the name is missing; a line that continues "
		    "an "
		    "alias begins with a blank; correct the alias, or set local_mail_to" },
		{ "x: y@z.w\nr\n x@y.z", "r",
		    "65 /aliases:2: r: the colon behind the name is missing; a line that continues "
		    "an alias begins with a blank; correct the alias, or set local_mail_to" },
		{ "a r: x@y.z", "a", "a@dom.example" },
	};

	(void)state;
	check(rows, COUNT(rows), NULL, false);
}

static void
the_warning_names_place_name_and_target(void **state)
{
	struct alias_host h;
	char result[4000];

	(void)state;
	alias_host_init(&h, "vacation: joe@x.y, \"|/usr/bin/vacation joe\"\n");
	h.settings.local_mail_to = ops;
	expand(&h, "vacation, vacation", false, result);
	assert_string_equal(buf_string(&h.log), "/aliases:1: vacation: pipes are not supported: "
						"\"|/usr/bin/vacation joe\"; what is sent "
						"there goes to ops@prov.example\n");
	alias_host_fini(&h);
}

static void
lists_are_included(void **state)
{
	static const struct row rows[] = {
		{ "r: :include:DIR/list", "r", "a@b.c d@e.f joe@dom.example g@h.i" },
		{ "r: x@y.z, :include:DIR/list\njoe: j@y.z", "r", "x@y.z a@b.c d@e.f j@y.z g@h.i" },
		{ "r: :include:DIR/outer", "r", "o@p.q a@b.c d@e.f joe@dom.example g@h.i" },
		{ "r: :include:DIR/list, s\ns: :include:DIR/list", "r, s",
		    "a@b.c d@e.f joe@dom.example g@h.i" },
		{ "r: :include:DIR/pipe", "r",
		    "65 /pipe:2: r: pipes are not supported: |cat; correct the alias, or set "
		    "local_mail_to" },
		{ "r: :include:DIR/empty", "r",
		    "65 /aliases:1: r: the list is empty: :include:/empty; correct the alias, or "
		    "set "
		    "local_mail_to" },
		{ "r: :include:DIR/self", "r",
		    "65 /self:1: r: the list includes itself: :include:/self; correct the alias, "
		    "or "
		    "set local_mail_to" },
		{ "r: :include:DIR/none", "r",
		    "65 /aliases:1: r: the list cannot be read: No such file or directory: "
		    ":include:/none; correct the alias, or set local_mail_to" },
	};
	struct alias_host h;

	(void)state;
	alias_host_init(&h, NULL);
	alias_host_write(&h, "list", "# who\r\na@b.c, d@e.f\r\n\r\n  joe\n# and\nD <g@h.i>");
	alias_host_write(&h, "outer", "o@p.q\n:include:DIR/list\n");
	alias_host_write(&h, "pipe", "a@b.c\n|cat\n");
	alias_host_write(&h, "empty", "\n# a@b.c\n,\n");
	alias_host_write(&h, "self", ":include:DIR/self\n");
	check_host(&h, rows, COUNT(rows), false);
	alias_host_fini(&h);
}

static void
a_list_may_be_one_long_line(void **state)
{
	struct alias_host h;
	struct buf finals = BUF_INIT(64 << 20);
	const struct address all = { .text = "all", .bare = true };
	struct expansion x;
	char path[100];
	FILE *file;

	(void)state;
	alias_host_init(&h, "all: :include:DIR/list");
	snprintf(path, sizeof(path), "%s/list", h.directory);
	file = fopen(path, "w");
	for (unsigned i = 0; i < 60000; i++)
		fprintf(file, "somebody%u@organisation.example,", i);
	fclose(file);
	assert_int_equal(chmod(path, 0644), 0);
	expand_init(&x, &h.settings, &h.identity);
	assert_int_equal(expand_address(&x, &all, take, &finals), 0);
	assert_int_equal(x.given, 60000);
	expand_fini(&x);
	buf_free(&finals);
	alias_host_fini(&h);
}

static void
a_list_that_others_can_change_is_not_trusted(void **state)
{
	struct alias_host h;
	char result[4000], path[100];

	(void)state;
	alias_host_init(&h, "r: :include:DIR/list");
	alias_host_write(&h, "list", "a@b.c\n");
	snprintf(path, sizeof(path), "%s/list", h.directory);
	for (unsigned mode = 0620; mode != 0; mode = mode == 0620 ? 0602 : 0) {
		assert_int_equal(chmod(path, mode), 0);
		expand(&h, "r", false, result);
		assert_non_null(strstr(result, "may be written by others"));
	}
	assert_int_equal(chmod(path, 0600), 0);
	expand(&h, "r", false, result);
	assert_string_equal(result, "a@b.c");
	if (geteuid() == 0) {
		assert_int_equal(chown(path, 1, 1), 0);
		expand(&h, "r", false, result);
		assert_non_null(strstr(result, "it must belong to root"));
	}
	alias_host_fini(&h);
}

static void
lists_are_included_ten_deep_at_most(void **state)
{
	struct alias_host h;
	char result[4000];

	(void)state;
	alias_host_init(&h, "r: :include:DIR/l1");
	for (unsigned i = 1; i <= 11; i++) {
		char name[8], text[64];

		snprintf(name, sizeof(name), "l%u", i);
		snprintf(text, sizeof(text), "u%u@b.c\n:include:DIR/l%u\n", i, i + 1);
		alias_host_write(&h, name, i == 10 ? "last@b.c\n" : text);
	}
	expand(&h, "r", false, result);
	assert_non_null(strstr(result, "u9@b.c last@b.c"));
	alias_host_write(&h, "l10", "u10@b.c\n:include:DIR/l11\n");
	expand(&h, "r", false, result);
	assert_non_null(strstr(result, "/l10:2: r: the list is included too deep"));
	alias_host_fini(&h);
}

static void
a_file_that_cannot_be_read_is_a_temporary_failure(void **state)
{
	struct alias_host h;
	char result[4000];

	(void)state;
	alias_host_init(&h, NULL);
	expand(&h, "r", false, result);
	assert_string_equal(
	    result, "75 cannot read the aliases in /aliases: No such file or directory");
	expand(&h, "a@b.c, \\r", false, result);
	assert_string_equal(result, "a@b.c r@dom.example");
	h.settings.aliases_set = false;
	expand(&h, "r", false, result);
	assert_string_equal(result, "r@dom.example");
	assert_int_equal(mkdir(h.path, 0755), 0);
	expand(&h, "r", false, result);
	assert_string_equal(
	    result, "75 cannot read the aliases in /aliases: it is no regular file");
	expand(&h, "a@b.c, \\r", false, result);
	assert_string_equal(result, "a@b.c r@dom.example");
	alias_host_fini(&h);
}

static void
an_alias_has_as_many_addresses_as_an_envelope(void **state)
{
	struct alias_host h;
	char result[4000];
	struct expansion x;
	struct buf finals = BUF_INIT(64 << 20);
	const struct address all = { .text = "all", .bare = true };

	(void)state;
	alias_host_init(&h, "");
	for (unsigned count = ENVELOPE_RECIPIENTS_MAX; count <= ENVELOPE_RECIPIENTS_MAX + 1;
	     count++) {
		FILE *file = fopen(h.path, "w");

		fputs("all: ", file);
		for (unsigned i = 0; i < count; i++)
			fprintf(file, "u%u@x.y,\n ", i);
		fclose(file);
		expand_init(&x, &h.settings, &h.identity);
		buf_reset(&finals);
		if (count == ENVELOPE_RECIPIENTS_MAX) {
			assert_int_equal(expand_address(&x, &all, take, &finals), 0);
		} else {
			assert_int_equal(expand_address(&x, &all, take, &finals), -1);
			assert_int_equal(x.code, EX_DATAERR);
			snprintf(result, sizeof(result), "%s", buf_string(&x.error));
			alias_host_shorten(&h, result);
			assert_string_equal(result,
			    "/aliases:1: all: more than 65536 addresses; "
			    "divide the alias, and send the message to its parts");
		}
		expand_fini(&x);
	}
	buf_free(&finals);
	alias_host_fini(&h);
}

static void
a_name_is_made_from_any_local_part(void **state)
{
	char name[LOCAL_NAME_SIZE], longest[300];

	(void)state;
	assert_true(local_name("Root", 4, name));
	assert_string_equal(name, "root");
	assert_true(local_name("\"A \\\"B\\\\\"", 9, name));
	assert_string_equal(name, "a \"b\\");
	assert_true(local_name("\"", 1, name));
	assert_string_equal(name, "\"");
	assert_true(local_name("\"\"", 2, name));
	assert_string_equal(name, "");
	memset(longest, 'x', sizeof(longest));
	assert_true(local_name(longest, LOCAL_NAME_SIZE - 1, name));
	assert_false(local_name(longest, LOCAL_NAME_SIZE, name));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_local_is_known),
		cmocka_unit_test(the_order_is_alias_map_default_local_mail_to_domain),
		cmocka_unit_test(a_backslash_or_an_option_ends_aliasing),
		cmocka_unit_test(a_name_that_leads_to_itself_is_final),
		cmocka_unit_test(a_circle_is_logged_once_and_a_name_of_its_own_is_not),
		cmocka_unit_test(a_chain_ends_after_a_hundred_aliases),
		cmocka_unit_test(each_alias_is_expanded_once),
		cmocka_unit_test(what_cannot_be_used_goes_to_local_mail_to),
		cmocka_unit_test(without_local_mail_to_it_is_refused),
		cmocka_unit_test(the_warning_names_place_name_and_target),
		cmocka_unit_test(lists_are_included),
		cmocka_unit_test(a_list_may_be_one_long_line),
		cmocka_unit_test(a_list_that_others_can_change_is_not_trusted),
		cmocka_unit_test(lists_are_included_ten_deep_at_most),
		cmocka_unit_test(a_file_that_cannot_be_read_is_a_temporary_failure),
		cmocka_unit_test(an_alias_has_as_many_addresses_as_an_envelope),
		cmocka_unit_test(a_name_is_made_from_any_local_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
