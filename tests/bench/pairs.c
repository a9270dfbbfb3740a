/*
 * pairs RUNS INPUT COMMAND_A... -- COMMAND_B...
 *
 * Runs the two commands in turn with INPUT as standard input, drops what they print,
 * and prints the wall time of each run, microseconds, one pair a line.  From fork to
 * the end of the process: what a caller waits for.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double
run(char **argv, const char *input)
{
	posix_spawn_file_actions_t actions;
	struct timespec a, b;
	int status;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	clock_gettime(CLOCK_MONOTONIC, &a);
	if (posix_spawn(&pid, argv[0], &actions, NULL, argv, environ) != 0 ||
	    waitpid(pid, &status, 0) != pid || status != 0) {
		fprintf(stderr, "pairs: %s fails\n", argv[0]);
		exit(1);
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	posix_spawn_file_actions_destroy(&actions);
	return (double)(b.tv_sec - a.tv_sec) * 1e6 + (double)(b.tv_nsec - a.tv_nsec) / 1e3;
}

int
main(int argc, char **argv)
{
	char **second = argv + 3;

	while (*second != NULL && strcmp(*second, "--") != 0)
		second++;
	if (argc < 6 || *second == NULL)
		return 64;
	*second++ = NULL;
	run(argv + 3, argv[2]);
	run(second, argv[2]);
	for (int i = atoi(argv[1]); i > 0; i--) {
		double a = run(argv + 3, argv[2]);

		printf("%.1f %.1f\n", a, run(second, argv[2]));
	}
	return 0;
}
