/*
 * The addresses at which a smarthost may be, in the order in which they are tried.
 */
#ifndef RELAYD_SESSION_ENDPOINTS_H
#define RELAYD_SESSION_ENDPOINTS_H

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "relayd/ipc.h"
#include "relayd/session/stream.h"

#define ENDPOINTS_MAX 32
#define TARGETS_MAX 8
#define TARGET_NAME_SIZE 256

/* A host and how to speak to it. */
struct target {
	char name[TARGET_NAME_SIZE];
	unsigned port;
	bool implicit_tls;
};

struct endpoint {
	struct sockaddr_storage address;
	socklen_t length;
	const struct target *target;
	int error; /* errno of the last attempt, ETIMEDOUT while it lasts; 0: there was none */
};

struct endpoints {
	struct target targets[TARGETS_MAX];
	size_t target_count;
	struct endpoint list[ENDPOINTS_MAX]; /* those of a target stand together */
	size_t count;
};

/* Adds the addresses of a target, at most `limit` (and so many must fit) of each family;
 * the families take turns, beginning with that of the first (RFC 8305 section 4). */
void endpoints_add(
    struct endpoints *e, const struct target *t, const struct addrinfo *found, size_t limit);

/* Looks up host (A-labels), or the hosts that its SRV records name, in their order.  One
 * without address is left out, if there is another.  0, or -1 as the stream says. */
int endpoints_find(
    struct endpoints *e, struct stream *s, const struct ipc_settings *settings, const char *host);

#endif
