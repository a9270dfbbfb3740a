/*
 * The protocol of sd_notify(3): tells the service manager that started us what we
 * are doing.  Without a service manager, or with one that does not listen, nothing
 * happens: no program may work less well because nobody wants to know.
 */
#ifndef BASE_NOTIFY_H
#define BASE_NOTIFY_H

#include <sys/socket.h>
#include <sys/un.h>

/* The zero value notifies nobody. */
struct notify_socket {
	struct sockaddr_un address;
	socklen_t length; /* of address; 0: nobody wants to know */
};

/* Takes NOTIFY_SOCKET out of the environment, so that no child inherits it: a path,
 * or with '@' in front an abstract name.  Any other value notifies nobody. */
void notify_init(struct notify_socket *n);

void notify_ready(const struct notify_socket *n);
/* To be followed by notify_ready() when it is done. */
void notify_reloading(const struct notify_socket *n);
void notify_stopping(const struct notify_socket *n);

#endif
