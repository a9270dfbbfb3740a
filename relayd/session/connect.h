/*
 * From a smarthost's name to a connected socket.
 */
#ifndef RELAYD_SESSION_CONNECT_H
#define RELAYD_SESSION_CONNECT_H

#include <stddef.h>
#include <stdint.h>

#include "relayd/session/stream.h"

/* The host as the DNS and TLS know it: a name with non-ASCII letters becomes its
 * A-labels (IDNA 2008, non-transitional).  0, or -1 with problem in dst. */
int connect_ascii_host(const char *host, char *dst, size_t size);

/*
 * Resolves host and tries its addresses in turn, IPv6 and IPv4 as getaddrinfo(3)
 * orders them, beginning `first` addresses later (round robin): each gets
 * `timeout` microseconds.  s is initialised; its fd is set.  0, or -1 as the
 * stream says, with the problem of the last address.
 */
int connect_smarthost(
    struct stream *s, const char *host, unsigned port, uint64_t timeout, unsigned first);

/* "[192.0.2.1]:587" */
#define CONNECT_PEER_SIZE 80
char *connect_peer_name(int fd, char dst[static CONNECT_PEER_SIZE]);

/* The argument of EHLO: hostname if it is dotted, else the address literal of
 * our end (RFC 5321 section 4.1.3), which every server accepts. */
char *connect_ehlo_name(int fd, const char *hostname, char *dst, size_t size);

#endif
