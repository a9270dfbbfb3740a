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

/* A bounce of a message to one recipient, with what `how` says of it. */
static char *
reported(struct place *p, const struct envelope *e, const char *content, struct bounce how,
    struct bounce_recipient why, struct message *m)
{
	struct queue_name name = message_put(p, e, content, strlen(content)), bounce_name;
	struct message original;
	char *text;

	assert_int_equal(message_open(&original, p->queue, name.text), MESSAGE_OK);
	why.recipient = &original.envelope.recipients[0];
	how.spool = &p->spool;
	how.hostname = "host.example";
	how.domain = "dom.example";
	how.message = &original;
	how.queue_id = ID;
	how.recipients = &why;
	how.count = 1;
	assert_int_equal(bounce_send(&how, &bounce_name), 0);
	message_close(&original);
	assert_int_equal(message_open(m, p->queue, bounce_name.text), MESSAGE_OK);
	text = calloc(1, m->length + 1);
	assert_int_equal(pread(m->fd, text, m->length, m->content), (ssize_t)m->length);
	assert_lines_end_in_crlf(text);
	return text;
}

static const struct bounce_recipient refusal = {
	.code = 550, .text = "550 5.1.1 no such user", .status = "5.1.1"
};

static void
assert_has(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("\"%s\" is not in\n%s", part, text);
}

static void
seven_bit_reports_declare_nothing_and_eight_bit_ones_all_the_way_up(void **state)
{
	static const struct {
		const char *content;
		size_t declarations;
	} rows[] = { { CONTENT, 0 }, { "X: y\r\n\r\n\xc3\xa4\r\n", 2 } };

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct message m;
		struct envelope e;
		size_t n = 0;
		char *text;

		envelope_make(&e, "root@example.org", "ops@example.net");
		text = reported(
		    *state, &e, rows[i].content, (struct bounce){ .smarthost = "" }, refusal, &m);
		for (const char *s = text; (s = strstr(s, "Encoding: 8bit\r\n")) != NULL; s++)
			n++;
		assert_int_equal(n, rows[i].declarations);
		assert_int_equal((m.flags & MESSAGE_8BIT) != 0, n > 0);
		assert_int_equal(
		    strstr(text, "\"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--") != NULL, n > 0);
		free(text);
		message_close(&m);
		envelope_free(&e);
	}
}

static void
xtext_is_decoded_as_far_as_it_is_harmless(void **state)
{
	struct message m;
	struct envelope e;
	char *text;

	envelope_init(&e);
	assert_int_equal(envelope_set_sender(&e, "root@example.org"), 0);
	assert_int_equal(envelope_set_envid(&e, "a+2Bb+3Dc+0D+0AX:+E4"), 0);
	assert_int_equal(
	    envelope_add_recipient(&e, "a@example.net", 0, "rfc822;a+2Bb@example.net"), 0);
	text = reported(*state, &e, CONTENT, (struct bounce){ .smarthost = "" }, refusal, &m);
	assert_has(text, "\r\nOriginal-Envelope-Id: a+b=c+0D+0AX:+E4\r\n");
	assert_has(text, "\r\nOriginal-Recipient: rfc822;a+b@example.net\r\n");
	free(text);
	message_close(&m);
	envelope_free(&e);
}

static void
addresses_beyond_ascii_have_their_own_type(void **state)
{
	static const struct {
		const char *sender, *header, *parts[4];
		bool utf8;
	} rows[] = {
		{ "root@example.org", "Subject: x\r\n",
		    { "report-type=delivery-status", "Content-Type: message/delivery-status\r\n",
			"Final-Recipient: "
			"utf-8;j\\x{F6}rg\\x{2B}\\x{10FFFF}@b\\x{FC}ro.example\r\n",
			"Content-Type: message/rfc822\r\n" },
		    false },
		{ "j\xc3\xa4ne@example.org", "Subject: \xc3\xa4\r\n",
		    { "report-type=global-delivery-status",
			"Content-Type: message/global-delivery-status\r\n"
			"Content-Transfer-Encoding: 8bit\r\n",
			"Final-Recipient: "
			"utf-8;j\xc3\xb6rg+\xf4\x8f\xbf\xbf@b\xc3\xbcro.example\r\n",
			"Content-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n" },
		    true },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct message m;
		struct envelope e;
		char *text;

		envelope_make(
		    &e, rows[i].sender, "j\xc3\xb6rg+\xf4\x8f\xbf\xbf@b\xc3\xbcro.example");
		text = reported(
		    *state, &e, rows[i].header, (struct bounce){ .smarthost = "" }, refusal, &m);
		for (size_t k = 0; k < 4; k++)
			assert_has(text, rows[i].parts[k]);
		assert_int_equal((m.flags & MESSAGE_SMTPUTF8) != 0, rows[i].utf8);
		free(text);
		message_close(&m);
		envelope_free(&e);
	}
}

static void
a_header_beyond_ascii_is_returned_as_such(void **state)
{
	static const struct {
		const char *content, *type;
	} rows[] = {
		{ "Subject: \xc3\xa4\r\n\r\nx\r\n", "message/global-headers\r\n" },
		{ "Subject: \xe4\r\n\r\nx\r\n", "text/rfc822-headers\r\n" },
		{ "Subject: x\r\n\r\n\xc3\xa4\r\n", "text/rfc822-headers\r\n\r\n" },
		{ "\r\nno header\r\n", "text/rfc822-headers\r\n\r\n\r\n--" },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct message m;
		struct envelope e;
		char *text;

		envelope_make(&e, "root@example.org", "ops@example.net");
		e.ret = RET_HDRS;
		text = reported(
		    *state, &e, rows[i].content, (struct bounce){ .smarthost = "" }, refusal, &m);
		assert_has(text, rows[i].type);
		assert_false((m.flags & MESSAGE_SMTPUTF8) != 0);
		free(text);
		message_close(&m);
		envelope_free(&e);
	}
}

static void
a_hostile_reply_stays_on_short_printable_lines(void **state)
{
	char reply[501] = "550 \r\nAction: delivered\x1b[2J \xc3\xa4 ", *text;
	struct message m;
	struct envelope e;

	for (size_t i = strlen(reply); i < 500; i++)
		reply[i] = i % 9 == 0 || (i > 300 && i < 350) ? ' ' : 'x';
	envelope_make(&e, "root@example.org", "ops@example.net");
	text = reported(*state, &e, CONTENT, (struct bounce){ .smarthost = "mx.example" },
	    (struct bounce_recipient){ .code = 550, .text = reply, .status = "5.0.0" }, &m);
	assert_null(strstr(text, "\r\nAction: delivered"));
	assert_null(strchr(text, '\x1b'));
	assert_has(
	    text, "Diagnostic-Code: smtp;550 \\x0d\\x0aAction: delivered\\x1b[2J \\xc3\\xa4");
	assert_has(text, "Content-Type: message/delivery-status\r\n\r\n");
	for (const char *s = text; *s != '\0'; s = strchr(s, '\n') + 1) {
		assert_true(strcspn(s, "\r") <= 78);
		assert_true(strspn(s, " \t") < strcspn(s, "\r") || *s == '\r');
	}
	free(text);
	message_close(&m);
	envelope_free(&e);
}

static void
a_smarthost_by_address_stands_in_brackets(void **state)
{
	static const char *const rows[][2] = { { "192.0.2.1", "dns;[192.0.2.1]\r\n" },
		{ "2001:db8::1", "dns;[IPv6:2001:db8::1]\r\n" },
		{ "mx.example", "dns;mx.example\r\n" },
		{ "b\xc3\xbc.x", "dns;b\\xc3\\xbc.x\r\n" } };

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct message m;
		struct envelope e;
		char *text;

		envelope_make(&e, "root@example.org", "ops@example.net");
		text = reported(
		    *state, &e, CONTENT, (struct bounce){ .smarthost = rows[i][0] }, refusal, &m);
		assert_has(text, rows[i][1]);
		free(text);
		message_close(&m);
		envelope_free(&e);
	}
}

static void
each_action_says_what_it_is(void **state)
{
	static const struct {
		struct bounce how;
		const char *parts[4], *lacks;
	} rows[] = {
		{ { .smarthost = "", .last_attempt = 1 },
		    { "Subject: Undelivered mail returned to sender\r\n", "Action: failed\r\n",
			"Last-Attempt-Date: Thu, 1 Jan 1970 ", "Content-Type: message/rfc822" },
		    "Will-Retry-Until" },
		{ { .smarthost = "", .action = BOUNCE_DELAYED, .retry_until = 86400000000 },
		    { "Subject: Delayed mail (still being tried)\r\n", "Action: delayed\r\n",
			"Will-Retry-Until: Fri, 2 Jan 1970 ", "text/rfc822-headers" },
		    "Last-Attempt-Date" },
		{ { .smarthost = "", .action = BOUNCE_RELAYED, .last_attempt = 1 },
		    { "Mail was handed on", "Action: relayed\r\n", "Last-Attempt-Date: Thu, 1",
			"text/rfc822-headers" },
		    "Will-Retry-Until" },
	};

	setenv("TZ", "UTC", 1);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct message m;
		struct envelope e;
		char *text;

		envelope_make(&e, "root@example.org", "ops@example.net");
		e.ret = i == 0 ? RET_DEFAULT : RET_FULL;
		text = reported(*state, &e, CONTENT, rows[i].how, refusal, &m);
		for (size_t k = 0; k < 4; k++)
			assert_has(text, rows[i].parts[k]);
		assert_null(strstr(text, rows[i].lacks));
		free(text);
		message_close(&m);
		envelope_free(&e);
	}
}

/* Makes the bounce of a message with that content smaller; NULL if it is none. */
static char *
smaller_of(struct place *p, const struct message *bounce)
{
	struct queue_name name;
	struct message m;
	char *text;
	int r = bounce_send_smaller(&p->spool, bounce, &name);

	if (r == 1)
		return NULL;
	assert_int_equal(r, 0);
	assert_int_equal(message_open(&m, p->queue, name.text), MESSAGE_OK);
	assert_string_equal(m.envelope.sender, "");
	assert_string_equal(m.envelope.recipients[0].address, "root@example.org");
	text = calloc(1, m.length + 1);
	assert_int_equal(pread(m.fd, text, m.length, m.content), (ssize_t)m.length);
	assert_lines_end_in_crlf(text);
	/* it is not made smaller once more */
	assert_int_equal(bounce_send_smaller(&p->spool, &m, &name), 1);
	message_close(&m);
	return text;
}

static void
a_smaller_bounce_has_five_fields_and_no_octet_beyond_ascii(void **state)
{
	static const char content[] =
	    "Received: by x\r\nSubject: gr\xc3\xbc\xc3\x9f"
	    "e\r\n  folded\r\n"
	    "subject: second\r\nfrom: A <a@x>\r\nTo:b@y\r\nX-Spam: viagra\r\n"
	    "Date: today\r\nMessage-ID: <1@x>\r\n\r\nTo: body\r\n";
	static const char returned[] =
	    "\r\nContent-Type: text/rfc822-headers\r\n\r\n"
	    "From: A <a@x>\r\nTo: b@y\r\nSubject: =?utf-8?B?Z3LDvMOfZSAgZm9sZGVk?=\r\n"
	    "Date: today\r\nMessage-ID: <1@x>\r\n\r\n--";
	struct message m;
	struct envelope e;
	char *whole, *text;

	envelope_make(&e, "root@example.org", "ops@example.net");
	whole = reported(*state, &e, content, (struct bounce){ .smarthost = "" }, refusal, &m);
	assert_has(whole, "message/global\r\n");
	text = smaller_of(*state, &m);
	assert_non_null(text);
	assert_has(text, returned);
	assert_memory_equal(text, whole, (size_t)(strstr(text, returned) - text));
	assert_null(strstr(text, "viagra"));
	for (const char *s = text; *s != '\0'; s++)
		assert_true(*s > 0);
	free(text);
	free(whole);
	message_close(&m);
	envelope_free(&e);
}

static void
encoded_words_are_short_and_whole(void **state)
{
	char content[900] = "Subject: ", *whole, *text;
	struct message m;
	struct envelope e;

	for (int i = 0; i < 200; i++)
		memcpy(content + strlen(content), "\xe2\x82\xac", 4);
	memcpy(content + strlen(content), "\r\n", 3);
	envelope_make(&e, "root@example.org", "ops@example.net");
	whole = reported(*state, &e, content, (struct bounce){ .smarthost = "" }, refusal, &m);
	text = smaller_of(*state, &m);
	assert_has(text,
	    "Subject: =?utf-8?B?4oKs4oKs4oKs4oKs4oKs4oKs4oKs4oKs4oKs4oKs4oKs4oKs4oKs4oKs?=\r\n =?");
	for (const char *s = text; *s != '\0'; s = strchr(s, '\n') + 1)
		assert_true(strcspn(s, "\r") <= 78);
	free(text);
	free(whole);
	message_close(&m);
	envelope_free(&e);
}

static void
only_a_bounce_that_returned_all_is_made_smaller(void **state)
{
	struct place *p = *state;
	struct envelope e;
	struct message m;
	struct queue_name name;

	/* one with the header alone */
	envelope_make(&e, "root@example.org", "ops@example.net");
	e.ret = RET_HDRS;
	free(reported(p, &e, CONTENT, (struct bounce){ .smarthost = "" }, refusal, &m));
	assert_null(smaller_of(p, &m));
	message_close(&m);
	envelope_free(&e);
	/* somebody else's message of nobody, and what only looks like the start of ours */
	for (int i = 0; i < 3; i++) {
		static const char *const contents[] = { CONTENT,
			"Content-Type: multipart/report;\r\n\tboundary=\"" ID,
			"X: y\r\n\tboundary=\"" ID "\"\r\n\r\n--" ID "\r\n\r\n--" ID "\r\n\r\n--" ID
			"\r\nContent-Type: message/rfc822\r\n" };

		envelope_make(&e, "", "ops@example.net");
		e.uid = getuid();
		name = message_put(p, &e, contents[i], strlen(contents[i]));
		assert_int_equal(message_open(&m, p->queue, name.text), MESSAGE_OK);
		assert_null(smaller_of(p, &m));
		message_close(&m);
		envelope_free(&e);
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
		TEST(seven_bit_reports_declare_nothing_and_eight_bit_ones_all_the_way_up),
		TEST(xtext_is_decoded_as_far_as_it_is_harmless),
		TEST(addresses_beyond_ascii_have_their_own_type),
		TEST(a_header_beyond_ascii_is_returned_as_such),
		TEST(a_hostile_reply_stays_on_short_printable_lines),
		TEST(a_smarthost_by_address_stands_in_brackets),
		TEST(each_action_says_what_it_is),
		TEST(a_smaller_bounce_has_five_fields_and_no_octet_beyond_ascii),
		TEST(encoded_words_are_short_and_whole),
		TEST(only_a_bounce_that_returned_all_is_made_smaller),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
