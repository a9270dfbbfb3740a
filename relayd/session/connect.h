/*
 * From a smarthost's addresses to a connected socket.
 */
#ifndef RELAYD_SESSION_CONNECT_H
#define RELAYD_SESSION_CONNECT_H

#include <stddef.h>
#include <stdint.h>

#include "relayd/session/endpoints.h"
#include "relayd/session/stream.h"

/* The host as the DNS and TLS know it: a name with non-ASCII letters becomes its
 * A-labels (IDNA 2008, non-transitional).  0, or -1 with problem in dst. */
int connect_ascii_host(const char *host, char *dst, size_t size);

/*
 * Connects to one of the endpoints, beginning with the one that is `first` places later
 * in the list (round robin).  Those of a target race; the next target's turn comes when
 * all have failed, or when they have had their share of the time until `deadline`
 * (CLOCK_BOOTTIME).  s is initialised; its fd is set.  The target that it is, or NULL as
 * the stream says.
 */
const struct target *connect_endpoints(
    struct stream *s, struct endpoints *e, unsigned first, int64_t deadline);

/* "[192.0.2.1]:587" */
#define CONNECT_PEER_SIZE 80
char *connect_peer_name(int fd, char dst[static CONNECT_PEER_SIZE]);

/* The argument of EHLO: hostname if it is dotted, else the address literal of
 * our end (RFC 5321 section 4.1.3), which every server accepts. */
char *connect_ehlo_name(int fd, const char *hostname, char *dst, size_t size);

#endif
