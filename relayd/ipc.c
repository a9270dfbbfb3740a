/*
 * Sizes are part of the protocol: a packet of another size than its kind has is
 * malformed, whoever sent it.
 */
#include "relayd/ipc.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

int
ipc_send(int socket, const void *packet, size_t size, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .space = { 0 } };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)packet, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (fd >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control.space);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	}
	do
		n = sendmsg(socket, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -1 : 0;
}

/* How long a packet that begins so must be; 0: it is none of ours. */
static size_t
packet_size(const union ipc_packet *packet, size_t len)
{
	switch (packet->kind) {
	case IPC_SETTINGS:
		return sizeof(struct ipc_settings);
	case IPC_JOB:
		return len < IPC_JOB_SIZE_MIN ||
			       packet->job.finished_length > sizeof(packet->job.finished)
			   ? 0
			   : IPC_JOB_SIZE(&packet->job);
	case IPC_STOP:
		return sizeof(struct ipc_stop);
	case IPC_REPORT:
		return sizeof(struct ipc_report);
	default:
		return 0;
	}
}

/* The descriptor that came along; more than one belong to no packet of ours. */
static int
descriptor_take(struct msghdr *msg)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	int fds[8];
	size_t n;

	if (c == NULL || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return -1;
	n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	n = n < 8 ? n : 8;
	memcpy(fds, CMSG_DATA(c), n * sizeof(int));
	if (n == 1)
		return fds[0];
	while (n-- > 0)
		close(fds[n]);
	msg->msg_flags |= MSG_CTRUNC;
	return -1;
}

int
ipc_receive(int socket, union ipc_packet *packet, int *fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = packet, .iov_len = sizeof(*packet) };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.space) };
	ssize_t n;

	*fd = -1;
	do
		n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return (int)n;
	*fd = descriptor_take(&msg);
	if ((size_t)n >= sizeof(packet->kind) && (size_t)n == packet_size(packet, (size_t)n) &&
	    (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0) {
		if (packet->kind == IPC_JOB)
			memset(packet->job.finished + packet->job.finished_length, 0,
			    sizeof(packet->job.finished) - packet->job.finished_length);
		return 1;
	}
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = EPROTO;
	return -1;
}

bool
ipc_is_string(const char *field, size_t size)
{
	return memchr(field, '\0', size) != NULL;
}
