/*
 * strtoull() skips blanks, takes signs and wraps "-1": so digits are read here.
 */
#include "base/number.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct unit {
	const char *name;
	uint64_t factor;
};

static int
fail(int error)
{
	errno = error;
	return -1;
}

/* Reads the digits at *s and moves it behind them. */
static int
digits_read(const char **s, uint64_t *value)
{
	uint64_t n = 0;

	if (**s < '0' || **s > '9')
		return fail(EINVAL);
	for (; **s >= '0' && **s <= '9'; (*s)++) {
		uint64_t digit = (uint64_t)(**s - '0');

		if (n > (UINT64_MAX - digit) / 10)
			return fail(ERANGE);
		n = n * 10 + digit;
	}
	*value = n;
	return 0;
}

static int
unit_parse(const char *s, const struct unit *units, uint64_t min, uint64_t max, uint64_t *value)
{
	uint64_t n;

	if (digits_read(&s, &n) < 0)
		return -1;
	for (const struct unit *u = units; u->name != NULL; u++) {
		if (strcmp(s, u->name) != 0)
			continue;
		if (n > UINT64_MAX / u->factor || n * u->factor < min || n * u->factor > max)
			return fail(ERANGE);
		*value = n * u->factor;
		return 0;
	}
	return fail(EINVAL);
}

int
number_parse(const char *s, uint64_t min, uint64_t max, uint64_t *value)
{
	static const struct unit units[] = { { "", 1 }, { NULL, 0 } };

	return unit_parse(s, units, min, max, value);
}

int
duration_parse(const char *s, uint64_t min, uint64_t max, uint64_t *usec)
{
	static const struct unit units[] = {
		{ "ms", USEC_PER_MS },
		{ "s", USEC_PER_SEC },
		{ "m", USEC_PER_MIN },
		{ "h", USEC_PER_HOUR },
		{ "d", USEC_PER_DAY },
		{ "w", 7 * USEC_PER_DAY },
		{ NULL, 0 },
	};

	return unit_parse(s, units, min, max, usec);
}

int
size_parse(const char *s, uint64_t min, uint64_t max, uint64_t *octets)
{
	static const struct unit units[] = {
		{ "", 1 },
		{ "K", 1 << 10 },
		{ "M", 1 << 20 },
		{ "G", 1 << 30 },
		{ NULL, 0 },
	};

	return unit_parse(s, units, min, max, octets);
}

char *
duration_format(uint64_t usec, char dst[static DURATION_SIZE])
{
	static const struct unit units[] = {
		{ "d", USEC_PER_DAY },
		{ "h", USEC_PER_HOUR },
		{ "m", USEC_PER_MIN },
		{ "s", USEC_PER_SEC },
		{ "ms", USEC_PER_MS },
	};
	const struct unit *u = units;

	/* up to 120 minutes are shown as minutes, and so on */
	while (u->factor > USEC_PER_MS && usec < 2 * u->factor && usec != u->factor)
		u++;
	snprintf(dst, DURATION_SIZE, "%llu%s", (unsigned long long)(usec / u->factor), u->name);
	return dst;
}

int
bool_parse(const char *s, bool *value)
{
	if (strcmp(s, "yes") == 0)
		*value = true;
	else if (strcmp(s, "no") == 0)
		*value = false;
	else
		return fail(EINVAL);
	return 0;
}
