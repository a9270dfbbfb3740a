/*
 * The envelope of a message: who sent it, who gets it, and what RFC 3461 asks
 * for.  In a spool file it is one line per field, as in postbag-spool(5).
 *
 * Envelope lines are written here and nowhere else; CR, LF and NUL are refused
 * here, and a file's envelope is held to the same rules when it is read, since
 * any local user can write one.
 */
#ifndef SPOOL_ENVELOPE_H
#define SPOOL_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define ENVELOPE_RECIPIENTS_MAX 65536
#define ENVELOPE_OCTETS_MAX (8 << 20)
#define ENVELOPE_ADDRESS_MAX 254 /* octets, RFC 5321 section 4.5.3.1.3 less the brackets */
#define ENVELOPE_ENVID_MAX 100   /* RFC 3461 section 4.4 */
#define ENVELOPE_ORCPT_MAX 500   /* RFC 3461 section 4.2 */

/* RFC 3461 section 4.1; 0 means that nothing was asked for. */
enum notify { NOTIFY_NEVER = 1, NOTIFY_SUCCESS = 2, NOTIFY_FAILURE = 4, NOTIFY_DELAY = 8 };

/* RFC 3461 section 4.3 */
enum ret { RET_DEFAULT, RET_FULL, RET_HDRS };

struct recipient {
	char *address;   /* local-part@domain */
	char *orcpt;     /* "type;xtext", or NULL */
	unsigned notify; /* enum notify */
};

struct envelope {
	int64_t time;    /* submission, microseconds since 1970 */
	uint32_t uid;    /* the submitter's real uid */
	char *sender;    /* "" is the null sender */
	char *bounce_to; /* where bounces for a local sender go; NULL: to sender */
	char *envid;     /* xtext, or NULL */
	enum ret ret;
	struct recipient *recipients;
	size_t recipient_count;
};

void envelope_init(struct envelope *e);
void envelope_free(struct envelope *e);

/* The strings are copied.  -1 with errno EINVAL (not acceptable in an envelope:
 * see envelope_address_check()), ENOBUFS (too many recipients), ENOMEM. */
int envelope_set_sender(struct envelope *e, const char *address);
int envelope_set_bounce_to(struct envelope *e, const char *address);
int envelope_set_envid(struct envelope *e, const char *xtext);
int envelope_add_recipient(
    struct envelope *e, const char *address, unsigned notify, const char *orcpt);

/* Appends the parameters of RCPT that RFC 3461 defines, " NOTIFY=… ORCPT=…", those
 * that r has. */
void envelope_format_parameters(const struct recipient *r, struct buf *b);

/* Appends the envelope's lines; 0 or -1 with errno ENOBUFS or ENOMEM. */
int envelope_format(const struct envelope *e, struct buf *b);

/* Parses lines of len octets in total into the initialised *e.  -1 with errno
 * EINVAL, and *error names what is wrong (a constant). */
int envelope_parse(struct envelope *e, const char *text, size_t len, const char **error);

/* NULL if s can stand between < and > in MAIL and RCPT (RFC 5321 section 4.1.2
 * Mailbox, RFC 6531 section 3.3), else what is wrong with it, as a constant that
 * reads on after "address: ". */
const char *envelope_address_check(const char *s);

#endif
