/*
 * sendmail/smtp_content: where the content behind DATA ends.
 */
#include "tests/unit/unit.h"

#include "base/buf.h"
#include "sendmail/smtp_content.h"

static const struct row {
	const char *text;
	size_t len;
	const char *crlf,
	    *lf; /* the content, behind its end '$' and what is left; NULL: the same */
} rows[] = {
#define ROW(text, crlf, lf)                      \
	{                                        \
		text, sizeof(text) - 1, crlf, lf \
	}
	ROW(".\r\n", "$", NULL),
	ROW("a\r\n.\r\nb", "a\r\n$b", NULL),
	ROW("a\r\n..\r\n.\r\n", "a\r\n.\r\n$", NULL),
	ROW("..a\r\n.b\r\n.\r\n", ".a\r\nb\r\n$", NULL),
	ROW("a\r\r\n.\r\n", "a\r\r\n$", NULL),
	ROW("a\r\n.\rb", "a\r\n\rb", NULL),
	ROW("a\r\n.\r\r\nb", "a\r\n\r\r\nb", NULL),
	ROW("a\r\n.\r\r\n.\r\n", "a\r\n\r\r\n$", NULL),
	/* the ends that servers have been tricked with */
	ROW("a\n.\nb", "a\n.\nb", "a\n$b"),
	ROW("a\n.\r\nb", "a\n.\r\nb", "a\n$b"),
	ROW("a\r\n.\nb", "a\r\n\nb", "a\r\n$b"),
	ROW("a\r.\rb", "a\r.\rb", NULL),
	ROW("a\r.\r\nb", "a\r.\r\nb", NULL),
	ROW("a\r.\nb", "a\r.\nb", NULL),
	ROW("a\n.\rb", "a\n.\rb", "a\n\rb"),
	ROW("a\r\n.\rb", "a\r\n\rb", NULL),
	ROW("a\n\r.\r\nb", "a\n\r.\r\nb", NULL),
	ROW("\r.\r\nb", "\r.\r\nb", NULL),
	ROW("a\r\r.\r\r\nb", "a\r\r.\r\r\nb", NULL),
	ROW("a\r\n. \r\nb", "a\r\n \r\nb", NULL),
#undef ROW
};

static void
decode(const struct row *r, bool lf, size_t in_size, size_t out_size, struct buf *b)
{
	struct smtp_content c = { .lf = lf };
	size_t at = 0;
	char out[100];

	while (at < r->len && !c.ended) {
		size_t n = r->len - at < in_size ? r->len - at : in_size, taken;

		n = smtp_content_decode(&c, r->text + at, n, &taken, out, out_size);
		assert_true(n > 0 || taken > 0);
		assert_true(n <= out_size && taken <= in_size);
		buf_append(b, out, n);
		at += taken;
	}
	if (c.ended)
		buf_add_char(b, '$');
	buf_append(b, r->text + at, r->len - at);
}

static void
check(bool lf, size_t in_size, size_t out_size)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *expected = lf && rows[i].lf != NULL ? rows[i].lf : rows[i].crlf;
		struct buf b = BUF_INIT(1000);

		decode(&rows[i], lf, in_size, out_size, &b);
		if (strcmp(buf_string(&b), expected) != 0)
			fail_msg("row %zu gives \"%s\"", i, buf_string(&b));
		buf_free(&b);
	}
}

static void
only_crlf_dot_crlf_ends_the_content(void **state)
{
	(void)state;
	check(false, 100, 100);
}

static void
a_program_with_lf_ends_it_with_lf(void **state)
{
	(void)state;
	check(true, 100, 100);
}

static void
the_pieces_do_not_matter(void **state)
{
	(void)state;
	for (size_t in = 1; in < 8; in++)
		for (size_t out = 1; out < 8; out++) {
			check(false, in, out);
			check(true, in, out);
		}
}

static void
a_nul_is_an_octet_like_others(void **state)
{
	static const struct row nul = { "a\n\0.\r\n\r\n\0.\r\n.\r\n", 16, NULL, NULL };
	struct buf b = BUF_INIT(100);

	(void)state;
	decode(&nul, false, 100, 100, &b);
	assert_int_equal(b.len, 14);
	assert_memory_equal(b.data, "a\n\0.\r\n\r\n\0.\r\n$", 14);
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_crlf_dot_crlf_ends_the_content),
		cmocka_unit_test(a_program_with_lf_ends_it_with_lf),
		cmocka_unit_test(the_pieces_do_not_matter),
		cmocka_unit_test(a_nul_is_an_octet_like_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
