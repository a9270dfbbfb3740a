/*
 * sendmail/header and sendmail/complete: the header that goes out.
 */
#include "tests/unit/unit.h"

#include <strings.h>
#include <sys/wait.h>

#include "sendmail/complete.h"
#include "sendmail/header.h"

#define FULL "Date: x\r\nFrom: a@b\r\nTo: c@d\r\nMessage-ID: <e@f>\r\n"

static struct identity identity = { .uid = 1000,
	.user = "joe",
	.full_name = "Joe Q. Public",
	.hostname = "host.example",
	.domain = "dom.example" };

static char *local_domains[] = { (char *)"here.example" };
static struct settings_map maps[] = { { (char *)"root", (char *)"web1@prov.example" },
	{ (char *)"a b", (char *)"ab@prov.example" } };
static struct settings settings = {
	.local_domains = local_domains, .local_domain_count = 1, .maps = maps
};

/* What a message becomes: the completed header behind its Received field, then
 * "~" and the body as it comes from the input. */
struct result {
	struct buf header;
	struct buf body;
};

static void
result_free(struct result *r)
{
	buf_free(&r->header);
	buf_free(&r->body);
}

static struct result
sent_from(int fd, const char *sender, const char *full_name)
{
	struct result result = { .header = BUF_INIT(16 << 20), .body = BUF_INIT(16 << 20) };
	struct input in;
	struct header h;
	struct piece p;
	struct envelope e;
	struct completion c = { .settings = &settings,
		.identity = &identity,
		.envelope = &e,
		.full_name = full_name,
		.queue_id = "0abcdefghijk" };
	int r;

	envelope_init(&e);
	e.time = 1763912345123456;
	assert_int_equal(envelope_set_sender(&e, sender), 0);
	assert_int_equal(input_init(&in, fd, true), 0);
	r = header_read(&h, &in, &p);
	assert_true(r >= 0);
	for (; r > 0 || (r = input_next(&in, &p)) > 0; r = 0) {
		buf_append(&result.body, p.data, p.len);
		if (p.ends_line)
			buf_add_char(&result.body, '|');
	}
	assert_int_equal(r, 0);
	assert_int_equal(complete_header(&h, &c, &result.header), 0);
	header_free(&h);
	input_fini(&in);
	envelope_free(&e);
	return result;
}

static struct result
sent(const char *text)
{
	int fd = memory_file(text, strlen(text));
	struct result r = sent_from(fd, "joe@dom.example", NULL);

	close(fd);
	return r;
}

/* Behind the Received field, which is two lines. */
static const char *
behind_received(const struct result *r)
{
	const char *s = buf_string(&r->header);

	assert_memory_equal(s, "Received: by host.example", 25);
	s = strchr(strchr(s, '\n') + 1, '\n');
	assert_non_null(s);
	return s + 1;
}

static void
check(const char *text, const char *header, const char *body)
{
	struct result r = sent(text);

	if (strcmp(behind_received(&r), header) != 0)
		fail_msg("%s\ngives\n%s", text, behind_received(&r));
	assert_string_equal(buf_string(&r.body), body);
	result_free(&r);
}

static void
a_whole_header_is_not_changed_by_an_octet(void **state)
{
	static const char *const headers[] = { FULL,
		FULL "Subject: a\r\n  folded\r\n\twith tab  \r\nX-Empty:\r\nx-trailing: y \t\r\n",
		"received: by x\r\n" FULL, FULL "Subject : blank before the colon\r\n",
		FULL "X-8bit: \xc3\xa4 \xff\r\nX: a:b:c\r\n",
		FULL "Resent-Date: x\r\nResent-From: a@b\r\nResent-Message-ID: <x@y>\r\n"
		     "Resent-To: \"Joe, x\" <a@b> (c, d),\r\n\te@f\r\nSubject: Bcc: x\r\n",
		FULL "Xbcc: x\r\nBccx: y\r\nX-Bcc: z\r\n",
		FULL "DKIM-Signature: v=1;\r\n b=abc\r\n", FULL "Cc: not an address at all\r\n" };

	(void)state;
	for (size_t i = 0; i < COUNT(headers); i++) {
		char text[1000];

		snprintf(text, sizeof(text), "%s\r\nbody\r\n", headers[i]);
		check(text, headers[i], "body|");
	}
}

static void
a_resent_block_gains_date_author_and_id(void **state)
{
	struct result r = sent("Resent-To: c@d\n" FULL "\n");
	const char *s = behind_received(&r);

	(void)state;
	assert_int_equal(strncmp(s, "Resent-Date: ", 13), 0);
	assert_non_null(strstr(s, "\r\nResent-From: "));
	assert_non_null(strstr(s, "\r\nResent-Message-ID: <"));
	assert_non_null(strstr(s, "\r\nResent-To: c@d\r\n" FULL));
	result_free(&r);
}

static void
the_topmost_resent_block_is_found(void **state)
{
	static const struct {
		const char *header;
		int begin, end; /* -1: none */
	} rows[] = {
		{ "To: a\n", -1, -1 },
		{ "Resent-\n: x\n", -1, -1 },
		{ "Resent-To: a\n", 0, 1 },
		{ "Received: x\nresent-to: a\nTo: b\n", 1, 2 },
		{ "Resent-To: a\nResent-To: b\nTo: c\n", 0, 2 },
		{ "Resent-From: a\nResent-To: b\nResent-From: c\nResent-To: d\n", 0, 2 },
		{ "Resent-To: b\nResent-Date: a\nResent-To: d\nResent-Date: c\n", 0, 3 },
		{ "Resent-To: b\nReceived: x\nResent-To: d\n", 0, 1 },
		{ "Resent-To: b\nX: y\nResent-Cc: d\n", 0, 3 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		int fd = memory_file(rows[i].header, strlen(rows[i].header));
		size_t begin = 0, end = 0;
		struct header h;
		struct input in;
		struct piece p;
		bool found;

		assert_int_equal(input_init(&in, fd, true), 0);
		assert_true(header_read(&h, &in, &p) >= 0);
		found = header_resent_block(&h, &begin, &end);
		if (found != (rows[i].begin >= 0) ||
		    (found && ((int)begin != rows[i].begin || (int)end != rows[i].end)))
			fail_msg("%s: %d %zu %zu", rows[i].header, found, begin, end);
		header_free(&h);
		input_fini(&in);
		close(fd);
	}
}

static void
blind_copies_go_with_all_their_lines(void **state)
{
	static const char *const fields[] = { "Bcc: x@y\n", "bCC: x@y\n", "BCC:\n", "Bcc : x@y\n",
		"bCC\t \t: x@y\n", "Bcc: x@y,\n z@y,\n\tw@y\n", "Bcc:\n x@y\n", "Bcc:\r\n x@y\r\n",
		"Resent-Bcc: x@y\n", "resent-bcc : x@y,\n z@y\n", "Bcc: x@y\nBcc: z@y\n",
		"Bcc: x@y\n \n z@y\n", "Bcc:x@y\n  \t \n", "Return-Path: <x@y>\n",
		"Bcc: \"unbalanced\n" };

	(void)state;
	for (size_t i = 0; i < COUNT(fields); i++) {
		char text[1000];

		snprintf(text, sizeof(text), "%s" FULL "\nbody\n", fields[i]);
		check(text, FULL, "body|");
		snprintf(text, sizeof(text), FULL "%s\nbody\n", fields[i]);
		check(text, FULL, "body|");
		snprintf(text, sizeof(text),
		    "Date: x\nFrom: a@b\n%sTo: c@d\nMessage-ID: <e@f>\n\nbody\n", fields[i]);
		check(text, FULL, "body|");
	}
}

static void
what_ends_the_header_is_known(void **state)
{
	(void)state;
	check(FULL "\nbody\n", FULL, "body|");
	check(FULL "body\n", FULL, "body|");
	check(FULL "no field here\nmore\n", FULL, "no field here|more|");
	check(FULL, FULL, "");
	check(FULL "\n\nbody", FULL, "|body|");
	check(FULL "\r\r\nbody\r\r\n", FULL, "body|");
	check(FULL ": no name\n", FULL, ": no name|");
	check(FULL "two words: x\n", FULL, "two words: x|");
	check(FULL "\xc3\xa4: x\n", FULL, "\xc3\xa4: x|");
}

static void
mailbox_lines_in_front_go(void **state)
{
	(void)state;
	check("From root Mon Nov 23 16:28:01 2026\n" FULL "\nbody\n", FULL, "body|");
	check(">From root Mon Nov 23 16:28:01 2026\n" FULL "\nbody\n", FULL, "body|");
	check("From a Mon Nov\n>From b Tue Nov\n" FULL "\nbody\n", FULL, "body|");
	check("From : a@b\nDate: x\nTo: c@d\nMessage-ID: <e@f>\n\nbody\n",
	    "From : a@b\r\nDate: x\r\nTo: c@d\r\nMessage-ID: <e@f>\r\n", "body|");
	check(FULL "\nFrom here on\n", FULL, "From here on|");
	check(FULL "From here on\n", FULL, "From here on|");
}

static void
any_line_ends_become_crlf(void **state)
{
	(void)state;
	check("Date: x\nFrom: a@b\r\nTo: c@d\r\r\nMessage-ID: <e@f>\n\r\nbody\n", FULL, "body|");
}

static size_t
occurrences(const char *text, const char *line_start)
{
	size_t n = 0;

	for (const char *s = text; s != NULL && *s != '\0'; s = strchr(s, '\n'), s += s != NULL)
		n += strncasecmp(s, line_start, strlen(line_start)) == 0;
	return n;
}

static void
what_is_missing_is_added_once(void **state)
{
	static const char *const texts[] = { "", "\n", "body\n", "Subject: x\n\nbody\n", "\nbody\n",
		"Date: x\n\n", "From: a@b\n\n", "To: a@b\n\n", "Message-Id: <a@b>\n\n",
		"MESSAGE-ID : <a@b>\n\n", "date: x\nfrom: a@b\nto: c@d\n\nb\n" };
	static const char *const names[] = { "Date:", "From:", "To:" };

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct result r = sent(texts[i]);
		const char *h = behind_received(&r);

		for (size_t k = 0; k < COUNT(names); k++)
			if (occurrences(h, names[k]) != 1)
				fail_msg("%s\n%s: %s", texts[i], names[k], h);
		assert_int_equal(occurrences(h, "Message-ID:") + occurrences(h, "Message-ID :"), 1);
		result_free(&r);
	}
}

static void
a_cc_needs_no_to(void **state)
{
	struct result r = sent("Cc: a@b\n\n");

	(void)state;
	assert_int_equal(occurrences(behind_received(&r), "To:"), 0);
	result_free(&r);
	r = sent("Bcc: a@b\n\n");
	assert_non_null(strstr(behind_received(&r), "To: undisclosed-recipients:;\r\n"));
	assert_int_equal(occurrences(behind_received(&r), "Bcc:"), 0);
	result_free(&r);
}

static void
a_missing_from_is_the_senders(void **state)
{
	static const struct {
		const char *sender, *full_name, *from;
	} rows[] = {
		{ "joe@dom.example", NULL, "From: \"Joe Q. Public\" <joe@dom.example>\r\n" },
		{ "", NULL, "From: \"Joe Q. Public\" <joe@dom.example>\r\n" },
		{ "x@y.z", "", "From: <x@y.z>\r\n" },
		{ "x@y.z", "Cron Daemon", "From: Cron Daemon <x@y.z>\r\n" },
		{ "x@y.z", "a\r\nBcc: b", "From: \"a  Bcc: b\" <x@y.z>\r\n" },
		{ "x@y.z", "J\xc3\xb6", "From: =?utf-8?Q?J=C3=B6?= <x@y.z>\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		int fd = memory_file("\n", 1);
		struct result r = sent_from(fd, rows[i].sender, rows[i].full_name);

		close(fd);
		if (strstr(buf_string(&r.header), rows[i].from) == NULL)
			fail_msg("%s", buf_string(&r.header));
		result_free(&r);
	}
}

struct row {
	const char *field, *expected;
};

/* Each field goes out as expected, between two that stay. */
static void
fields_check(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct result r;
		char text[300];

		snprintf(text, sizeof(text), "X: 1\n%sX: 2\n\n", rows[i].field);
		r = sent(text);
		snprintf(text, sizeof(text), "X: 1\r\n%sX: 2\r\n", rows[i].expected);
		if (strncmp(behind_received(&r), text, strlen(text)) != 0)
			fail_msg("%s", behind_received(&r));
		result_free(&r);
	}
}

static void
bare_addresses_gain_the_domain(void **state)
{
	static const struct row rows[] = {
		{ "To: root\n", "To: root@dom.example\r\n" },
		{ "to:root\n", "to:root@dom.example\r\n" },
		{ "Cc: Joe <root>, a@b, (x) ops (y)\n",
		    "Cc: Joe <root@dom.example>, a@b, (x) ops@dom.example (y)\r\n" },
		{ "From: root (Cron Daemon)\n", "From: root@dom.example (Cron Daemon)\r\n" },
		{ "To: a,\n b,\r\n\tc\n",
		    "To: a@dom.example,\r\n b@dom.example,\r\n\tc@dom.example\r\n" },
		{ "Reply-To: \"a b\"\n", "Reply-To: \"a b\"@dom.example\r\n" },
		{ "Sender: root\n", "Sender: root@dom.example\r\n" },
		{ "Resent-Sender : root\n", "Resent-Sender : root@dom.example\r\n" },
		{ "Cc: undisclosed-recipients:;\n", "Cc: undisclosed-recipients:;\r\n" },
		{ "Cc: root, a b@c\n", "Cc: root, a b@c\r\n" },
		{ "Cc: root, \"\n", "Cc: root, \"\r\n" },
		{ "Subject: root\n", "Subject: root\r\n" },
		{ "X-To: root\n", "X-To: root\r\n" },
		{ "Cc:\n", "Cc:\r\n" },
		{ "Cc: <>\n", "Cc: <>\r\n" },
	};

	(void)state;
	fields_check(rows, COUNT(rows));
}

static void
a_domain_without_dot_of_this_host_gives_way_to_the_domain(void **state)
{
	static const struct row rows[] = {
		{ "To: root@localhost\n", "To: root@dom.example\r\n" },
		{ "To: root@LOCALHOST\n", "To: root@dom.example\r\n" },
		{ "To: root@host.example\n", "To: root@host.example\r\n" },
		{ "To: root@Here.Example\n", "To: root@Here.Example\r\n" },
		{ "To: root@DOM.example\n", "To: root@DOM.example\r\n" },
		{ "To: root@sub.host.example\n", "To: root@sub.host.example\r\n" },
		{ "To: root@localhost.localdomain\n", "To: root@dom.example\r\n" },
		{ "To: root@[127.0.0.1]\n", "To: root@[127.0.0.1]\r\n" },
		{ "To: Joe <root@localhost> (x), a@b\n",
		    "To: Joe <root@dom.example> (x), a@b\r\n" },
		{ "To: root (c) @ (d) localhost (e)\n", "To: root (c) @ (d) dom.example (e)\r\n" },
		{ "To: root @\n localhost, x\n", "To: root @\r\n dom.example, x@dom.example\r\n" },
		{ "To: root@localhost . (z) localdomain\n", "To: root@dom.example\r\n" },
		{ "To: \"a b\"@localhost\n", "To: \"a b\"@dom.example\r\n" },
		{ "To: \"x@localhost\"\n", "To: \"x@localhost\"@dom.example\r\n" },
		{ "To: <@relay.example:root@localhost>\n",
		    "To: <@relay.example:root@dom.example>\r\n" },
		{ "To: team: root@localhost, b;\n",
		    "To: team: root@dom.example, b@dom.example;\r\n" },
		{ "To: \\root\n", "To: \\root@dom.example\r\n" },
	};

	(void)state;
	fields_check(rows, COUNT(rows));
}

static void
a_mapped_address_takes_the_place_of_a_local_one(void **state)
{
	static const struct row rows[] = {
		{ "To: root\n", "To: web1@prov.example\r\n" },
		{ "To: ROOT@localhost\n", "To: web1@prov.example\r\n" },
		{ "To: \"root\"@here.example\n", "To: web1@prov.example\r\n" },
		{ "To: \\root\n", "To: web1@prov.example\r\n" },
		{ "From: \"root\" <root> (root)\n",
		    "From: \"root\" <web1@prov.example> (root)\r\n" },
		{ "To: root@dom.example\n", "To: root@dom.example\r\n" },
		{ "To: rooty, root\n", "To: rooty@dom.example, web1@prov.example\r\n" },
		{ "To: \"a b\", root, x@y\n", "To: ab@prov.example, web1@prov.example, x@y\r\n" },
		{ "Cc: (a) root (b) @ (c) localhost (d)\n",
		    "Cc: (a) web1 (b) @ (c) prov.example (d)\r\n" },
		{ "To: root,\n root\n", "To: web1@prov.example,\r\n web1@prov.example\r\n" },
		{ "To: root, a b@c\n", "To: root, a b@c\r\n" },
		{ "Subject: root\n", "Subject: root\r\n" },
	};

	(void)state;
	settings.map_count = COUNT(maps);
	fields_check(rows, COUNT(rows));
	settings.map_count = 0;
}

static void
a_missing_from_of_the_null_sender_is_mapped(void **state)
{
	static struct settings_map own[] = { { (char *)"joe", (char *)"j@prov.example" } };
	struct result r;
	int fd = memory_file("\n", 1);

	(void)state;
	settings.maps = own;
	settings.map_count = 1;
	r = sent_from(fd, "", "");
	assert_non_null(strstr(buf_string(&r.header), "From: <j@prov.example>\r\n"));
	settings.maps = maps;
	settings.map_count = 0;
	result_free(&r);
	close(fd);
}

/* The same message, written to a pipe in pieces. */
static void
pieces_do_not_change_what_is_sent(void **state)
{
	static const char text[] = "From root Mon\n" FULL "Bcc: secret@x.y,\n more@x.y\n"
				   "Subject: a subject\n folded\n\nbody\n";
	static const size_t sizes[] = { 1, 2, 3, 4, 7, 16, 1000 };

	(void)state;
	for (size_t k = 0; k < COUNT(sizes); k++) {
		struct result r;
		int fds[2];
		pid_t child;

		assert_int_equal(pipe2(fds, O_DIRECT), 0);
		child = fork();
		if (child == 0) {
			for (size_t at = 0; at < strlen(text); at += sizes[k])
				if (write(fds[1], text + at,
					strlen(text) - at < sizes[k] ? strlen(text) - at
								     : sizes[k]) < 0)
					break;
			_exit(0);
		}
		close(fds[1]);
		r = sent_from(fds[0], "a@b.c", NULL);
		close(fds[0]);
		assert_int_equal(waitpid(child, NULL, 0), child);
		assert_string_equal(buf_string(&r.body), "body|");
		assert_string_equal(behind_received(&r), FULL "Subject: a subject\r\n folded\r\n");
		result_free(&r);
	}
}

static void
a_header_longer_than_a_chunk_stays_one(void **state)
{
	enum { CHUNK = 64 << 10 };

	(void)state;
	for (size_t pad = CHUNK - 60; pad < CHUNK; pad++) {
		struct buf text = BUF_INIT(CHUNK + 1000);
		struct result r;
		int fd;

		buf_addf(&text, "%s", "X: ");
		while (text.len < pad)
			buf_add_char(&text, 'x');
		buf_add_string(&text, "\nBcc: secret@x.y\n" FULL "\nbody\n");
		fd = memory_file(text.data, text.len);
		r = sent_from(fd, "a@b.c", NULL);
		close(fd);
		assert_string_equal(buf_string(&r.body), "body|");
		assert_null(strstr(buf_string(&r.header), "secret"));
		result_free(&r);
		buf_free(&text);
	}
}

static void
a_header_beyond_its_cap_is_an_error(void **state)
{
	char *text = malloc(HEADER_OCTETS_MAX + 100);
	struct input in;
	struct header h;
	struct piece p;
	int fd;

	(void)state;
	memset(text, 'x', HEADER_OCTETS_MAX + 100);
	memcpy(text, "Subject: ", 9);
	fd = memory_file(text, HEADER_OCTETS_MAX + 100);
	assert_int_equal(input_init(&in, fd, false), 0);
	assert_int_equal(header_read(&h, &in, &p), -1);
	assert_int_equal(errno, ENOBUFS);
	header_free(&h);
	input_fini(&in);
	close(fd);
	free(text);
}

static void
an_input_that_fails_is_an_error(void **state)
{
	struct input in;
	struct header h;
	struct piece p;

	(void)state;
	assert_int_equal(input_init(&in, -1, false), 0);
	assert_int_equal(header_read(&h, &in, &p), -1);
	assert_int_equal(errno, EBADF);
	header_free(&h);
	input_fini(&in);
}

static void
names_of_fields_are_measured(void **state)
{
	static const struct {
		const char *line;
		size_t len;
	} rows[] = {
		{ "To: x", 2 },
		{ "To:", 2 },
		{ "To :", 2 },
		{ "To\t :", 2 },
		{ "To", 0 },
		{ "", 0 },
		{ ":", 0 },
		{ " To:", 0 },
		{ "T o:", 0 },
		{ "\xc3:", 0 },
		{ "T\x7f:", 0 },
		{ "a:b:", 1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(
		    header_name_length(rows[i].line, strlen(rows[i].line)), rows[i].len);
}

/* "<...@localhost>" would be the same on many hosts. */
static void
a_message_id_of_a_host_without_dot_has_the_domain(void **state)
{
	static const struct {
		const char *hostname, *domain, *end;
	} rows[] = {
		{ "host.example", "dom.example", "@host.example>" },
		{ "host", "dom.example", "@dom.example>" },
		{ "host", "host", "@host>" },
		{ "host.example", "dom", "@host.example>" },
	};
	struct identity before = identity;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct result r;
		const char *id;

		snprintf(identity.hostname, sizeof(identity.hostname), "%s", rows[i].hostname);
		snprintf(identity.domain, sizeof(identity.domain), "%s", rows[i].domain);
		r = sent("From: a@b\n\n");
		id = strstr(buf_string(&r.header), "Message-ID: <");
		assert_non_null(id);
		assert_non_null(strstr(id, rows[i].end));
		result_free(&r);
	}
	identity = before;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_id_of_a_host_without_dot_has_the_domain),
		cmocka_unit_test(a_whole_header_is_not_changed_by_an_octet),
		cmocka_unit_test(a_resent_block_gains_date_author_and_id),
		cmocka_unit_test(the_topmost_resent_block_is_found),
		cmocka_unit_test(blind_copies_go_with_all_their_lines),
		cmocka_unit_test(what_ends_the_header_is_known),
		cmocka_unit_test(mailbox_lines_in_front_go),
		cmocka_unit_test(any_line_ends_become_crlf),
		cmocka_unit_test(what_is_missing_is_added_once),
		cmocka_unit_test(a_cc_needs_no_to),
		cmocka_unit_test(a_missing_from_is_the_senders),
		cmocka_unit_test(bare_addresses_gain_the_domain),
		cmocka_unit_test(a_domain_without_dot_of_this_host_gives_way_to_the_domain),
		cmocka_unit_test(a_mapped_address_takes_the_place_of_a_local_one),
		cmocka_unit_test(a_missing_from_of_the_null_sender_is_mapped),
		cmocka_unit_test(pieces_do_not_change_what_is_sent),
		cmocka_unit_test(a_header_longer_than_a_chunk_stays_one),
		cmocka_unit_test(a_header_beyond_its_cap_is_an_error),
		cmocka_unit_test(an_input_that_fails_is_an_error),
		cmocka_unit_test(names_of_fields_are_measured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
