/*
 * How long to wait.
 */
#ifndef RELAYD_BACKOFF_H
#define RELAYD_BACKOFF_H

#include <stdint.h>

/* The pause after the n-th failure in a row (n from 1): first, doubled each time,
 * at most max. */
uint64_t backoff_pause(uint64_t first, uint64_t max, unsigned n);

/* The same, made longer by up to a quarter: random is any number. */
uint64_t backoff_jitter(uint64_t pause, uint32_t random);

/* A number for that; 0, so no jitter, while the kernel has no randomness. */
uint32_t backoff_random(void);

#endif
