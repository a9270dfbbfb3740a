/*
 * What has been tried is kept in memory only: after a restart all parts are due, which
 * is an attempt too early at worst.  An entry of the list may outlive its message; it is
 * found out when the list is full.
 */
#include "relayd/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "relayd/notices.h"
#include "relayd/relayd.h"

#define SIZE_FIRST 16
#define NOBODY_TEXT "no smarthost carries mail from "

void
rounds_free(struct rounds *s)
{
	free(s->list);
	*s = (struct rounds){ .count = 0 };
}

/* Where the round of that name is, or belongs. */
static size_t
round_place(const struct rounds *s, const char *name)
{
	size_t low = 0, high = s->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memcmp(s->list[middle].name, name, NAME_LEN) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct round *
round_find(const struct rounds *s, const char *name)
{
	size_t at = round_place(s, name);

	return at < s->count && memcmp(s->list[at].name, name, NAME_LEN) == 0 ? &s->list[at] : NULL;
}

static void
round_remove(struct rounds *s, const char *name)
{
	struct round *round = round_find(s, name);

	if (round == NULL)
		return;
	s->count--;
	memmove(round, round + 1, (size_t)(s->list + s->count - round) * sizeof(*round));
}

/* Drops those of messages that are gone, then makes room if that was not enough. */
static int
rounds_grow(struct relayd *r)
{
	struct rounds *s = &r->rounds;
	size_t kept = 0, size = s->size == 0 ? SIZE_FIRST : 2 * s->size;
	struct round *list;

	for (size_t i = 0; i < s->count; i++)
		if (index_find(&r->index, s->list[i].name) != NULL)
			s->list[kept++] = s->list[i];
	s->count = kept;
	if (kept < s->size / 2)
		return 0;
	list = reallocarray(s->list, size, sizeof(*list));
	if (list == NULL)
		return -1;
	s->list = list;
	s->size = size;
	return 0;
}

static struct round *
round_add(struct relayd *r, const char *name)
{
	struct rounds *s = &r->rounds;
	size_t at;

	if (s->count == s->size && rounds_grow(r) < 0)
		return NULL;
	at = round_place(s, name);
	memmove(&s->list[at + 1], &s->list[at], (s->count - at) * sizeof(*s->list));
	s->count++;
	s->list[at] = (struct round){ .tried = 0 };
	memcpy(s->list[at].name, name, NAME_LEN);
	return &s->list[at];
}

static void
hold(struct relayd *r, struct index_entry *e, const char *sender, const char *recipient)
{
	char reason[sizeof(NOBODY_TEXT) + 2 * ENVELOPE_ADDRESS_MAX + 20];

	snprintf(reason, sizeof(reason), NOBODY_TEXT "<%s> to <%s>", sender, recipient);
	round_remove(&r->rounds, index_name(e).text);
	queue_set_aside(r, e, STATE_HELD, 0, reason);
}

uint64_t
parts_route(struct relayd *r, struct index_entry *e, const struct message *m, int64_t now)
{
	const struct envelope *v = &m->envelope;
	const struct round *round = round_find(&r->rounds, index_name(e).text);
	uint64_t all = 0, fresh = 0;
	const char *stranded = "";
	int64_t until;

	for (size_t i = 0; i < v->recipient_count; i++) {
		uint64_t carriers;

		if (index_is_finished(&r->index, e, i))
			continue;
		carriers = route_carriers(&r->settings, v->sender, v->recipients[i].address);
		if (carriers == 0 && *stranded == '\0')
			stranded = v->recipients[i].address;
		all |= carriers;
		if (round == NULL || (carriers & round->tried) == 0)
			fresh |= carriers;
	}
	if (all == 0)
		hold(r, e, v->sender, stranded);
	if (all == 0 || round == NULL)
		return all;
	if (smarthost_choose(r, fresh, now, &until) != NULL)
		return fresh;
	if (round->retry_at <= now) {
		round_remove(&r->rounds, index_name(e).text);
		return all;
	}
	queue_wait(r, e, e->state, until < round->retry_at ? until : round->retry_at);
	watchers_end(r, index_name(e).text);
	return 0;
}

bool
parts_has(const struct relayd *r, const struct index_entry *e, const struct message *m, size_t host,
    size_t i)
{
	const struct envelope *v = &m->envelope;
	const struct round *round = round_find(&r->rounds, index_name(e).text);
	uint64_t carriers = route_carriers(&r->settings, v->sender, v->recipients[i].address);

	return (carriers >> host & 1) != 0 && (round == NULL || (carriers & round->tried) == 0);
}

void
parts_note(struct relayd *r, struct index_entry *e, size_t host, bool rest)
{
	struct round *round = round_find(&r->rounds, index_name(e).text);

	if (round == NULL && !rest)
		return;
	if (e->state > STATE_DOUBT) {
		round_remove(&r->rounds, index_name(e).text);
		return;
	}
	/* without memory the parts wait for each other */
	if (round == NULL && (round = round_add(r, index_name(e).text)) == NULL)
		return;
	round->tried |= UINT64_C(1) << host;
	if (e->due > round->retry_at && e->due > clock_boot())
		round->retry_at = e->due;
	if (e->state != STATE_DOUBT)
		queue_wait(r, e, e->state, clock_boot());
}

bool
parts_are_deferred(const struct relayd *r, const struct index_entry *e)
{
	const struct round *round = round_find(&r->rounds, index_name(e).text);

	return round != NULL && round->retry_at != 0;
}

void
parts_reconsider(struct relayd *r)
{
	for (size_t i = 0; i < r->rounds.count; i++) {
		struct index_entry *e = index_find(&r->index, r->rounds.list[i].name);

		if (e != NULL && e->heap != 0 && e->state < STATE_DOUBT)
			queue_wait(r, e, e->state, clock_boot());
	}
}

void
parts_release(struct relayd *r)
{
	struct index_entry *e;

	for (uint32_t at = 0; (e = index_next(&r->index, &at)) != NULL;) {
		struct journal_record last;
		struct buf text;

		if (e->state != STATE_HELD)
			continue;
		if (notice_last(r, e, &last, &text) && last.code == 0 &&
		    strncmp(last.text, NOBODY_TEXT, strlen(NOBODY_TEXT)) == 0) {
			queue_record(r, e, EVENT_RETRY, JOURNAL_ALL, 0, "");
			queue_wait(r, e, STATE_DUE, clock_boot());
		}
		buf_free(&text);
	}
}
