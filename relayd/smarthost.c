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
		settings_smarthost_name(&s->smarthosts[i], &name);
		snprintf(all[i].name, sizeof(all[i].name), "%s", buf_string(&name));
		buf_reset(&name);
	}
	buf_free(&name);
	return all;
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

void
smarthost_fail(struct relayd *r, struct smarthost *h, enum ipc_fault fault, const char *problem)
{
	char shown[sizeof(h->problem)], length[DURATION_SIZE], quoted[LOG_VALUE_SIZE];
	int64_t now = clock_boot();
	uint64_t pause;

	/* what cuts several sessions is one failure */
	if (h->paused_until > now && fault <= h->fault)
		return;
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
}

void
smarthost_full(struct smarthost *h, const char *problem)
{
	char quoted[LOG_VALUE_SIZE];

	if (h->limit_until <= clock_boot())
		log_warn("smarthost=%s takes only %u connections for now: reason=%s", h->name,
		    h->sessions - 1, log_quote(problem, quoted));
	h->limit = h->sessions - 1;
	h->limit_until = clock_boot() + LIMIT_TIME;
}

struct smarthost *
smarthost_choose(struct relayd *r, int64_t now, int64_t *until)
{
	*until = INT64_MAX;
	for (size_t i = 0; i < r->smarthost_count; i++) {
		struct smarthost *h = &r->smarthosts[i];

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
}
