/*
 * relayd/session/convert: content for smarthosts that take less than the message has.
 * tests/unit/test_converted_mail.py compares what a reader sees.
 */
#include "tests/unit/unit.h"

#include "base/text.h"
#include "relayd/session/convert.h"

static int
output_add(void *context, const char *data, size_t len)
{
	return buf_append(context, data, len);
}

/* What the content becomes, or the refusal; to be freed. */
static struct buf
converted(struct convert_input input, enum convert_scope scope)
{
	struct buf out = BUF_INIT(64 << 20);
	struct convert c = { .input = input, .scope = scope, .write = output_add, .context = &out };

	if (convert_run(&c) == CONVERT_DONE)
		return out;
	assert_non_null(c.refusal);
	buf_reset(&out);
	buf_add_string(&out, c.refusal);
	return out;
}

#define UE "\xc3\xbc"
#define MIME "MIME-Version: 1.0\r\n"
#define QP "Content-Transfer-Encoding: quoted-printable\r\n"
#define TEXT "Content-Type: text/plain; charset=utf-8\r\n"
#define MIXED "Content-Type: multipart/mixed; boundary=b\r\n"

static void
each_content_becomes_what_the_table_says(void **state)
{
	static const struct {
		const char *content, *result;
	} rows[] = {
		{ "A: b\r\n\r\nbody\r\n", "A: b\r\n\r\nbody\r\n" },
		{ "A: b\r\n\r\n" UE "\r\n", "A: b\r\n" MIME TEXT QP "\r\n=C3=BC\r\n" },
		{ "A: b\r\n\r\n\xff\r\n",
		    "A: b\r\n" MIME "Content-Type: text/plain; charset=unknown-8bit\r\n" QP
		    "\r\n=FF\r\n" },
		{ MIME TEXT "Content-Transfer-Encoding: 8bit\r\n\r\n" UE "= \r\n",
		    MIME TEXT QP "\r\n=C3=BC=3D=20\r\n" },
		{ MIME "Content-Type: image/x\r\n\r\n\xff\xfe\r\n",
		    MIME "Content-Type: image/x\r\nContent-Transfer-Encoding: base64\r\n\r\n"
			 "//4NCg==\r\n" },
		{ MIME TEXT "Content-Transfer-Encoding: 8BIT\r\n\r\nascii\r\n",
		    MIME TEXT "Content-Transfer-Encoding: 7bit\r\n\r\nascii\r\n" },
		{ MIME TEXT QP "\r\n=41" UE "=\r\nb\r\n", MIME TEXT QP "\r\n=41=C3=BC=\r\nb\r\n" },
		{ MIME TEXT "Content-Transfer-Encoding: base64\r\n\r\nQU" UE "JD\r\n",
		    MIME TEXT "Content-Transfer-Encoding: base64\r\n\r\nQUJD\r\n" },
		{ MIME MIXED "Content-Transfer-Encoding: 8bit\r\n\r\n" UE "\r\n--b\r\n\r\n" UE
			     "\r\n--b\r\n\r\nx\r\n--b--\r\n" UE "=\r\n",
		    MIME MIXED "Content-Transfer-Encoding: 7bit\r\n\r\n=C3=BC\r\n--b\r\n" QP
			       "\r\n=C3=BC\r\n--b\r\n\r\nx\r\n--b--\r\n=C3=BC=\r\n" },
		{ MIME "Content-Type: message/rfc822\r\n\r\nSubject: " UE "\r\n\r\n" UE "\r\n", MIME
		    "Content-Type: message/rfc822\r\n\r\nSubject: =?utf-8?q?=C3=BC?=\r\n" MIME TEXT
			QP "\r\n=C3=BC\r\n" },
		{ MIME "Content-Type: message/global\r\n\r\n" UE "\r\n",
		    MIME "Content-Type: message/global\r\n"
			 "Content-Transfer-Encoding: base64\r\n\r\nw7wNCg==\r\n" },
		{ "To: \"" UE ", x\" <a@x> (" UE ")\r\n\r\n",
		    "To: =?utf-8?q?=C3=BC=2C_x?= <a@x> \r\n (=?utf-8?q?=C3=BC?=)\r\n\r\n" },
		{ "To: \"" UE " <a@x>\r\n\r\n", "To: =?utf-8?q?=22=C3=BC?= <a@x>\r\n\r\n" },
		{ "Content-Disposition: a; filename=" UE "; b=c\r\n\r\n",
		    "Content-Disposition: a;\r\n filename*=utf-8''%C3%BC; b=c\r\n\r\n" },
		/* what it had of lines is folded anew */
		{ MIME "Content-Type: text/plain (" UE " " UE " " UE " " UE "\r\n " UE " " UE "\r\n"
		       " \r" UE ")\r\n\r\nx\r\n",
		    MIME "Content-Type: text/plain (%C3%BC %C3%BC %C3%BC %C3%BC %C3%BC %C3%BC\r\n"
			 " %0D%C3%BC)\r\n\r\nx\r\n" },
		/* behind a header without an empty line */
		{ MIME MIXED "\rX: " UE "\r\n--b\r\n\r\nx\r\n--b--\r\n",
		    MIME MIXED "\r\n=0DX: =C3=BC\r\n--b\r\n\r\nx\r\n--b--\r\n" },
		{ MIME "Content-Type: multipart/mixed(" UE "); boundary=b\r\n\r\n--b\r\n\r\n" UE
		       "\r\n--b--\r\n",
		    MIME "Content-Type: multipart/mixed(%C3%BC); boundary=b\r\n\r\n--b\r\n" QP
			 "\r\n=C3=BC\r\n--b--\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct convert_input input = { .head = rows[i].content,
			.head_len = strlen(rows[i].content) };
		struct buf out = converted(input, CONVERT_ALL);

		assert_string_equal(buf_string(&out), rows[i].result);
		buf_free(&out);
	}
}

/* Lines, escapes and groups of base64 cross the pieces that a file is read in. */
static void
a_file_of_any_size_becomes_the_same_as_from_memory(void **state)
{
	static const char *const headers[] = { "A: b\r\n\r\n", MIME TEXT "\r\n",
		MIME TEXT QP "\r\n", MIME "Content-Type: image/x\r\n\r\n",
		MIME MIXED "\r\n--b\r\n\r\n" };

	(void)state;
	for (size_t i = 0; i < COUNT(headers); i++) {
		struct buf content = BUF_INIT(4 << 20), memory, file;
		struct convert_input input;
		struct message m;

		buf_add_string(&content, headers[i]);
		for (unsigned n = 0; content.len < (1 << 20); n++)
			buf_addf(&content, "%.*s" UE "=41%s", (int)(n % 61), headers[0],
			    n % 7 == 0 ? "\r\n" : "");
		buf_add_string(&content, "\r\n");
		m = (struct message){ .fd = memory_file(content.data, content.len),
			.length = content.len };
		input = (struct convert_input){ .head = content.data, .head_len = content.len };
		memory = converted(input, CONVERT_ALL);
		file = converted((struct convert_input){ .m = &m }, CONVERT_ALL);
		assert_true(text_is_ascii(buf_string(&memory), memory.len));
		assert_int_equal(memory.len, file.len);
		assert_memory_equal(buf_string(&memory), buf_string(&file), memory.len);
		close(m.fd);
		buf_free(&memory);
		buf_free(&file);
		buf_free(&content);
	}
}

/* What a hostile submitter may write must not take time that grows with its square. */
static void
a_large_hostile_header_is_done_in_time(void **state)
{
	static const char *const pieces[] = { UE "()", UE ",", "(" UE ")", "<a@x>" UE, "\"" UE "\"",
		UE " =?a?q?b?= ", UE ";", "(" };

	(void)state;
	for (size_t i = 0; i < COUNT(pieces); i++) {
		struct buf content = BUF_INIT(4 << 20), out;
		struct convert_input input;

		buf_add_string(&content, "To: ");
		while (content.len < 500000)
			buf_add_string(&content, pieces[i]);
		buf_add_string(&content, "\r\n\r\n");
		input = (struct convert_input){ .head = content.data, .head_len = content.len };
		alarm(20);
		out = converted(input, CONVERT_HEADER);
		alarm(0);
		assert_true(out.len > 0);
		buf_free(&out);
		buf_free(&content);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_content_becomes_what_the_table_says),
		cmocka_unit_test(a_file_of_any_size_becomes_the_same_as_from_memory),
		cmocka_unit_test(a_large_hostile_header_is_done_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
