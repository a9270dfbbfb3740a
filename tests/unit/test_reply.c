/*
 * relayd/session/reply: what a server answers, every octet of which may be
 * hostile.
 */
#include "tests/unit/unit.h"

#include <sys/socket.h>

#include "base/number.h"
#include "relayd/session/reply.h"

/* A stream whose peer has said `text` and closed. */
struct peer {
	struct stream stream;
	int control;
	int other;
};

static void
peer_open(struct peer *p, const char *text, size_t len)
{
	int fds[2], control[2];
	int big = 1 << 20;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, control), 0);
	setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
	assert_int_equal(write(fds[1], text, len), (ssize_t)len);
	shutdown(fds[1], SHUT_WR);
	p->other = fds[1];
	p->control = control[1];
	stream_init(&p->stream, fds[0], control[0]);
	stream_timeout(&p->stream, 5 * USEC_PER_SEC);
}

static void
peer_close(struct peer *p)
{
	close(p->stream.control);
	stream_close(&p->stream);
	close(p->control);
	close(p->other);
}

static enum stream_error
error_of(const char *text, size_t len)
{
	struct peer p;
	struct reply r = { .code = 0 };
	enum stream_error error = STREAM_OK;

	peer_open(&p, text, len);
	if (reply_read(&p.stream, &r) < 0)
		error = p.stream.error;
	reply_free(&r);
	peer_close(&p);
	return error;
}

static void
a_line_is_cut_into_code_and_text(void **state)
{
	static const struct {
		const char *line;
		int result;
		unsigned code;
		const char *text;
	} rows[] = {
		{ "250 OK", 1, 250, "OK" },
		{ "250-OK", 0, 250, "OK" },
		{ "250", 1, 250, "" },
		{ "250 ", 1, 250, "" },
		{ "250-", 0, 250, "" },
		{ "599 x", 1, 599, "x" },
		{ "200 x", 1, 200, "x" },
		{ "354  two", 1, 354, " two" },
		{ "250--", 0, 250, "-" },
		{ "", -1, 0, "" },
		{ "2", -1, 0, "" },
		{ "25", -1, 0, "" },
		{ "199 x", -1, 0, "" },
		{ "600 x", -1, 0, "" },
		{ "000 x", -1, 0, "" },
		{ "25x x", -1, 0, "" },
		{ "2x0 x", -1, 0, "" },
		{ "2500 x", -1, 0, "" },
		{ "250x", -1, 0, "" },
		{ "250\tx", -1, 0, "" },
		{ " 250 x", -1, 0, "" },
		{ "-50 x", -1, 0, "" },
		{ "hello", -1, 0, "" },
		{ "HTTP/1.1 400", -1, 0, "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		unsigned code;
		const char *text;

		if (reply_parse_line(rows[i].line, strlen(rows[i].line), &code, &text) !=
		    rows[i].result)
			fail_msg("%s", rows[i].line);
		if (rows[i].result >= 0) {
			assert_int_equal(code, rows[i].code);
			assert_string_equal(text, rows[i].text);
		}
	}
}

static void
the_enhanced_code_must_fit_the_code(void **state)
{
	static const struct {
		unsigned code;
		const char *text, *enhanced, *rest;
	} rows[] = {
		{ 550, "5.1.1 no", "5.1.1", "no" },
		{ 250, "2.0.0", "2.0.0", "" },
		{ 550, "5.7.26 x", "5.7.26", "x" },
		{ 550, "5.999.999 x", "5.999.999", "x" },
		{ 550, "4.1.1 no", "", "4.1.1 no" },
		{ 550, "5.1.1no", "", "5.1.1no" },
		{ 550, "5.1 no", "", "5.1 no" },
		{ 550, "5.1.1.1 no", "", "5.1.1.1 no" },
		{ 550, "5.1234.1 x", "", "5.1234.1 x" },
		{ 550, "5..1 x", "", "5..1 x" },
		{ 550, "", "", "" },
		{ 550, " 5.1.1 x", "", " 5.1.1 x" },
		{ 550, "5", "", "5" },
		{ 550, "5.", "", "5." },
		{ 550, "#5.1.1 x", "", "#5.1.1 x" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char enhanced[12] = "garbage";

		assert_string_equal(
		    reply_parse_enhanced(rows[i].text, rows[i].code, enhanced), rows[i].rest);
		assert_string_equal(enhanced, rows[i].enhanced);
	}
}

static void
replies_are_read_one_after_the_other(void **state)
{
	static const char text[] =
	    "250-first\r\n250-2.1.0 second\n250 third\r\n550-5.1.1 no\r\n550 5.1.1 such\r\n354\r\n";
	struct peer p;
	struct reply r = { .code = 0 };
	char line[100];

	(void)state;
	peer_open(&p, text, strlen(text));
	assert_int_equal(reply_read(&p.stream, &r), 0);
	assert_int_equal(r.code, 250);
	assert_string_equal(r.enhanced, "");
	assert_string_equal(buf_string(&r.text), "first\nsecond\nthird");
	assert_true(stream_has_input(&p.stream));
	assert_int_equal(reply_read(&p.stream, &r), 0);
	assert_string_equal(reply_line(&r, line, sizeof(line)), "550 5.1.1 no such");
	assert_int_equal(reply_read(&p.stream, &r), 0);
	assert_int_equal(r.code, 354);
	assert_int_equal(reply_read(&p.stream, &r), -1);
	assert_int_equal(p.stream.error, STREAM_CLOSED);
	reply_free(&r);
	peer_close(&p);
}

static void
what_is_no_reply_ends_the_connection(void **state)
{
	static const struct {
		const char *text;
		enum stream_error error;
	} rows[] = {
		{ "", STREAM_CLOSED },
		{ "250 OK", STREAM_CLOSED },
		{ "250-a\r\n", STREAM_CLOSED },
		{ "hello\r\n", STREAM_PROTOCOL },
		{ "\r\n", STREAM_PROTOCOL },
		{ "250-a\r\n251 b\r\n", STREAM_PROTOCOL },
		{ "250-a\r\nb\r\n", STREAM_PROTOCOL },
		{ "250-a\r\n\r\n250 b\r\n", STREAM_PROTOCOL },
		{ "250 a\n", STREAM_OK },
		{ "250 a\r\n", STREAM_OK },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(error_of(rows[i].text, strlen(rows[i].text)), rows[i].error);
	assert_int_equal(error_of("250 a\0b\r\n", 9), STREAM_PROTOCOL);
}

static void
endless_lines_and_replies_end_the_connection(void **state)
{
	enum { SIZE = 100000 };
	struct buf b = BUF_INIT(SIZE + 1000);

	(void)state;
	buf_add_string(&b, "250 ");
	while (b.len < SIZE)
		buf_add_char(&b, 'x');
	assert_int_equal(error_of(b.data, b.len), STREAM_PROTOCOL);
	buf_reset(&b);
	for (int i = 0; i < REPLY_LINES_MAX - 1; i++)
		buf_add_string(&b, "250-x\r\n");
	buf_add_string(&b, "250 x\r\n");
	assert_int_equal(error_of(b.data, b.len), STREAM_OK);
	buf_reset(&b);
	for (int i = 0; i < REPLY_LINES_MAX; i++)
		buf_add_string(&b, "250-x\r\n");
	buf_add_string(&b, "250 x\r\n");
	assert_int_equal(error_of(b.data, b.len), STREAM_PROTOCOL);
	buf_free(&b);
}

/* Whether its end has arrived together with it must make no difference. */
static void
a_line_longer_than_the_cap_is_refused_even_with_its_end(void **state)
{
	struct buf b = BUF_INIT(20000);

	(void)state;
	buf_add_string(&b, "250 ");
	while (b.len < STREAM_LINE_MAX + 100)
		buf_add_char(&b, 'x');
	buf_add_string(&b, "\r\n");
	assert_int_equal(error_of(b.data, b.len), STREAM_PROTOCOL);
	buf_free(&b);
}

static void
a_reply_is_shown_in_one_printable_line(void **state)
{
	static const char text[] = "550-5.7.1 a\x1b[2J\r\n550 b\x9b\xc3\xa4\rc\r\n";
	struct peer p;
	struct reply r = { .code = 0 };
	char line[100], tiny[8];

	(void)state;
	peer_open(&p, text, strlen(text));
	assert_int_equal(reply_read(&p.stream, &r), 0);
	assert_string_equal(
	    reply_line(&r, line, sizeof(line)), "550 5.7.1 a\\x1b[2J b\\x9b\xc3\xa4\\x0dc");
	assert_string_equal(reply_line(&r, tiny, sizeof(tiny)), "550 5.7");
	reply_free(&r);
	peer_close(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_cut_into_code_and_text),
		cmocka_unit_test(the_enhanced_code_must_fit_the_code),
		cmocka_unit_test(replies_are_read_one_after_the_other),
		cmocka_unit_test(what_is_no_reply_ends_the_connection),
		cmocka_unit_test(endless_lines_and_replies_end_the_connection),
		cmocka_unit_test(a_line_longer_than_the_cap_is_refused_even_with_its_end),
		cmocka_unit_test(a_reply_is_shown_in_one_printable_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
