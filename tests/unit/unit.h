/*
 * What all unit tests share: cmocka, a directory that goes away again, files in
 * memory, a spool of their own.
 */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static inline void
directory_make(char path[static 64])
{
	snprintf(path, 64, "/tmp/postbag-unit-XXXXXX");
	assert_non_null(mkdtemp(path));
}

static inline int
directory_remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static inline void
directory_remove(const char *path)
{
	nftw(path, directory_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* The account that the tests run as. */
static inline const char *
own_name(void)
{
	const struct passwd *pw = getpwuid(geteuid());

	return pw == NULL ? "root" : pw->pw_name;
}

/* A file in memory, to be read from its start. */
static inline int
memory_file(const void *data, size_t len)
{
	int fd = memfd_create("unit", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* The whole of a file, NUL-terminated, to be freed. */
static inline char *
file_load(int fd, size_t *len)
{
	struct stat st;
	char *data;

	assert_int_equal(fstat(fd, &st), 0);
	data = malloc((size_t)st.st_size + 1);
	assert_non_null(data);
	assert_int_equal(pread(fd, data, (size_t)st.st_size, 0), st.st_size);
	data[st.st_size] = '\0';
	if (len != NULL)
		*len = (size_t)st.st_size;
	return data;
}

#endif
