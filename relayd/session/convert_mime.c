/*
 * A type that is not valid is text/plain (RFC 2045 section 5.2); a parameter may have
 * specials without quotes.
 */
#include "relayd/session/convert_mime.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define VALUE_MAX (16 << 20)

int
field_unfold(const struct field *f, struct buf *to)
{
	const char *s = f->value, *end = f->value + f->value_len;
	size_t start = to->len;

	while (s < end) {
		const char *lf = memchr(s, '\n', (size_t)(end - s));
		size_t n = lf == NULL ? (size_t)(end - s) : (size_t)(lf - s);

		if (lf != NULL && n > 0 && s[n - 1] == '\r')
			n--;
		if (to->len == start)
			while (n > 0 && (*s == ' ' || *s == '\t')) {
				s++;
				n--;
			}
		if (buf_append(to, s, n) < 0)
			return -1;
		s = lf == NULL ? end : lf + 1;
	}
	while (to->len > start && (to->data[to->len - 1] == ' ' || to->data[to->len - 1] == '\t'))
		buf_truncate(to, to->len - 1);
	return 0;
}

void
value_remove_nul(struct buf *value)
{
	size_t n = 0;

	for (size_t i = 0; i < value->len; i++)
		if (value->data[i] != '\0')
			value->data[n++] = value->data[i];
	if (n < value->len)
		buf_truncate(value, n);
}

int
text_dequote(const char *s, size_t len, struct buf *to)
{
	bool quoted = false;

	for (size_t i = 0; i < len; i++) {
		if (s[i] == '"') {
			quoted = !quoted;
			continue;
		}
		if (quoted && s[i] == '\\' && i + 1 < len)
			i++;
		if (buf_add_char(to, s[i]) < 0)
			return -1;
	}
	return 0;
}

static size_t
trimmed_length(const char *s, size_t len)
{
	while (len > 0 && (s[len - 1] == ' ' || s[len - 1] == '\t'))
		len--;
	return len;
}

/* To the next semicolon outside quotes, or the end. */
static const char *
parameter_end(const char *s)
{
	bool quoted = false;

	for (; *s != '\0' && (quoted || *s != ';'); s++) {
		if (quoted && *s == '\\' && s[1] != '\0')
			s++;
		else if (*s == '"')
			quoted = !quoted;
	}
	return s;
}

bool
parameter_next(const char **s, struct parameter *p)
{
	const char *end, *mark;

	*s = parameter_end(*s);
	if (**s == '\0')
		return false;
	*p = (struct parameter){ .text = *s + 1 + strspn(*s + 1, " \t") };
	end = parameter_end(p->text);
	p->len = trimmed_length(p->text, (size_t)(end - p->text));
	mark = memchr(p->text, '=', p->len);
	p->name_len = trimmed_length(p->text, mark == NULL ? p->len : (size_t)(mark - p->text));
	if (mark != NULL) {
		p->value = mark + 1;
		while (p->value < p->text + p->len && (*p->value == ' ' || *p->value == '\t'))
			p->value++;
		p->value_len = (size_t)(p->text + p->len - p->value);
	}
	*s = end;
	return true;
}

bool
parameter_is(const struct parameter *p, const char *name)
{
	return p->name_len == strlen(name) && strncasecmp(p->text, name, p->name_len) == 0;
}

/* The length of a token (RFC 2045 section 5.1). */
static size_t
token_length(const char *s)
{
	return strspn(s, "!#$%&'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`"
			 "abcdefghijklmnopqrstuvwxyz{|}~");
}

static bool
token_is(const char *s, size_t len, const char *word)
{
	return len == strlen(word) && strncasecmp(s, word, len) == 0;
}

/* The value of a parameter without comment behind it; "" if it is not fit. */
static int
boundary_copy(const struct parameter *p, char to[MIME_BOUNDARY_MAX])
{
	struct buf text = BUF_INIT(VALUE_MAX);
	size_t len = p->value_len;

	if (*p->value != '"') {
		len = 0;
		while (len < p->value_len && p->value[len] != ' ' && p->value[len] != '\t')
			len++;
	}
	if (text_dequote(p->value, len, &text) < 0)
		return -1;
	len = trimmed_length(buf_string(&text), text.len);
	if (len < MIME_BOUNDARY_MAX && memchr(buf_string(&text), '\0', len) == NULL)
		snprintf(to, MIME_BOUNDARY_MAX, "%.*s", (int)len, buf_string(&text));
	buf_free(&text);
	return 0;
}

static int
multipart_read(const char *subtype, size_t len, struct entity_type *t)
{
	const char *s = subtype + len;
	struct parameter p;

	t->kind = ENTITY_TEXT; /* without a boundary there are no parts */
	t->digest = token_is(subtype, len, "digest");
	t->report = token_is(subtype, len, "report");
	while (parameter_next(&s, &p)) {
		if (p.value == NULL || !parameter_is(&p, "boundary") || t->boundary[0] != '\0')
			continue;
		if (boundary_copy(&p, t->boundary) < 0)
			return -1;
	}
	if (t->boundary[0] != '\0')
		t->kind = token_is(subtype, len, "signed") ? ENTITY_SIGNED : ENTITY_MULTIPART;
	return 0;
}

static enum entity_kind
message_kind(const char *subtype, size_t len)
{
	if (token_is(subtype, len, "rfc822"))
		return ENTITY_MESSAGE;
	/* RFC 2046 sections 5.2.2.1 and 5.2.3: always 7bit */
	if (token_is(subtype, len, "partial") || token_is(subtype, len, "external-body"))
		return ENTITY_FIXED;
	/* RFC 6532 section 3.7: may be encoded */
	if (len >= 6 && strncasecmp(subtype, "global", 6) == 0)
		return ENTITY_DATA;
	return ENTITY_TEXT;
}

static int
type_read(const char *value, struct entity_type *t)
{
	size_t n = token_length(value), m;
	const char *subtype = value + n + 1;

	t->kind = ENTITY_TEXT;
	if (n == 0 || value[n] != '/')
		return 0;
	m = token_length(subtype);
	if (m == 0 || (subtype[m] != '\0' && strchr(" \t;(", subtype[m]) == NULL))
		return 0;
	if (token_is(value, n, "multipart"))
		return multipart_read(subtype, m, t);
	if (token_is(value, n, "message"))
		t->kind = message_kind(subtype, m);
	else if (!token_is(value, n, "text"))
		t->kind = ENTITY_DATA;
	return 0;
}

static enum entity_encoding
encoding_of(const char *value)
{
	size_t n = token_length(value);

	if (*value == '\0' || token_is(value, n, "7bit") || token_is(value, n, "8bit") ||
	    token_is(value, n, "binary"))
		return ENTITY_IDENTITY;
	if (token_is(value, n, "quoted-printable"))
		return ENTITY_QUOTED_PRINTABLE;
	return token_is(value, n, "base64") ? ENTITY_BASE64 : ENTITY_OTHER;
}

int
entity_type_read(const char *header, size_t len, bool in_digest, struct entity_type *t)
{
	struct buf value = BUF_INIT(VALUE_MAX);
	struct field f;
	size_t at = 0;
	int r = 0;

	*t = (struct entity_type){ .kind = in_digest ? ENTITY_MESSAGE : ENTITY_TEXT };
	while (r == 0 && field_next(header, len, &at, &f)) {
		bool type = field_is(&f, "Content-Type") && !t->has_type;
		bool encoding = field_is(&f, "Content-Transfer-Encoding") && !t->has_encoding;

		t->has_version |= field_is(&f, "MIME-Version");
		if (!type && !encoding)
			continue;
		buf_reset(&value);
		r = field_unfold(&f, &value);
		value_remove_nul(&value);
		if (r == 0 && type) {
			t->has_type = true;
			r = type_read(buf_string(&value), t);
		} else if (r == 0) {
			t->has_encoding = true;
			t->encoding = encoding_of(buf_string(&value));
		}
	}
	buf_free(&value);
	return r;
}
