/*
 * This runs over every message, so the loop over octets is one that compilers
 * vectorise, and UTF-8 is looked at only where there are 8-bit octets.
 */
#include "sendmail/scan.h"

#include <string.h>

/* RFC 3629 section 4: no overlong forms, no surrogates, nothing beyond U+10FFFF. */
static void
utf8_lead(struct scan *s, unsigned char c)
{
	if (c < 0x80)
		return;
	if (c < 0xc2 || c > 0xf4) {
		s->not_utf8 = true;
		return;
	}
	s->utf8_left = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
	s->utf8_low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	s->utf8_high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
}

static void
utf8_add(struct scan *s, const unsigned char *data, size_t len)
{
	for (size_t i = 0; i < len && !s->not_utf8; i++) {
		if (s->utf8_left == 0) {
			utf8_lead(s, data[i]);
			continue;
		}
		s->not_utf8 = data[i] < s->utf8_low || data[i] > s->utf8_high;
		s->utf8_left--;
		s->utf8_low = 0x80;
		s->utf8_high = 0xbf;
	}
}

static void
lines_add(struct scan *s, const char *data, size_t len)
{
	const char *end;

	while ((end = memchr(data, '\n', len)) != NULL) {
		size_t n = (size_t)(end - data);
		bool crlf = n > 0 ? end[-1] == '\r' : s->after_cr;

		s->line += n;
		s->crlf += crlf;
		s->line -= crlf;
		if (s->line > s->longest)
			s->longest = s->line;
		s->line = 0;
		s->after_cr = false;
		data += n + 1;
		len -= n + 1;
	}
	s->line += len;
	if (len > 0)
		s->after_cr = data[len - 1] == '\r';
}

void
scan_add(struct scan *s, const void *data, size_t len)
{
	const unsigned char *octets = data;
	unsigned char high = 0;
	size_t cr = 0, nul = 0;

	for (size_t i = 0; i < len; i++) {
		high |= octets[i];
		cr += octets[i] == '\r';
		nul += octets[i] == '\0';
	}
	s->cr += cr;
	s->nul |= nul > 0;
	if (high & 0x80)
		s->eight_bit = true;
	if ((high & 0x80) || s->utf8_left > 0)
		utf8_add(s, octets, len);
	lines_add(s, data, len);
}

bool
scan_has_stray_cr(const struct scan *s)
{
	return s->cr != s->crlf;
}

bool
scan_is_refused(const struct scan *s)
{
	return s->longest > SCAN_LINE_MAX || s->line > SCAN_LINE_MAX || scan_has_stray_cr(s) ||
	       s->nul;
}

bool
scan_is_utf8(const struct scan *s)
{
	return !s->not_utf8 && s->utf8_left == 0;
}
