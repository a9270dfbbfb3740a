/*
 * relayd/session/content: from the file to the wire.
 */
#include "tests/unit/unit_spool.h"

#include <sys/socket.h>
#include <sys/wait.h>

#include "base/number.h"
#include "relayd/session/content.h"

/* A stream whose other end is read by a child that gives back all it got. */
struct wire {
	struct stream stream;
	int control;
	int copy;
	pid_t child;
};

static void
wire_open(struct wire *w)
{
	int fds[2], control[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, control), 0);
	w->copy = memory_file("", 0);
	w->child = fork();
	if (w->child == 0) {
		char chunk[5000];
		ssize_t n;

		close(fds[0]);
		while ((n = read(fds[1], chunk, sizeof(chunk))) > 0)
			if (write(w->copy, chunk, (size_t)n) != n)
				_exit(1);
		_exit(0);
	}
	close(fds[1]);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	w->control = control[1];
	stream_init(&w->stream, fds[0], control[0]);
	stream_timeout(&w->stream, 20 * USEC_PER_SEC);
}

/* What has arrived, to be freed. */
static char *
wire_close(struct wire *w, size_t *len)
{
	char *data;

	assert_int_equal(stream_flush(&w->stream), 0);
	close(w->stream.control);
	stream_close(&w->stream);
	close(w->control);
	assert_int_equal(waitpid(w->child, NULL, 0), w->child);
	data = file_load(w->copy, len);
	close(w->copy);
	return data;
}

static void
dots_are_doubled_wherever_the_pieces_end(void **state)
{
	static const struct {
		const char *content, *wire;
	} rows[] = {
		{ "", ".\r\n" },
		{ ".\r\n", "..\r\n.\r\n" },
		{ "..\r\n", "...\r\n.\r\n" },
		{ "a\r\n.\r\nb\r\n", "a\r\n..\r\nb\r\n.\r\n" },
		{ "a.b\r\n", "a.b\r\n.\r\n" },
		{ ".a\r\n.b\r\n", "..a\r\n..b\r\n.\r\n" },
		{ "a\r\n\r\n.\r\n", "a\r\n\r\n..\r\n.\r\n" },
		{ "a\r.\r\n", "a\r.\r\n.\r\n" },
		{ "a\r\n.\r\n.\r\n", "a\r\n..\r\n..\r\n.\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		for (size_t size = 1; size <= strlen(rows[i].content) + 1; size++) {
			struct dot_stuffing d = { .within_line = false };
			struct wire w;
			size_t len = strlen(rows[i].content);
			char *got;

			wire_open(&w);
			for (size_t at = 0; at < len; at += size)
				assert_int_equal(content_write(&w.stream, &d, rows[i].content + at,
						     len - at < size ? len - at : size),
				    0);
			assert_int_equal(content_end(&w.stream), 0);
			got = wire_close(&w, NULL);
			assert_string_equal(got, rows[i].wire);
			free(got);
		}
	}
}

/* Lines that begin with a dot, around every border of the chunks. */
static char *
dotted(size_t size)
{
	char *data = malloc(size + 1);

	for (size_t i = 0; i < size; i++)
		data[i] = ".\r\n"[i % 3];
	data[size] = '\0';
	return data;
}

static void
streaming_doubles_dots_at_chunk_borders(void **state)
{
	static const size_t sizes[] = { 65532, 65535, 65538, 65541, 300000 };
	struct place *p = *state;

	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct dot_stuffing d = { .within_line = false };
		char *data = dotted(sizes[i]), *got, *expected = malloc(2 * sizes[i] + 10);
		struct queue_name name = message_put_simple(p, data);
		struct message m;
		struct wire w;
		size_t len, n = 0;

		for (size_t k = 0; k < sizes[i]; k++) {
			if (data[k] == '.')
				expected[n++] = '.';
			expected[n++] = data[k];
		}
		n += (size_t)sprintf(expected + n, ".\r\n");
		assert_int_equal(message_open(&m, p->queue, name.text), MESSAGE_OK);
		wire_open(&w);
		assert_int_equal(content_stream(&m, &w.stream, &d), CONTENT_OK);
		assert_int_equal(content_end(&w.stream), 0);
		got = wire_close(&w, &len);
		assert_int_equal(len, n);
		assert_memory_equal(got, expected, n);
		message_close(&m);
		free(got);
		free(expected);
		free(data);
	}
}

static void
lines_that_do_not_end_in_crlf_are_corrupt(void **state)
{
	static const char *const contents[] = { "a\r\nb", "a\nb\r\n", "a\n", "\n", "a\r\n\n.\r\n",
		"a\r", "a\rb\r\n", "\ra\r\n", "a\r\r\n", "a\r\n\r.\r\n" };
	struct place *p = *state;

	for (size_t i = 0; i < COUNT(contents); i++) {
		struct dot_stuffing d = { .within_line = false };
		struct queue_name name = message_put_simple(p, contents[i]);
		struct message m;
		struct buf whole;
		struct wire w;

		assert_int_equal(message_open(&m, p->queue, name.text), MESSAGE_OK);
		assert_int_equal(content_load(&m, &whole), CONTENT_CORRUPT);
		wire_open(&w);
		assert_int_equal(content_stream(&m, &w.stream, &d), CONTENT_CORRUPT);
		free(wire_close(&w, NULL));
		buf_free(&whole);
		message_close(&m);
	}
}

/* Behind the end of the content, for a server that takes such a line end for one,
 * come commands. */
static void
nothing_behind_a_line_that_ends_otherwise_is_sent(void **state)
{
	static const char *const ends[] = { "\r.\r", "\n.\n", "\n.\r\n" };
	struct place *p = *state;

	for (size_t i = 0; i < COUNT(ends); i++) {
		for (size_t size = 65535 - 3; size <= 65538; size += 3) {
			struct dot_stuffing d = { .within_line = false };
			char *data = dotted(size), *got;
			struct queue_name name;
			struct message m;
			struct wire w;

			data = realloc(data, size + 100);
			assert_non_null(data);
			sprintf(data + size, "a%sMAIL FROM:<root@example.org>\r\n", ends[i]);
			name = message_put_simple(p, data);
			assert_int_equal(message_open(&m, p->queue, name.text), MESSAGE_OK);
			wire_open(&w);
			assert_int_equal(content_stream(&m, &w.stream, &d), CONTENT_CORRUPT);
			got = wire_close(&w, NULL);
			assert_null(strstr(got, "MAIL"));
			message_close(&m);
			free(got);
			free(data);
		}
	}
}

static void
loading_gives_the_whole_content(void **state)
{
	struct place *p = *state;
	char *data = dotted(CONTENT_WHOLE_MAX - 1);
	struct queue_name name = message_put_simple(p, data);
	struct message m;
	struct buf whole;

	assert_int_equal(message_open(&m, p->queue, name.text), MESSAGE_OK);
	assert_int_equal(content_load(&m, &whole), CONTENT_OK);
	assert_int_equal(whole.len, CONTENT_WHOLE_MAX - 1);
	assert_memory_equal(whole.data, data, CONTENT_WHOLE_MAX - 1);
	buf_free(&whole);
	message_close(&m);
	free(data);
}

static void
an_empty_content_is_ok(void **state)
{
	struct place *p = *state;
	struct queue_name name = message_put_simple(p, "");
	struct dot_stuffing d = { .within_line = false };
	struct message m;
	struct buf whole;
	struct wire w;

	assert_int_equal(message_open(&m, p->queue, name.text), MESSAGE_OK);
	assert_int_equal(content_load(&m, &whole), CONTENT_OK);
	assert_int_equal(whole.len, 0);
	buf_free(&whole);
	wire_open(&w);
	assert_int_equal(content_stream(&m, &w.stream, &d), CONTENT_OK);
	free(wire_close(&w, NULL));
	message_close(&m);
}

/* A message in memory with one octet of its content changed. */
static struct message
damaged(struct place *p, bool cut)
{
	struct queue_name name = message_put_simple(p, "Subject: x\r\n\r\nbody\r\n");
	int fd = openat(p->queue, name.text, O_RDONLY);
	size_t len;
	char *data = file_load(fd, &len);
	struct message m;

	close(fd);
	data[len - 4] ^= 1;
	fd = memory_file(data, len);
	free(data);
	assert_int_equal(message_open_fd(&m, fd), MESSAGE_OK);
	if (cut)
		assert_int_equal(ftruncate(fd, (off_t)len - 1), 0);
	return m;
}

static void
a_damaged_content_is_never_ok(void **state)
{
	for (int cut = 0; cut <= 1; cut++) {
		struct message m = damaged(*state, cut);
		struct dot_stuffing d = { .within_line = false };
		struct buf whole;
		struct wire w;

		assert_int_equal(content_load(&m, &whole), CONTENT_CORRUPT);
		buf_free(&whole);
		wire_open(&w);
		assert_int_equal(content_stream(&m, &w.stream, &d), CONTENT_CORRUPT);
		free(wire_close(&w, NULL));
		message_close(&m);
	}
}

/* More than is held, with `flip` for the octet of the content that is damaged. */
static enum content_result
rewritten_and_streamed(struct place *p, size_t flip, char **sent)
{
	char *text = dotted(CONTENT_WHOLE_MAX + 2), *data;
	struct dot_stuffing d = { .within_line = false };
	struct content_header h = { .original = 0 };
	struct queue_name name;
	struct buf whole = BUF_INIT(0);
	struct message m;
	struct wire w;
	uint64_t length;
	size_t len;
	int fd;
	enum content_result r;

	memcpy(text, "From: joe@host\r\n\r\n", 18);
	name = message_put_simple(p, text);
	fd = openat(p->queue, name.text, O_RDONLY);
	data = file_load(fd, &len);
	close(fd);
	if (flip > 0)
		data[len - strlen(text) + flip] ^= 1;
	assert_int_equal(message_open_fd(&m, memory_file(data, len)), MESSAGE_OK);
	assert_int_equal(content_prepare(&m, "a@b.c", &whole, &h, &length), CONTENT_OK);
	wire_open(&w);
	r = content_stream_rewritten(&m, &h, &w.stream, &d);
	*sent = wire_close(&w, &len);
	assert_true(r != CONTENT_OK || len > length); /* dots are doubled */
	buf_free(&h.text);
	message_close(&m);
	free(data);
	free(text);
	return r;
}

static void
what_is_rewritten_is_checked_as_it_is_in_the_file(void **state)
{
	static const char start[] = "From: a@b.c\r\nReply-To: joe@host\r\n\r\n..\r\n..\r\n";
	char *sent;

	assert_int_equal(rewritten_and_streamed(*state, 0, &sent), CONTENT_OK);
	assert_memory_equal(sent, start, strlen(start));
	free(sent);
	/* in the header that is replaced, and in the last line of the body */
	assert_int_equal(rewritten_and_streamed(*state, 7, &sent), CONTENT_CORRUPT);
	free(sent);
	assert_int_equal(
	    rewritten_and_streamed(*state, CONTENT_WHOLE_MAX - 1, &sent), CONTENT_CORRUPT);
	free(sent);
}

static void
a_peer_that_is_gone_is_broken(void **state)
{
	struct place *p = *state;
	char *data = dotted(2 << 20);
	struct queue_name name = message_put_simple(p, data);
	struct dot_stuffing d = { .within_line = false };
	struct message m;
	struct stream s;
	int fds[2], control[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, control), 0);
	stream_init(&s, fds[0], control[0]);
	stream_timeout(&s, 5 * USEC_PER_SEC);
	close(fds[1]);
	assert_int_equal(message_open(&m, p->queue, name.text), MESSAGE_OK);
	assert_int_equal(content_stream(&m, &s, &d), CONTENT_BROKEN);
	assert_int_equal(s.error, STREAM_CLOSED);
	message_close(&m);
	stream_close(&s);
	close(control[0]);
	close(control[1]);
	free(data);
}

static void
a_stop_of_relayd_ends_the_wait(void **state)
{
	struct stream s;
	int fds[2], control[2];
	char *line;
	size_t len;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, control), 0);
	stream_init(&s, fds[0], control[0]);
	stream_timeout(&s, 20 * USEC_PER_SEC);
	close(control[1]);
	assert_int_equal(stream_read_line(&s, &line, &len), -1);
	assert_int_equal(s.error, STREAM_STOPPED);
	stream_close(&s);
	close(control[0]);
	close(fds[1]);
}

static void
a_silent_peer_ends_in_a_timeout(void **state)
{
	struct stream s;
	int fds[2], control[2];
	char *line;
	size_t len;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, control), 0);
	stream_init(&s, fds[0], control[0]);
	stream_timeout(&s, 30 * USEC_PER_MS);
	assert_int_equal(stream_read_line(&s, &line, &len), -1);
	assert_int_equal(s.error, STREAM_TIMEOUT);
	stream_close(&s);
	close(fds[1]);
	close(control[0]);
	close(control[1]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(dots_are_doubled_wherever_the_pieces_end),
		TEST(streaming_doubles_dots_at_chunk_borders),
		TEST(lines_that_do_not_end_in_crlf_are_corrupt),
		TEST(nothing_behind_a_line_that_ends_otherwise_is_sent),
		TEST(loading_gives_the_whole_content),
		TEST(an_empty_content_is_ok),
		TEST(a_damaged_content_is_never_ok),
		TEST(what_is_rewritten_is_checked_as_it_is_in_the_file),
		TEST(a_peer_that_is_gone_is_broken),
		TEST(a_stop_of_relayd_ends_the_wait),
		TEST(a_silent_peer_ends_in_a_timeout),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
