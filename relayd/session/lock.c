/*
 * What is not named below fails with EPERM instead of killing, so that a library's
 * optional open() fails softly; a list of what is forbidden would be out of date
 * with each new kernel.  Landlock comes on top where the kernel has it.
 */
#include "relayd/session/lock.h"

#include <errno.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* To talk over what is open, to wait, to compute.  By name, because not every
 * architecture has every call. */
/* clang-format off */
static const char *const allowed[] = {
	"read", "readv", "pread64", "write", "writev", "close", "lseek",
	"recvfrom", "recvmsg", "sendto", "sendmsg", "shutdown", "getpeername", "getsockname",
	"getsockopt", "setsockopt", "poll", "ppoll", "select", "pselect6", "fcntl", "fstat",
	"newfstatat", "statx", "clock_gettime", "gettimeofday", "time", "clock_nanosleep",
	"nanosleep", "getrandom", "getpid", "gettid", "getuid", "geteuid", "getrusage",
	"brk", "munmap", "mremap", "madvise", "futex", "sched_yield", "restart_syscall",
	"rt_sigreturn", "rt_sigprocmask", "rt_sigaction", "sigaltstack", "exit", "exit_group",
};
/* clang-format on */

void
lock_prepare(void)
{
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void
landlock_in(void)
{
	/* every right of the first version of the interface */
	struct landlock_ruleset_attr none = { .handled_access_fs =
						  (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1 };
	long fd = syscall(SYS_landlock_create_ruleset, &none, sizeof(none), 0);

	if (fd < 0)
		return;
	syscall(SYS_landlock_restrict_self, (int)fd, 0);
	close((int)fd);
}

/* Memory, but none that is executable. */
static int
memory_allow(scmp_filter_ctx filter)
{
	int r = seccomp_rule_add(
	    filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

	return r != 0 ? r
		      : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
			    SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
}

static int
seccomp_in(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r = filter == NULL ? -ENOMEM : memory_allow(filter);

	for (size_t i = 0; r == 0 && i < sizeof(allowed) / sizeof(allowed[0]); i++) {
		int call = seccomp_syscall_resolve_name(allowed[i]);

		if (call != __NR_SCMP_ERROR)
			r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
	}
	if (r == 0)
		r = seccomp_load(filter);
	if (filter != NULL)
		seccomp_release(filter);
	if (r == 0)
		return 0;
	errno = -r;
	return -1;
}

int
lock_in(void)
{
	struct rlimit none = { 0, 0 };

	prctl(PR_SET_PDEATHSIG, 0);
	setrlimit(RLIMIT_FSIZE, &none);
	setrlimit(RLIMIT_NPROC, &none);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	landlock_in();
	return seccomp_in();
}
