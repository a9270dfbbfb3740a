/*
 * What a locked session can still do, tried in a child process.
 */
#include "tests/unit/unit.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "relayd/session/lock.h"

#define SYS_FCHMODAT2 452 /* newer than the headers */

static bool
is_refused(long result)
{
	return result == -1 && errno == EPERM;
}

/* The number of the first attempt that was not refused, 0 if all were. */
static int
attempts_refused(void)
{
	int fds[2];

	if (pipe(fds) < 0 || lock_in() < 0)
		return 100;
	if (!is_refused(open("/etc/passwd", O_RDONLY)))
		return 1;
	if (!is_refused(socket(AF_INET, SOCK_STREAM, 0)))
		return 2;
	if (!is_refused(chmod("/tmp", 0777)))
		return 3;
	if (!is_refused(syscall(SYS_FCHMODAT2, AT_FDCWD, "/tmp", 01777, 0)))
		return 4;
	if (!is_refused(unlink("/tmp/postbag-no-such-file")))
		return 5;
	if (!is_refused(fork()))
		return 6;
	if (!is_refused(kill(getppid(), 0)))
		return 7;
	if (!is_refused(
		(long)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)))
		return 8;
	if (write(fds[1], "x", 1) != 1 || read(fds[0], fds, 1) != 1)
		return 9;
	return 0;
}

static void
a_locked_process_can_use_what_is_open_and_nothing_else(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	assert_true(child >= 0);
	if (child == 0)
		_exit(attempts_refused());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_locked_process_can_use_what_is_open_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
