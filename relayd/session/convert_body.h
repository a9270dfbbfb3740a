/*
 * Bodies with 8-bit octets as 7-bit ones: quoted-printable and base64 (RFC 2045
 * sections 6.7 and 6.8).
 */
#ifndef RELAYD_SESSION_CONVERT_BODY_H
#define RELAYD_SESSION_CONVERT_BODY_H

#include "relayd/session/convert.h"

enum body_form {
	BODY_COPY,
	BODY_QUOTED_PRINTABLE, /* plain text becomes quoted-printable */
	BODY_BASE64,           /* any octets become base64 */
	/* Of what is in such a form already only lines with 8-bit octets change: */
	BODY_REPAIR_QUOTED_PRINTABLE, /* the octets are escaped */
	BODY_REPAIR_BASE64,           /* without octets that do not count */
	BODY_PROSE,                   /* what nobody decodes: escaped, and "=" stays as it is */
};

/* Writes the range in that form.  0; -1 with errno, or because the output ended. */
int body_write(struct convert *c, uint64_t start, uint64_t end, enum body_form form);

#endif
