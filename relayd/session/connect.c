/*
 * Connecting with a deadline; the wait also ends when relayd says so.
 */
#include "relayd/session/connect.h"

#include <arpa/inet.h>
#include <errno.h>
#include <idn2.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"

int
connect_ascii_host(const char *host, char *dst, size_t size)
{
	char *ascii = NULL;
	int r;

	if (text_is_ascii(host, strlen(host))) {
		snprintf(dst, size, "%s", host);
		return 0;
	}
	/* never STD3 rules: they delete characters */
	r = idn2_to_ascii_8z(host, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (r == IDN2_OK &&
	    strspn(ascii, "abcdefghijklmnopqrstuvwxyz0123456789-._") != strlen(ascii))
		r = IDN2_DISALLOWED;
	snprintf(dst, size, "%s%s", r == IDN2_OK ? ascii : "the smarthost's name is not valid: ",
	    r == IDN2_OK ? "" : idn2_strerror(r));
	idn2_free(ascii);
	return r == IDN2_OK ? 0 : -1;
}

static void
address_name(const struct sockaddr *sa, char dst[static CONNECT_PEER_SIZE])
{
	char text[INET6_ADDRSTRLEN] = "?";

	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;

		inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
		snprintf(dst, CONNECT_PEER_SIZE, "[%s]:%u", text, ntohs(in6->sin6_port));
	} else {
		const struct sockaddr_in *in = (const void *)sa;

		inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
		snprintf(dst, CONNECT_PEER_SIZE, "[%s]:%u", text, ntohs(in->sin_port));
	}
}

/* One address; the socket is in s->fd on success. */
static int
address_connect(struct stream *s, const struct addrinfo *a, uint64_t timeout)
{
	char name[CONNECT_PEER_SIZE];
	int one = 1, error = 0;
	socklen_t len = sizeof(error);

	address_name(a->ai_addr, name);
	s->error = STREAM_OK;
	s->fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (s->fd < 0)
		return stream_fail(s, STREAM_CLOSED, "cannot open a socket: %s", strerror(errno));
	stream_timeout(s, timeout);
	if (connect(s->fd, a->ai_addr, a->ai_addrlen) < 0 && errno != EINPROGRESS) {
		error = errno;
	} else if (stream_wait(s, POLLOUT) == 0) {
		getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len);
		if (error == 0) {
			setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
			return 0;
		}
	}
	close(s->fd);
	s->fd = -1;
	if (s->error == STREAM_OK || s->error == STREAM_TIMEOUT)
		stream_fail(s, s->error == STREAM_OK ? STREAM_CLOSED : s->error,
		    "cannot connect to %s: %s", name,
		    s->error == STREAM_OK ? strerror(error) : "it does not answer");
	return -1;
}

int
connect_smarthost(
    struct stream *s, const char *host, unsigned port, uint64_t timeout, unsigned first)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	struct addrinfo *all = NULL, *a;
	char service[8];
	unsigned count = 0;
	int r;

	snprintf(service, sizeof(service), "%u", port);
	r = getaddrinfo(host, service, &hints, &all);
	if (r != 0)
		return stream_fail(s, STREAM_CLOSED, "cannot find the address of %s: %s", host,
		    r == EAI_SYSTEM ? strerror(errno) : gai_strerror(r));
	for (a = all; a != NULL; a = a->ai_next)
		count++;
	r = -1;
	for (unsigned i = 0; i < count && r < 0 && s->error != STREAM_STOPPED; i++) {
		a = all;
		for (unsigned skip = (first + i) % count; skip > 0; skip--)
			a = a->ai_next;
		r = address_connect(s, a, timeout);
	}
	freeaddrinfo(all);
	return r;
}

char *
connect_peer_name(int fd, char dst[static CONNECT_PEER_SIZE])
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	dst[0] = '\0';
	if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0)
		address_name((struct sockaddr *)&peer, dst);
	return dst;
}

char *
connect_ehlo_name(int fd, const char *hostname, char *dst, size_t size)
{
	struct sockaddr_storage own;
	socklen_t len = sizeof(own);
	char text[INET6_ADDRSTRLEN] = "127.0.0.1";
	const char *prefix = "";

	if (strchr(hostname, '.') != NULL && text_is_ascii(hostname, strlen(hostname))) {
		snprintf(dst, size, "%s", hostname);
		return dst;
	}
	if (getsockname(fd, (struct sockaddr *)&own, &len) == 0) {
		if (own.ss_family == AF_INET6) {
			struct sockaddr_in6 *in6 = (void *)&own;

			if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
				inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], text, sizeof(text));
			} else {
				inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
				prefix = "IPv6:";
			}
		} else {
			inet_ntop(
			    AF_INET, &((struct sockaddr_in *)&own)->sin_addr, text, sizeof(text));
		}
	}
	snprintf(dst, size, "[%s%s]", prefix, text);
	return dst;
}
