/*
 * CRC-32C (Castagnoli), as in RFC 3720 appendix B.4: the check value of spool
 * files and journal lines.
 */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Goes on from crc (0 to begin) over len octets and returns the new value:
 * crc32c(crc32c(0, a), b) is the value of a followed by b. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

#endif
