/*
 * Time: the calendar clock for what people and files see, CLOCK_BOOTTIME (never
 * set, goes on in suspend) for every waiting time.  All in microseconds.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int64_t clock_real(void);
int64_t clock_boot(void);

/* True if the kernel knows that something keeps the calendar clock right. */
bool clock_is_synchronised(void);

/* RFC 5322 section 3.3 in local time: "Mon, 23 Nov 2026 16:28:01 +0000". */
#define CLOCK_RFC5322_SIZE 96
char *clock_format_rfc5322(int64_t real, char dst[static CLOCK_RFC5322_SIZE]);

/* "2026-11-23 16:28:01", local time: for people. */
#define CLOCK_LOCAL_SIZE 32
char *clock_format_local(int64_t real, char dst[static CLOCK_LOCAL_SIZE]);

#endif
