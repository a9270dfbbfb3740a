/*
 * A message whose recipients belong to different smarthosts goes in parts, to one
 * smarthost at a time.  When a part has had its attempt, the others have theirs, before
 * any recipient is tried again: so what one smarthost defers does not keep the rest from
 * another one.
 */
#ifndef RELAYD_PARTS_H
#define RELAYD_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "spool/index.h"
#include "spool/spool.h"

struct relayd;

/* A message of which some part has had its attempt. */
struct round {
	char name[NAME_LEN];
	uint64_t tried;   /* a bit for each smarthost: what they carry comes after the rest */
	int64_t retry_at; /* and not before that; 0: nothing was deferred */
};

struct rounds {
	struct round *list; /* by name */
	size_t count, size;
};

void rounds_free(struct rounds *s);

/* The smarthosts one of which is to get (a part of) e next.  0 if there is none: then e
 * is held because nobody carries it, or waits until a part may be tried. */
uint64_t parts_route(struct relayd *r, struct index_entry *e, const struct message *m, int64_t now);

/* Is recipient i in the part that goes to smarthost `host` now? */
bool parts_has(const struct relayd *r, const struct index_entry *e, const struct message *m,
    size_t host, size_t i);

/* The attempt of the part for smarthost `host` is over; rest: there are recipients left
 * that it was not about. */
void parts_note(struct relayd *r, struct index_entry *e, size_t host, bool rest);

/* Has a recipient of another part been deferred since all parts were due? */
bool parts_are_deferred(const struct relayd *r, const struct index_entry *e);

/* A smarthost has failed, or its pause is over: messages that go in parts may have another
 * one that can go. */
void parts_reconsider(struct relayd *r);

/* What was held because nobody carried it is due: the configuration is another one. */
void parts_release(struct relayd *r);

#endif
