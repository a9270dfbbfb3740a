/*
 * Each parameter is one condition: the message has it, and the server knows it.
 */
#include "relayd/session/commands.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "relayd/session/connect.h"

#define PARAMETERS_MAX 1000 /* octets; all values are capped in the envelope */

const char *
command_address(const struct conversation *c, const char *address, char *dst, size_t size)
{
	const char *at = strrchr(address, '@');
	char domain[256];

	if (text_is_ascii(address, strlen(address)) || (c->can.set & CAN_SMTPUTF8) != 0)
		return address;
	if (!text_is_ascii(address, (size_t)(at - address)) ||
	    connect_ascii_host(at + 1, domain, sizeof(domain)) < 0)
		return NULL;
	snprintf(dst, size, "%.*s@%s", (int)(at - address), address, domain);
	return dst;
}

/* Is there something that only RFC 6531 allows: in the message, or by our settings? */
static bool
needs_smtputf8(const struct ipc_settings *s, const struct message *m, const char *sender)
{
	return (m->flags & MESSAGE_SMTPUTF8) != 0 || !text_is_ascii(sender, strlen(sender)) ||
	       (s->rewrite_from && !text_is_ascii(s->from, strlen(s->from)));
}

int
command_mail(struct conversation *c, const struct message *m, const char *sender, uint64_t length)
{
	const struct envelope *e = &m->envelope;
	struct buf b = BUF_INIT(PARAMETERS_MAX);
	unsigned can = c->can.set;
	int r;

	if (can & CAN_SIZE)
		buf_addf(&b, " SIZE=%llu", (unsigned long long)length);
	if ((m->flags & MESSAGE_8BIT) && (can & CAN_8BITMIME))
		buf_add_string(&b, " BODY=8BITMIME");
	if ((can & CAN_SMTPUTF8) && needs_smtputf8(c->settings, m, sender))
		buf_add_string(&b, " SMTPUTF8");
	if ((can & CAN_DSN) && e->ret != RET_DEFAULT)
		buf_addf(&b, " RET=%s", e->ret == RET_FULL ? "FULL" : "HDRS");
	if ((can & CAN_DSN) && e->envid != NULL)
		buf_addf(&b, " ENVID=%s", e->envid);
	r = conversation_command(c, "MAIL FROM:<%s>%s", sender, buf_string(&b));
	buf_free(&b);
	return r;
}

int
command_rcpt(struct conversation *c, const struct recipient *recipient)
{
	struct buf b = BUF_INIT(PARAMETERS_MAX);
	char ascii[600];
	const char *address = command_address(c, recipient->address, ascii, sizeof(ascii));
	int r;

	if (address == NULL)
		return 1;
	if (c->can.set & CAN_DSN)
		envelope_format_parameters(recipient, &b);
	r = conversation_command(c, "RCPT TO:<%s>%s", address, buf_string(&b));
	buf_free(&b);
	return r;
}
