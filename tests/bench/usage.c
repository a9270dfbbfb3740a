/*
 * usage FILE COMMAND...
 *
 * Runs a daemon in the foreground and writes to FILE what it took: the processor time of
 * all its processes in microseconds, those that it lost sight of included.  The kernel
 * adds it up (perf_event_open(2), inherited by every child), because wait4(2) says nothing
 * of a process whose parent ignored its end.  FILE stays empty where that is not allowed.
 *
 * Every orphan becomes our child.  SIGTERM goes to each; what is left after a while is
 * killed.
 */
#include <linux/perf_event.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE = 5 }; /* seconds */

/* Counts our processor time and that of all that we start from now on; -1 where it is not allowed.
 */
static int
start_clock(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_TASK_CLOCK,
		.inherit = 1,
	};

	return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

/* To all our children. */
static void
signal_children(int number)
{
	FILE *list;
	char path[64];
	int pid;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	if ((list = fopen(path, "re")) == NULL)
		return;
	while (fscanf(list, "%d", &pid) == 1)
		kill(pid, number);
	fclose(list);
}

/* True when a child is left. */
static bool
reap(pid_t first, int *status)
{
	int one;
	pid_t pid;

	while ((pid = waitpid(-1, &one, WNOHANG)) > 0)
		if (pid == first)
			*status = one;
	return pid == 0;
}

int
main(int argc, char **argv)
{
	const struct timespec tick = { .tv_nsec = 100000000 };
	int status = 0, clock;
	uint64_t nanoseconds;
	sigset_t set;
	pid_t first;
	time_t end;
	FILE *file;

	if (argc < 3 || (file = fopen(argv[1], "we")) == NULL)
		return 64;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	clock = start_clock();
	if ((first = fork()) == 0) {
		sigprocmask(SIG_UNBLOCK, &set, NULL);
		execvp(argv[2], argv + 2);
		_exit(127);
	}
	/* until we are told to end, even if a command that starts others is long gone */
	while (first > 0 && sigwaitinfo(&set, NULL) != SIGTERM)
		reap(first, &status);
	signal_children(SIGTERM);
	end = time(NULL) + PATIENCE;
	while (reap(first, &status)) {
		if (time(NULL) > end)
			signal_children(SIGKILL);
		sigtimedwait(&set, NULL, &tick);
	}
	if (read(clock, &nanoseconds, sizeof(nanoseconds)) == sizeof(nanoseconds))
		fprintf(file, "%llu\n", (unsigned long long)nanoseconds / 1000);
	return fclose(file) == 0 && first > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
