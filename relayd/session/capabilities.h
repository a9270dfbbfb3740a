/*
 * What a server offers in its reply to EHLO (RFC 5321 section 4.1.1.1).
 */
#ifndef RELAYD_SESSION_CAPABILITIES_H
#define RELAYD_SESSION_CAPABILITIES_H

#include <stdbool.h>
#include <stdint.h>

enum capability {
	CAN_STARTTLS = 1 << 0,
	CAN_PIPELINING = 1 << 1,
	CAN_8BITMIME = 1 << 2,
	CAN_SMTPUTF8 = 1 << 3,
	CAN_SIZE = 1 << 4,
	CAN_DSN = 1 << 5,
	CAN_CHUNKING = 1 << 6,
};

struct capabilities {
	unsigned set;    /* enum capability */
	uint32_t check;  /* check value of all lines but the greeting, never 0 */
	uint64_t size;   /* the largest message in octets, 0: not stated */
	char auth[1024]; /* SASL mechanisms, upper case, each with a blank on both
			  * sides; "" if AUTH is not offered */
};

/* text is the whole reply, lines separated by '\n'; its first is the greeting. */
void capabilities_parse(struct capabilities *c, const char *text);

bool capabilities_have_mechanism(const struct capabilities *c, const char *name);

#endif
