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
					    m == MEANS_CREDENTIAL);
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
		cmocka_unit_test(nothing_before_mail_is_the_messages_fault),
		cmocka_unit_test(only_a_5xx_is_ever_a_refusal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
