/*
 * Where due messages wait for their smarthosts, if these differ: those for the same
 * smarthosts wait in one lane, so that a smarthost that pauses holds up no mail of
 * others, and each message is read once to find its lane, not at every turn.
 */
#ifndef RELAYD_LANES_H
#define RELAYD_LANES_H

#include "relayd/heap.h"
#include "relayd/route.h"

struct lane {
	uint64_t carriers;
	struct heap heap;
	bool blocked; /* nothing can go now */
};

struct lanes {
	const struct index *index; /* whose entries these are */
	struct lane **list;
	size_t count, size;
};

void lanes_free(struct lanes *l);
/* Puts e, which waits nowhere, into the lane, which is returned; NULL with errno ENOMEM. */
struct lane *lanes_put(struct lanes *l, uint64_t carriers, struct index_entry *e);
/* Takes e out of the lane that it is in, if it is in one. */
void lanes_remove(struct lanes *l, struct index_entry *e);
/* For whom e waits; ROUTE_ALL if it is in no lane. */
uint64_t lanes_carriers(const struct lanes *l, const struct index_entry *e);
/* The one whose first message has been due for the longest, of those that are not
 * blocked; NULL if there is none that has messages. */
struct lane *lanes_first(const struct lanes *l);
/* Moves all messages to `to`; 0, or -1 with errno ENOMEM and some are left. */
int lanes_dissolve(struct lanes *l, struct heap *to);

#endif
