/*
 * Always the "Q" encoding, so that what was readable stays so.  Each word holds whole
 * characters (section 5): a reader may decode each alone.
 */
#include "sendmail/encoded_word.h"

#include <string.h>
#include <strings.h>

#include "base/encoding.h"
#include "base/text.h"

#define CHARSET_SIZE 32
#define FRAME 7 /* what stands around charset and text */
#define TEXT_MAX (64 << 20)

/* Where the parts of =?charset?encoding?text?= lie. */
struct parts {
	const char *charset, *text;
	size_t charset_len, text_len;
	char encoding;
};

static bool
parts_find(const char *s, size_t len, struct parts *p)
{
	const char *end = s + len - 2, *mark;

	if (len < 8 || memcmp(s, "=?", 2) != 0 || memcmp(end, "?=", 2) != 0)
		return false;
	p->charset = s + 2;
	mark = memchr(p->charset, '?', (size_t)(end - p->charset));
	if (mark == NULL || mark == p->charset || end - mark < 3 || mark[2] != '?')
		return false;
	p->charset_len = (size_t)(mark - p->charset);
	p->encoding = (char)(mark[1] & ~0x20);
	p->text = mark + 3;
	p->text_len = (size_t)(end - p->text);
	return (p->encoding == 'B' || p->encoding == 'Q') &&
	       memchr(p->text, '?', p->text_len) == NULL;
}

bool
encoded_word_is(const char *s, size_t len)
{
	struct parts p;

	return parts_find(s, len, &p);
}

const char *
encoded_word_charset(const char *text, size_t len)
{
	return text_is_utf8(text, len) ? "utf-8" : "unknown-8bit";
}

int
encoded_word_add(struct buf *b, const char *charset, const char *text, size_t len, size_t room)
{
	bool utf8 = strcasecmp(charset, "utf-8") == 0;
	size_t used = 0, frame = strlen(charset) + FRAME;

	for (size_t at = 0; at < len;) {
		size_t octets = utf8 ? text_utf8_length(text + at, len - at) : 1, n = 0;
		char encoded[16];

		octets = octets == 0 ? 1 : octets;
		for (size_t i = 0; i < octets; i++)
			n += q_encode(text[at + i], encoded + n);
		if (used > 0 && used + n + 2 > room) {
			buf_add_string(b, "?=\r\n ");
			used = 0;
			room = ENCODED_WORD_MAX;
		}
		if (used == 0 && frame + n > room) {
			buf_add_string(b, "\r\n ");
			room = ENCODED_WORD_MAX;
		}
		if (used == 0) {
			buf_addf(b, "=?%s?q?", charset);
			used = frame - 2;
		}
		if (buf_append(b, encoded, n) < 0)
			return -1;
		used += n;
		at += octets;
	}
	if (used > 0)
		buf_add_string(b, "?=");
	return b->failed ? -1 : 0;
}

static int
hex_value(char c)
{
	static const char digits[] = "0123456789ABCDEF";
	const char *at = c == '\0' ? NULL : strchr(digits, c >= 'a' && c <= 'f' ? c - 32 : c);

	return at == NULL ? -1 : (int)(at - digits);
}

/* 1; 0 if it is not what it says. */
static int
q_decode(const struct parts *p, struct buf *to)
{
	for (size_t i = 0; i < p->text_len; i++) {
		char c = p->text[i];

		if (c == '=') {
			int high = i + 2 < p->text_len ? hex_value(p->text[i + 1]) : -1;
			int low = high < 0 ? -1 : hex_value(p->text[i + 2]);

			if (low < 0)
				return 0;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (buf_add_char(to, c == '_' && p->text[i] == '_' ? ' ' : c) < 0)
			return -1;
	}
	return 1;
}

static int
b_decode(const struct parts *p, struct buf *to)
{
	static const char alphabet[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t len = p->text_len;
	unsigned bits = 0, count = 0;

	for (int i = 0; i < 2 && len > 0 && p->text[len - 1] == '='; i++)
		len--;
	for (size_t i = 0; i < len; i++) {
		const char *at = p->text[i] == '\0' ? NULL : strchr(alphabet, p->text[i]);

		if (at == NULL)
			return 0;
		bits = (bits << 6 | (unsigned)(at - alphabet)) & 0xffff;
		count += 6;
		if (count >= 8) {
			count -= 8;
			if (buf_add_char(to, (char)(bits >> count & 0xff)) < 0)
				return -1;
		}
	}
	return 1;
}

/* Can its text be cut between any two octets, or is it UTF-8? */
static bool
charset_is_plain(const char *charset)
{
	static const char *const plain[] = { "utf-8", "us-ascii", "iso-8859-", "windows-125",
		"koi8-", NULL };

	for (const char *const *name = plain; *name != NULL; name++)
		if (strncasecmp(charset, *name, strlen(*name)) == 0)
			return true;
	return false;
}

int
encoded_word_split(struct buf *b, const char *s, size_t len, size_t room)
{
	struct buf text = BUF_INIT(TEXT_MAX);
	struct parts p;
	char charset[CHARSET_SIZE];
	int r;

	if (!parts_find(s, len, &p) || p.charset_len >= sizeof(charset))
		return 0;
	memcpy(charset, p.charset, p.charset_len);
	charset[p.charset_len] = '\0';
	if (!charset_is_plain(charset) || strpbrk(charset, "\r\n\t ") != NULL)
		return 0;
	r = p.encoding == 'Q' ? q_decode(&p, &text) : b_decode(&p, &text);
	if (r > 0 && encoded_word_add(b, charset, buf_string(&text), text.len, room) < 0)
		r = -1;
	buf_free(&text);
	return r;
}
