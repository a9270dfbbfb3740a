/*
 * Bodies written in another form: quoted-printable and base64 (RFC 2045 sections 6.7
 * and 6.8), and what is in one of these forms already, with its long lines broken.
 */
#ifndef SENDMAIL_ENCODE_H
#define SENDMAIL_ENCODE_H

#include "sendmail/window.h"

enum encode_form {
	ENCODE_QUOTED_PRINTABLE, /* plain text becomes quoted-printable */
	ENCODE_BASE64,           /* any octets become base64 */
	/* Of these only lines that a smarthost would refuse are changed: */
	ENCODE_REPAIR_QUOTED_PRINTABLE, /* soft line breaks; CR and NUL as =0D and =00 */
	ENCODE_REPAIR_BASE64,           /* broken anew, without octets that do not count */
	ENCODE_REPAIR_PROSE, /* what nobody decodes: as quoted-printable, "=" stays as it is */
};

/* Writes the range in that form; its lines end as those of the range do.  0, or -1 with
 * errno and the spool's problem. */
int encode_range(struct window *w, uint64_t start, uint64_t end, enum encode_form form,
    struct message_writer *to);

#endif
