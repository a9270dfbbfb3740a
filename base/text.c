/*
 * The set of hidden characters follows what terminals act on: C0, DEL, C1, the
 * bidirectional controls and the zero-width and line-separator characters of
 * Unicode's general categories Cc, Cf, Zl and Zp, as far as they occur in
 * practice.
 */
#include "base/text.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

size_t
text_utf8_length(const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t n;

	if (len == 0)
		return 0;
	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (len < n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* overlong forms, surrogates, beyond U+10FFFF */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

bool
text_is_utf8(const char *s, size_t len)
{
	while (len > 0) {
		size_t n = text_utf8_length(s, len);

		if (n == 0)
			return false;
		s += n;
		len -= n;
	}
	return true;
}

bool
text_is_ascii(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] >= 0x80)
			return false;
	return true;
}

static uint32_t
code_point(const unsigned char *s, size_t n)
{
	switch (n) {
	case 1:
		return s[0];
	case 2:
		return (s[0] & 0x1fU) << 6 | (s[1] & 0x3fU);
	case 3:
		return (s[0] & 0x0fU) << 12 | (s[1] & 0x3fU) << 6 | (s[2] & 0x3fU);
	default:
		return (s[0] & 0x07U) << 18 | (s[1] & 0x3fU) << 12 | (s[2] & 0x3fU) << 6 |
		       (s[3] & 0x3fU);
	}
}

static bool
is_hidden(uint32_t c)
{
	return (c < 0x20 && c != '\t') || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c ||
	       c == 0x180e || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
	       (c >= 0x1d173 && c <= 0x1d17a) || (c >= 0xe0000 && c <= 0xe007f);
}

int
text_add_printable(struct buf *b, const char *src, size_t len)
{
	while (len > 0) {
		size_t n = text_utf8_length(src, len);
		bool shown = n > 0 && !is_hidden(code_point((const unsigned char *)src, n));
		size_t step = n > 0 ? n : 1;

		if (shown && buf_append(b, src, n) < 0)
			return -1;
		for (size_t i = 0; !shown && i < step; i++)
			if (buf_addf(b, "\\x%02x", (unsigned char)src[i]) < 0)
				return -1;
		src += step;
		len -= step;
	}
	return 0;
}

char *
text_copy_printable(char *dst, size_t size, const char *src, size_t len)
{
	/* in place, so that what went wrong can be said without memory, too */
	struct buf b = { .data = dst, .size = size, .max = size - 1 };

	*dst = '\0';
	/* stops at the cap, between characters */
	text_add_printable(&b, src, len);
	return dst;
}
