/*
 * 16 characters carry 80 bits: 5 of each random octet, so 32 of the 36 letters.
 */
#include "spool/name.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"

static const char alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyz";

int
name_make(struct queue_name *name)
{
	unsigned char random[NAME_LEN - NAME_TIME_LEN];
	uint64_t now = (uint64_t)clock_real();
	ssize_t n;

	do
		n = getrandom(random, sizeof(random), 0);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(random)) {
		errno = n < 0 ? errno : EIO;
		return -1;
	}
	for (int i = NAME_TIME_LEN - 1; i >= 0; i--) {
		name->text[i] = alphabet[now % 36];
		now /= 36;
	}
	for (int i = NAME_TIME_LEN; i < NAME_LEN; i++)
		name->text[i] = alphabet[random[i - NAME_TIME_LEN] & 31];
	name->text[NAME_LEN] = '\0';
	return 0;
}

static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 10;
	return -1;
}

bool
name_is_prefix(const char *s)
{
	size_t n = 0;

	while (n <= NAME_LEN && digit(s[n]) >= 0)
		n++;
	return n >= 1 && n <= NAME_LEN && s[n] == '\0';
}

bool
name_is_valid(const char *s)
{
	return name_is_prefix(s) && strlen(s) == NAME_LEN;
}

int64_t
name_time(const char *s)
{
	int64_t t = 0;

	for (int i = 0; i < NAME_TIME_LEN; i++)
		t = t * 36 + digit(s[i]);
	return t;
}
