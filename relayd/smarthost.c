/*
 * The health of the smarthosts.  A fault of a smarthost pauses that smarthost
 * and charges no message; the log gets one line for each change, not for each
 * attempt.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/number.h"
#include "base/text.h"
#include "relayd/backoff.h"
#include "relayd/relayd.h"
#include "relayd/secrets.h"

#define ADDRESS_STEPS 64
#define LIMIT_TIME ((int64_t)(10 * USEC_PER_MIN))
#define CLOSED_TIMES 3 /* in a row are no accident */
#define CLOSES_TIME ((int64_t)USEC_PER_HOUR)

/* How long each kind of fault pauses; `reconnect_interval` MAX caps all of them
 * when it stands in the file. */
static const struct {
	uint64_t first, max; /* 0: as reconnect_interval says */
} pauses[FAULTS] = {
	[FAULT_CONNECTION] = { 0, 0 },
	[FAULT_FULL] = { USEC_PER_MIN, 10 * USEC_PER_MIN },
	[FAULT_RATE] = { 2 * USEC_PER_SEC, USEC_PER_MIN },
	[FAULT_THROTTLE] = { USEC_PER_MIN, 10 * USEC_PER_MIN },
	[FAULT_CREDENTIAL] = { 5 * USEC_PER_MIN, USEC_PER_HOUR },
	[FAULT_QUOTA] = { USEC_PER_HOUR, 4 * USEC_PER_HOUR },
};

struct smarthost *
smarthosts_make(const struct settings *s)
{
	struct smarthost *all = calloc(s->smarthost_count + 1, sizeof(*all));
	struct buf name = BUF_INIT(sizeof(all->name) - 1);

	if (all == NULL)
		return NULL;
	for (size_t i = 0; i < s->smarthost_count; i++) {
		all[i].settings = &s->smarthosts[i];
		rate_init(&all[i].rate, s->smarthosts[i].rate, s->smarthosts[i].rate_unit);
		settings_smarthost_name(&s->smarthosts[i], &name);
		snprintf(all[i].name, sizeof(all[i].name), "%s", buf_string(&name));
		buf_reset(&name);
	}
	buf_free(&name);
	return all;
}

void
smarthost_inherit(struct smarthost *to, const struct smarthost *from, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *a = to->settings->user, *b = from[i].settings->user;

		if (strcmp(to->name, from[i].name) == 0 &&
		    (a == NULL || b == NULL ? a == b : strcmp(a, b) == 0))
			rate_continue(&to->rate, &from[i].rate);
	}
}

/* The first failure with a token that a command makes may only mean that it had expired: the
 * next session runs the command again. */
static bool
has_new_token(const struct smarthost *h)
{
	const char *token = h->settings->token;

	return h->fault == FAULT_CREDENTIAL && token != NULL && strncmp(token, "command:", 8) == 0;
}

/* How long h pauses after the failure that it has counted. */
static uint64_t
pause_length(const struct settings *s, const struct smarthost *h)
{
	uint64_t first = pauses[h->fault].first, max = pauses[h->fault].max;

	if (first == 0) {
		first = s->reconnect_first;
		max = s->reconnect_max;
	} else if (s->reconnect_set) {
		max = max < s->reconnect_max ? max : s->reconnect_max;
		first = first < max ? first : max;
	}
	return backoff_jitter(
	    backoff_pause(first, max, h->failures - has_new_token(h)), backoff_random());
}

/* One connection less than it has. */
static void
limit_set(struct smarthost *h)
{
	h->limit = h->sessions > 1 ? h->sessions - 1 : 1;
	h->limit_until = clock_boot() + LIMIT_TIME;
}

/* The log has the reply already, with the pause. */
static void
smarthost_slow(struct smarthost *h)
{
	int64_t now = clock_boot();
	bool known = h->limit_until > now;

	limit_set(h);
	rate_slow(&h->rate, now);
	if (!known && h->settings->rate != 0)
		log_info("smarthost=%s: at most %u connections and %llu messages in the time of "
			 "its rate for now",
		    h->name, (unsigned)h->limit, (unsigned long long)h->rate.limit);
	else if (!known)
		log_info(
		    "smarthost=%s: at most %u connections for now", h->name, (unsigned)h->limit);
}

void
smarthost_fail(struct relayd *r, struct smarthost *h, enum ipc_fault fault, const char *problem)
{
	char shown[sizeof(h->problem)], length[DURATION_SIZE], quoted[LOG_VALUE_SIZE];
	int64_t now = clock_boot();
	uint64_t pause;

	/* what cuts several sessions is one failure */
	if (h->paused_until > now && fault <= h->fault)
		return;
	if (fault == FAULT_RATE || fault == FAULT_THROTTLE)
		smarthost_slow(h);
	parts_reconsider(r);
	if (fault != h->fault)
		h->failures = 0;
	h->failures++;
	h->failed_at = now;
	h->fault = fault;
	h->first_address = (h->first_address + 1) % ADDRESS_STEPS;
	text_copy_printable(shown, sizeof(shown), problem, strlen(problem));
	if (has_new_token(h) && h->failures == 1) {
		log_warn("smarthost=%s runs its token command again: reason=%s", h->name,
		    log_quote(shown, quoted));
		h->paused_until = 0;
		return;
	}
	pause = pause_length(&r->settings, h);
	h->paused_until = now + (int64_t)pause;
	if (strcmp(shown, h->problem) != 0)
		log_warn("smarthost=%s paused=%s reason=%s", h->name,
		    duration_format(pause, length), log_quote(shown, quoted));
	memcpy(h->problem, shown, sizeof(shown));
	if (fault == FAULT_CREDENTIAL && secrets_watch(r, h))
		h->paused_until = 0;
}

void
smarthost_well(struct smarthost *h)
{
	if (h->problem[0] != '\0')
		log_info("smarthost=%s works again", h->name);
	h->problem[0] = '\0';
	h->failures = 0;
	h->paused_until = 0;
	h->first_address = 0;
	h->fault = FAULT_CONNECTION;
	rate_grow(&h->rate, clock_boot());
}

void
smarthost_closed(struct smarthost *h, unsigned messages)
{
	if (messages == 0)
		return;
	h->closed_times = messages == h->closed_after ? h->closed_times + 1 : 1;
	h->closed_after = messages;
	if (h->closed_times < CLOSED_TIMES)
		return;
	h->closes_until = clock_boot() + CLOSES_TIME;
	if (h->closed_times == CLOSED_TIMES)
		log_info("smarthost=%s closes connections after %u messages; they end there from "
			 "now on",
		    h->name, messages);
}

uint64_t
smarthost_share(const struct smarthost *h)
{
	uint64_t share = h->settings->messages_per_connection;

	if (h->closes_until > clock_boot() && h->closed_after < share)
		share = h->closed_after;
	return share;
}

void
smarthost_full(struct smarthost *h, const char *problem)
{
	char quoted[LOG_VALUE_SIZE];

	if (h->limit_until <= clock_boot())
		log_warn("smarthost=%s takes only %u connections for now: reason=%s", h->name,
		    h->sessions - 1, log_quote(problem, quoted));
	limit_set(h);
}

struct smarthost *
smarthost_first(const struct relayd *r, uint64_t carriers)
{
	for (size_t i = 0; i < r->smarthost_count; i++)
		if ((carriers >> i & 1) != 0)
			return &r->smarthosts[i];
	return NULL;
}

struct smarthost *
smarthost_soonest(const struct relayd *r, uint64_t carriers)
{
	struct smarthost *soonest = NULL;

	for (size_t i = 0; i < r->smarthost_count; i++) {
		struct smarthost *h = &r->smarthosts[i];

		if ((carriers >> i & 1) != 0 &&
		    (soonest == NULL || h->paused_until < soonest->paused_until))
			soonest = h;
	}
	return soonest;
}

struct smarthost *
smarthost_choose(struct relayd *r, uint64_t carriers, int64_t now, int64_t *until)
{
	*until = INT64_MAX;
	for (size_t i = 0; i < r->smarthost_count; i++) {
		struct smarthost *h = &r->smarthosts[i];

		if ((carriers >> i & 1) == 0)
			continue;
		if (h->paused_until <= now)
			return h;
		if (h->paused_until < *until)
			*until = h->paused_until;
	}
	return NULL;
}

void
smarthosts_wake(struct relayd *r, bool all)
{
	for (size_t i = 0; i < r->smarthost_count; i++)
		if (r->smarthosts[i].fault == FAULT_CONNECTION || all)
			r->smarthosts[i].paused_until = 0;
	parts_reconsider(r);
}
