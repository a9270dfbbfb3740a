/*
 * Folding puts CRLF before a blank that is there already, so that unfolding gives
 * back every octet.  Of free text only those words are encoded that cannot stay; the
 * blanks between two encoded words do not count when they are read (RFC 2047 section
 * 6.2), so such blanks go into the words.
 */
#include "sendmail/field.h"

#include <string.h>
#include <strings.h>

#include "sendmail/encoded_word.h"
#include "sendmail/scan.h"

#define LINE_WANTED 78
#define WORD_MAX 900 /* octets of a word, with the blanks before it, that may stay */
#define TEXT_MAX (5 * HEADER_OCTETS_MAX)
#define ROOM_MIN 30
#define REASON_LONG "a line is longer than 998 octets and cannot be broken"
#define REASON_NUL "it contains a NUL octet"

static const char *const with_addresses[] = { "From", "Sender", "Reply-To", "To", "Cc", "Bcc",
	"Resent-From", "Resent-Sender", "Resent-Reply-To", "Resent-To", "Resent-Cc", "Resent-Bcc",
	"Errors-To", "Disposition-Notification-To", "Return-Receipt-To", "Mail-Followup-To",
	"Mail-Reply-To", NULL };

/* Others in which encoded words would be no text but part of a syntax. */
static const char *const structured[] = { "Date", "Message-ID", "In-Reply-To", "References",
	"Received", "Return-Path", "Resent-Date", "Resent-Message-ID", "MIME-Version", "Keywords",
	"List-Archive", "List-Help", "List-ID", "List-Owner", "List-Post", "List-Subscribe",
	"List-Unsubscribe", "List-Unsubscribe-Post", "DKIM-Signature", "Authentication-Results",
	"ARC-Authentication-Results", "ARC-Message-Signature", "ARC-Seal", "Received-SPF",
	"Auto-Submitted", "Autocrypt", "Delivered-To", "Original-Recipient", "Expires",
	"Importance", "Priority", "Sensitivity", NULL };

static bool
is_one_of(const struct header *h, const struct field *f, const char *const *names)
{
	for (; *names != NULL; names++)
		if (header_is(h, f, *names))
			return true;
	return false;
}

static bool
is_content_field(const struct header *h, const struct field *f)
{
	return f->name_len > 8 && strncasecmp(h->text.data + f->start, "Content-", 8) == 0 &&
	       !header_is(h, f, "Content-Description");
}

static bool
text_is_refused(const char *s, size_t len)
{
	struct scan scan = { .line = 0 };

	scan_add(&scan, s, len);
	return scan_is_refused(&scan);
}

bool
field_is_refused(const struct header *h, const struct field *f)
{
	return text_is_refused(h->text.data + f->start, f->len);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static size_t
blanks_length(const char *s, size_t len)
{
	size_t n = 0;

	while (n < len && is_blank(s[n]))
		n++;
	return n;
}

/* Octets of the line at the end of b. */
static size_t
column(const struct buf *b, size_t start)
{
	const char *lf = memrchr(b->data + start, '\n', b->len - start);

	return lf == NULL ? b->len - start : (size_t)(b->data + b->len - lf) - 1;
}

/* ---- folding -------------------------------------------------------------- */

struct folding {
	struct buf *out;
	char separator; /* behind which a blank may be put in; 0: nowhere */
	bool quoted;
	bool escaped;
	unsigned comment;
};

/* Follows strings in quotes and comments; is c a separator outside of them? */
static bool
separator_here(struct folding *f, char c)
{
	if (f->escaped) {
		f->escaped = false;
		return false;
	}
	if (c == '\\')
		f->escaped = f->quoted || f->comment > 0;
	else if (c == '"' && f->comment == 0)
		f->quoted = !f->quoted;
	else if (c == '(' && !f->quoted)
		f->comment++;
	else if (c == ')' && !f->quoted && f->comment > 0)
		f->comment--;
	return c == f->separator && !f->quoted && f->comment == 0;
}

/* One line without its end, of which the first `at` octets stay together. */
static int
line_fold(struct folding *f, const char *s, size_t len, size_t at)
{
	bool fold = len > SCAN_LINE_MAX, first = at > 0, after_separator = false;
	size_t col = at;

	for (size_t i = 0; i < at; i++)
		separator_here(f, s[i]);
	if (buf_append(f->out, s, at) < 0)
		return -1;
	while (at < len) {
		size_t blanks = blanks_length(s + at, len - at), n = blanks;
		bool separated = false;

		while (at + n < len && !is_blank(s[at + n]) && !separated)
			separated = separator_here(f, s[at + n++]);
		/* a line of nothing but blanks must not come out */
		if (fold && n > blanks && col > 0 && (blanks > 0 || after_separator) &&
		    col + n > (first ? SCAN_LINE_MAX : LINE_WANTED)) {
			buf_add_string(f->out, blanks > 0 ? "\r\n" : "\r\n ");
			col = blanks > 0 ? 0 : 1;
		}
		if (buf_append(f->out, s + at, n) < 0)
			return -1;
		first = first && n == blanks;
		after_separator = separated;
		col += n;
		at += n;
	}
	return 0;
}

/* A field with its long lines folded where that is possible. */
static int
field_fold(const char *s, size_t len, size_t value, char separator, struct buf *out)
{
	struct folding f = { .out = out, .separator = separator };

	while (len > 0) {
		const char *lf = memchr(s, '\n', len);
		size_t n = lf == NULL ? len : (size_t)(lf - s) + 1;
		size_t text = lf != NULL && lf > s && lf[-1] == '\r' ? n - 2 : n;

		/* a continuation keeps its first blanks with its first word */
		if (line_fold(&f, s, text, value) < 0 || buf_append(out, s + text, n - text) < 0)
			return -1;
		value = 0;
		s += n;
		len -= n;
	}
	return out->failed ? -1 : 0;
}

/* ---- encoded words -------------------------------------------------------- */

struct rewriting {
	struct buf *out;
	size_t start;       /* of the field in out */
	struct buf run;     /* text that is to be encoded */
	bool after_encoded; /* the last word that was written is an encoded one */
	bool begun;         /* a word has been written */
};

static int
word_write(struct rewriting *w, const char *blanks, size_t blanks_len, const char *s, size_t len)
{
	size_t max = w->begun ? LINE_WANTED : SCAN_LINE_MAX;

	if (len > 0 && column(w->out, w->start) + blanks_len + len > max)
		buf_add_string(w->out, blanks_len > 0 ? "\r\n" : "\r\n ");
	w->begun |= len > 0;
	w->after_encoded = encoded_word_is(s, len);
	return buf_append(w->out, blanks, blanks_len) < 0 ? -1 : buf_append(w->out, s, len);
}

/* How much is left of the line for an encoded word. */
static size_t
room_left(const struct rewriting *w)
{
	size_t col = column(w->out, w->start);
	size_t room = col < LINE_WANTED - 2 ? LINE_WANTED - 2 - col : 0;

	/* a few characters are not worth a word */
	if (room < ROOM_MIN)
		return 0;
	return room < ENCODED_WORD_MAX ? room : ENCODED_WORD_MAX;
}

static int
run_flush(struct rewriting *w)
{
	const char *text = buf_string(&w->run);

	if (w->run.len == 0)
		return 0;
	w->after_encoded = true;
	w->begun = true;
	if (encoded_word_add(
		w->out, encoded_word_charset(text, w->run.len), text, w->run.len, room_left(w)) < 0)
		return -1;
	buf_reset(&w->run);
	return 0;
}

/* Blanks, then the word; without a word these are the last blanks. */
static bool
word_must_go(const struct rewriting *w, const char *s, size_t blanks, size_t len)
{
	if (len == 0)
		return w->run.len > 0 || column(w->out, w->start) + blanks > SCAN_LINE_MAX;
	return blanks + len > WORD_MAX || memchr(s + blanks, '\r', len) != NULL ||
	       memchr(s + blanks, '\0', len) != NULL;
}

/* The first word that must be encoded, or the next of them. */
static int
run_add(struct rewriting *w, const char *s, size_t blanks, size_t len)
{
	size_t kept = 0;

	if (w->run.len == 0 && w->after_encoded) {
		/* this blank does not count between encoded words */
		if (buf_add_string(w->out, "\r\n ") < 0)
			return -1;
	} else if (w->run.len == 0) {
		kept = blanks > ROOM_MIN ? 1 : blanks;
		if (room_left(w) < kept + ROOM_MIN)
			buf_add_string(w->out, kept > 0 ? "\r\n" : "\r\n ");
		if (buf_append(w->out, s, kept) < 0)
			return -1;
	}
	return buf_append(&w->run, s + kept, blanks + len - kept);
}

/* A long encoded word becomes several; 0 if it is none, or cannot be divided. */
static int
word_split(struct rewriting *w, const char *s, size_t blanks, size_t len)
{
	struct buf words = BUF_INIT(TEXT_MAX);
	int r = 0;

	if (len > WORD_MAX && blanks <= ROOM_MIN)
		r = encoded_word_split(&words, s + blanks, len, ENCODED_WORD_MAX - ROOM_MIN);
	if (r > 0) {
		if (w->run.len > 0 && (buf_append(&w->run, s, blanks) < 0 || run_flush(w) < 0))
			r = -1;
		buf_add_string(w->out, "\r\n");
		buf_append(w->out, blanks > 0 ? s : " ", blanks > 0 ? blanks : 1);
		if (buf_append(w->out, buf_string(&words), words.len) < 0)
			r = -1;
		w->after_encoded = w->begun = true;
	}
	buf_free(&words);
	return r;
}

static int
word_add(struct rewriting *w, const char *s, size_t blanks, size_t len)
{
	int r = word_split(w, s, blanks, len);

	if (r != 0)
		return r < 0 ? -1 : 0;
	if (word_must_go(w, s, blanks, len))
		return run_add(w, s, blanks, len);
	if (w->run.len == 0)
		return word_write(w, s, blanks, s + blanks, len);
	if (!encoded_word_is(s + blanks, len))
		return run_flush(w) < 0 ? -1 : word_write(w, s, blanks, s + blanks, len);
	if (buf_append(&w->run, s, blanks) < 0 || run_flush(w) < 0)
		return -1;
	return word_write(w, " ", 1, s + blanks, len);
}

static int
value_encode(const char *s, size_t len, struct buf *out, size_t start)
{
	struct rewriting w = { .out = out, .start = start, .run = BUF_INIT(TEXT_MAX) };
	int r = 0;

	for (size_t at = 0; at < len && r == 0;) {
		size_t blanks = blanks_length(s + at, len - at), n = 0;

		while (at + blanks + n < len && !is_blank(s[at + blanks + n]))
			n++;
		r = word_add(&w, s + at, blanks, n);
		at += blanks + n;
	}
	if (r == 0)
		r = run_flush(&w);
	buf_free(&w.run);
	return r < 0 || out->failed ? -1 : buf_add_string(out, "\r\n");
}

/* A field of free text, the words in it encoded that cannot stay. */
static int
field_encode(const char *s, size_t len, size_t value, struct buf *out)
{
	struct buf text = BUF_INIT(TEXT_MAX);
	size_t start = out->len;
	int r = buf_append(out, s, value);

	for (size_t i = value; i < len && r == 0; i++)
		if (s[i] == '\r' && i + 1 < len && s[i + 1] == '\n')
			i++;
		else
			r = buf_add_char(&text, s[i]);
	if (r == 0)
		r = value_encode(buf_string(&text), text.len, out, start);
	buf_free(&text);
	return r;
}

/* ---- both ----------------------------------------------------------------- */

/* CR without LF becomes a blank. */
static void
cr_replace(char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (s[i] == '\r' && (i + 1 == len || s[i + 1] != '\n'))
			s[i] = ' ';
}

static int
give_up(struct buf *b, size_t mark, const char *why, const char **reason)
{
	buf_truncate(b, mark);
	*reason = why;
	return -1;
}

int
field_repair(const struct header *h, const struct field *f, struct buf *b, const char **reason)
{
	struct buf text = BUF_INIT(TEXT_MAX);
	bool addresses = is_one_of(h, f, with_addresses), content = is_content_field(h, f);
	bool free_text = !addresses && !content && !is_one_of(h, f, structured);
	size_t mark = b->len, value = f->value - f->start;
	int r = -1;

	*reason = NULL;
	if (buf_append(&text, h->text.data + f->start, f->len) < 0)
		goto out;
	if (!free_text)
		cr_replace(text.data, text.len);
	if (!free_text && memchr(text.data, '\0', text.len) != NULL) {
		give_up(b, mark, REASON_NUL, reason);
		goto out;
	}
	r = field_fold(text.data, text.len, value, addresses ? ',' : content ? ';' : '\0', b);
	if (r == 0 && free_text && text_is_refused(b->data + mark, b->len - mark)) {
		buf_truncate(b, mark);
		r = field_encode(text.data, text.len, value, b);
	}
	if (r == 0 && text_is_refused(b->data + mark, b->len - mark))
		r = give_up(b, mark, REASON_LONG, reason);
out:
	buf_free(&text);
	return r;
}
