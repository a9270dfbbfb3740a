/*
 * sendmail/address: address lists as programs and people write them.
 */
#include "tests/unit/unit.h"

#include "sendmail/address.h"

static int
note(void *context, const struct address *a)
{
	struct buf *b = context;

	/* "bare" ones are marked, so that one string tells all */
	return buf_addf(b, "%s%s%s", b->len > 0 ? " | " : "", a->text, a->bare ? "!" : "");
}

/* The addresses of a list, or "error". */
static const char *
parsed_octets(const char *text, size_t len)
{
	static char result[8192];
	struct buf b = BUF_INIT(sizeof(result) - 1);
	const char *error = NULL;
	/* its own memory, so that reading beyond it is seen */
	char *copy = malloc(len == 0 ? 1 : len);
	int r;

	memcpy(copy, text, len);
	r = address_list_parse(copy, len, note, &b, &error);
	free(copy);
	snprintf(result, sizeof(result), "%s", r == 0 ? buf_string(&b) : "error");
	if (r < 0)
		assert_non_null(error);
	buf_free(&b);
	return result;
}

static const char *
parsed(const char *text)
{
	return parsed_octets(text, strlen(text));
}

struct row {
	const char *text, *expected;
};

static void
check(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(parsed(rows[i].text), rows[i].expected) != 0)
			fail_msg("\"%s\" gives \"%s\", not \"%s\"", rows[i].text,
			    parsed(rows[i].text), rows[i].expected);
}

#define CHECK(rows) check(rows, COUNT(rows))

static void
mailboxes_of_every_form_are_found(void **state)
{
	static const struct row rows[] = {
		{ "", "" },
		{ "   \t\r\n ", "" },
		{ ",", "" },
		{ ",,, ,", "" },
		{ "a@b", "a@b" },
		{ " a@b ", "a@b" },
		{ "<a@b>", "a@b" },
		{ "a@b,c@d", "a@b | c@d" },
		{ ",a@b,,c@d,", "a@b | c@d" },
		{ "root", "root!" },
		{ "<root>", "root!" },
		{ "Joe Q. Public <joe@x.y>", "joe@x.y" },
		{ "\"Joe, the Boss\" <joe@x.y>", "joe@x.y" },
		{ "Joe <a@b>, Jim <c@d>", "a@b | c@d" },
		{ "a@[192.0.2.1]", "a@[192.0.2.1]" },
		{ "a@[IPv6:::1], b", "a@[IPv6:::1] | b!" },
		{ "<>", "" },
		{ "Nobody <>", "" },
		{ "=?utf-8?Q?J=C3=B6?= <a@b>", "a@b" },
		{ "a+b=c@d", "a+b=c@d" },
		{ "\\root", "root!" },
		{ "a!b!c", "a!b!c!" },
		{ "a%b@c", "a%b@c" },
	};

	(void)state;
	CHECK(rows);
}

static void
comments_go_wherever_they_stand(void **state)
{
	static const struct row rows[] = {
		{ "a@b (Joe)", "a@b" },
		{ "(x) a@b", "a@b" },
		{ "a (x)@(y) b", "a@b" },
		{ "a@b (a (b (c)) d)", "a@b" },
		{ "a@b (\\) , c@d)", "a@b" },
		{ "a@b (\\(), c@d", "a@b | c@d" },
		{ "a@b (\\\\), c@d", "a@b | c@d" },
		{ "a@b (\"), c@d (\")", "a@b | c@d" },
		{ "(only)", "" },
		{ "Joe (x) <(y)a@b(z)> (w)", "a@b" },
		{ "a@b (x, y), c", "a@b | c!" },
		{ "a@b (\r\n x)", "a@b" },
	};

	(void)state;
	CHECK(rows);
}

static void
groups_give_their_members(void **state)
{
	static const struct row rows[] = {
		{ "undisclosed-recipients:;", "" },
		{ "undisclosed recipients: ;", "" },
		{ "team: a@x, b@y;", "a@x | b@y" },
		{ "team:a;", "a!" },
		{ "a@x, team: b@y;, c@z", "a@x | b@y | c@z" },
		{ "\"the; team\": Joe <a@x>;", "a@x" },
		{ "A:a@x; B:b@y;", "a@x | b@y" },
		{ "team: (nobody) ;", "" },
		{ "team: , , a@x, ;", "a@x" },
	};

	(void)state;
	CHECK(rows);
}

static void
routes_are_dropped(void **state)
{
	static const struct row rows[] = {
		{ "<@a:b@c>", "b@c" },
		{ "<@a,@b.c:d@e>", "d@e" },
		{ "Joe <@a , @b : c@d>", "c@d" },
		{ "<@a:b>", "b!" },
		{ "<@a@b>", "error" },
		{ "<@a", "error" },
		{ "<@a:", "error" },
		{ "<@a>", "error" },
	};

	(void)state;
	CHECK(rows);
}

static void
quotations_stay_as_they_are(void **state)
{
	static const struct row rows[] = {
		{ "\"a,b\"@c, d", "\"a,b\"@c | d!" },
		{ "\"a b\"@c", "\"a b\"@c" },
		{ "\"a\\\"b\"@c", "\"a\\\"b\"@c" },
		{ "\"<a@b>\" <c@d>", "c@d" },
		{ "\"a@b\"@c", "\"a@b\"@c" },
		{ "\"\"@c", "\"\"@c" },
		{ "\"(\"@c, d", "\"(\"@c | d!" },
		{ "\"a\"", "\"a\"!" },
	};

	(void)state;
	CHECK(rows);
}

static void
folding_and_obsolete_blanks_join(void **state)
{
	static const struct row rows[] = {
		{ "a@b,\r\n c@d", "a@b | c@d" },
		{ "Joe\r\n\tQ <a@b>", "a@b" },
		{ "a @ b . c", "a@b.c" },
		{ "a . b @ c", "a.b@c" },
		{ "a.\r\n b@c", "a.b@c" },
		{ "< a@b >", "a@b" },
		{ "\"a\r\n b\"@c", "\"a b\"@c" },
	};

	(void)state;
	CHECK(rows);
}

static void
utf8_passes(void **state)
{
	static const struct row rows[] = {
		{ "j\xc3\xb6@b\xc3\xbc"
		  "cher.x",
		    "j\xc3\xb6@b\xc3\xbc"
		    "cher.x" },
		{ "J\xc3\xb6rg <a@b>", "a@b" },
		{ "\"J\xc3\xb6\" <a@b>", "a@b" },
		{ "a@b (J\xc3\xb6)", "a@b" },
	};

	(void)state;
	CHECK(rows);
}

static void
what_is_no_address_is_an_error(void **state)
{
	static const char *const bad[] = { "a b@x", "a b", "a@b c@d", "a@b c", "John Smith", "a@",
		"@a", "a@@b", "a@b@c", "@", "<a@b", "a@b>", ">", "<a b@c>", "<<a@b>>",
		"<a@b> <c@d>", "<a@b> c", "<a@b>c@d", "(a", "a)", ")", "((a)", "\"a", "a\"",
		"\"a\\\"", "[a", "a@[1", "a@[1\\]", "a@b[1]", "<a@b,c@d>", "a@b <", "a\x01@b",
		"a@b\x7f", "<a@>", "<@b>", "\"a\\", "(a\\", "[1\\", "<", "a,<", "[1.2.3.4]" };

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		if (strcmp(parsed(bad[i]), "error") != 0)
			fail_msg("\"%s\" gives \"%s\"", bad[i], parsed(bad[i]));
}

static void
every_prefix_and_every_octet_is_survived(void **state)
{
	static const char list[] =
	    "Joe (a (b\\)c)) \"d, \\\"e\" <@r,@s:f . \"g\"@h>, t: u, [1\\]]@v;";

	(void)state;
	for (size_t n = 0; n <= strlen(list); n++)
		parsed_octets(list, n);
	for (size_t at = 0; at < strlen(list); at++) {
		for (int c = 0; c < 256; c++) {
			char changed[sizeof(list)];

			memcpy(changed, list, sizeof(list));
			changed[at] = (char)c;
			parsed_octets(changed, strlen(list));
		}
	}
}

static void
a_nul_octet_cuts_no_address_short(void **state)
{
	static const char *const lists[] = { "a@b\0c", "\"a\0b\"@c", "a@b,\0", "a@[1\0]" };
	static const size_t lengths[] = { 5, 7, 5, 7 };

	(void)state;
	for (size_t i = 0; i < COUNT(lists); i++)
		assert_string_equal(parsed_octets(lists[i], lengths[i]), "error");
}

static void
comments_nest_to_their_limit_only(void **state)
{
	char *text = malloc(200001);

	(void)state;
	for (size_t depth = ADDRESS_COMMENT_DEPTH_MAX; depth <= ADDRESS_COMMENT_DEPTH_MAX + 1;
	     depth++) {
		memset(text, '(', depth);
		memset(text + depth, ')', depth);
		memcpy(text + 2 * depth, "a@b", 4);
		assert_string_equal(
		    parsed(text), depth <= ADDRESS_COMMENT_DEPTH_MAX ? "a@b" : "error");
	}
	memset(text, '(', 200000);
	text[200000] = '\0';
	assert_string_equal(parsed(text), "error");
	memset(text, '<', 200000);
	assert_string_equal(parsed(text), "error");
	free(text);
}

/* Text in which LONG stands for 5000 letters. */
static char *
lengthened(const char *text)
{
	struct buf b = BUF_INIT(100000);
	char *result;

	for (; *text != '\0'; text++) {
		if (strncmp(text, "LONG", 4) == 0) {
			for (int i = 0; i < 5000; i++)
				buf_add_char(&b, 'x');
			text += 3;
		} else {
			buf_add_char(&b, *text);
		}
	}
	result = strdup(buf_string(&b));
	buf_free(&b);
	return result;
}

static void
a_phrase_may_be_long_but_no_address_is_dropped(void **state)
{
	static const struct row rows[] = {
		{ "LONG <a@b>", "a@b" },
		{ "LONG LONG <a@b>", "a@b" },
		{ "LONG: a@b;", "a@b" },
		{ "a@b (LONG)", "a@b" },
		{ "LONG@b", "error" },
		{ "<LONG@b>", "error" },
		{ "LONG, a@b", "error" },
		{ "<LONG>, a@b", "error" },
		{ "a@LONG", "error" },
		{ "<a@LONG>", "error" },
		{ "a@b, LONG", "error" },
	};
	size_t wrong = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char *text = lengthened(rows[i].text);

		if (strcmp(parsed(text), rows[i].expected) != 0) {
			print_error("%s gives \"%s\"\n", rows[i].text, parsed(text));
			wrong++;
		}
		free(text);
	}
	assert_int_equal(wrong, 0);
}

static int
count(void *context, const struct address *a)
{
	(void)a;
	++*(size_t *)context;
	return 0;
}

static void
a_long_list_takes_time_in_proportion(void **state)
{
	enum { N = 100000 };
	struct buf b = BUF_INIT(8 << 20);
	const char *error;
	size_t n = 0;

	(void)state;
	for (int i = 0; i < N; i++)
		buf_addf(&b, "User %d <u%d@example.org>,\r\n ", i, i);
	alarm(20);
	assert_int_equal(address_list_parse(b.data, b.len, count, &n, &error), 0);
	alarm(0);
	assert_int_equal(n, N);
	buf_free(&b);
}

static int
stop(void *context, const struct address *a)
{
	(void)a;
	return ++*(size_t *)context == 2 ? -1 : 0;
}

static void
the_function_can_end_the_parse(void **state)
{
	const char *error = "unset";
	size_t n = 0;

	(void)state;
	assert_int_equal(address_list_parse("a,b,c", 5, stop, &n, &error), -1);
	assert_null(error);
	assert_int_equal(n, 2);
}

static int
complete(void *context, const struct address *a)
{
	if (a->bare)
		*(size_t *)context = a->end;
	return 0;
}

static void
the_place_for_a_domain_is_behind_the_local_part(void **state)
{
	/* "^" is where it belongs */
	static const char *const lists[] = { "root^", " root^ ", "<root^>", "Joe <root^>",
		"< root^ >", "root^ (Joe)", "root^(Joe)", "a@b, root^, c@d", "team: root^;",
		"\"a b\"^", "\"x@y\"^ (z)", "a . b^ , c@d", "root^\r\n", "\\root^", "<@a:root^>" };

	(void)state;
	for (size_t i = 0; i < COUNT(lists); i++) {
		const char *mark = strchr(lists[i], '^'), *error;
		char text[100];
		size_t at = 999;

		snprintf(text, sizeof(text), "%.*s%s", (int)(mark - lists[i]), lists[i], mark + 1);
		assert_int_equal(address_list_parse(text, strlen(text), complete, &at, &error), 0);
		if (at != (size_t)(mark - lists[i]))
			fail_msg("\"%s\": %zu", lists[i], at);
	}
}

struct places {
	const char *text;
	char found[200];
};

static int
places_note(void *context, const struct address *a)
{
	struct places *p = context;

	snprintf(p->found, sizeof(p->found), "%s[%.*s][%.*s]", a->escaped ? "escaped " : "",
	    (int)(a->end - a->begin), p->text + a->begin, (int)(a->domain_end - a->domain),
	    p->text + a->domain);
	return 0;
}

static void
the_places_of_both_parts_are_told(void **state)
{
	static const struct row rows[] = {
		{ "root", "[root][]" },
		{ " root ", "[root][]" },
		{ "\\root", "escaped [\\root][]" },
		{ "<\\root@x>", "escaped [\\root][x]" },
		{ "\"\\root\"", "[\"\\root\"][]" },
		{ "Joe (c) <a@b.c> (d)", "[a][b.c]" },
		{ "(c) a (d) @ (e) b (f)", "[a][b]" },
		{ "a . b @ c (x) . d", "[a . b][c (x) . d]" },
		{ "<@r:\"a@b\"@c>", "[\"a@b\"][c]" },
		{ "a@[1.2.3.4]", "[a][[1.2.3.4]]" },
		{ "team: a@b;", "[a][b]" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct places p = { .text = rows[i].text };
		const char *error = NULL;

		assert_int_equal(
		    address_list_parse(p.text, strlen(p.text), places_note, &p, &error), 0);
		assert_string_equal(p.found, rows[i].expected);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mailboxes_of_every_form_are_found),
		cmocka_unit_test(comments_go_wherever_they_stand),
		cmocka_unit_test(the_places_of_both_parts_are_told),
		cmocka_unit_test(groups_give_their_members),
		cmocka_unit_test(routes_are_dropped),
		cmocka_unit_test(quotations_stay_as_they_are),
		cmocka_unit_test(folding_and_obsolete_blanks_join),
		cmocka_unit_test(utf8_passes),
		cmocka_unit_test(what_is_no_address_is_an_error),
		cmocka_unit_test(every_prefix_and_every_octet_is_survived),
		cmocka_unit_test(a_nul_octet_cuts_no_address_short),
		cmocka_unit_test(comments_nest_to_their_limit_only),
		cmocka_unit_test(a_phrase_may_be_long_but_no_address_is_dropped),
		cmocka_unit_test(a_long_list_takes_time_in_proportion),
		cmocka_unit_test(the_function_can_end_the_parse),
		cmocka_unit_test(the_place_for_a_domain_is_behind_the_local_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
