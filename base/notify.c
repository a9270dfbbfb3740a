/*
 * One datagram for each message, from a socket of its own: they are rare, and a
 * descriptor that is not kept is one less to look after.
 */
#include "base/notify.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

void
notify_init(struct notify_socket *n)
{
	const char *name = getenv("NOTIFY_SOCKET");
	size_t len = name == NULL ? 0 : strlen(name);

	*n = (struct notify_socket){ .address = { .sun_family = AF_UNIX } };
	/* a path ends with its NUL, an abstract name with its length */
	if (len > 1 && len < sizeof(n->address.sun_path) && (*name == '/' || *name == '@')) {
		memcpy(n->address.sun_path, name, len);
		if (*name == '@')
			n->address.sun_path[0] = '\0';
		n->length =
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (*name == '/'));
	}
	unsetenv("NOTIFY_SOCKET");
}

static void
notify_send(const struct notify_socket *n, const char *message)
{
	/* a busy service manager is waited for, one that has stopped is not */
	struct timeval patience = { .tv_sec = 1 };
	int fd;

	if (n->length == 0)
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	sendto(fd, message, strlen(message), MSG_NOSIGNAL, (const struct sockaddr *)&n->address,
	    n->length);
	close(fd);
}

void
notify_ready(const struct notify_socket *n)
{
	notify_send(n, "READY=1");
}

void
notify_reloading(const struct notify_socket *n)
{
	struct timespec now;
	char message[64];

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(message, sizeof(message), "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
	    (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	notify_send(n, message);
}

void
notify_stopping(const struct notify_socket *n)
{
	notify_send(n, "STOPPING=1");
}
