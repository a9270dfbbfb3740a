/*
 * sendmail/smtp_channel and smtp_peer: lines, replies, time, and who is served.
 */
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

#include "sendmail/smtp_channel.h"
#include "sendmail/smtp_peer.h"

/* Both ends of a conversation. */
struct talk {
	struct smtp_channel c;
	struct buf line;
	int client;
	int server;
};

static void
talk_begin(struct talk *t, uint64_t timeout)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	t->client = fds[0];
	t->server = fds[1];
	t->line = BUF_INIT(SMTP_LINE_MAX);
	assert_int_equal(smtp_channel_init(&t->c, t->server, t->server, timeout), 0);
}

static void
talk_end(struct talk *t)
{
	smtp_channel_fini(&t->c);
	buf_free(&t->line);
	close(t->client);
	close(t->server);
}

static void
say(struct talk *t, const char *text)
{
	assert_int_equal(write(t->client, text, strlen(text)), (ssize_t)strlen(text));
}

static void
expect(struct talk *t, enum smtp_line kind, const char *line)
{
	assert_int_equal(smtp_channel_line(&t->c, &t->line), kind);
	if (line != NULL)
		assert_string_equal(buf_string(&t->line), line);
}

static bool
has_reply(const struct talk *t)
{
	struct pollfd p = { .fd = t->client, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

static void
the_first_line_end_fixes_the_others_crlf(void **state)
{
	struct talk t;

	(void)state;
	talk_begin(&t, 5000000);
	say(&t, "one\r\ntwo\nthree\r\n\r\nfour\rfive\r\n\n\r\nsix\r\n");
	expect(&t, SMTP_LINE, "one");
	expect(&t, SMTP_LINE_BARE_LF, NULL);
	expect(&t, SMTP_LINE, "");
	expect(&t, SMTP_LINE_CONTROL, NULL);
	expect(&t, SMTP_LINE_BARE_LF, NULL);
	expect(&t, SMTP_LINE, "six");
	talk_end(&t);
}

static void
the_first_line_end_fixes_the_others_lf(void **state)
{
	struct talk t;

	(void)state;
	talk_begin(&t, 5000000);
	say(&t, "one\ntwo\r\nthree\r\r\nfour\n");
	expect(&t, SMTP_LINE, "one");
	expect(&t, SMTP_LINE, "two");
	expect(&t, SMTP_LINE_CONTROL, NULL);
	expect(&t, SMTP_LINE, "four");
	talk_end(&t);
}

static void
a_long_line_is_dropped_to_its_end(void **state)
{
	char longest[SMTP_LINE_MAX + 2];
	struct talk t;

	(void)state;
	talk_begin(&t, 5000000);
	memset(longest, 'a', sizeof(longest));
	memcpy(longest + SMTP_LINE_MAX - 2, "\r\n", 3);
	say(&t, longest);
	longest[SMTP_LINE_MAX - 2] = '\0';
	expect(&t, SMTP_LINE, longest);
	memcpy(longest + SMTP_LINE_MAX - 2, "a\r\n", 4);
	say(&t, longest);
	expect(&t, SMTP_LINE_LONG, NULL);
	for (int i = 0; i < 100; i++)
		say(&t, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
	say(&t, "\r\nnext\r\n");
	expect(&t, SMTP_LINE_LONG, NULL);
	expect(&t, SMTP_LINE, "next");
	talk_end(&t);
}

static void
a_line_without_end_is_no_command(void **state)
{
	struct talk t;

	(void)state;
	talk_begin(&t, 5000000);
	say(&t, "QUIT");
	assert_int_equal(shutdown(t.client, SHUT_WR), 0);
	expect(&t, SMTP_LINE_NONE, NULL);
	assert_int_equal(t.c.state, CHANNEL_ENDED);
	talk_end(&t);
}

static void
replies_wait_until_there_is_nothing_to_read(void **state)
{
	char replies[100] = "";
	struct talk t;

	(void)state;
	talk_begin(&t, 5000000);
	say(&t, "one\r\ntwo\r\n");
	expect(&t, SMTP_LINE, "one");
	smtp_reply(&t.c, 250, "2.0.0", "first");
	expect(&t, SMTP_LINE, "two");
	smtp_reply_more(&t.c, 250, "second");
	smtp_reply(&t.c, 250, NULL, "third");
	assert_false(has_reply(&t));
	assert_int_equal(shutdown(t.client, SHUT_WR), 0);
	expect(&t, SMTP_LINE_NONE, NULL);
	assert_true(read(t.client, replies, sizeof(replies) - 1) > 0);
	assert_string_equal(replies, "250 2.0.0 first\r\n250-second\r\n250 third\r\n");
	talk_end(&t);
}

static void
a_reply_is_one_line_of_printable_ascii(void **state)
{
	char longest[3000], reply[1024] = "";
	struct talk t;

	(void)state;
	talk_begin(&t, 5000000);
	smtp_reply(&t.c, 550, "5.0.0", "a\r\n250 b\tc \xc3\xbc");
	smtp_channel_flush(&t.c);
	assert_true(read(t.client, reply, sizeof(reply) - 1) > 0);
	assert_string_equal(reply, "550 5.0.0 a\\x0d\\x0a250 b c ??\r\n");
	t.c.utf8 = true;
	smtp_reply(&t.c, 550, NULL, "\xc3\xbc");
	smtp_channel_flush(&t.c);
	assert_int_equal(read(t.client, reply, sizeof(reply) - 1), 8);
	assert_memory_equal(reply, "550 \xc3\xbc\r\n", 8);
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	smtp_reply(&t.c, 550, "5.0.0", "%s", longest);
	smtp_channel_flush(&t.c);
	assert_in_range(read(t.client, reply, sizeof(reply) - 1), 400, 512);
	talk_end(&t);
}

static void
silence_ends_the_channel_for_reading_only(void **state)
{
	char reply[100] = "";
	struct talk t;

	(void)state;
	talk_begin(&t, 1000);
	expect(&t, SMTP_LINE_NONE, NULL);
	assert_int_equal(t.c.state, CHANNEL_TIMED_OUT);
	smtp_reply(&t.c, 421, NULL, "bye");
	smtp_channel_flush(&t.c);
	assert_true(read(t.client, reply, sizeof(reply) - 1) > 0);
	assert_string_equal(reply, "421 bye\r\n");
	talk_end(&t);
}

static void
a_client_that_reads_nothing_is_left(void **state)
{
	struct talk t;

	(void)state;
	talk_begin(&t, 1000);
	for (int i = 0; i < 100000 && t.c.state == CHANNEL_OPEN; i++)
		smtp_reply(&t.c, 250, NULL, "a reply that nobody reads, over and over again");
	assert_int_equal(t.c.state, CHANNEL_BROKEN);
	talk_end(&t);
}

static void
only_this_host_is_served(void **state)
{
	static const struct row {
		int family;
		const char *address, *text;
		bool served;
	} rows[] = {
		{ AF_INET, "127.0.0.1", "[127.0.0.1]", true },
		{ AF_INET, "127.3.2.1", "[127.3.2.1]", true },
		{ AF_INET, "128.0.0.1", "[128.0.0.1]", false },
		{ AF_INET, "0.0.0.0", "[0.0.0.0]", false },
		{ AF_INET, "192.0.2.1", "[192.0.2.1]", false },
		{ AF_INET6, "::1", "[IPv6:::1]", true },
		{ AF_INET6, "::ffff:127.0.0.1", "[IPv6:::ffff:127.0.0.1]", true },
		{ AF_INET6, "::ffff:192.0.2.1", "[IPv6:::ffff:192.0.2.1]", false },
		{ AF_INET6, "::7f00:1", "[IPv6:::127.0.0.1]", false },
		{ AF_INET6, "2001:db8::1", "[IPv6:2001:db8::1]", false },
		{ AF_UNIX, NULL, "uid 1000", true },
		{ AF_UNSPEC, NULL, "unknown", false },
		{ AF_NETLINK, NULL, "unknown", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct sockaddr_storage address = { .ss_family = (sa_family_t)rows[i].family };
		struct smtp_peer peer;

		if (rows[i].family == AF_INET)
			inet_pton(
			    AF_INET, rows[i].address, &((struct sockaddr_in *)&address)->sin_addr);
		if (rows[i].family == AF_INET6)
			inet_pton(AF_INET6, rows[i].address,
			    &((struct sockaddr_in6 *)&address)->sin6_addr);
		smtp_peer_judge(&peer, &address, 1000);
		assert_string_equal(peer.text, rows[i].text);
		assert_int_equal(peer.served, rows[i].served);
	}
}

static void
a_pipe_and_a_unix_socket_are_of_this_host(void **state)
{
	struct smtp_peer peer;
	int fds[2], unconnected = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	assert_int_equal(pipe(fds), 0);
	smtp_peer_find(&peer, fds[0], 1000);
	assert_true(peer.served);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	smtp_peer_find(&peer, fds[0], 1000);
	assert_true(peer.served);
	close(fds[0]);
	close(fds[1]);
	smtp_peer_find(&peer, unconnected, 1000);
	assert_false(peer.served);
	close(unconnected);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_line_end_fixes_the_others_crlf),
		cmocka_unit_test(the_first_line_end_fixes_the_others_lf),
		cmocka_unit_test(a_long_line_is_dropped_to_its_end),
		cmocka_unit_test(a_line_without_end_is_no_command),
		cmocka_unit_test(replies_wait_until_there_is_nothing_to_read),
		cmocka_unit_test(a_reply_is_one_line_of_printable_ascii),
		cmocka_unit_test(silence_ends_the_channel_for_reading_only),
		cmocka_unit_test(a_client_that_reads_nothing_is_left),
		cmocka_unit_test(only_this_host_is_served),
		cmocka_unit_test(a_pipe_and_a_unix_socket_are_of_this_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
