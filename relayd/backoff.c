/*
 * Jitter only lengthens, so that no pause is shorter than its setting says.
 */
#include "relayd/backoff.h"

#include <sys/random.h>

uint64_t
backoff_pause(uint64_t first, uint64_t max, unsigned n)
{
	uint64_t pause = first;

	while (n-- > 1 && pause < max)
		pause = pause > max / 2 ? max : pause * 2;
	return pause < max ? pause : max;
}

uint64_t
backoff_jitter(uint64_t pause, uint32_t random)
{
	return pause + pause / 4 / 1024 * (random % 1025);
}

uint32_t
backoff_random(void)
{
	uint32_t n = 0;

	return getrandom(&n, sizeof(n), GRND_NONBLOCK) == (ssize_t)sizeof(n) ? n : 0;
}
