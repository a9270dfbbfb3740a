/*
 * SRV records (RFC 2782): which hosts take a domain's mail, as RFC 6186 and RFC 8314 use
 * them.
 */
#ifndef RELAYD_SESSION_SRV_H
#define RELAYD_SESSION_SRV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relayd/session/endpoints.h"

#define SRV_RECORDS_MAX 32

struct srv_record {
	struct target target;
	uint16_t priority, weight;
};

struct srv_records {
	struct srv_record list[SRV_RECORDS_MAX];
	size_t count;
	bool denied; /* a record says that the service is not offered */
};

/*
 * Adds the records of a reply, as far as they fit.  One whose target is no name of a host
 * (an address is none), or whose port is 0, is left out.  0, or -1: the reply is malformed,
 * and nothing is added.
 */
int srv_parse(struct srv_records *r, const unsigned char *reply, size_t len, bool implicit_tls);

/* Puts them in the order in which they are tried: by priority; of the same priority TLS
 * from the first byte first (RFC 8314 section 5.1); of those, at random by weight.  draw
 * returns a number out of 0 to 2^32 - 1. */
void srv_order(struct srv_records *r, uint32_t (*draw)(void *context), void *context);

/* Looks them up, for a domain as A-labels; TLS from the first byte only if implicit_tls.
 * 0, or -1 as the stream says. */
int srv_lookup(struct srv_records *r, struct stream *s, const char *domain, bool implicit_tls);

/* Is name below domain? */
bool srv_is_below(const char *name, const char *domain);

#endif
