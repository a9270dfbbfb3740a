/*
 * 16 characters carry 80 bits: 5 of each random octet, so 32 of the 36 letters.
 */
#include "spool/name.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"

static const char alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyz";

static void
number_put(char *s, int len, uint64_t n)
{
	while (len-- > 0) {
		s[len] = alphabet[n % 36];
		n /= 36;
	}
}

int
name_make(struct queue_name *name)
{
	unsigned char random[NAME_LEN - NAME_TIME_LEN];
	ssize_t n;

	do
		n = getrandom(random, sizeof(random), 0);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(random)) {
		errno = n < 0 ? errno : EIO;
		return -1;
	}
	number_put(name->text, NAME_TIME_LEN, (uint64_t)clock_real());
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

static uint64_t
number_of(const char *s, int len)
{
	uint64_t n = 0;

	for (int i = 0; i < len; i++)
		n = n * 36 + (uint64_t)digit(s[i]);
	return n;
}

int64_t
name_time(const char *s)
{
	return (int64_t)number_of(s, NAME_TIME_LEN);
}

/* 10 characters are less than 2^52, 8 less than 2^42. */
void
name_pack(const char *s, unsigned char packed[static NAME_PACKED_LEN])
{
	uint64_t a = number_of(s + NAME_TIME_LEN, 8), b = number_of(s + NAME_TIME_LEN + 8, 8);
	uint64_t words[2] = { htobe64(number_of(s, NAME_TIME_LEN) << 12 | a >> 30),
		htobe64(a << 34 | b >> 8) };

	memcpy(packed, words, sizeof(words));
	packed[NAME_PACKED_LEN - 1] = (unsigned char)b;
}

static void
words_of(const unsigned char *packed, uint64_t words[static 2])
{
	memcpy(words, packed, 2 * sizeof(*words));
	words[0] = be64toh(words[0]);
	words[1] = be64toh(words[1]);
}

struct queue_name
name_unpack(const unsigned char packed[static NAME_PACKED_LEN])
{
	struct queue_name name = { .text = "" };
	uint64_t words[2];

	words_of(packed, words);
	number_put(name.text, NAME_TIME_LEN, words[0] >> 12);
	number_put(name.text + NAME_TIME_LEN, 8, (words[0] & 0xfff) << 30 | words[1] >> 34);
	number_put(name.text + NAME_TIME_LEN + 8, 8,
	    (words[1] & 0x3ffffffff) << 8 | packed[NAME_PACKED_LEN - 1]);
	return name;
}

int64_t
name_packed_time(const unsigned char packed[static NAME_PACKED_LEN])
{
	uint64_t words[2];

	words_of(packed, words);
	return (int64_t)(words[0] >> 12);
}
