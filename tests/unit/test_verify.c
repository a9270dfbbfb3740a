/*
 * sendmail/verify: what sendmail -bv and newaliases print, and their exit codes.
 */
#include "tests/unit/unit_aliases.h"

#include <sysexits.h>

#include "sendmail/verify.h"

struct printed {
	char *out, *err;
	size_t out_size, err_size;
	FILE *out_file, *err_file;
	int code;
};

static void
printed_begin(struct printed *p)
{
	p->out_file = open_memstream(&p->out, &p->out_size);
	p->err_file = open_memstream(&p->err, &p->err_size);
	assert_true(p->out_file != NULL && p->err_file != NULL);
}

static void
printed_end(struct printed *p, const struct alias_host *h)
{
	fclose(p->out_file);
	fclose(p->err_file);
	alias_host_shorten(h, p->out);
	alias_host_shorten(h, p->err);
}

static void
printed_free(struct printed *p)
{
	free(p->out);
	free(p->err);
}

struct row {
	const char *address;
	int code;
	const char *out, *err;
};

static void
check(struct alias_host *h, const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char *arguments[] = { (char *)(uintptr_t)rows[i].address };
		struct printed p = { .code = 0 };

		printed_begin(&p);
		p.code = verify_print(
		    &h->settings, &h->identity, false, arguments, 1, p.out_file, p.err_file);
		printed_end(&p, h);
		if (p.code != rows[i].code || strcmp(p.out, rows[i].out) != 0 ||
		    strcmp(p.err, rows[i].err) != 0)
			fail_msg("%s: %d\n%s%s", rows[i].address, p.code, p.out, p.err);
		printed_free(&p);
	}
}

static void
each_address_is_a_line_with_its_final_ones(void **state)
{
	static const struct row rows[] = {
		{ "a@b.c", 0, "a@b.c: a@b.c\n", "" },
		{ "root", 0, "root: x@y.z, joe@dom.example\n", "" },
		{ "root, a@b.c", 0, "root: x@y.z, joe@dom.example\na@b.c: a@b.c\n", "" },
		{ "two, root", 0, "two: x@y.z, joe@dom.example\nroot: x@y.z, joe@dom.example\n",
		    "" },
		{ "a@b..c, root", 2, "root: x@y.z, joe@dom.example\n",
		    "sendmail: a@b..c: the domain has an empty part\n" },
		{ "a b", 2, "",
		    "sendmail: a b: it is no address: the words do not belong together\n" },
		{ "pipe", 2, "",
		    "sendmail: pipe: /aliases:3: pipe: pipes are not supported: |cat; correct the "
		    "alias, or set local_mail_to\n" },
		{ "circle", 2, "circle: circle@dom.example\n", "" },
	};
	struct alias_host h;

	(void)state;
	alias_host_init(
	    &h, "root: x@y.z, joe\ntwo: root, x@Y.z\npipe: |cat\ncircle: c2\nc2: circle");
	check(&h, rows, COUNT(rows));
	alias_host_fini(&h);
}

static void
an_alias_that_cannot_be_used_is_bad_although_its_mail_goes_somewhere(void **state)
{
	static char ops[] = "ops@prov.example";
	static const struct row rows[] = {
		{ "pipe", 2, "pipe: ops@prov.example\n", "" },
		{ "other", 0, "other: ops@prov.example\n", "" },
	};
	struct alias_host h;

	(void)state;
	alias_host_init(&h, "pipe: |cat\n");
	h.settings.local_mail_to = ops;
	check(&h, rows, COUNT(rows));
	alias_host_fini(&h);
}

static void
without_the_alias_file_a_local_address_is_undecided(void **state)
{
	static const struct row rows[] = {
		{ "a@b.c", 0, "a@b.c: a@b.c\n", "" },
		{ "root", 1, "",
		    "sendmail: root: cannot read the aliases in /aliases: No such file or "
		    "directory\n" },
		{ "root, a@b..c", 2, "",
		    "sendmail: root: cannot read the aliases in /aliases: No such file or "
		    "directory\nsendmail: a@b..c: the domain has an empty part\n" },
	};
	struct alias_host h;

	(void)state;
	alias_host_init(&h, NULL);
	check(&h, rows, COUNT(rows));
	alias_host_fini(&h);
}

/* newaliases for this file; NULL: there is none. */
static void
assert_newaliases(const char *aliases, bool set, int code, const char *out, const char *err)
{
	struct printed p = { .code = 0 };
	struct alias_host h;

	alias_host_init(&h, aliases);
	h.settings.aliases_set = set;
	printed_begin(&p);
	p.code = newaliases_print(&h.settings, &h.identity, p.out_file, p.err_file);
	printed_end(&p, &h);
	assert_int_equal(p.code, code);
	assert_string_equal(p.out, out);
	assert_string_equal(p.err, err);
	printed_free(&p);
	alias_host_fini(&h);
}

static void
newaliases_counts_or_reports(void **state)
{
	(void)state;
	assert_newaliases("a: b\nc: d\n", true, 0, "/aliases: 2 aliases, no errors\n", "");
	assert_newaliases("", true, 0, "/aliases: 0 aliases, no errors\n", "");
	assert_newaliases("a: b\nc: |d\ne:\n", true, EX_CONFIG, "",
	    "/aliases:2: c: pipes are not supported: |d\n"
	    "/aliases:3: e: there is no target behind the colon; name an address, or remove the "
	    "alias\n"
	    "newaliases: /aliases: 1 aliases, 2 errors\n");
	assert_newaliases(NULL, true, EX_CONFIG, "",
	    "newaliases: cannot read the aliases in /aliases: No such file or directory\n");
	assert_newaliases(
	    NULL, false, 0, "/aliases: there is no such file, and so there are no aliases\n", "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_address_is_a_line_with_its_final_ones),
		cmocka_unit_test(
		    an_alias_that_cannot_be_used_is_bad_although_its_mail_goes_somewhere),
		cmocka_unit_test(without_the_alias_file_a_local_address_is_undecided),
		cmocka_unit_test(newaliases_counts_or_reports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
