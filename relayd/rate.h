/*
 * How many messages may go to a smarthost in a time: never more than `most` in any
 * stretch of the unit, wherever it begins.  All of them may go at once.
 *
 * Times are on CLOCK_BOOTTIME, in microseconds.
 */
#ifndef RELAYD_RATE_H
#define RELAYD_RATE_H

#include <stdbool.h>
#include <stdint.h>

#define RATE_SLOTS 61

struct rate {
	uint64_t most;               /* as set; 0: unlimited */
	uint64_t limit;              /* in force: less after a throttle */
	int64_t slot;                /* a sixtieth of the unit */
	int64_t newest;              /* slots since the start of the clock */
	uint64_t counts[RATE_SLOTS]; /* of the slot n at n % RATE_SLOTS */
	int64_t changed;             /* when the limit was */
};

void rate_init(struct rate *r, uint64_t most, uint64_t unit);
/* Goes on counting where `before` is, if the unit is the same. */
void rate_continue(struct rate *r, const struct rate *before);
/* 0 if a message may go now, else when the next one may. */
int64_t rate_next(struct rate *r, int64_t now);
/* One goes. */
void rate_take(struct rate *r, int64_t now);
/* One that went at `then` was not sent after all. */
void rate_return(struct rate *r, int64_t then);
/* Half of it, after a throttle. */
void rate_slow(struct rate *r, int64_t now);
/* Something was delivered: an eighth more, if the last change is ten minutes ago. */
void rate_grow(struct rate *r, int64_t now);

#endif
