/*
 * One table, first match wins.  An empty enhanced code or text matches all; an
 * enhanced code matches with its second and third number, so that the row stands
 * for 4.x and 5.x alike.
 *
 * The rule behind it: what happens before MAIL is never the message's fault, and
 * nothing bounces for a fault that is the smarthost's or ours.
 */
#include "relayd/session/meaning.h"

#include <string.h>

#define ANY (PHASE_GREETING | PHASE_AUTH | PHASE_MAIL | PHASE_RCPT | PHASE_DATA | PHASE_END)
#define MESSAGE (PHASE_MAIL | PHASE_RCPT | PHASE_DATA | PHASE_END)

static const struct row {
	unsigned phases;
	unsigned first, last; /* reply codes */
	const char *enhanced; /* ".5.4", "" */
	enum meaning meaning;
} rows[] = {
	{ PHASE_DATA, 354, 354, "", MEANS_OK },
	{ PHASE_DATA, 200, 399, "", MEANS_CONNECTION }, /* 250 to DATA: nobody knows what follows */
	{ ANY, 300, 399, "", MEANS_CONNECTION },
	{ ANY, 200, 299, "", MEANS_OK },
	{ ANY, 421, 421, "", MEANS_CONNECTION },
	{ PHASE_GREETING, 400, 599, "", MEANS_CONNECTION },
	{ PHASE_AUTH, 400, 599, "", MEANS_CREDENTIAL },
	{ MESSAGE, 550, 550, ".4.5", MEANS_QUOTA },  /* Gmail's daily limit, a 5xx */
	{ MESSAGE, 530, 530, "", MEANS_CREDENTIAL }, /* authentication or TLS required */
	{ MESSAGE, 534, 535, "", MEANS_CREDENTIAL },
	{ MESSAGE, 538, 538, "", MEANS_CREDENTIAL },
	{ MESSAGE, 400, 499, "", MEANS_DEFERRED },
	/* these speak of the conversation, not of the message */
	{ PHASE_MAIL | PHASE_RCPT | PHASE_DATA, 500, 500, "", MEANS_CONNECTION },
	{ PHASE_MAIL | PHASE_RCPT | PHASE_DATA, 502, 503, "", MEANS_CONNECTION },
	{ PHASE_RCPT, 552, 552, ".2.2", MEANS_REFUSED }, /* mailbox full */
	{ PHASE_RCPT, 552, 552, ".3.4", MEANS_REFUSED }, /* too big */
	{ PHASE_RCPT, 552, 552, "", MEANS_DEFERRED },    /* too many: RFC 5321 section 4.5.3.1.10 */
	{ PHASE_MAIL, 500, 599, ".3.4", MEANS_REFUSED }, /* too big */
	{ PHASE_MAIL, 552, 552, "", MEANS_REFUSED },
	{ PHASE_MAIL, 523, 523, "", MEANS_REFUSED },
	{ PHASE_MAIL, 500, 599, "", MEANS_SENDER_REFUSED },
	{ MESSAGE, 500, 599, "", MEANS_REFUSED },
	{ ANY, 0, 999, "", MEANS_CONNECTION },
};

enum meaning
reply_meaning(enum phase phase, const struct reply *r)
{
	const char *enhanced = r->enhanced[0] == '\0' ? "" : r->enhanced + 1;
	const struct row *row = rows;

	while ((row->phases & phase) == 0 || r->code < row->first || r->code > row->last ||
	       (*row->enhanced != '\0' && strcmp(row->enhanced, enhanced) != 0))
		row++;
	return row->meaning;
}
