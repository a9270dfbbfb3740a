/*
 * Words without a character that the shell knows are the program and its arguments as they
 * stand, so that the usual line runs no shell; any other line is the shell's.
 *
 * The program is alone in a process group, which is killed when its time is over.  Only its
 * exit ends the wait, not the end of its output: an agent that it has started may hold that
 * open for ever.
 */
#include "relayd/session/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/number.h"

#define TIME_MAX ((int64_t)(10 * USEC_PER_SEC))
#define WORDS_MAX 2048 /* more than the longest setting has */
#define LOG_OCTETS_MAX 4096
#define SHELL_CHARACTERS "|&;<>()$`\\\"'*?[]#~{}!"

struct program {
	const char *what;
	char path[400]; /* the first word, for people */
	pid_t pid;
	int exited; /* readable when it has */
	int out, err;
};

/* A small environment of its own: what is relayd's is not the program's. */
static void
environment_make(char *env[4])
{
	static char home[4200], credentials[4200], path[] = "PATH=/usr/local/bin:/usr/bin:/bin";
	const struct passwd *pw = getpwuid(geteuid());
	const char *directory = getenv("CREDENTIALS_DIRECTORY");
	size_t n = 0;

	env[n++] = path;
	if (pw != NULL) {
		snprintf(home, sizeof(home), "HOME=%s", pw->pw_dir);
		env[n++] = home;
	}
	if (directory != NULL) {
		snprintf(credentials, sizeof(credentials), "CREDENTIALS_DIRECTORY=%s", directory);
		env[n++] = credentials;
	}
	env[n] = NULL;
}

/* Cuts command into words; the shell's if it needs one. */
static void
words_make(char *command, char *argv[WORDS_MAX + 1])
{
	static char shell[] = "/bin/sh", option[] = "-c";
	size_t n = 0;

	if (strpbrk(command, SHELL_CHARACTERS) != NULL) {
		argv[n++] = shell;
		argv[n++] = option;
		argv[n++] = command;
	}
	while (argv[0] != shell && *command != '\0' && n < WORDS_MAX) {
		argv[n++] = command;
		command += strcspn(command, " \t");
		if (*command != '\0')
			*command++ = '\0';
		command += strspn(command, " \t");
	}
	argv[n] = NULL;
}

/* In the child.  What the session ignores or has open is not for the program. */
__attribute__((noreturn)) static void
child_run(char *command, int out, int err)
{
	static const int reset[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE };
	char *argv[WORDS_MAX + 1] = { NULL }, *env[4];
	int null = open("/dev/null", O_RDWR);

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0; i < sizeof(reset) / sizeof(reset[0]); i++)
		signal(reset[i], SIG_DFL);
	environment_make(env);
	words_make(command, argv);
	if (null >= 0 && dup2(null, STDIN_FILENO) == STDIN_FILENO &&
	    dup2(out, STDOUT_FILENO) == STDOUT_FILENO && dup2(err, STDERR_FILENO) == STDERR_FILENO)
		execve(argv[0], argv, env);
	dprintf(STDERR_FILENO, "cannot run it: %s\n", strerror(errno));
	_exit(127);
}

static int
program_start(struct program *p, char *command)
{
	int out[2] = { -1, -1 }, err[2] = { -1, -1 }, r = -1;

	if (pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0 && (p->pid = fork()) == 0)
		child_run(command, out[1], err[1]);
	if (p->pid > 0) {
		setpgid(p->pid, p->pid);
		p->exited = (int)syscall(SYS_pidfd_open, p->pid, 0);
		r = p->exited < 0 || file_set_nonblocking(out[0], 1) < 0 ||
			    file_set_nonblocking(err[0], 1) < 0
			? -1
			: 0;
	}
	p->out = out[0];
	p->err = err[0];
	if (out[1] >= 0)
		close(out[1]);
	if (err[1] >= 0)
		close(err[1]);
	return r;
}

/* Takes what is there.  0; 1 if nothing more will come; -1 with errno ENOBUFS. */
static int
take(int fd, struct buf *b)
{
	char part[4096];
	ssize_t n;
	int r = 0;

	while (r == 0 && (n = file_read(fd, part, sizeof(part))) > 0)
		r = buf_append(b, part, (size_t)n);
	explicit_bzero(part, sizeof(part));
	if (r < 0)
		return -1;
	return n == 0 || errno != EAGAIN;
}

/* Until it has exited: 0; or -1 with errno ENOBUFS, ETIMEDOUT. */
static int
program_wait(const struct program *p, struct buf *out, struct buf *err)
{
	struct pollfd fds[3] = { { .fd = p->exited, .events = POLLIN },
		{ .fd = p->out, .events = POLLIN }, { .fd = p->err, .events = POLLIN } };
	int64_t deadline = clock_boot() + TIME_MAX;

	while (fds[0].revents == 0) {
		int64_t left = deadline - clock_boot();
		int r;

		if (left <= 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		if (poll(fds, 3, (int)(left / 1000) + 1) < 0 && errno != EINTR)
			return -1;
		/* also what came just before the exit */
		r = fds[1].fd < 0 ? 0 : take(fds[1].fd, out);
		if (r < 0)
			return -1;
		if (r > 0)
			fds[1].fd = -1;
		/* more than the log gets is read all the same, or the program would wait */
		if (fds[2].fd >= 0 && take(fds[2].fd, err) > 0)
			fds[2].fd = -1;
	}
	return 0;
}

static void
lines_log(const struct program *p, const struct buf *err)
{
	const char *s = buf_string(err);

	while (*s != '\0') {
		size_t n = strcspn(s, "\n");

		if (n > 0)
			log_warn("%s command %s: %.*s", p->what, p->path, (int)n, s);
		s += n + (s[n] == '\n');
	}
}

/* What became of it, in words; "" if all is well. */
static void
end_describe(const struct program *p, int error, int status, char *problem, size_t size)
{
	*problem = '\0';
	if (error == ETIMEDOUT)
		snprintf(problem, size, "the %s command %s has not ended within 10 seconds; killed",
		    p->what, p->path);
	else if (error == ENOBUFS)
		snprintf(problem, size, "the %s command %s prints more than 64K", p->what, p->path);
	else if (error != 0)
		snprintf(problem, size, "the %s command %s: %s", p->what, p->path, strerror(error));
	else if (WIFSIGNALED(status))
		snprintf(problem, size, "the %s command %s was ended by signal %d", p->what,
		    p->path, WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0)
		snprintf(problem, size, "the %s command %s exits with status %d; see the log",
		    p->what, p->path, WEXITSTATUS(status));
}

int
program_run(const char *command, const char *what, struct buf *out, char *problem, size_t size)
{
	struct program p = { .what = what, .exited = -1, .out = -1, .err = -1 };
	struct buf err = BUF_INIT(LOG_OCTETS_MAX);
	char *copy = strdup(command);
	int error = 0, status = 0;

	snprintf(p.path, sizeof(p.path), "%.*s", (int)strcspn(command, " \t"), command);
	if (copy == NULL || program_start(&p, copy) < 0 || program_wait(&p, out, &err) < 0)
		error = errno;
	if (p.pid > 0) {
		if (error != 0)
			kill(-p.pid, SIGKILL);
		while (waitpid(p.pid, &status, 0) < 0 && errno == EINTR)
			continue;
	}
	lines_log(&p, &err);
	end_describe(&p, error, status, problem, size);
	if (p.exited >= 0)
		close(p.exited);
	if (p.out >= 0)
		close(p.out);
	if (p.err >= 0)
		close(p.err);
	buf_free(&err);
	free(copy);
	return *problem == '\0' ? 0 : -1;
}
