/*
 * Messages of rtnetlink(7), read with the same distrust as all else that was not made here.
 */
#ifndef RELAYD_RTNETLINK_H
#define RELAYD_RTNETLINK_H

#include <stdbool.h>
#include <stddef.h>

/* Do these messages tell of an address or a route that has appeared, and by which another
 * host can be reached? */
bool rtnetlink_has_appeared(const void *messages, size_t len);

#endif
