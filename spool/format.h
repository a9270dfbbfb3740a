/*
 * The first lines of a spool file, of fixed width, so that they can be filled in
 * when the content has passed (postbag-spool(5)):
 *
 *	postbag-message 1
 *	crc32c 8d3f00aa
 *	length 00000000000000001234
 *	longest 0000000078
 *	flags 8-------
 *
 * The check value covers all octets behind these lines and then the lines
 * length, longest and flags: in the order in which a writer learns them.
 */
#ifndef SPOOL_FORMAT_H
#define SPOOL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FORMAT_MAGIC "postbag-message "
#define FORMAT_VERSION "1"
#define FORMAT_CHECKED_AT (sizeof("postbag-message 1\ncrc32c 01234567\n") - 1)
#define FORMAT_HEAD_LEN                            \
	(FORMAT_CHECKED_AT +                       \
	    sizeof("length 01234567890123456789\n" \
		   "longest 0123456789\n"          \
		   "flags 8U------\n") -           \
	    1)

struct format_head {
	uint32_t crc;
	uint64_t length;
	uint64_t longest;
	unsigned flags; /* enum message_flags */
};

/* Writes the head; the check value of h->crc continued over its checked lines
 * stands in it. */
void format_head_write(const struct format_head *h, char dst[static FORMAT_HEAD_LEN + 1]);

/* 0; -1 if it is malformed; 1 if it is of another version. */
int format_head_read(struct format_head *h, const char src[static FORMAT_HEAD_LEN]);

/*
 * Is each LF behind a CR, and each CR before an LF?  A line that ends otherwise would
 * end for one server and not for the next, and so would the message.  `before` is the
 * octet before s, '\n' at the start of the content; a CR at the end of s waits for the
 * next piece.
 */
bool format_is_lines(char before, const char *s, size_t len);

#endif
