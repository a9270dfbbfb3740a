/*
 * File names in queue/: 26 characters [0-9a-z], 10 of time (microseconds since
 * 1970 in base 36, so that names sort by age until 2085) and 16 from
 * getrandom(2).  The first 12 are the queue ID that people see; the rest stays
 * secret, so that nobody who may create but not list can name another's file.
 */
#ifndef SPOOL_NAME_H
#define SPOOL_NAME_H

#include <stdbool.h>
#include <stdint.h>

#define NAME_LEN 26
#define NAME_TIME_LEN 10
#define QUEUE_ID_LEN 12
#define NAME_PACKED_LEN 17 /* octets that hold a name: 52 bits of time, 84 of the rest */

struct queue_name {
	char text[NAME_LEN + 1]; /* NUL-terminated */
};

/* Makes a name for a message of now.  0, or -1 with errno (getrandom(2)). */
int name_make(struct queue_name *name);

bool name_is_valid(const char *s);

/* The time in a valid name, microseconds since 1970. */
int64_t name_time(const char *s);

/* True if s can begin a name: 1 to NAME_LEN characters of its alphabet. */
bool name_is_prefix(const char *s);

/* A valid name in fewer octets, which memcmp(3) sorts as it sorts names. */
void name_pack(const char *s, unsigned char packed[static NAME_PACKED_LEN]);
struct queue_name name_unpack(const unsigned char packed[static NAME_PACKED_LEN]);
/* name_time() of a packed name. */
int64_t name_packed_time(const unsigned char packed[static NAME_PACKED_LEN]);

#endif
