/*
 * sendmail/aliases and sendmail/targets: the alias file, entry by entry, and what is
 * reported of it.
 */
#include "tests/unit/unit_aliases.h"

#include <time.h>

#include "sendmail/aliases.h"
#include "sendmail/targets.h"

static int
note_target(void *context, const struct target *t)
{
	struct buf *b = context;

	if (b->len > 0)
		buf_add_string(b, " | ");
	if (t->kind == TARGET_ADDRESS)
		buf_addf(b, "%s%s%s", t->address.text, t->address.bare ? "!" : "",
		    t->address.escaped ? "\\" : "");
	else if (t->kind == TARGET_INCLUDE)
		buf_addf(b, "include %s", t->path);
	else
		buf_addf(b, "bad %s", t->written);
	return 0;
}

/* "NAME@LINE: TARGETS" of each entry; "~" and the line of one that cannot be found, or is
 * not the first of its name. */
static void
describe(const char *text, char result[static 2000])
{
	struct alias_host h;
	struct aliases a;
	struct buf b = BUF_INIT(1999);

	alias_host_init(&h, text);
	assert_int_equal(aliases_read(&a, h.path), 0);
	for (size_t i = 0; i < a.count; i++) {
		struct buf targets = BUF_INIT(1000);
		const struct alias *e = &a.entries[i];

		if (b.len > 0)
			buf_add_string(&b, "; ");
		if (e->problem != NULL) {
			buf_addf(&b, "~%u", e->line);
			continue;
		}
		targets_parse(e->targets, e->len, e->line, false, note_target, &targets);
		buf_addf(&b, "%s@%u: %s", e->name, e->line, buf_string(&targets));
		buf_free(&targets);
	}
	snprintf(result, 2000, "%s", buf_string(&b));
	buf_free(&b);
	aliases_free(&a);
	alias_host_fini(&h);
}

struct row {
	const char *text, *expected;
};

static void
check(const struct row *rows, size_t count)
{
	char result[2000];

	for (size_t i = 0; i < count; i++) {
		describe(rows[i].text, result);
		if (strcmp(result, rows[i].expected) != 0)
			fail_msg("\"%s\" gives \"%s\", not \"%s\"", rows[i].text, result,
			    rows[i].expected);
	}
}

static void
entries_of_every_form_are_read(void **state)
{
	static const struct row rows[] = {
		{ "", "" },
		{ "\n\n", "" },
		{ "# a comment: x\n", "" },
		{ "  # another, a: b\n", "" },
		{ "a: b", "a@1: b!" },
		{ "a: b\n", "a@1: b!" },
		{ "a:b", "a@1: b!" },
		{ "a : b", "a@1: b!" },
		{ "a\t:\tb", "a@1: b!" },
		{ "Root: B", "root@1: B!" },
		{ "a: b\r\nc: d\r\n", "a@1: b!; c@2: d!" },
		{ "\xef\xbb\xbf"
		  "a: b",
		    "a@1: b!" },
		{ "b: x\n\n# y\na: z\n", "b@1: x!; a@4: z!" },
		{ "a: b, c@d,e", "a@1: b! | c@d | e!" },
		{ "a: b,\n c", "a@1: b! | c!" },
		{ "a:\n\tb,\n\tc", "a@1: b! | c!" },
		{ "a: b\n , c", "a@1: b! | c!" },
		{ "a: b,\n# x\n\n c\nd: e", "a@1: b! | c!; d@5: e!" },
		{ "a: b,\nc, d\ne: f", "a@1: b! | c! | d!; e@3: f!" },
		{ "a: b,\n:include:/x\n", "a@1: b! | include /x" },
		{ "a: b,\nc: d\n", "a@1: b!; c@2: d!" },
		{ "a: b, \t\nc\n", "a@1: b! | c!" },
		{ "\"a b\": c", "a b@1: c!" },
		{ "\"A:B,c\" : d", "a:b,c@1: d!" },
		{ "\"a\\\"b\": c", "a\"b@1: c!" },
		{ "\"a\": c", "a@1: c!" },
		{ "*: a", "default@1: a!" },
		{ "default: a", "default@1: a!" },
		{ "a.b-c_d+e=f: x", "a.b-c_d+e=f@1: x!" },
		{ "a: ", "a@1: " },
		{ "a: ,,", "a@1: " },
	};

	(void)state;
	check(rows, COUNT(rows));
}

static void
targets_of_every_form_are_known(void **state)
{
	static const struct row rows[] = {
		{ "a: b@c", "a@1: b@c" },
		{ "a: Joe <b@c> (x)", "a@1: b@c" },
		{ "a: \\a", "a@1: a!\\" },
		{ "a: \\a@b", "a@1: a@b\\" },
		{ "a: \"b, c\"@d, e", "a@1: \"b, c\"@d | e!" },
		{ "a: \"b c\"", "a@1: \"b c\"!" },
		{ "a: b (x, y), c", "a@1: b! | c!" },
		{ "a: b@[IPv6:::1], c", "a@1: b@[IPv6:::1] | c!" },
		{ "a: :include:/x/y", "a@1: include /x/y" },
		{ "a: :INCLUDE: /x", "a@1: include /x" },
		{ "a: \":include:/x, y\"", "a@1: include /x, y" },
		{ "a: :include:x", "a@1: bad :include:x" },
		{ "a: :include:", "a@1: bad :include:" },
		{ "a: |cat", "a@1: bad |cat" },
		{ "a: \"|cat, dog\", b", "a@1: bad \"|cat, dog\" | b!" },
		{ "a: \"|cat \\\"x, y\\\"\", b", "a@1: bad \"|cat \\\"x, y\\\"\" | b!" },
		{ "a: \"|cat\"@b", "a@1: \"|cat\"@b" },
		{ "a: (x) |cat", "a@1: bad (x) |cat" },
		{ "a: <\"/x\">", "a@1: bad <\"/x\">" },
		{ "a: \\|cat", "a@1: bad \\|cat" },
		{ "a: /dev/null", "a@1: bad /dev/null" },
		{ "a: \"/var/a b\"", "a@1: bad \"/var/a b\"" },
		{ "a: :fail: gone", "a@1: bad :fail: gone" },
		{ "a: b c, d", "a@1: bad b c | d!" },
		{ "a: b # who", "a@1: bad b # who" },
		{ "a: b, # who", "a@1: b! | bad # who" },
		{ "a: c: d", "a@1: bad c: d" },
		{ "a: c; d", "a@1: bad c; d" },
		{ "a: <>", "a@1: bad <>" },
		{ "a: (x)", "a@1: bad (x)" },
		{ "a: @b, c", "a@1: bad @b | c!" },
		{ "a: b@, c", "a@1: bad b@ | c!" },
		{ "a: b@c@d, c", "a@1: bad b@c@d | c!" },
		{ "a: b@c..d", "a@1: bad b@c..d" },
		{ "a: \"b", "a@1: bad \"b" },
		{ "a: (b", "a@1: bad (b" },
		{ "a: b\\", "a@1: bad b\\" },
		{ "a: <b@c> d", "a@1: bad <b@c> d" },
		{ "a: \xff@b", "a@1: bad \\xff@b" },
		{ "a: \xc3\xb6@b", "a@1: \xc3\xb6@b" },
		{ "a: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxy",
		    "a@1: bad xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxy" },
	};

	(void)state;
	check(rows, COUNT(rows));
}

static void
a_bad_entry_spoils_only_itself(void **state)
{
	static const struct row rows[] = {
		{ "joe\nb: c", "~1; b@2: c!" },
		{ "joe\n continues\nb: c", "~1; b@3: c!" },
		{ "joe,\nb\nc: d", "~1; ~2; c@3: d!" },
		{ " begins: with a blank\nb: c", "~1; b@2: c!" },
		{ "a@b: c\nb: c", "~1; b@2: c!" },
		{ "\"a@b\": c", "~1" },
		{ "a b: c\nb: c", "~1; b@2: c!" },
		{ "\"a: c\nb: c", "~1; b@2: c!" },
		{ "\"\": c\nb: c", "~1; b@2: c!" },
		{ "\"a\"b: c\nb: c", "~1; b@2: c!" },
		{ ": c\nb: c", "~1; b@2: c!" },
		{ "a,b: c", "~1" },
		{ "a\x01: c", "~1" },
		{ "a: x\na: y\nb: z\nA: w", "a@1: x!; ~2; b@3: z!; ~4" },
		{ "default: x\n*: y", "default@1: x!; ~2" },
	};

	(void)state;
	check(rows, COUNT(rows));
}

static void
a_nul_octet_makes_its_entry_bad(void **state)
{
	static const char text[] = "a: x\0y, z\nb\0c: d\ne: f\n";
	struct alias_host h;
	struct aliases a;
	FILE *file;

	(void)state;
	alias_host_init(&h, "");
	file = fopen(h.path, "w");
	fwrite(text, 1, sizeof(text) - 1, file);
	fclose(file);
	assert_int_equal(aliases_read(&a, h.path), 0);
	assert_non_null(aliases_find(&a, "a"));
	assert_null(aliases_find(&a, "b"));
	assert_non_null(aliases_find(&a, "e"));
	aliases_free(&a);
	alias_host_fini(&h);
}

static void
what_is_no_regular_file_is_an_error(void **state)
{
	struct alias_host h;
	struct aliases a;

	(void)state;
	alias_host_init(&h, NULL);
	assert_int_equal(aliases_read(&a, h.directory), -1);
	assert_int_equal(errno, EINVAL);
	aliases_free(&a);
	assert_int_equal(aliases_read(&a, h.path), -1);
	assert_int_equal(errno, ENOENT);
	aliases_free(&a);
	assert_int_equal(mkfifo(h.path, 0644), 0);
	assert_int_equal(aliases_read(&a, h.path), -1);
	assert_int_equal(errno, EINVAL);
	aliases_free(&a);
	alias_host_fini(&h);
}

static void
a_hundred_thousand_entries_are_found_fast(void **state)
{
	struct alias_host h;
	struct aliases a;
	FILE *file;
	clock_t start;

	(void)state;
	alias_host_init(&h, "");
	file = fopen(h.path, "w");
	for (unsigned i = 0; i < 100000; i++)
		fprintf(file, "user%u: person%u@example.org, User%u\n", i * 7919 % 100000, i,
		    i * 31 % 100000);
	fclose(file);
	start = clock();
	assert_int_equal(aliases_read(&a, h.path), 0);
	/* far below this; sanitizers and busy machines come near it */
	assert_true(clock() - start < CLOCKS_PER_SEC);
	assert_int_equal(a.count, 100000);
	for (unsigned i = 0; i < 100000; i += 997) {
		char name[32];

		snprintf(name, sizeof(name), "user%u", i);
		assert_string_equal(aliases_find(&a, name)->name, name);
	}
	assert_null(aliases_find(&a, "user100000"));
	assert_null(aliases_find(&a, ""));
	aliases_free(&a);
	alias_host_fini(&h);
}

struct reports {
	const struct alias_host *host;
	struct buf text;
};

static void
note_report(void *context, const char *line)
{
	struct reports *r = context;
	char copy[4000];

	snprintf(copy, sizeof(copy), "%s", line);
	alias_host_shorten(r->host, copy);
	buf_addf(&r->text, "%s\n", copy);
}

/* All that is reported of the file, and how many aliases are good. */
static void
assert_reported(struct alias_host *h, size_t expected_good, const char *expected)
{
	struct reports r = { .host = h, .text = BUF_INIT(1 << 20) };
	struct aliases a;
	size_t good, errors, lines = 0;

	assert_int_equal(aliases_read(&a, h->path), 0);
	assert_int_equal(
	    aliases_check(&a, &h->settings, &h->identity, note_report, &r, &good, &errors), 0);
	assert_string_equal(buf_string(&r.text), expected);
	for (size_t i = 0; i < r.text.len; i++)
		lines += r.text.data[i] == '\n';
	assert_int_equal(errors, lines);
	assert_int_equal(good, expected_good);
	buf_free(&r.text);
	aliases_free(&a);
}

static void
everything_wrong_is_reported_in_the_order_of_the_file(void **state)
{
	struct alias_host h;

	(void)state;
	alias_host_init(&h, "zed: good@example.org\n"
			    "joe@example.org: x\n"
			    "no colon\n"
			    "empty:\n"
			    "pipe: a@b.c, \"|cat\",\n"
			    "  /dev/null\n"
			    "zed: again\n");
	assert_reported(&h, 1,
	    "/aliases:2: joe@example.org: the name of an alias has no @ and no domain; write "
	    "the local part alone\n"
	    "/aliases:3: no: the colon behind the name is missing; a line that continues an alias "
	    "begins with a blank\n"
	    "/aliases:4: empty: there is no target behind the colon; name an address, or remove "
	    "the alias\n"
	    "/aliases:5: pipe: pipes are not supported: \"|cat\"\n"
	    "/aliases:6: pipe: files are not supported: /dev/null\n"
	    "/aliases:7: zed: the name stands above already, and that alias counts; remove one "
	    "of the two\n");
	alias_host_fini(&h);
}

static void
circles_are_reported_and_a_name_of_its_own_is_none(void **state)
{
	struct alias_host h;

	(void)state;
	alias_host_init(&h, "a: b\nb: c@host.example, x@y.z\nc: \"A\"\nd: d, e\ne: \\d\nf: a\n");
	assert_reported(&h, 6,
	    "/aliases:3: c: the aliases lead in a circle: a -> b -> c -> a; take one of these "
	    "targets out\n");
	alias_host_fini(&h);
}

static void
lists_are_checked_too(void **state)
{
	struct alias_host h;

	(void)state;
	alias_host_init(&h, "a: :include:DIR/list\nb: :include:DIR/list, :include:DIR/none\n"
			    "c: :include:DIR/empty\nd: :include:DIR/open\ne: :include:DIR/self\n"
			    "f: :include:DIR/back\n");
	alias_host_write(&h, "list", "# the list\nx@y.z\n|cat, w@y.z\n");
	alias_host_write(&h, "empty", "# nobody\n");
	alias_host_write(&h, "self", "a@b.c\n:include:DIR/self\n");
	alias_host_write(&h, "back", "f\na@b.c\nf\n");
	alias_host_write(&h, "open", "a@b.c\n");
	snprintf(h.identity.full_name, sizeof(h.identity.full_name), "%s/open", h.directory);
	assert_int_equal(chmod(h.identity.full_name, 0664), 0);
	assert_reported(&h, 1,
	    "/list:3: a: pipes are not supported: |cat\n"
	    "/aliases:2: b: the list cannot be read: No such file or directory: :include:/none\n"
	    "/aliases:3: c: the list is empty: :include:/empty\n"
	    "/aliases:4: d: the list may be written by others than its owner; use chmod go-w: "
	    ":include:/open\n"
	    "/self:2: e: the list includes itself: :include:/self\n");
	alias_host_fini(&h);
}

static void
a_chain_that_is_too_long_is_reported_once(void **state)
{
	struct alias_host h;
	FILE *file;

	(void)state;
	alias_host_init(&h, "");
	file = fopen(h.path, "w");
	for (unsigned i = 1; i < 50000; i++)
		fprintf(file, "n%u: n%u\n", i, i + 1);
	fputs("n50000: a@b.c\n", file);
	fclose(file);
	assert_reported(&h, 50000,
	    "/aliases:49900: n49900: 101 aliases lead one to the next from here; name its final "
	    "address\n");
	alias_host_fini(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_of_every_form_are_read),
		cmocka_unit_test(targets_of_every_form_are_known),
		cmocka_unit_test(a_bad_entry_spoils_only_itself),
		cmocka_unit_test(a_nul_octet_makes_its_entry_bad),
		cmocka_unit_test(what_is_no_regular_file_is_an_error),
		cmocka_unit_test(a_hundred_thousand_entries_are_found_fast),
		cmocka_unit_test(everything_wrong_is_reported_in_the_order_of_the_file),
		cmocka_unit_test(circles_are_reported_and_a_name_of_its_own_is_none),
		cmocka_unit_test(lists_are_checked_too),
		cmocka_unit_test(a_chain_that_is_too_long_is_reported_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
