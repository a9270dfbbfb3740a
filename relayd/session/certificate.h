/*
 * Whether the smarthost is the one that is meant: its certificate, its key, and
 * what is wrong with them in words.
 */
#ifndef RELAYD_SESSION_CERTIFICATE_H
#define RELAYD_SESSION_CERTIFICATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/settings.h"
#include "relayd/session/stream.h"

struct certificate_rules {
	bool chain; /* it must lead to a trusted CA */
	const uint8_t (*pins)[SETTINGS_PIN_SIZE];
	size_t pin_count; /* 0: any key */
};

/* Checks name and time always, the rest as the rules say.  host is a name or an address;
 * it may also be for domain, unless that is "".  0, or -1 as the stream says. */
int certificate_verify(
    const struct certificate_rules *rules, struct stream *s, const char *host, const char *domain);

#endif
