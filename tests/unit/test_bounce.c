/*
 * relayd/bounce: the report that tells a sender what was not delivered.
 */
#include "tests/unit/unit_spool.h"

#include "relayd/bounce.h"

#define CONTENT "Subject: original\r\nX: y\r\n\r\nthe body\r\n.\r\n"
#define ID "0abcdefghijklmnopqrstuvwxy"

/* Bounces all recipients of a message, and opens the bounce: its content. */
static char *
bounced(
    struct place *p, const struct envelope *e, const char *content, size_t len, struct message *m)
{
	struct queue_name name = message_put(p, e, content, len), bounce_name;
	struct bounce_recipient r[2] = {
		{ .code = 550, .text = "550 5.1.1 no such user", .status = "5.1.1" },
		{ .code = 0, .text = "too old", .status = "5.4.7" }
	};
	struct message original;
	struct bounce b = { .spool = &p->spool,
		.hostname = "host.example",
		.domain = "dom.example",
		.message = &original,
		.queue_id = ID,
		.smarthost = "mx.example",
		.recipients = r,
		.count = e->recipient_count };
	char *text;

	assert_true(b.count <= 2);
	assert_int_equal(message_open(&original, p->queue, name.text), MESSAGE_OK);
	for (size_t i = 0; i < b.count; i++)
		r[i].recipient = &original.envelope.recipients[i];
	assert_int_equal(bounce_send(&b, &bounce_name), 0);
	message_close(&original);
	assert_int_equal(message_open(m, p->queue, bounce_name.text), MESSAGE_OK);
	text = calloc(1, m->length + 1);
	assert_int_equal(pread(m->fd, text, m->length, m->content), (ssize_t)m->length);
	return text;
}

static void
assert_lines_end_in_crlf(const char *text)
{
	for (const char *s = text; *s != '\0'; s++) {
		if (*s == '\n')
			assert_true(s > text && s[-1] == '\r');
		if (*s == '\r')
			assert_true(s[1] == '\n');
	}
	assert_string_equal(text + strlen(text) - 2, "\r\n");
}

static void
a_bounce_goes_from_nobody_to_the_sender(void **state)
{
	struct message m;
	struct envelope e;
	char *text;

	envelope_make(&e, "root@example.org", "ops@example.net");
	text = bounced(*state, &e, CONTENT, strlen(CONTENT), &m);
	assert_string_equal(m.envelope.sender, "");
	assert_int_equal(m.envelope.recipient_count, 1);
	assert_string_equal(m.envelope.recipients[0].address, "root@example.org");
	assert_int_equal(m.envelope.recipients[0].notify, NOTIFY_NEVER);
	assert_lines_end_in_crlf(text);
	free(text);
	message_close(&m);
	envelope_free(&e);
}

static void
a_bounce_goes_to_bounce_to_where_it_is_set(void **state)
{
	struct message m;
	struct envelope e;

	envelope_make(&e, "root@example.org", "ops@example.net");
	assert_int_equal(envelope_set_bounce_to(&e, "admin@example.org"), 0);
	free(bounced(*state, &e, CONTENT, strlen(CONTENT), &m));
	assert_string_equal(m.envelope.recipients[0].address, "admin@example.org");
	message_close(&m);
	envelope_free(&e);
}

static void
nobody_gets_no_bounce(void **state)
{
	struct envelope e;

	(void)state;
	envelope_make(&e, "", "a@b.c");
	assert_null(bounce_address(&e));
	assert_int_equal(envelope_set_bounce_to(&e, "admin@example.org"), 0);
	assert_null(bounce_address(&e));
	envelope_free(&e);
}

static void
the_report_names_each_recipient_its_status_and_reason(void **state)
{
	static const char *const parts[] = { "Auto-Submitted: auto-replied\r\n",
		"From: Mail Delivery System <MAILER-DAEMON@dom.example>\r\n",
		"To: <root@example.org>\r\n", "MIME-Version: 1.0\r\n",
		"report-type=delivery-status",
		"<first@example.net>\r\n    550 5.1.1 no such user\r\n",
		"<second@example.net>\r\n    too old\r\n",
		"\r\nContent-Type: message/delivery-status\r\n\r\n",
		"Original-Envelope-Id: QQ314159\r\n", "Reporting-MTA: dns;host.example\r\n",
		"Original-Recipient: rfc822;First@example.net\r\nFinal-Recipient: "
		"rfc822;first@example.net\r\n"
		"Action: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns;mx.example\r\n"
		"Diagnostic-Code: smtp;550 5.1.1 no such user\r\n",
		"Final-Recipient: rfc822;second@example.net\r\nAction: failed\r\nStatus: 5.4.7\r\n"
		"Diagnostic-Code: x-postbag;too old\r\n",
		"\r\nContent-Type: message/rfc822\r\n\r\n" CONTENT "\r\n--" };
	struct message m;
	struct envelope e;
	char *text;

	envelope_init(&e);
	assert_int_equal(envelope_set_sender(&e, "root@example.org"), 0);
	assert_int_equal(envelope_set_envid(&e, "QQ314159"), 0);
	assert_int_equal(
	    envelope_add_recipient(&e, "first@example.net", 0, "rfc822;First@example.net"), 0);
	assert_int_equal(envelope_add_recipient(&e, "second@example.net", 0, NULL), 0);
	text = bounced(*state, &e, CONTENT, strlen(CONTENT), &m);
	for (size_t i = 0; i < COUNT(parts); i++)
		if (strstr(text, parts[i]) == NULL)
			fail_msg("\"%s\" is not in\n%s", parts[i], text);
	free(text);
	message_close(&m);
	envelope_free(&e);
}

static void
ret_hdrs_returns_the_header_alone(void **state)
{
	static const struct {
		const char *content, *returned;
	} rows[] = {
		{ CONTENT, "Content-Type: text/rfc822-headers\r\n\r\nSubject: original\r\nX: "
			   "y\r\n\r\n--" },
		{ "Subject: no body\r\n", "text/rfc822-headers\r\n\r\nSubject: no body\r\n\r\n--" },
		{ "", "text/rfc822-headers\r\n\r\n\r\n--" },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct message m;
		struct envelope e;
		char *text;

		envelope_make(&e, "root@example.org", "ops@example.net");
		e.ret = RET_HDRS;
		text = bounced(*state, &e, rows[i].content, strlen(rows[i].content), &m);
		if (strstr(text, rows[i].returned) == NULL)
			fail_msg("%s", text);
		assert_null(strstr(text, "the body"));
		free(text);
		message_close(&m);
		envelope_free(&e);
	}
}

static void
only_up_to_a_megabyte_is_returned_whole(void **state)
{
	static const char head[] = "Subject: big\r\n\r\n";
	char *content = malloc((1 << 20) + 2);

	for (size_t size = (1 << 20); size <= (1 << 20) + 1; size++) {
		struct message m;
		struct envelope e;
		char *text;

		memset(content, 'x', size);
		memcpy(content, head, strlen(head));
		envelope_make(&e, "root@example.org", "ops@example.net");
		text = bounced(*state, &e, content, size, &m);
		assert_int_equal(m.length > size, size == 1 << 20);
		assert_non_null(
		    strstr(text, size == 1 << 20 ? "message/rfc822" : "text/rfc822-headers"));
		free(text);
		message_close(&m);
		envelope_free(&e);
	}
	free(content);
}

static void
eight_bit_content_is_declared(void **state)
{
	struct message m;
	struct envelope e;
	char *text;

	envelope_make(&e, "root@example.org", "ops@example.net");
	text = bounced(*state, &e, "X: y\r\n\r\n\xc3\xa4\r\n", 12, &m);
	assert_non_null(strstr(text, "message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n"));
	assert_true((m.flags & MESSAGE_8BIT) != 0);
	free(text);
	message_close(&m);
	envelope_free(&e);
}

static void
a_spool_that_fails_leaves_no_bounce(void **state)
{
	struct place *p = *state;
	struct queue_name name = message_put_simple(p, CONTENT), bounce_name;
	struct message m;
	struct bounce_recipient r = { .code = 550, .text = "550 no", .status = "5.0.0" };
	struct bounce b = { .spool = &p->spool,
		.hostname = "h.x",
		.domain = "d.x",
		.message = &m,
		.queue_id = ID,
		.smarthost = "",
		.recipients = &r,
		.count = 1 };

	assert_int_equal(message_open(&m, p->queue, name.text), MESSAGE_OK);
	r.recipient = &m.envelope.recipients[0];
	p->spool.reserve = UINT64_MAX / 2;
	assert_int_equal(bounce_send(&b, &bounce_name), -1);
	assert_true(p->spool.problem[0] != '\0');
	assert_int_equal(place_count(p), 1);
	message_close(&m);
}

static void
the_status_is_taken_from_the_reply_or_its_code(void **state)
{
	static const struct {
		unsigned code;
		const char *text, *status;
	} rows[] = {
		{ 550, "550 5.1.1 no such user", "5.1.1" },
		{ 550, "550 no such user", "5.0.0" },
		{ 0, "too old", "5.0.0" },
		{ 0, "", "5.0.0" },
		{ 451, "451 later", "4.0.0" },
		{ 451, "451 4.7.1 later", "4.7.1" },
		{ 550, "550 5.7.26", "5.7.26" },
		{ 550, "550 5.1234.1 x", "5.0.0" },
		{ 550, "550 5.1.1x", "5.0.0" },
		{ 550, "550 2.0.0 x", "5.0.0" },
		{ 550, "550 192.0.2.1 x", "5.0.0" },
		{ 550, "550 5.1 x", "5.0.0" },
		{ 550, "550 5.999.999 x", "5.999.999" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char status[BOUNCE_STATUS_SIZE];

		assert_string_equal(
		    bounce_status(rows[i].code, rows[i].text, status), rows[i].status);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_bounce_goes_from_nobody_to_the_sender),
		TEST(a_bounce_goes_to_bounce_to_where_it_is_set),
		TEST(nobody_gets_no_bounce),
		TEST(the_report_names_each_recipient_its_status_and_reason),
		TEST(ret_hdrs_returns_the_header_alone),
		TEST(only_up_to_a_megabyte_is_returned_whole),
		TEST(eight_bit_content_is_declared),
		TEST(a_spool_that_fails_leaves_no_bounce),
		TEST(the_status_is_taken_from_the_reply_or_its_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
