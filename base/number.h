/*
 * Numbers as people write them in settings and options: one parser each, with
 * a range.  Nothing but the number may stand in the string: no blank, no sign
 * (unless the range asks for it), no hexadecimal.
 *
 * All return 0, or -1 with errno EINVAL (not a number) or ERANGE.
 */
#ifndef BASE_NUMBER_H
#define BASE_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

int number_parse(const char *s, uint64_t min, uint64_t max, uint64_t *value);

/* Integer and unit ms|s|m|h|d|w; the result is in microseconds. */
int duration_parse(const char *s, uint64_t min, uint64_t max, uint64_t *usec);

/* Integer and optional K|M|G (powers of 1024); the result is in octets. */
int size_parse(const char *s, uint64_t min, uint64_t max, uint64_t *octets);

/* A duration for people: "500ms", "42s", "15m", "3h", "2d", cut to whole units. */
#define DURATION_SIZE 32
char *duration_format(uint64_t usec, char dst[static DURATION_SIZE]);

/* yes|no */
int bool_parse(const char *s, bool *value);

#define USEC_PER_MS UINT64_C(1000)
#define USEC_PER_SEC UINT64_C(1000000)
#define USEC_PER_MIN (60 * USEC_PER_SEC)
#define USEC_PER_HOUR (60 * USEC_PER_MIN)
#define USEC_PER_DAY (24 * USEC_PER_HOUR)

#endif
