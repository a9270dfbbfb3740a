/*
 * One table, first match wins, so the special stands above the general: success,
 * what is about the connection in any phase, what comes before MAIL, what
 * providers say in the place of an honest code, and last what RFC 5321 says.
 *
 * The rule behind it: what happens before MAIL is never the message's fault, and
 * nothing bounces for a fault that is the smarthost's or ours.
 *
 * A row that pauses the smarthost for a text must not be one that a caller can
 * bring about by a recipient: what a server repeats of an address in <...> is not
 * looked at, and such rows name code and phase as closely as they can.
 */
#include "relayd/session/meaning.h"

#include <string.h>

#define TEXT_MAX 1000 /* octets of the reply that are looked at */

#define ANY (PHASE_GREETING | PHASE_AUTH | PHASE_MAIL | PHASE_RCPT | PHASE_DATA | PHASE_END)
#define MESSAGE (PHASE_MAIL | PHASE_RCPT | PHASE_DATA | PHASE_END)
#define COMMAND (PHASE_MAIL | PHASE_RCPT | PHASE_DATA)
#define ENVELOPE (PHASE_MAIL | PHASE_RCPT)

/*
 * An empty enhanced code or text matches all.  An enhanced code stands without its
 * first number, so that the row is for 4.x and 5.x alike; with a dot at its end
 * (".7.") it is for all that begin so.  A text is looked for anywhere in the reply,
 * in any case of letters.
 */
/* clang-format off */
static const struct row {
	unsigned phases;
	unsigned first, last; /* reply codes */
	const char *enhanced;
	const char *text;
	enum meaning meaning;
} rows[] = {
	{ PHASE_DATA,     354, 354, "",      "", MEANS_OK },
	{ PHASE_DATA,     200, 399, "",      "", MEANS_CONNECTION }, /* nobody knows what follows */
	{ ANY,            300, 399, "",      "", MEANS_CONNECTION },
	{ ANY,            200, 299, "",      "", MEANS_OK },

	/* limits of connections, and being too fast */
	{ MESSAGE,        400, 499, "",      "messages in this connection", MEANS_RECONNECT },
	{ MESSAGE,        400, 499, "",      "messages per connection", MEANS_RECONNECT },
	{ MESSAGE,        400, 499, "",      "messages in this session", MEANS_RECONNECT },
	{ MESSAGE,        400, 499, "",      "messages per session", MEANS_RECONNECT },
	/* refused recipients, that is: Postfix after 20, chasquid after 3 */
	{ PHASE_GREETING | MESSAGE, 421, 421, "", "too many errors", MEANS_RECONNECT },
	{ ANY,            400, 499, "",      "concurrent connections", MEANS_FULL }, /* Microsoft */
	{ ANY,            400, 499, "",      "concurrent SMTP connections", MEANS_FULL }, /* Exim */
	{ ANY,            400, 499, "",      "too many connections", MEANS_FULL },
	{ ANY,            421, 421, ".7.0",  "", MEANS_THROTTLE },
	{ ANY,            421, 421, ".7.28", "", MEANS_THROTTLE }, /* Gmail */
	{ ANY,            421, 421, "",      "", MEANS_CONNECTION },
	{ ANY,            432, 432, ".3.2",  "", MEANS_THROTTLE }, /* Microsoft */

	/* before MAIL */
	{ PHASE_GREETING, 400, 599, "",      "", MEANS_CONNECTION },
	{ PHASE_AUTH,     400, 599, "",      "", MEANS_CREDENTIAL },

	/* throttles and quotas: nothing bounces for them, 5xx or not */
	{ MESSAGE,        451, 451, ".7.500", "", MEANS_THROTTLE }, /* Microsoft */
	{ MESSAGE,        452, 452, ".4.5",  "", MEANS_THROTTLE },
	{ MESSAGE,        454, 454, "",      "daily message quota exceeded", MEANS_QUOTA }, /* SES */
	{ MESSAGE,        454, 454, "",      "throttling failure", MEANS_RATE }, /* SES */
	{ MESSAGE,        452, 452, ".5.3",  "daily", MEANS_QUOTA },
	{ MESSAGE,        550, 550, ".4.5",  "", MEANS_QUOTA }, /* Gmail */
	{ MESSAGE,        550, 550, ".4.6",  "sending activity", MEANS_QUOTA }, /* Zoho */
	{ PHASE_END,      554, 554, "",      "SubmissionQuotaExceeded", MEANS_QUOTA }, /* Microsoft */

	/* the credential, or the lack of one */
	{ MESSAGE,        530, 530, "",      "", MEANS_CREDENTIAL }, /* AUTH or STARTTLS required */
	{ MESSAGE,        534, 535, "",      "", MEANS_CREDENTIAL },
	{ MESSAGE,        538, 538, "",      "", MEANS_CREDENTIAL },
	{ MESSAGE,        550, 550, ".7.30", "", MEANS_CREDENTIAL }, /* Microsoft: basic AUTH is off */
	{ ENVELOPE,       500, 599, "",      "authentication required", MEANS_CREDENTIAL },
	{ ENVELOPE,       500, 599, "",      "authentication is required", MEANS_CREDENTIAL },

	/* the sender is not one that this account may use */
	{ MESSAGE,        550, 550, ".7.60", "", MEANS_SENDER_REFUSED }, /* Microsoft */
	{ MESSAGE,        554, 554, ".2.252", "", MEANS_SENDER_REFUSED }, /* Microsoft */
	{ MESSAGE,        554, 554, "",      "SendAsDenied", MEANS_SENDER_REFUSED }, /* Microsoft */
	{ MESSAGE,        551, 551, ".7.1",  "", MEANS_SENDER_REFUSED }, /* Fastmail */
	{ MESSAGE,        553, 553, ".7.1",  "not owned by", MEANS_SENDER_REFUSED }, /* Postfix */
	{ MESSAGE,        553, 553, "",      "relaying disallowed as", MEANS_SENDER_REFUSED }, /* Zoho */
	{ MESSAGE,        553, 553, "",      "not verified", MEANS_SENDER_REFUSED }, /* Yahoo */
	{ MESSAGE,        554, 554, "",      "not verified", MEANS_SENDER_REFUSED }, /* SES */
	{ MESSAGE,        550, 550, "",      "verified sender identity", MEANS_SENDER_REFUSED }, /* SendGrid */
	{ MESSAGE,        550, 550, ".7.0",  "not one of your addresses", MEANS_SENDER_REFUSED }, /* iCloud */
	{ MESSAGE,        550, 550, ".7.0",  "authorised user", MEANS_SENDER_REFUSED },
	{ MESSAGE,        550, 550, ".7.0",  "authorized user", MEANS_SENDER_REFUSED },

	/* who we are, and not what we send; Postfix says it as late as RCPT */
	{ ENVELOPE,       500, 599, "",      "helo command rejected", MEANS_CONNECTION },
	{ ENVELOPE,       500, 599, ".7.",   "client host", MEANS_CONNECTION },
	{ PHASE_MAIL,     550, 554, ".7.25", "", MEANS_CONNECTION }, /* no name for our address */
	{ PHASE_MAIL,     550, 554, ".7.",   "reputation", MEANS_CONNECTION },
	{ PHASE_MAIL,     550, 554, ".7.",   "block list", MEANS_CONNECTION },
	{ PHASE_MAIL,     550, 554, ".7.",   "blocklist", MEANS_CONNECTION },
	{ PHASE_MAIL,     550, 554, ".7.",   "blacklist", MEANS_CONNECTION },

	/* this message or recipient, later; 450 4.2.1 is about a mailbox that gets too much */
	{ MESSAGE,        400, 499, "",      "", MEANS_DEFERRED },

	/* these speak of the conversation, not of the message */
	{ COMMAND,        500, 500, "",      "", MEANS_CONNECTION },
	{ COMMAND,        502, 503, "",      "", MEANS_CONNECTION },

	{ PHASE_RCPT,     552, 552, ".2.2",  "", MEANS_REFUSED },  /* mailbox full */
	{ PHASE_RCPT,     552, 552, ".3.4",  "", MEANS_REFUSED },  /* too big */
	{ PHASE_RCPT,     552, 552, "",      "", MEANS_DEFERRED }, /* too many: RFC 5321 section 4.5.3.1.10 */
	{ PHASE_RCPT,     500, 599, ".5.3",  "", MEANS_DEFERRED }, /* too many, RFC 3463 */
	{ PHASE_END,      552, 552, ".5.3",  "", MEANS_DEFERRED }, /* too many, said late */
	{ PHASE_MAIL,     500, 599, ".3.4",  "", MEANS_REFUSED },  /* too big */
	{ PHASE_MAIL,     552, 552, "",      "", MEANS_REFUSED },
	{ PHASE_MAIL,     523, 523, "",      "", MEANS_REFUSED },
	{ PHASE_MAIL,     500, 599, "",      "", MEANS_SENDER_REFUSED },
	{ MESSAGE,        500, 599, "",      "", MEANS_REFUSED },
	{ ANY,            0,   999, "",      "", MEANS_CONNECTION },
};
/* clang-format on */

#define ROWS (sizeof(rows) / sizeof(rows[0]))

size_t
meaning_row_count(void)
{
	return ROWS;
}

/* Behind an address in <...>, which may have a quoted local part. */
static const char *
address_end(const char *s)
{
	bool quoted = false;

	for (; *s != '\0' && (quoted || *s != '>'); s++) {
		if (quoted && *s == '\\' && s[1] != '\0')
			s++;
		else if (*s == '"')
			quoted = !quoted;
	}
	return s;
}

/* The server's own words, in one line. */
static void
words_copy(char dst[TEXT_MAX], const char *text)
{
	size_t n = 0;

	for (; *text != '\0' && n < TEXT_MAX - 1; text++) {
		if (*text == '<')
			text = address_end(text);
		if (*text == '\0')
			break;
		dst[n++] = *text == '\n' ? ' ' : *text;
	}
	dst[n] = '\0';
}

static bool
enhanced_matches(const char *wanted, const char *enhanced)
{
	size_t len = strlen(wanted);

	if (len > 0 && wanted[len - 1] == '.')
		return strncmp(wanted, enhanced, len) == 0;
	return len == 0 || strcmp(wanted, enhanced) == 0;
}

size_t
meaning_row(enum phase phase, const struct reply *r)
{
	const char *enhanced = r->enhanced[0] == '\0' ? "" : r->enhanced + 1;
	char words[TEXT_MAX];
	size_t i = 0;

	words_copy(words, buf_string(&r->text));
	while ((rows[i].phases & phase) == 0 || r->code < rows[i].first || r->code > rows[i].last ||
	       !enhanced_matches(rows[i].enhanced, enhanced) ||
	       strcasestr(words, rows[i].text) == NULL)
		i++;
	return i;
}

enum meaning
reply_meaning(enum phase phase, const struct reply *r)
{
	return rows[meaning_row(phase, r)].meaning;
}

enum ipc_fault
meaning_fault(enum meaning m)
{
	switch (m) {
	case MEANS_RATE:
		return FAULT_RATE;
	case MEANS_THROTTLE:
		return FAULT_THROTTLE;
	case MEANS_FULL:
		return FAULT_FULL;
	case MEANS_CREDENTIAL:
		return FAULT_CREDENTIAL;
	case MEANS_QUOTA:
		return FAULT_QUOTA;
	default:
		return FAULT_CONNECTION;
	}
}
