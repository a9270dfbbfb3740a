/*
 * relayd/session/meaning: whose fault a reply is.
 */
#include "tests/unit/unit.h"

#include "relayd/session/meaning.h"

#define ALL (PHASE_GREETING | PHASE_AUTH | PHASE_MAIL | PHASE_RCPT | PHASE_DATA | PHASE_END)
#define MESSAGE (PHASE_MAIL | PHASE_RCPT | PHASE_DATA | PHASE_END)

static enum meaning
meaning(unsigned phase, unsigned code, const char *enhanced)
{
	struct reply r = { .code = code };

	snprintf(r.enhanced, sizeof(r.enhanced), "%s", enhanced);
	return reply_meaning((enum phase)phase, &r);
}

static void
each_reply_means_what_the_table_says(void **state)
{
	static const struct {
		unsigned phases, code;
		const char *enhanced;
		enum meaning meaning;
	} rows[] = {
		{ ALL & ~PHASE_DATA, 250, "2.0.0", MEANS_OK },
		{ PHASE_GREETING, 220, "", MEANS_OK },
		{ PHASE_AUTH, 235, "", MEANS_OK },
		{ PHASE_DATA, 354, "", MEANS_OK },
		{ PHASE_DATA, 250, "", MEANS_CONNECTION },
		{ ALL & ~PHASE_DATA, 354, "", MEANS_CONNECTION },
		{ ALL, 421, "4.3.2", MEANS_CONNECTION },
		{ PHASE_GREETING, 554, "", MEANS_CONNECTION },
		{ PHASE_GREETING, 454, "4.7.0", MEANS_CONNECTION },
		{ PHASE_AUTH, 535, "5.7.8", MEANS_CREDENTIAL },
		{ PHASE_AUTH, 504, "", MEANS_CREDENTIAL },
		{ MESSAGE, 550, "5.4.5", MEANS_QUOTA },
		{ MESSAGE, 530, "5.7.0", MEANS_CREDENTIAL },
		{ MESSAGE, 534, "", MEANS_CREDENTIAL },
		{ MESSAGE, 535, "", MEANS_CREDENTIAL },
		{ MESSAGE, 538, "", MEANS_CREDENTIAL },
		{ MESSAGE, 450, "", MEANS_DEFERRED },
		{ MESSAGE, 451, "4.7.1", MEANS_DEFERRED },
		{ MESSAGE, 499, "", MEANS_DEFERRED },
		{ PHASE_MAIL, 552, "5.3.4", MEANS_REFUSED },
		{ PHASE_MAIL, 552, "", MEANS_REFUSED },
		{ PHASE_MAIL, 554, "5.3.4", MEANS_REFUSED },
		{ PHASE_MAIL, 523, "", MEANS_REFUSED },
		{ PHASE_MAIL, 550, "", MEANS_SENDER_REFUSED },
		{ PHASE_MAIL, 553, "5.7.1", MEANS_SENDER_REFUSED },
		{ PHASE_MAIL, 501, "5.1.7", MEANS_SENDER_REFUSED },
		{ PHASE_RCPT | PHASE_DATA | PHASE_END, 550, "5.1.1", MEANS_REFUSED },
		{ PHASE_RCPT | PHASE_DATA | PHASE_END, 554, "", MEANS_REFUSED },
		{ PHASE_DATA | PHASE_END, 552, "5.3.4", MEANS_REFUSED },
		{ PHASE_DATA | PHASE_END, 552, "", MEANS_REFUSED },
		{ PHASE_RCPT, 552, "", MEANS_DEFERRED },
		{ PHASE_RCPT, 552, "5.5.3", MEANS_DEFERRED },
		{ PHASE_END, 552, "5.5.3", MEANS_DEFERRED },
		{ PHASE_RCPT, 552, "5.2.2", MEANS_REFUSED },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		for (unsigned phase = PHASE_GREETING; phase <= PHASE_END; phase *= 2)
			if ((rows[i].phases & phase) != 0)
				if (meaning(phase, rows[i].code, rows[i].enhanced) !=
				    rows[i].meaning)
					fail_msg("%u %s in phase %u: %d", rows[i].code,
					    rows[i].enhanced, phase,
					    (int)meaning(phase, rows[i].code, rows[i].enhanced));
}

/* A reply as a server sends it, its lines separated by CRLF. */
static void
reply_of(struct reply *r, const char *wire)
{
	*r = (struct reply){ .text = BUF_INIT(REPLY_OCTETS_MAX) };
	while (*wire != '\0') {
		size_t n = strcspn(wire, "\r");
		char line[512], again[sizeof(r->enhanced)];
		const char *text;

		snprintf(line, sizeof(line), "%.*s", (int)n, wire);
		assert_true(reply_parse_line(line, n, &r->code, &text) >= 0);
		if (r->text.len > 0)
			buf_add_char(&r->text, '\n');
		buf_add_string(&r->text,
		    reply_parse_enhanced(text, r->code, r->text.len > 0 ? again : r->enhanced));
		wire += n;
		wire += strspn(wire, "\r\n");
	}
}

/* What providers answer. */
/* clang-format off */
static const struct example {
	unsigned phases;
	const char *reply;
	enum meaning meaning;
} examples[] = {
	{ PHASE_DATA, "354 go ahead", MEANS_OK },
	{ PHASE_DATA, "250 2.0.0 ok", MEANS_CONNECTION },
	{ ALL & ~PHASE_DATA, "334 VXNlcm5hbWU6", MEANS_CONNECTION },
	{ PHASE_END, "250 2.0.0 OK  1700000000 queued", MEANS_OK },
	/* connections and speed */
	{ PHASE_MAIL, "421 too many messages in this connection", MEANS_RECONNECT },
	{ PHASE_MAIL, "421 4.7.0 Too many messages in this connection", MEANS_RECONNECT },
	{ PHASE_MAIL, "452 4.5.3 maximum of 10 messages per connection", MEANS_RECONNECT },
	{ PHASE_MAIL, "452 4.3.0 Too many messages in this session", MEANS_RECONNECT },
	{ PHASE_MAIL, "421 4.5.3 limit of messages per session reached", MEANS_RECONNECT },
	{ PHASE_GREETING | PHASE_RCPT, "421 4.7.0 mail.example.org Error: too many errors",
	    MEANS_RECONNECT },
	{ PHASE_RCPT, "421 4.5.0 Too many errors, bye", MEANS_RECONNECT },
	{ PHASE_AUTH, "421 4.7.0 mail.example.org Error: too many errors", MEANS_THROTTLE },
	{ PHASE_END | PHASE_AUTH, "432 4.3.2 Concurrent connections limit exceeded", MEANS_FULL },
	{ PHASE_GREETING, "421 Too many concurrent SMTP connections; please try again later.", MEANS_FULL },
	{ PHASE_GREETING, "421 4.7.0 Error: too many connections from 192.0.2.1", MEANS_FULL },
	{ ALL, "421 4.7.0 Temporary System Problem.  Try again later", MEANS_THROTTLE },
	{ ALL, "421-4.7.28 Our system has detected an unusual rate of mail\r\n421 4.7.28 slow down", MEANS_THROTTLE },
	{ ALL, "421 4.3.2 Service shutting down", MEANS_CONNECTION },
	{ ALL, "421 bye", MEANS_CONNECTION },
	{ ALL, "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", MEANS_THROTTLE },
	{ PHASE_RCPT | PHASE_END, "450 4.2.1 The user you are trying to contact is receiving mail too quickly", MEANS_DEFERRED },
	{ MESSAGE, "451 4.7.500 Server busy. Please try again later from [192.0.2.1].", MEANS_THROTTLE },
	{ MESSAGE, "452 4.4.5 Insufficient system storage", MEANS_THROTTLE },
	/* before MAIL */
	{ PHASE_AUTH, "454 4.7.0 Cannot authenticate due to temporary system problem", MEANS_CREDENTIAL },
	{ PHASE_AUTH, "454 4.7.0 Too many login attempts, please try again later.", MEANS_CREDENTIAL },
	{ PHASE_AUTH, "534-5.7.9 Application-specific password required.\r\n534 5.7.9 see", MEANS_CREDENTIAL },
	{ PHASE_AUTH, "534 5.7.14 Please log in via your web browser", MEANS_CREDENTIAL },
	{ PHASE_AUTH, "535 5.7.8 Username and Password not accepted", MEANS_CREDENTIAL },
	{ PHASE_AUTH, "535 5.7.3 Authentication unsuccessful", MEANS_CREDENTIAL },
	{ PHASE_AUTH, "535 5.7.139 Authentication unsuccessful, basic authentication is disabled", MEANS_CREDENTIAL },
	{ PHASE_AUTH, "535 5.7.0 (#AUTH005) Too many bad auth attempts.", MEANS_CREDENTIAL },
	{ PHASE_AUTH, "504 5.5.4 Unrecognized authentication type", MEANS_CREDENTIAL },
	{ PHASE_GREETING, "550 5.7.1 Service unavailable, client host blocked", MEANS_CONNECTION },
	{ PHASE_GREETING, "504 5.5.2 <web1>: Helo command rejected: need fully-qualified hostname", MEANS_CONNECTION },
	{ PHASE_GREETING, "501 Syntactically invalid EHLO argument(s)", MEANS_CONNECTION },
	{ PHASE_GREETING, "454 4.7.0 TLS not available", MEANS_CONNECTION },
	/* quotas */
	{ PHASE_END, "454 Throttling failure: Maximum sending rate exceeded.", MEANS_RATE },
	{ PHASE_END, "454 Throttling failure: Daily message quota exceeded.", MEANS_QUOTA },
	{ MESSAGE, "452 4.5.3 daily message limit reached", MEANS_QUOTA },
	{ MESSAGE, "550 5.4.5 Daily user sending limit exceeded.", MEANS_QUOTA },
	{ MESSAGE, "550-5.4.5 Daily SMTP relay limit exceeded for user.\r\n550 5.4.5 see", MEANS_QUOTA },
	{ MESSAGE, "550 5.4.6 Unusual sending activity detected. Please try after sometime", MEANS_QUOTA },
	{ PHASE_END, "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed", MEANS_QUOTA },
	/* credential */
	{ MESSAGE, "530 5.7.0 Must issue a STARTTLS command first", MEANS_CREDENTIAL },
	{ MESSAGE, "530 5.7.0 Authentication Required.", MEANS_CREDENTIAL },
	{ MESSAGE, "535 5.7.8 Error: authentication failed", MEANS_CREDENTIAL },
	{ MESSAGE, "538 5.7.11 Encryption required", MEANS_CREDENTIAL },
	{ MESSAGE, "550 5.7.30 Basic authentication is not supported for Client Submission.", MEANS_CREDENTIAL },
	{ PHASE_MAIL | PHASE_RCPT, "550 5.7.1 Authentication required", MEANS_CREDENTIAL },
	{ PHASE_MAIL | PHASE_RCPT, "550 5.7.1 authentication is required for relay", MEANS_CREDENTIAL },
	/* sender */
	{ MESSAGE, "550 5.7.60 SMTP; Client does not have permissions to send as this sender", MEANS_SENDER_REFUSED },
	{ PHASE_END, "554 5.2.252 SendAsDenied; web1@example.org not allowed to send as", MEANS_SENDER_REFUSED },
	{ PHASE_END, "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied", MEANS_SENDER_REFUSED },
	{ MESSAGE, "551 5.7.1 Not authorised to send from this header address", MEANS_SENDER_REFUSED },
	{ PHASE_MAIL | PHASE_RCPT, "553 5.7.1 <a@example.org>: Sender address rejected: not owned by user web1", MEANS_SENDER_REFUSED },
	{ MESSAGE, "553 Relaying disallowed as a@example.org", MEANS_SENDER_REFUSED },
	{ MESSAGE, "553 From address not verified - see help", MEANS_SENDER_REFUSED },
	{ PHASE_END, "554 Message rejected: Email address is not verified. The following identities failed", MEANS_SENDER_REFUSED },
	{ MESSAGE, "550 The from address does not match a verified Sender Identity.", MEANS_SENDER_REFUSED },
	{ MESSAGE, "550 5.7.0 From address is not one of your addresses", MEANS_SENDER_REFUSED },
	{ MESSAGE, "550 5.7.0 not authorised user", MEANS_SENDER_REFUSED },
	{ MESSAGE, "550 5.7.0 Not an authorized user", MEANS_SENDER_REFUSED },
	{ PHASE_MAIL, "501 Invalid MAIL FROM address provided", MEANS_SENDER_REFUSED },
	{ PHASE_MAIL, "504 5.5.2 <root>: Sender address rejected: need fully-qualified address", MEANS_SENDER_REFUSED },
	{ PHASE_MAIL, "550 5.7.1 sender not allowed", MEANS_SENDER_REFUSED },
	/* who we are */
	{ PHASE_MAIL | PHASE_RCPT, "504 5.5.2 <web1>: Helo command rejected: need fully-qualified hostname", MEANS_CONNECTION },
	{ PHASE_MAIL | PHASE_RCPT, "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.example", MEANS_CONNECTION },
	{ PHASE_MAIL, "550 5.7.25 the IP address sending this message does not have a PTR record", MEANS_CONNECTION },
	{ PHASE_MAIL, "550 5.7.1 Mail refused: poor reputation of 192.0.2.1", MEANS_CONNECTION },
	{ PHASE_MAIL, "550 5.7.1 Your network is on our block list (S3150)", MEANS_CONNECTION },
	{ PHASE_MAIL, "550 5.7.1 on a blocklist", MEANS_CONNECTION },
	{ PHASE_MAIL, "554 5.7.1 on a blacklist", MEANS_CONNECTION },
	/* the message */
	{ MESSAGE, "450 4.7.1 greylisted", MEANS_DEFERRED },
	{ PHASE_RCPT, "452 4.5.3 Too many recipients", MEANS_DEFERRED },
	{ PHASE_RCPT, "552 5.5.3 Too many recipients", MEANS_DEFERRED },
	{ PHASE_RCPT, "550 5.5.3 Too many recipients", MEANS_DEFERRED },
	{ PHASE_END, "552 5.5.3 Too many recipients", MEANS_DEFERRED },
	{ PHASE_MAIL, "500 5.5.2 unrecognized command", MEANS_CONNECTION },
	{ PHASE_MAIL, "503 5.5.1 bad sequence of commands", MEANS_CONNECTION },
	{ PHASE_END, "500 5.5.2 line too long", MEANS_REFUSED },
	{ PHASE_RCPT, "552 5.2.2 Mailbox is over its daily quota", MEANS_REFUSED },
	{ PHASE_RCPT | PHASE_MAIL | PHASE_END, "552 5.3.4 Message size exceeds fixed limit", MEANS_REFUSED },
	{ PHASE_MAIL, "554 5.3.4 Message too big for system", MEANS_REFUSED },
	{ PHASE_MAIL, "552 too big", MEANS_REFUSED },
	{ PHASE_MAIL, "523 the message length exceeds the administrative limit", MEANS_REFUSED },
	{ PHASE_RCPT, "550 5.1.1 no such user", MEANS_REFUSED },
	{ PHASE_RCPT, "550 5.1.2 no such host", MEANS_REFUSED },
	{ PHASE_RCPT, "550 5.2.1 mailbox disabled", MEANS_REFUSED },
	{ PHASE_RCPT, "556 5.1.10 null MX", MEANS_REFUSED },
	{ PHASE_RCPT, "550 5.7.1 recipient refused by policy", MEANS_REFUSED },
	{ PHASE_END, "554 5.7.1 message content rejected: reputation of a link in it", MEANS_REFUSED },
	{ PHASE_END, "552 bare CR", MEANS_REFUSED },
	/* an address is nobody's word */
	{ PHASE_RCPT, "454 4.7.1 <\"Daily message quota exceeded\"@x>: Relay access denied", MEANS_DEFERRED },
	{ PHASE_RCPT, "454 4.7.1 <\">\\\">Throttling failure\"@x>: Relay access denied", MEANS_DEFERRED },
	{ PHASE_RCPT, "550 5.1.1 <authentication required@x", MEANS_REFUSED },
};
/* clang-format on */

static void
each_example_means_what_the_map_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(examples); i++) {
		struct reply r;

		reply_of(&r, examples[i].reply);
		for (unsigned phase = PHASE_GREETING; phase <= PHASE_END; phase *= 2)
			if ((examples[i].phases & phase) != 0 &&
			    reply_meaning((enum phase)phase, &r) != examples[i].meaning)
				fail_msg("%s in phase %u: %d", examples[i].reply, phase,
				    (int)reply_meaning((enum phase)phase, &r));
		reply_free(&r);
	}
}

/* A row without would be one that nobody knows a use for; the last one is for
 * codes that no reply can have. */
static void
each_row_has_an_example(void **state)
{
	bool *used = calloc(meaning_row_count(), sizeof(*used));

	(void)state;
	assert_non_null(used);
	for (size_t i = 0; i < COUNT(examples); i++) {
		struct reply r;

		reply_of(&r, examples[i].reply);
		for (unsigned phase = PHASE_GREETING; phase <= PHASE_END; phase *= 2)
			if ((examples[i].phases & phase) != 0)
				used[meaning_row((enum phase)phase, &r)] = true;
		reply_free(&r);
	}
	for (size_t i = 0; i + 1 < meaning_row_count(); i++)
		if (!used[i])
			fail_msg("row %zu has no example", i);
	free(used);
}

static void
a_fault_is_reported_as_what_it_is(void **state)
{
	(void)state;
	assert_int_equal(meaning_fault(MEANS_CONNECTION), FAULT_CONNECTION);
	assert_int_equal(meaning_fault(MEANS_RECONNECT), FAULT_CONNECTION);
	assert_int_equal(meaning_fault(MEANS_FULL), FAULT_FULL);
	assert_int_equal(meaning_fault(MEANS_RATE), FAULT_RATE);
	assert_int_equal(meaning_fault(MEANS_THROTTLE), FAULT_THROTTLE);
	assert_int_equal(meaning_fault(MEANS_CREDENTIAL), FAULT_CREDENTIAL);
	assert_int_equal(meaning_fault(MEANS_QUOTA), FAULT_QUOTA);
}

static void
nothing_before_mail_is_the_messages_fault(void **state)
{
	static const char *const enhanced[] = { "", "5.1.1", "5.7.1", "4.7.0", "5.3.4", "5.4.5" };

	(void)state;
	for (unsigned code = 200; code < 600; code++) {
		for (size_t i = 0; i < COUNT(enhanced); i++) {
			for (unsigned phase = PHASE_GREETING; phase <= PHASE_AUTH; phase *= 2) {
				enum meaning m = meaning(phase, code, enhanced[i]);

				assert_true(m == MEANS_OK || m == MEANS_CONNECTION ||
					    m == MEANS_THROTTLE || m == MEANS_CREDENTIAL);
				assert_int_equal(m == MEANS_OK, code < 300);
			}
		}
	}
}

static void
only_a_5xx_is_ever_a_refusal(void **state)
{
	(void)state;
	for (unsigned code = 200; code < 500; code++)
		for (unsigned phase = PHASE_GREETING; phase <= PHASE_END; phase *= 2) {
			enum meaning m = meaning(phase, code, "");

			assert_true(m != MEANS_REFUSED && m != MEANS_SENDER_REFUSED);
			if (m == MEANS_OK)
				assert_int_equal(code / 100, phase == PHASE_DATA ? 3 : 2);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_reply_means_what_the_table_says),
		cmocka_unit_test(each_example_means_what_the_map_says),
		cmocka_unit_test(each_row_has_an_example),
		cmocka_unit_test(a_fault_is_reported_as_what_it_is),
		cmocka_unit_test(nothing_before_mail_is_the_messages_fault),
		cmocka_unit_test(only_a_5xx_is_ever_a_refusal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
