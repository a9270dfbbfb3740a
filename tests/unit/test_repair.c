/*
 * sendmail/repair: message in, message out.  In the samples "%" stands for 1000 times
 * "x", so that a line with it is too long, "~" for CR, "^" for NUL.
 */
#include "tests/unit/unit_spool.h"

#include "spool/format.h"
#include "tests/unit/repair_run.h"

/* The sample as octets, to be freed; "\n" becomes CRLF. */
static char *
expand(const char *s, size_t *len)
{
	struct buf b = BUF_INIT(1 << 20);
	char *data;

	for (; *s != '\0'; s++)
		if (*s == '%')
			for (int i = 0; i < 1000; i++)
				buf_add_char(&b, 'x');
		else if (*s == '\n')
			buf_append(&b, "\r\n", 2);
		else
			buf_add_char(&b, *s == '~' ? '\r' : *s == '^' ? '\0' : *s);
	data = malloc(b.len + 1);
	memcpy(data, buf_string(&b), b.len + 1);
	*len = b.len;
	buf_free(&b);
	return data;
}

/* Quoted-printable of 1000 times "x" is long; "%" in what is expected is its short form,
 * after `used` octets of the line. */
static void
quoted_x(struct buf *b, size_t used)
{
	for (int i = 0; i < 1000; i++) {
		if (used == 75) {
			buf_add_string(b, "=\r\n");
			used = 0;
		}
		buf_add_char(b, 'x');
		used++;
	}
}

static char *
expand_quoted(const char *s, size_t *len)
{
	struct buf b = BUF_INIT(1 << 20);
	char *data;
	size_t line = 0;

	for (; *s != '\0'; s++)
		if (*s == '%') {
			quoted_x(&b, b.len - line);
		} else if (*s == '\n') {
			buf_append(&b, "\r\n", 2);
			line = b.len;
		} else {
			buf_add_char(&b, *s == '~' ? '\r' : *s);
		}
	data = malloc(b.len + 1);
	memcpy(data, buf_string(&b), b.len + 1);
	*len = b.len;
	buf_free(&b);
	return data;
}

static struct repaired
run(struct place *p, const char *in, char **out, size_t *out_len)
{
	struct envelope e;
	struct repaired r;
	size_t len;
	char *content = expand(in, &len);

	envelope_make(&e, "a@b", "c@d");
	assert_int_equal(repaired_begin(&r, &p->spool, &e, content, len), 0);
	*out = r.result == REPAIR_DONE ? repaired_content(&r, out_len) : NULL;
	repaired_end(&r);
	free(content);
	envelope_free(&e);
	return r;
}

struct sample {
	const char *in, *out;
};

static void
check(struct place *p, const struct sample *samples, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t len, expected_len;
		char *out, *expected = expand_quoted(samples[i].out, &expected_len);

		run(p, samples[i].in, &out, &len);
		assert_non_null(out);
		assert_string_equal(out, expected);
		assert_int_equal(len, expected_len);
		free(out);
		free(expected);
	}
}

static void
text_without_mime_fields_gains_them(void **state)
{
#define FIELDS(charset, encoding)                                                   \
	"Subject: s\nMIME-Version: 1.0\nContent-Type: text/plain; charset=" charset \
	"\nContent-Transfer-Encoding: " encoding "\n\n"
	static const struct sample samples[] = {
		{ "Subject: s\n\nG\xc3\xbc\n", FIELDS("utf-8", "8bit") "G\xc3\xbc\n" },
		{ "Subject: s\n\nG\xfc\n", FIELDS("unknown-8bit", "8bit") "G\xfc\n" },
		{ "Subject: s\n\n%\n", FIELDS("us-ascii", "quoted-printable") "%\n" },
		{ "Subject: s\n\na~b= \n--\n",
		    FIELDS("us-ascii", "quoted-printable") "a=0Db=3D=20\n--\n" },
		{ "Subject: s\n\nG\xc3\xbc~x\n",
		    FIELDS("utf-8", "quoted-printable") "G=C3=BC=0Dx\n" },
		{ "Subject: s\n\nab^\n", FIELDS("us-ascii", "base64") "YWIADQo=\n" },
	};

	check(*state, samples, COUNT(samples));
}

static void
only_what_is_missing_is_added(void **state)
{
	static const struct sample samples[] = {
		{ "Content-Type: text/html\n\n\xfc\n",
		    "Content-Type: text/html\nMIME-Version: 1.0\n"
		    "Content-Transfer-Encoding: 8bit\n\n\xfc\n" },
		{ "MIME-Version: 1.0\nContent-Type: text/html\nContent-Transfer-Encoding: "
		  "7bit\n\n\xfc\n",
		    "MIME-Version: 1.0\nContent-Type: text/html\nContent-Transfer-Encoding: "
		    "7bit\n\n\xfc\n" },
		{ "MIME-Version: 1.0\nContent-Type: multipart/mixed; "
		  "boundary=b\n\n--b\n\n\xfc\n--b--\n",
		    "MIME-Version: 1.0\nContent-Type: multipart/mixed; "
		    "boundary=b\n\n--b\n\n\xfc\n--b--\n" },
		{ "Content-Transfer-Encoding: 8bit\nSubject: s\nContent-Type: text/html\n\n~\n",
		    "Content-Transfer-Encoding: quoted-printable\nSubject: s\n"
		    "Content-Type: text/html\nMIME-Version: 1.0\n\n=0D\n" },
		{ "Subject: \xc3\xbc\n\nascii\n", "Subject: \xc3\xbc\n\nascii\n" },
	};

	check(*state, samples, COUNT(samples));
}

#define HEAD "MIME-Version: 1.0\nContent-Type: "

static void
each_part_is_treated_by_itself(void **state)
{
	static const struct sample samples[] = {
		/* the line end before a boundary line is not of the part */
		{ HEAD "multipart/mixed; boundary=\"b c\"\n\n~pre\n--b c\n\n~a\n--b c \n"
		       "Content-Type: image/png\n\n~b\n--b c\n\nclean\n--b c--\n~end\n",
		    HEAD "multipart/mixed; boundary=\"b c\"\n\n=0Dpre\n--b c\n"
			 "Content-Transfer-Encoding: quoted-printable\n\n=0Da\n--b c \n"
			 "Content-Type: image/png\nContent-Transfer-Encoding: base64\n\nDWI=\n"
			 "--b c\n\nclean\n--b c--\n=0Dend\n" },
		/* a comment is no parameter, unless it does not end */
		{ HEAD "(a\\) b) multipart/mixed (; boundary=a); (b) boundary (c) = (d) \"b\"\n\n"
		       "--b\n\n~a\n--b--\n",
		    HEAD "(a\\) b) multipart/mixed (; boundary=a); (b) boundary (c) = (d) \"b\"\n\n"
			 "--b\nContent-Transfer-Encoding: quoted-printable\n\n=0Da\n--b--\n" },
		{ HEAD "multipart/mixed; name=a(1.b; boundary=b\n\n--b\n\n~a\n--b--\n",
		    HEAD "multipart/mixed; name=a(1.b; boundary=b\n\n"
			 "--b\nContent-Transfer-Encoding: quoted-printable\n\n=0Da\n--b--\n" },
		/* an outer boundary ends the inner multipart */
		{ HEAD "multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/mixed; "
		       "boundary=i\n\n--i\n\n~\n--o\n\n~\n--i\n\n--o--\n",
		    HEAD
		    "multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/mixed; "
		    "boundary=i\n\n--i\nContent-Transfer-Encoding: quoted-printable\n\n=0D\n"
		    "--o\nContent-Transfer-Encoding: quoted-printable\n\n=0D\n--i\n\n--o--\n" },
		/* a message in a message is not encoded, its body is */
		{ HEAD "message/rfc822\n\nSubject: in\n\n~\n",
		    HEAD "message/rfc822\n\nSubject: in\nContent-Transfer-Encoding: "
			 "quoted-printable\n\n=0D\n" },
		{ HEAD "multipart/digest; boundary=d\n\n--d\n\nSubject: in\n\n~\n--d--\n",
		    HEAD "multipart/digest; boundary=d\n\n--d\n\nSubject: in\n"
			 "Content-Transfer-Encoding: quoted-printable\n\n=0D\n--d--\n" },
		/* a multipart without parts is text */
		{ HEAD "multipart/mixed; boundary=b\n\n~\n",
		    HEAD "multipart/mixed; boundary=b\nContent-Transfer-Encoding: "
			 "quoted-printable\n\n=0D\n" },
		{ HEAD "multipart/mixed\n\n~\n",
		    HEAD "multipart/mixed\nContent-Transfer-Encoding: quoted-printable\n\n=0D\n" },
		/* a part without empty line gets one with its field */
		{ HEAD "multipart/mixed; boundary=b\n\n--b\nno field~\n--b--\n",
		    HEAD "multipart/mixed; boundary=b\n\n--b\nContent-Transfer-Encoding: "
			 "quoted-printable\n\nno field=0D\n--b--\n" },
	};

	check(*state, samples, COUNT(samples));
}

static void
what_is_encoded_already_is_only_broken_anew(void **state)
{
#define QP HEAD "text/plain\nContent-Transfer-Encoding: Quoted-Printable\n\n"
#define B64 HEAD "image/png\nContent-Transfer-Encoding: base64\n\n"
	static const struct sample samples[] = {
		{ QP "a=3D%=\nb = c\n", QP "a=3D%=\nb = c\n" },
		{ QP "~^=0D=zz  \nb=  \n", QP "=0D=00=0D=3Dzz\nb=  \n" },
		{ B64 "QU~JD^\nQUJD\n", B64 "QUJD\nQUJD\n" },
		{ HEAD "text/plain\nContent-Transfer-Encoding: x-uuencode\n\na~\n",
		    HEAD "text/plain\nContent-Transfer-Encoding: x-uuencode\n\na~\n" },
	};

	check(*state, samples, COUNT(samples));
}

static void
a_break_makes_no_boundary_line(void **state)
{
	struct place *p = *state;
	char in[4000] = QP, *out;
	size_t len, n = strlen(in);

	memset(in + n, 'y', 75);
	memset(in + n + 75, '-', 1000);
	strncpy(in + n + 1075, "\n", 2);
	run(p, in, &out, &len);
	assert_non_null(strstr(out, "y=\r\n=2D--"));
	assert_null(strstr(out, "\n-"));
	free(out);
}

static void
signed_and_opaque_parts_stay(void **state)
{
#define SIGNED "multipart/signed; boundary=s\n\n--s\n\n~^\n--s\n\nsig\n--s--\n"
	static const char *const messages[] = {
		HEAD SIGNED,
		"Content-Type: multipart/encrypted; boundary=s\n\n--s\n\n\xfc\r\n--s--\n",
		HEAD "multipart/mixed; boundary=m\n\n--m\nContent-Type: " SIGNED "\n--m--\n",
		HEAD "message/partial; id=1; number=2\n\n~\n",
		HEAD "multipart/mixed; boundary*0=a; boundary*1=b\n\n--ab\n\n~\n--ab--\n",
		"DKIM-Signature: v=1\nX-Long: %\n\n^\xfc\n",
		"ARC-Seal: i=1\n\n%\xfc\n",
	};

	for (size_t i = 0; i < COUNT(messages); i++) {
		size_t len, expected_len;
		char *out, *expected = expand(messages[i], &expected_len);

		run(*state, messages[i], &out, &len);
		assert_int_equal(len, expected_len);
		assert_memory_equal(out, expected, len);
		free(out);
		free(expected);
	}
}

/* RFC 6376 section 5.3: the signature does not hold, whatever becomes of the CR. */
static void
a_stray_cr_is_repaired_although_the_message_is_signed(void **state)
{
	static const char *const messages[] = {
		"DKIM-Signature: v=1\n\na~.~b\n",
		"ARC-Seal: i=1\n\na~b\n",
		"DKIM-Signature: v=1\nX-A: b~c\n\na\n",
	};

	for (size_t i = 0; i < COUNT(messages); i++) {
		char *out;
		size_t len;

		run(*state, messages[i], &out, &len);
		assert_true(format_is_lines('\n', out, len));
		free(out);
	}
}

static void
a_long_field_is_folded_where_it_has_blanks(void **state)
{
	struct place *p = *state;
	struct buf in = BUF_INIT(8000), unfolded = BUF_INIT(8000);
	size_t len;
	char *out;

	buf_add_string(&in, "References:");
	for (int i = 0; i < 100; i++)
		buf_addf(&in, " <%d@example.org>", i);
	buf_add_string(&in, "\n\nbody\n");
	run(p, in.data, &out, &len);
	assert_non_null(out);
	for (size_t i = 0; i < len; i++)
		if (out[i] == '\r' && out[i + 2] == ' ')
			i++;
		else if (out[i] != '\r')
			buf_add_char(&unfolded, out[i]);
	assert_string_equal(unfolded.data, in.data);
	assert_non_null(strstr(out, ">\r\n <"));
	free(out);
	buf_free(&in);
	buf_free(&unfolded);
}

static void
addresses_are_folded_behind_commas_outside_quotes(void **state)
{
	struct place *p = *state;
	char in[4000] = "To: \"a,b\" <a@b>", *out;
	size_t len;

	for (int i = 0; i < 90; i++)
		strncat(in, ",ccc@example.org", sizeof(in) - strlen(in) - 1);
	strncat(in, "\n\n", sizeof(in) - strlen(in) - 1);
	run(p, in, &out, &len);
	assert_non_null(out);
	assert_non_null(strstr(out, "\"a,b\" <a@b>,"));
	assert_non_null(strstr(out, "ccc@example.org,\r\n ccc@example.org"));
	free(out);
}

static void
free_text_becomes_encoded_words(void **state)
{
	static const struct sample samples[] = {
		{ "Subject: a b~c d\n\n", "Subject: a =?utf-8?q?b=0Dc?= d\n\n" },
		{ "Subject: a^ ~\xfc =?utf-8?q?x?=\n\n",
		    "Subject: =?unknown-8bit?q?a=00_=0D=FC_?= =?utf-8?q?x?=\n\n" },
		{ "X-Foo: =?utf-8?q?x?= b~\n\n", "X-Foo: =?utf-8?q?x?=\n =?utf-8?q?_b=0D?=\n\n" },
		{ "Date: a~b\n\n", "Date: a b\n\n" },
	};

	check(*state, samples, COUNT(samples));
}

static void
a_long_encoded_word_becomes_several(void **state)
{
	struct place *p = *state;
	char *out, in[4000] = "Subject: =?UTF-8?Q?";
	size_t len;

	for (int i = 0; i < 200; i++)
		strncat(in, "=C3=BC", sizeof(in) - strlen(in) - 1);
	strncat(in, "?=\n\n", sizeof(in) - strlen(in) - 1);
	run(p, in, &out, &len);
	assert_non_null(out);
	assert_int_equal(strncmp(out, "Subject:\r\n =?UTF-8?q?=C3=BC=C3=BC", 33), 0);
	assert_null(strstr(out, "=C3?="));
	free(out);
}

static void
what_cannot_be_done_says_why(void **state)
{
	static const struct {
		const char *in, *problem;
	} samples[] = {
		{ "Message-ID: <%@b>\n\n", "header field Message-ID: a line is longer than 998 "
					   "octets and cannot be broken" },
		{ "To: a^@b\n\n", "header field To: it contains a NUL octet" },
		{ HEAD
		    "multipart/mixed; boundary=b\n\n--b\nContent-Type: a/b; name=\"%\"\n\n--b--\n",
		    "header field Content-Type: a line is longer than 998 octets and cannot be "
		    "broken" },
	};

	for (size_t i = 0; i < COUNT(samples); i++) {
		size_t len;
		char *out;
		struct repaired r = run(*state, samples[i].in, &out, &len);

		assert_int_equal(r.result, REPAIR_IMPOSSIBLE);
		assert_string_equal(r.problem, samples[i].problem);
	}
}

static void
a_part_may_have_a_header_as_long_as_a_message(void **state)
{
	static const char head[] = HEAD "multipart/mixed; boundary=b\n\n--b\n";
	size_t len = sizeof(head) - 1 + HEADER_OCTETS_MAX + 100;
	char *content = malloc(len);
	struct place *p = *state;
	struct envelope e;
	struct repaired r;

	memset(content, 'x', len);
	memcpy(content, head, sizeof(head) - 1);
	for (size_t at = sizeof(head) - 1; at + 64 <= len; at += 64) {
		content[at + 1] = ':';
		content[at + 63] = '\n';
	}
	content[len - 1] = '\0';
	envelope_make(&e, "a@b", "c@d");
	assert_int_equal(repaired_begin(&r, &p->spool, &e, content, len), 0);
	assert_int_equal(r.result, REPAIR_IMPOSSIBLE);
	assert_string_equal(r.problem, "the header of a part of the message is longer than 8 MB");
	repaired_end(&r);
	envelope_free(&e);
	free(content);
}

static void
the_second_file_takes_the_name_and_the_flags(void **state)
{
	static const char content[] = "Subject: \xc3\xbc\r\n\r\na\rb\r\n";
	struct place *p = *state;
	struct envelope e;
	struct repaired r;
	struct message m;
	struct queue_name name;

	envelope_make(&e, "a@b", "c@d");
	assert_int_equal(repaired_begin(&r, &p->spool, &e, content, strlen(content)), 0);
	assert_true(r.needed);
	name = r.from.name;
	assert_string_equal(r.to.name.text, name.text);
	message_abort(&r.from);
	assert_int_equal(message_commit(&r.to), 0);
	assert_int_equal(place_count(p), 1);
	assert_int_equal(message_open(&m, p->queue, name.text), MESSAGE_OK);
	assert_int_equal(m.flags, MESSAGE_8BIT | MESSAGE_SMTPUTF8);
	message_close(&m);
	repaired_end(&r);
	envelope_free(&e);
}

static void
content_can_be_read_again_before_the_commit(void **state)
{
	enum { SIZE = 200000 };
	struct place *p = *state;
	struct envelope e;
	struct message_writer w;
	char *data = malloc(SIZE), part[100];

	for (size_t i = 0; i < SIZE; i++)
		data[i] = (char)('a' + i % 23);
	envelope_make(&e, "a@b", "c@d");
	assert_int_equal(message_begin(&w, &p->spool, &e), 0);
	assert_int_equal(message_write(&w, data, SIZE - 10), 0);
	assert_int_equal(message_reread(&w, 150001, part, 100), 100);
	assert_memory_equal(part, data + 150001, 100);
	assert_int_equal(message_write(&w, data + SIZE - 10, 10), 0);
	assert_int_equal(message_reread(&w, SIZE - 20, part, 100), 20);
	assert_memory_equal(part, data + SIZE - 20, 20);
	assert_int_equal(message_reread(&w, SIZE, part, 100), 0);
	message_abort(&w);
	envelope_free(&e);
	free(data);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(text_without_mime_fields_gains_them),
		TEST(only_what_is_missing_is_added),
		TEST(each_part_is_treated_by_itself),
		TEST(what_is_encoded_already_is_only_broken_anew),
		TEST(a_break_makes_no_boundary_line),
		TEST(signed_and_opaque_parts_stay),
		TEST(a_stray_cr_is_repaired_although_the_message_is_signed),
		TEST(a_long_field_is_folded_where_it_has_blanks),
		TEST(addresses_are_folded_behind_commas_outside_quotes),
		TEST(free_text_becomes_encoded_words),
		TEST(a_long_encoded_word_becomes_several),
		TEST(what_cannot_be_done_says_why),
		TEST(a_part_may_have_a_header_as_long_as_a_message),
		TEST(the_second_file_takes_the_name_and_the_flags),
		TEST(content_can_be_read_again_before_the_commit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
