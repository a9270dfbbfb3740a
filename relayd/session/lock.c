/*
 * Forbidden calls fail with EPERM instead of killing, so that a library's
 * optional open() fails softly.  Landlock comes on top where the kernel has it.
 */
#include "relayd/session/lock.h"

#include <errno.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* By name, because not every architecture has every call. */
static const char *const forbidden[] = {
	"open", "openat", "openat2", "creat", "open_by_handle_at", "name_to_handle_at",
	"socket", "socketpair", "connect", "bind", "listen", "accept", "accept4",
	"execve", "execveat", "fork", "vfork", "clone", "clone3",
	"ptrace", "process_vm_readv", "process_vm_writev", "pidfd_open", "pidfd_getfd",
	"kill", "tkill", "tgkill", "pidfd_send_signal", "rt_sigqueueinfo",
	"unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat", "symlink",
	"symlinkat", "mkdir", "mkdirat", "rmdir", "mknod", "mknodat", "truncate", "chmod",
	"fchmod", "fchmodat", "chown", "fchown", "lchown", "fchownat", "setxattr", "fsetxattr",
	"chdir", "fchdir", "chroot", "pivot_root", "mount", "umount2", "fsopen", "fsmount",
	"move_mount", "open_tree", "unshare", "setns", "bpf", "perf_event_open", "userfaultfd",
	"io_uring_setup", "keyctl", "add_key", "request_key", "init_module", "finit_module",
	"kexec_load", "memfd_create", "inotify_init1", "fanotify_init", "setuid", "setgid",
	"setresuid", "setresgid", "setgroups", "prlimit64", "setrlimit", "reboot", "swapon",
};

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

static int
seccomp_in(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int r = filter == NULL ? -ENOMEM : 0;

	for (size_t i = 0; r == 0 && i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
		int call = seccomp_syscall_resolve_name(forbidden[i]);

		if (call != __NR_SCMP_ERROR)
			r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 0);
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
