/*
 * By the syntax of the field: addresses are cut into their tokens, and Content- fields
 * into parameters; all others are free text, as is an address field that is malformed.
 */
#include "relayd/session/convert_field.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "relayd/session/connect.h"
#include "relayd/session/convert_mime.h"
#include "relayd/session/encoded_words.h"

#define VALUE_MAX (16 << 20)
#define FOLD_COLUMN 60
#define WORD_MAX 900      /* octets of a word in the line of the name */
#define SECTION_OCTETS 60 /* of a parameter in one line */
#define DOMAIN_SIZE 256

static const char needs_smtputf8[] =
    "554 5.6.9 an address in the header needs SMTPUTF8, which the smarthost does not offer";
static const char no_boundary[] = "554 5.6.3 conversion to 7-bit is required but not possible: a "
				  "boundary has 8-bit characters";

/* ---- addresses -------------------------------------------------------------- */

struct list {
	const char *s;
	size_t len, at;
	struct buf *out;
	const char *refusal;
	size_t known; /* up to here it is known whether words are a name */
	bool is_name;
};

static bool
is_special(char c)
{
	return c != '\0' && strchr(",:;<>()", c) != NULL;
}

/* Behind what begins at `at` and ends with `close`; 0: it does not end. */
static size_t
quoted_end(const struct list *l, size_t at, char close)
{
	for (size_t i = at + 1; i < l->len; i++) {
		if (l->s[i] == '\\')
			i++;
		else if (l->s[i] == close)
			return i + 1;
	}
	return 0;
}

static size_t
comment_end(const struct list *l, size_t at)
{
	size_t depth = 0;

	for (size_t i = at; i < l->len; i++) {
		if (l->s[i] == '\\')
			i++;
		else if (l->s[i] == '(')
			depth++;
		else if (l->s[i] == ')' && --depth == 0)
			return i + 1;
	}
	return 0;
}

/* Behind the words that begin at `at`: up to a separator, an angle bracket or a
 * comment.  0: a quoted string does not end. */
static size_t
words_end(const struct list *l, size_t at)
{
	while (at < l->len && !is_special(l->s[at])) {
		if (l->s[at] == '"' || l->s[at] == '[')
			at = quoted_end(l, at, l->s[at] == '[' ? ']' : '"');
		else
			at++;
		if (at == 0)
			return 0;
	}
	return at;
}

/* Is there an angle bracket or a colon behind these words, so that they are a name?
 * One look is enough for all words up to there. */
static bool
is_name(struct list *l)
{
	size_t at = l->at;

	if (at < l->known)
		return l->is_name;
	l->is_name = false;
	l->known = l->len;
	while (at != 0 && at < l->len) {
		if (l->s[at] == '(') {
			at = comment_end(l, at);
		} else if (is_special(l->s[at])) {
			l->is_name = l->s[at] == '<' || l->s[at] == ':';
			l->known = at;
			break;
		} else {
			at = words_end(l, at);
		}
	}
	return l->is_name;
}

/* A name or the text of a comment. */
static int
name_add(struct list *l, const char *s, size_t len)
{
	struct buf text = BUF_INIT(VALUE_MAX);
	int r = text_dequote(s, len, &text);

	if (line_column(l->out) > FOLD_COLUMN / 2)
		buf_add_string(l->out, "\r\n ");
	if (r == 0)
		r = encoded_words_add(l->out, buf_string(&text), text.len, true);
	buf_free(&text);
	return r;
}

/* local-part@domain with A-labels.  1; 0: refused; -1. */
static int
address_add(struct list *l, const char *s, size_t len)
{
	const char *at = memrchr(s, '@', len);
	size_t local = at == NULL ? len : (size_t)(at - s) + 1;
	char domain[DOMAIN_SIZE], ascii[DOMAIN_SIZE];

	if (text_is_ascii(s, local) && len - local < sizeof(domain)) {
		snprintf(domain, sizeof(domain), "%.*s", (int)(len - local), s + local);
		if (connect_ascii_host(domain, ascii, sizeof(ascii)) == 0) {
			buf_append(l->out, s, local);
			return buf_add_string(l->out, ascii) < 0 ? -1 : 1;
		}
	}
	l->refusal = needs_smtputf8;
	return 0;
}

/* Words up to `end`, with the blanks around them. */
static int
words_add(struct list *l, size_t end)
{
	const char *s = l->s + l->at;
	size_t len = end - l->at, blanks = 0, tail = 0;
	int r;

	if (text_is_ascii(s, len))
		return buf_append(l->out, s, len) < 0 ? -1 : 1;
	while (s[blanks] == ' ' || s[blanks] == '\t')
		blanks++;
	while (s[len - tail - 1] == ' ' || s[len - tail - 1] == '\t')
		tail++;
	buf_append(l->out, s, blanks);
	s += blanks;
	len -= blanks + tail;
	if (is_name(l) || memchr(s, '@', len) == NULL)
		r = name_add(l, s, len) < 0 ? -1 : 1;
	else
		r = address_add(l, s, len);
	return r > 0 && buf_append(l->out, s + len, tail) < 0 ? -1 : r;
}

static int
comment_add(struct list *l, size_t end)
{
	const char *s = l->s + l->at;
	size_t len = end - l->at;

	if (text_is_ascii(s, len))
		return buf_append(l->out, s, len) < 0 ? -1 : 1;
	if (line_column(l->out) > FOLD_COLUMN / 2)
		buf_add_string(l->out, "\r\n ");
	buf_add_char(l->out, '(');
	encoded_words_add(l->out, s + 1, len - 2, true);
	return buf_add_char(l->out, ')') < 0 ? -1 : 1;
}

static int
angle_add(struct list *l, size_t end)
{
	const char *s = l->s + l->at;
	size_t len = end - l->at;
	int r;

	if (line_column(l->out) > 1 && line_column(l->out) + len > FOLD_COLUMN)
		buf_add_string(l->out, "\r\n ");
	if (text_is_ascii(s, len))
		return buf_append(l->out, s, len) < 0 ? -1 : 1;
	buf_add_char(l->out, '<');
	r = address_add(l, s + 1, len - 2);
	return r > 0 && buf_add_char(l->out, '>') < 0 ? -1 : r;
}

static int
separator_add(struct list *l)
{
	buf_add_char(l->out, l->s[l->at]);
	if (line_column(l->out) > FOLD_COLUMN && l->at + 1 < l->len)
		buf_add_string(
		    l->out, l->s[l->at + 1] == ' ' || l->s[l->at + 1] == '\t' ? "\r\n" : "\r\n ");
	return l->out->failed ? -1 : 1;
}

/* 1; 0: the list is malformed, or refused; -1. */
static int
list_add(struct list *l)
{
	int r = 1;

	while (r > 0 && l->at < l->len) {
		size_t end = l->at + 1;

		switch (l->s[l->at]) {
		case '(':
			end = comment_end(l, l->at);
			r = end == 0 ? 0 : comment_add(l, end);
			break;
		case '<':
			end = quoted_end(l, l->at, '>');
			r = end == 0 ? 0 : angle_add(l, end);
			break;
		case ',':
		case ':':
		case ';':
			r = separator_add(l);
			break;
		case '>':
		case ')':
			r = 0;
			break;
		default:
			end = words_end(l, l->at);
			r = end == 0 ? 0 : words_add(l, end);
			break;
		}
		l->at = end;
	}
	return r;
}

static int
addresses_add(const char *value, size_t len, struct buf *out, const char **refusal)
{
	struct list l = { .s = value, .len = len, .out = out };
	size_t start = out->len;
	int r = list_add(&l);

	*refusal = l.refusal;
	if (r != 0 || l.refusal != NULL)
		return r;
	buf_truncate(out, start);
	return encoded_words_add(out, value, len, false) < 0 ? -1 : 1;
}

/* ---- parameters -------------------------------------------------------------- */

static void
octet_add(struct buf *out, char c)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789!#$&+-.^_`|~";

	if (c != '\0' && strchr(plain, c) != NULL)
		buf_add_char(out, c);
	else
		buf_addf(out, "%%%02X", (unsigned char)c);
}

/* name*=utf-8''..., in as many sections as it takes (RFC 2231 sections 3 and 4). */
static void
extended_add(struct buf *out, const struct parameter *p, const char *text, size_t len)
{
	const char *charset = encoded_words_charset(text, len);
	bool sections = 3 * len > SECTION_OCTETS;
	int name = (int)p->name_len;

	buf_addf(out, "\r\n %.*s*%s=%s''", name, p->text, sections ? "0*" : "", charset);
	for (size_t i = 0, section = 0, used = 0; i < len; i++, used += 3) {
		if (sections && used >= SECTION_OCTETS) {
			buf_addf(out, ";\r\n %.*s*%zu*=", name, p->text, ++section);
			used = 0;
		}
		octet_add(out, text[i]);
	}
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Where nothing else can be done: only what may not be sent is replaced. */
static void
escaped_add(struct buf *out, const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (is_blank(s[i]) && i + 1 < len && !is_blank(s[i + 1]) &&
		    line_column(out) > FOLD_COLUMN)
			buf_add_string(out, "\r\n");
		if ((unsigned char)s[i] >= 0x80 || s[i] == '\r')
			buf_addf(out, "%%%02X", (unsigned char)s[i]);
		else
			buf_add_char(out, s[i]);
	}
}

static int
parameter_add(const struct parameter *p, struct buf *out, const char **refusal)
{
	struct buf text = BUF_INIT(VALUE_MAX);

	if (text_is_ascii(p->text, p->len)) {
		if (line_column(out) + p->len > FOLD_COLUMN)
			buf_add_string(out, "\r\n");
		buf_add_char(out, ' ');
		return buf_append(out, p->text, p->len) < 0 ? -1 : 1;
	}
	if (parameter_is(p, "boundary")) {
		*refusal = no_boundary;
		return 0;
	}
	if (p->value == NULL || memchr(p->text, '*', p->name_len) != NULL ||
	    !text_is_ascii(p->text, p->name_len)) {
		buf_add_string(out, "\r\n ");
		escaped_add(out, p->text, p->len);
	} else if (text_dequote(p->value, p->value_len, &text) < 0) {
		out->failed = true;
	} else {
		extended_add(out, p, buf_string(&text), text.len);
	}
	buf_free(&text);
	return out->failed ? -1 : 1;
}

static int
parameters_add(const char *value, struct buf *out, const char **refusal)
{
	size_t first = strcspn(value, ";"), type = strcspn(value, ";(");
	const char *s = value + first;
	struct parameter p;
	int r = 1;

	/* a comment may stand right behind the type, which must stay what it is */
	if (encoded_words_add(out, value, type, false) < 0)
		return -1;
	escaped_add(out, value + type, first - type);
	while (r > 0 && parameter_next(&s, &p)) {
		buf_add_char(out, ';');
		r = parameter_add(&p, out, refusal);
	}
	return r;
}

/* ---- fields -------------------------------------------------------------------- */

static bool
is_one_of(const struct field *f, const char *const names[])
{
	while (*names != NULL && !field_is(f, *names))
		names++;
	return *names != NULL;
}

static int
value_add(const struct field *f, struct buf *value, struct buf *out, const char **refusal)
{
	static const char *const addresses[] = { "From", "Sender", "Reply-To", "To", "Cc", "Bcc",
		"Resent-From", "Resent-Sender", "Resent-To", "Resent-Cc", "Resent-Bcc",
		"Resent-Reply-To", "Return-Path", "Disposition-Notification-To", NULL };
	static const char *const parameters[] = { "Content-Type", "Content-Disposition", NULL };

	if (is_one_of(f, addresses))
		return addresses_add(buf_string(value), value->len, out, refusal);
	if (is_one_of(f, parameters)) {
		value_remove_nul(value);
		return parameters_add(buf_string(value), out, refusal);
	}
	return encoded_words_add(out, buf_string(value), value->len, false) < 0 ? -1 : 1;
}

int
convert_field(const struct field *f, struct buf *out, const char **refusal)
{
	struct buf value = BUF_INIT(VALUE_MAX);
	int r = -1;

	*refusal = NULL;
	if (text_is_ascii(f->text, f->len))
		return buf_append(out, f->text, f->len) < 0 ? -1 : 1;
	if (field_unfold(f, &value) == 0) {
		size_t word = strcspn(buf_string(&value), " \t");
		bool folds = f->name_len > FOLD_COLUMN / 2 ||
			     (word > WORD_MAX && text_is_ascii(buf_string(&value), word));

		buf_append(out, f->text, f->name_len);
		buf_add_string(out, folds ? ":\r\n " : ": ");
		r = value_add(f, &value, out, refusal);
		buf_add_string(out, "\r\n");
	}
	buf_free(&value);
	return out->failed ? -1 : r;
}
