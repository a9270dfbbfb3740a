/*
 * The first pass over content, while it is written: is there anything in it that a
 * smarthost would refuse (RFC 5321 section 4.5.3.1.6, RFC 5322 section 2.3)?
 */
#ifndef SENDMAIL_SCAN_H
#define SENDMAIL_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCAN_LINE_MAX 998 /* octets of a line, without CRLF */

/* The zero value is a scan that has seen nothing. */
struct scan {
	uint64_t longest; /* of the lines that have ended, without CRLF */
	uint64_t line;    /* octets of the line that has not */
	uint64_t cr, crlf;
	bool nul;
	bool eight_bit;
	bool not_utf8;
	bool after_cr;
	unsigned char utf8_left;           /* octets of a character still to come */
	unsigned char utf8_low, utf8_high; /* the bounds of the next one */
};

/* Content in any pieces. */
void scan_add(struct scan *s, const void *data, size_t len);

/* Is there a line over 998 octets, a CR without LF, or a NUL? */
bool scan_is_refused(const struct scan *s);

/* Is there a CR without LF? */
bool scan_has_stray_cr(const struct scan *s);

/* Is all of it well-formed UTF-8 (RFC 3629)? */
bool scan_is_utf8(const struct scan *s);

#endif
