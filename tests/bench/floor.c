/*
 * The least that a durable submission can cost: reads standard input, writes it
 * to a file in the directory that is its argument, gives the file a name, syncs.
 * sendmail is measured beside it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	static char content[1 << 20];
	char self[64], name[64];
	ssize_t n;
	int dir, fd;

	if (argc != 2 || (dir = open(argv[1], O_RDONLY | O_DIRECTORY)) < 0 ||
	    (fd = openat(dir, ".", O_TMPFILE | O_WRONLY, 0600)) < 0)
		return 1;
	while ((n = read(0, content, sizeof(content))) > 0)
		if (write(fd, content, (size_t)n) != n)
			return 1;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	snprintf(name, sizeof(name), "floor-%d", (int)getpid());
	if (linkat(AT_FDCWD, self, dir, name, AT_SYMLINK_FOLLOW) < 0 || fsync(fd) < 0)
		return 1;
	return 0;
}
