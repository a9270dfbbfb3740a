/*
 * A receiver gets the socket, the directory queue/ and its orders in arguments, and
 * nothing else of what relayd has open.
 */
#include "relayd/receivers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "relayd/environment.h"

#define RECEIVERS_A_USER 16

bool
receiver_reap(struct relayd *r, pid_t pid)
{
	for (size_t i = 0; i < RELAYD_RECEIVERS; i++) {
		if (r->receivers[i].pid == pid) {
			r->receivers[i].pid = 0;
			return true;
		}
	}
	return false;
}

/* A free place; one user leaves some to the others. */
static struct child *
place_find(struct relayd *r, uid_t uid)
{
	struct child *place = NULL;
	size_t own = 0;

	for (size_t i = 0; i < RELAYD_RECEIVERS; i++) {
		struct child *c = &r->receivers[i];

		if (c->pid == 0)
			place = c;
		own += c->pid != 0 && c->uid == uid;
	}
	return uid != 0 && own >= RECEIVERS_A_USER ? NULL : place;
}

__attribute__((noreturn)) static void
receiver_exec(const struct relayd *r, int socket, uid_t uid, const char *name, const char *length)
{
	char owner[16], max[24], reserve[24];
	char *argv[] = { (char[]){ "relayd" }, (char[]){ RECEIVER_ROLE }, (char *)(uintptr_t)name,
		(char *)(uintptr_t)length, owner, max, reserve,
		(char *)(uintptr_t)r->spool.directory, r->to_stderr ? (char[]){ "-d" } : NULL,
		NULL };
	char *env[ENVIRONMENT_MAX];
	sigset_t none;
	/* above the places where they go */
	int in = fcntl(socket, F_DUPFD, 10), queue = fcntl(r->queue, F_DUPFD, 10);

	snprintf(owner, sizeof(owner), "%lu", (unsigned long)uid);
	snprintf(max, sizeof(max), "%llu", (unsigned long long)r->settings.max_message_size);
	snprintf(reserve, sizeof(reserve), "%llu", (unsigned long long)r->settings.spool_reserve);
	environment_keep(env);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(in, STDIN_FILENO) == STDIN_FILENO && dup2(queue, STDERR_FILENO + 1) >= 0) {
		close_range(STDERR_FILENO + 2, ~0U, 0);
		execve("/proc/self/exe", argv, env);
	}
	_exit(127);
}

int
receiver_start(struct relayd *r, int socket, uid_t uid, const char *name, const char *length)
{
	struct child *place = place_find(r, uid);
	pid_t pid;

	if (place == NULL) {
		errno = EAGAIN;
		return -1;
	}
	pid = fork();
	if (pid == 0)
		receiver_exec(r, socket, uid, name, length);
	if (pid < 0)
		return -1;
	*place = (struct child){ .pid = pid, .uid = uid };
	return 0;
}
