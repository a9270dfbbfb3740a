/*
 * The value is cut into tokens (words, quoted strings, comments, domain literals,
 * encoded words, <...>) and these into elements at commas, colons and semicolons.
 * Whoever can submit a message writes this text, so nothing is assumed of it:
 * a value in which something is opened and not closed has no mailbox.
 */
#include "relayd/session/mailbox.h"

#include <string.h>
#include <strings.h>

/* What stands between two separators.  All places are offsets into the value. */
struct element {
	size_t start, end;
	size_t first, last;  /* from the first word to the end of the last one */
	size_t open, closed; /* <...>; closed is 0 without it */
	bool has_at;         /* an @ among the words */
	bool junk;           /* words behind <...> */
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Behind the end of what begins at `at` and ends with `close`; 0: it does not end. */
static size_t
quoted_end(const char *s, size_t len, size_t at, char close)
{
	for (size_t i = at + 1; i < len; i++) {
		if (s[i] == '\\')
			i++;
		else if (s[i] == close)
			return i + 1;
	}
	return 0;
}

static size_t
comment_end(const char *s, size_t len, size_t at)
{
	size_t depth = 0;

	for (size_t i = at; i < len; i++) {
		if (s[i] == '\\')
			i++;
		else if (s[i] == '(')
			depth++;
		else if (s[i] == ')' && --depth == 0)
			return i + 1;
	}
	return 0;
}

/* "=?utf-8?Q?Doe,_Joe?=" (RFC 2047): many a program leaves commas in it.  What is
 * no encoded word is an octet of a word. */
static size_t
encoded_word_end(const char *s, size_t len, size_t at)
{
	unsigned marks = 0;

	for (size_t i = at + 1; i < len && !is_blank(s[i]) && s[i] != '"'; i++)
		if (s[i] == '?' && ++marks == 4)
			return i + 1 < len && s[i + 1] == '=' ? i + 2 : at + 1;
	return at + 1;
}

/* Any token but <...>. */
static size_t
word_end(const char *s, size_t len, size_t at)
{
	switch (s[at]) {
	case '"':
		return quoted_end(s, len, at, '"');
	case '[':
		return quoted_end(s, len, at, ']');
	case '(':
		return comment_end(s, len, at);
	case '=':
		return at + 1 < len && s[at + 1] == '?' ? encoded_word_end(s, len, at) : at + 1;
	default:
		return at + 1;
	}
}

static size_t
token_end(const char *s, size_t len, size_t at)
{
	if (s[at] != '<')
		return word_end(s, len, at);
	for (size_t i = at + 1; i < len;) {
		if (s[i] == '>')
			return i + 1;
		i = word_end(s, len, i);
		if (i == 0)
			return 0;
	}
	return 0;
}

static void
word_add(struct element *e, const char *s, size_t at, size_t end)
{
	if (e->closed != 0) {
		e->junk = true;
		return;
	}
	if (e->last == 0)
		e->first = at;
	e->last = end;
	e->has_at |= s[at] == '@';
}

/* Reads the element at `at` up to its separator, which e->end is the place of. */
static bool
element_read(const char *s, size_t len, size_t at, struct element *e)
{
	*e = (struct element){ .start = at };
	while (at < len && s[at] != ',' && s[at] != ':' && s[at] != ';') {
		size_t end = token_end(s, len, at);

		if (end == 0)
			return false;
		if (s[at] == '<' && e->closed == 0) {
			e->open = at;
			e->closed = end;
		} else if (!is_blank(s[at]) && s[at] != '(') {
			word_add(e, s, at, end);
		}
		at = end;
	}
	e->end = at;
	return true;
}

static struct mailbox_part
trimmed(const char *s, size_t from, size_t to)
{
	while (from < to && is_blank(s[from]))
		from++;
	while (to > from && is_blank(s[to - 1]))
		to--;
	return (struct mailbox_part){ .text = s + from, .len = to - from };
}

static void
mailbox_set(struct mailbox *m, const char *s, const struct element *e)
{
	bool angle = e->closed != 0;
	size_t start = angle ? e->open : e->first, end = angle ? e->closed : e->last;

	*m = (struct mailbox){ .in_angle_brackets = angle,
		.before = trimmed(s, e->start, start),
		.address = { .text = s + start + angle, .len = end - start - 2 * (size_t)angle },
		.after = trimmed(s, e->junk ? e->end : end, e->end) };
	m->has_domain = angle ? memchr(m->address.text, '@', m->address.len) != NULL : e->has_at;
	m->alone = !e->junk;
}

bool
mailbox_find(const char *value, size_t len, struct mailbox *m)
{
	bool found = false, others = false;
	struct element e;

	for (size_t at = 0; at <= len; at = e.end + 1) {
		if (!element_read(value, len, at, &e))
			return false;
		if (!found && (e.has_at || e.closed != 0)) {
			mailbox_set(m, value, &e);
			found = true;
		} else {
			others |= e.last != 0 || e.closed != 0;
		}
		others |= e.end < len && value[e.end] == ':';
	}
	if (found)
		m->alone &= !others;
	return found;
}

bool
mailbox_is(const struct mailbox *m, const char *address)
{
	const char *at = strrchr(address, '@');
	size_t local = at == NULL ? 0 : (size_t)(at - address);

	return m->address.len == strlen(address) && memcmp(m->address.text, address, local) == 0 &&
	       strncasecmp(m->address.text + local, address + local, m->address.len - local) == 0;
}
