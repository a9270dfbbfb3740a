/*
 * Who is at the other end of standard input, and whether he is served: programs of
 * this host, by a pipe, a Unix socket or a loopback address.  postbag relays for
 * nobody else.
 */
#ifndef SENDMAIL_SMTP_PEER_H
#define SENDMAIL_SMTP_PEER_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

#define SMTP_PEER_SIZE 80

struct smtp_peer {
	bool served;
	char text[SMTP_PEER_SIZE]; /* for Received: "[127.0.0.1]", "[IPv6:::1]", "uid 1000" */
};

void smtp_peer_find(struct smtp_peer *p, int fd, uid_t uid);
/* The same from an address. */
void smtp_peer_judge(struct smtp_peer *p, const struct sockaddr_storage *address, uid_t uid);

#endif
