/*
 * Always the "Q" encoding, so that what was readable stays so.  Each encoded word holds
 * whole characters (section 5): a reader may decode each alone.
 *
 * Readers drop the blanks between two encoded words (section 6.2).  So what is encoded
 * is a run of words with the blanks within it, and a blank towards an encoded word that
 * was there before is encoded, too.
 */
#include "relayd/session/encoded_words.h"

#include <string.h>

#include "base/encoding.h"
#include "base/text.h"

#define ENCODED_MAX 75
#define LINE 76
#define PLAIN_MAX 900 /* octets of a word that may stay as it is */

struct span {
	size_t blank, start, end; /* blanks, and the word behind them */
};

const char *
encoded_words_charset(const char *text, size_t len)
{
	return text_is_utf8(text, len) ? "utf-8" : "unknown-8bit";
}

size_t
line_column(const struct buf *b)
{
	const char *lf = b->len == 0 ? NULL : memrchr(b->data, '\n', b->len);

	return lf == NULL ? b->len : b->len - (size_t)(lf - b->data) - 1;
}

/* Text as encoded words, divided by CRLF and a blank. */
static int
run_add(struct buf *b, const char *charset, const char *text, size_t len)
{
	bool utf8 = strcmp(charset, "utf-8") == 0;
	size_t column = line_column(b), used = 0;

	/* what is left of the line counts for the first */
	column = column < 40 ? column : 0;
	for (size_t at = 0; at < len;) {
		size_t octets = utf8 ? text_utf8_length(text + at, len - at) : 1, n = 0;
		char encoded[16];

		octets = octets == 0 ? 1 : octets;
		for (size_t i = 0; i < octets; i++)
			n += q_encode(text[at + i], encoded + n);
		if (used > 0 && column + used + n + 2 > ENCODED_MAX) {
			buf_add_string(b, "?=\r\n ");
			used = column = 0;
		}
		if (used == 0) {
			buf_addf(b, "=?%s?q?", charset);
			used = strlen(charset) + 5;
		}
		if (buf_append(b, encoded, n) < 0)
			return -1;
		used += n;
		at += octets;
	}
	return buf_add_string(b, "?=");
}

static bool
is_encoded(const char *s, size_t len)
{
	size_t marks = 0;

	for (size_t i = 0; i < len; i++)
		marks += s[i] == '?';
	return len > 8 && marks == 4 && memcmp(s, "=?", 2) == 0 &&
	       memcmp(s + len - 2, "?=", 2) == 0 && text_is_ascii(s, len);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
span_next(const char *text, size_t len, size_t at, struct span *s)
{
	s->blank = s->start = at;
	while (s->start < len && is_blank(text[s->start]))
		s->start++;
	s->end = s->start;
	while (s->end < len && !is_blank(text[s->end]))
		s->end++;
	return s->end > s->start;
}

/* Is the word to be encoded? */
static bool
is_wanted(const char *text, const struct span *s, bool all)
{
	size_t n = s->end - s->start;

	return !is_encoded(text + s->start, n) &&
	       (all || n > PLAIN_MAX || !text_is_ascii(text + s->start, n));
}

/* How far a run goes that begins with a word; *before_encoded says what follows it. */
static size_t
run_end(const char *text, size_t len, const struct span *first, bool all, bool *before_encoded)
{
	size_t end = first->end;
	struct span s = *first;

	*before_encoded = false;
	while (span_next(text, len, s.end, &s)) {
		if (is_encoded(text + s.start, s.end - s.start)) {
			/* an ASCII word between is of neither */
			*before_encoded = s.blank == end;
			break;
		}
		if (is_wanted(text, &s, all))
			end = s.end;
	}
	return end;
}

/* The blanks before a word of that length, folded if it does not fit. */
static int
blanks_add(struct buf *b, const char *blanks, size_t len, size_t word)
{
	size_t column = line_column(b);

	len = len < PLAIN_MAX ? len : PLAIN_MAX;
	if (len > 0 && column > 1 && column + len + word > LINE)
		buf_add_string(b, "\r\n");
	return buf_append(b, blanks, len);
}

int
encoded_words_add(struct buf *b, const char *text, size_t len, bool all)
{
	const char *charset = encoded_words_charset(text, len);
	bool after_encoded = false, before_encoded;
	struct span s = { .end = 0 };

	while (span_next(text, len, s.end, &s)) {
		size_t from = after_encoded ? s.blank : s.start, to;

		if (!is_wanted(text, &s, all)) {
			blanks_add(b, text + s.blank, s.start - s.blank, s.end - s.start);
			if (buf_append(b, text + s.start, s.end - s.start) < 0)
				return -1;
			after_encoded = is_encoded(text + s.start, s.end - s.start);
			continue;
		}
		s.end = to = run_end(text, len, &s, all, &before_encoded);
		while (before_encoded && to < len && is_blank(text[to]))
			to++;
		blanks_add(b, text + s.blank, s.start - s.blank, LINE / 2);
		if (run_add(b, charset, text + from, to - from) < 0)
			return -1;
		after_encoded = false;
	}
	return buf_append(b, text + s.blank, len - s.blank < PLAIN_MAX ? len - s.blank : 0);
}
