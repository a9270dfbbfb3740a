/*
 * A bucket that fills with N/unit and holds c gives up to N + c in a unit; exact times
 * of the last N messages are much to keep.  So messages are counted in slots of a
 * sixtieth of the unit, and the slots that a unit can touch are added up: no stretch has
 * more than N, and the wait is a sixtieth too long at most.
 */
#include "relayd/rate.h"

#include <string.h>

#include "base/number.h"

#define GROW_INTERVAL ((int64_t)(10 * USEC_PER_MIN))
#define GROW_STEPS 8

void
rate_init(struct rate *r, uint64_t most, uint64_t unit)
{
	*r = (struct rate){
		.most = most, .limit = most, .slot = (int64_t)unit / (RATE_SLOTS - 1) + 1
	};
}

void
rate_continue(struct rate *r, const struct rate *before)
{
	uint64_t most = r->most;

	if (before->slot != r->slot || before->most == 0)
		return;
	*r = *before;
	r->most = most;
	if (r->limit > most || before->limit == before->most)
		r->limit = most;
}

/* The slots between the newest and now are empty. */
static void
turn(struct rate *r, int64_t now)
{
	int64_t slot = now / r->slot;

	if (slot - r->newest >= RATE_SLOTS)
		memset(r->counts, 0, sizeof(r->counts));
	else
		for (int64_t i = r->newest + 1; i <= slot; i++)
			r->counts[i % RATE_SLOTS] = 0;
	if (slot > r->newest)
		r->newest = slot;
}

int64_t
rate_next(struct rate *r, int64_t now)
{
	uint64_t sum = 0;
	int64_t slot;

	if (r->most == 0)
		return 0;
	turn(r, now);
	for (int i = 0; i < RATE_SLOTS; i++)
		sum += r->counts[i];
	if (sum < r->limit)
		return 0;
	/* the oldest leave first */
	for (slot = r->newest + 1; sum >= r->limit; slot++)
		sum -= r->counts[slot % RATE_SLOTS];
	return (slot - 1) * r->slot;
}

void
rate_take(struct rate *r, int64_t now)
{
	if (r->most == 0)
		return;
	turn(r, now);
	r->counts[r->newest % RATE_SLOTS]++;
}

void
rate_return(struct rate *r, int64_t then)
{
	int64_t slot = r->most == 0 ? 0 : then / r->slot;

	/* in its own slot, or another stretch would have too many */
	if (r->most != 0 && slot <= r->newest && slot > r->newest - RATE_SLOTS &&
	    r->counts[slot % RATE_SLOTS] > 0)
		r->counts[slot % RATE_SLOTS]--;
}

void
rate_slow(struct rate *r, int64_t now)
{
	r->limit = r->limit > 1 ? r->limit / 2 : r->limit;
	r->changed = now;
}

void
rate_grow(struct rate *r, int64_t now)
{
	if (r->limit >= r->most || now - r->changed < GROW_INTERVAL)
		return;
	r->limit += r->most / GROW_STEPS + 1;
	if (r->limit > r->most)
		r->limit = r->most;
	r->changed = now;
}
