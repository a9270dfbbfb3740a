/*
 * A head is read by writing it again from the numbers that were found in it: if
 * a single octet differs it is malformed, so there is one spelling of each.
 */
#include "spool/format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "spool/spool.h"

#define LONGEST_MAX UINT64_C(9999999999)

static void
head_format(const struct format_head *h, char dst[static FORMAT_HEAD_LEN + 1])
{
	uint64_t longest = h->longest > LONGEST_MAX ? LONGEST_MAX : h->longest;

	snprintf(dst, FORMAT_HEAD_LEN + 1,
	    FORMAT_MAGIC FORMAT_VERSION
	    "\ncrc32c %08x\nlength %020llu\nlongest %010llu\nflags %c%c------\n",
	    h->crc, (unsigned long long)h->length, (unsigned long long)longest,
	    h->flags & MESSAGE_8BIT ? '8' : '-', h->flags & MESSAGE_SMTPUTF8 ? 'U' : '-');
}

void
format_head_write(const struct format_head *h, char dst[static FORMAT_HEAD_LEN + 1])
{
	struct format_head checked = *h;

	head_format(h, dst);
	checked.crc = crc32c(h->crc, dst + FORMAT_CHECKED_AT, FORMAT_HEAD_LEN - FORMAT_CHECKED_AT);
	head_format(&checked, dst);
}

int
format_head_read(struct format_head *h, const char src[static FORMAT_HEAD_LEN])
{
	char text[FORMAT_HEAD_LEN + 1], again[FORMAT_HEAD_LEN + 1];
	const char *lines = text + FORMAT_CHECKED_AT;

	memcpy(text, src, FORMAT_HEAD_LEN);
	text[FORMAT_HEAD_LEN] = '\0';
	if (strncmp(text, FORMAT_MAGIC, sizeof(FORMAT_MAGIC) - 1) != 0)
		return -1;
	if (strncmp(text, FORMAT_MAGIC FORMAT_VERSION "\n", sizeof(FORMAT_MAGIC FORMAT_VERSION)) !=
	    0)
		return 1;
	*h = (struct format_head){
		.crc = (uint32_t)strtoul(text + FORMAT_CHECKED_AT - 9, NULL, 16),
		.length = strtoull(lines + sizeof("length"), NULL, 10),
		.longest =
		    strtoull(lines + sizeof("length 01234567890123456789\nlongest"), NULL, 10),
	};
	if (text[FORMAT_HEAD_LEN - 9] == '8')
		h->flags |= MESSAGE_8BIT;
	if (text[FORMAT_HEAD_LEN - 8] == 'U')
		h->flags |= MESSAGE_SMTPUTF8;
	head_format(h, again);
	return memcmp(text, again, FORMAT_HEAD_LEN) == 0 ? 0 : -1;
}

bool
format_is_lines(char before, const char *s, size_t len)
{
	unsigned wrong = 0;

	if (len == 0)
		return true;
	wrong = (unsigned)((before == '\r') != (s[0] == '\n'));
	/* without a branch, so that a compiler makes a fast loop of it */
	for (size_t i = 1; i < len; i++)
		wrong |= (unsigned)((s[i - 1] == '\r') != (s[i] == '\n'));
	return wrong == 0;
}
