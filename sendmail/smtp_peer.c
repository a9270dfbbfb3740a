/*
 * What is no socket is a pipe, a terminal or a file: its writer is whoever started
 * this program.  A socket without a peer is not served, since anybody may send to it.
 *
 * <arpa/inet.h> is all that is needed to read an address that the kernel gives.
 */
#include "sendmail/smtp_peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

void
smtp_peer_judge(struct smtp_peer *p, const struct sockaddr_storage *address, uid_t uid)
{
	char text[INET6_ADDRSTRLEN] = "";
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	*p = (struct smtp_peer){ .served = address->ss_family == AF_UNIX };
	switch (address->ss_family) {
	case AF_UNIX:
		snprintf(p->text, sizeof(p->text), "uid %lu", (unsigned long)uid);
		break;
	case AF_INET:
		memcpy(&v4, address, sizeof(v4));
		p->served = ntohl(v4.sin_addr.s_addr) >> 24 == 127;
		inet_ntop(AF_INET, &v4.sin_addr, text, sizeof(text));
		snprintf(p->text, sizeof(p->text), "[%s]", text);
		break;
	case AF_INET6:
		memcpy(&v6, address, sizeof(v6));
		p->served =
		    IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr) ||
		    (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr) && v6.sin6_addr.s6_addr[12] == 127);
		inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof(text));
		snprintf(p->text, sizeof(p->text), "[IPv6:%s]", text);
		break;
	default:
		snprintf(p->text, sizeof(p->text), "unknown");
		break;
	}
}

void
smtp_peer_find(struct smtp_peer *p, int fd, uid_t uid)
{
	struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(address);

	if (getpeername(fd, (struct sockaddr *)&address, &len) < 0)
		address.ss_family = errno == ENOTSOCK ? AF_UNIX : AF_UNSPEC;
	smtp_peer_judge(p, &address, uid);
}
