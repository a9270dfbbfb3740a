/*
 * Lossless repair of content: what a smarthost would refuse (lines over 998 octets, CR
 * without LF, NUL) is encoded, never folded or cut, and 8-bit text without MIME fields
 * gains them.  Whoever decodes the result gets what was there before.
 *
 * What is signed or encrypted is not touched, nor a message with a DKIM-Signature or
 * ARC-Seal, unless it has a CR without LF.  sendmail(8), "Repair of content", says what becomes of
 * what.
 */
#ifndef SENDMAIL_REPAIR_H
#define SENDMAIL_REPAIR_H

#include "sendmail/header.h"
#include "sendmail/scan.h"
#include "spool/spool.h"

#define REPAIR_PROBLEM_SIZE 200

/* Is a second pass worth it?  The scans are of the header as it was written, with its
 * empty line, and of the body; h has the fields as they were read. */
bool repair_needed(const struct header *h, const struct scan *header, const struct scan *body);

enum repair_result {
	REPAIR_DONE,
	REPAIR_IMPOSSIBLE, /* the message must be refused: problem says why */
	REPAIR_FAILED,     /* errno and the spool's problem */
};

/*
 * Reads back the content of `from`, all of which has been written, and writes it
 * repaired to `to`, begun with message_begin_again(); sets MESSAGE_SMTPUTF8 there if the
 * header needs it.  Nothing is committed or aborted.
 */
enum repair_result repair_run(struct message_writer *from, struct message_writer *to,
    char problem[static REPAIR_PROBLEM_SIZE]);

#endif
