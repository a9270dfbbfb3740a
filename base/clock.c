/*
 * Names of days and months are spelled out here, because strftime()'s follow
 * the locale and RFC 5322 wants English.
 */
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/timex.h>
#include <time.h>

static int64_t
clock_read(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
clock_real(void)
{
	return clock_read(CLOCK_REALTIME);
}

int64_t
clock_boot(void)
{
	return clock_read(CLOCK_BOOTTIME);
}

bool
clock_is_synchronised(void)
{
	struct timex tx = { .modes = 0 };

	return adjtimex(&tx) != TIME_ERROR && (tx.status & STA_UNSYNC) == 0;
}

static void
local_time(int64_t real, struct tm *tm)
{
	time_t t = (time_t)(real / 1000000);

	if (localtime_r(&t, tm) == NULL)
		*tm = (struct tm){ .tm_mday = 1, .tm_year = 70, .tm_wday = 4 };
}

char *
clock_format_rfc5322(int64_t real, char dst[static CLOCK_RFC5322_SIZE])
{
	static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug",
		"Sep", "Oct", "Nov", "Dec" };
	struct tm tm;
	long zone;

	local_time(real, &tm);
	zone = tm.tm_gmtoff / 60;
	/* seconds as on the clock: RFC 5322 allows :60 */
	snprintf(dst, CLOCK_RFC5322_SIZE, "%s, %d %s %d %02d:%02d:%02d %c%02ld%02ld",
	    days[tm.tm_wday % 7], tm.tm_mday, months[tm.tm_mon % 12], tm.tm_year + 1900, tm.tm_hour,
	    tm.tm_min, tm.tm_sec, zone < 0 ? '-' : '+', labs(zone) / 60 % 100, labs(zone) % 60);
	return dst;
}

char *
clock_format_local(int64_t real, char dst[static CLOCK_LOCAL_SIZE])
{
	struct tm tm;

	local_time(real, &tm);
	if (strftime(dst, CLOCK_LOCAL_SIZE, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		dst[0] = '\0';
	return dst;
}
