/*
 * The text is read once, token by token.  A mailbox is either an address in angle
 * brackets behind any phrase, or words that form an address by themselves; which
 * of the two is known when its end (or its '<') comes, so the words are gathered
 * until then.
 */
#include "sendmail/address.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define ADDRESS_OCTETS_MAX 4096

enum token { END, WORD, LITERAL, SPECIAL, BAD };

struct lexer {
	const char *text;
	size_t len, at;
	size_t start; /* of the token */
	bool gap;     /* a blank or comment stands before it */
	const char *error;
};

struct parser {
	struct lexer lexer;
	enum token token;
	struct buf address; /* the words so far, joined */
	bool any;           /* there are some, even if they were too long to keep */
	bool no_memory;     /* they were not too long */
	bool joined;        /* they can be one address: no gap except around '.' and '@' */
	bool at;            /* an '@' has been seen */
	size_t begin, local_end, domain, domain_end;
	address_function *function;
	void *context;
	const char *error;
};

static enum token
lexer_fail(struct lexer *l, const char *error)
{
	l->error = error;
	return BAD;
}

static bool
comment_skip(struct lexer *l)
{
	int depth = 0;

	do {
		char c = l->text[l->at];

		if (c == '(' && ++depth > ADDRESS_COMMENT_DEPTH_MAX)
			return false;
		if (c == ')')
			depth--;
		if (c == '\\')
			l->at++;
		l->at++;
	} while (depth > 0 && l->at < l->len);
	return depth == 0;
}

static bool
quoted_skip(struct lexer *l, char end)
{
	size_t start = l->at;

	for (l->at++; l->at < l->len && l->text[l->at] != end; l->at++)
		if (l->text[l->at] == '\\')
			l->at++;
	l->at++;
	return l->at <= l->len && memchr(l->text + start, '\0', l->at - start) == NULL;
}

static bool
is_atext(unsigned char c)
{
	return c >= 0x80 || isalnum(c) ||
	       (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~.\\", c) != NULL);
}

static enum token
lexer_next(struct lexer *l)
{
	l->gap = false;
	while (l->at < l->len &&
	       (strchr(" \t\r\n(", l->text[l->at]) != NULL && l->text[l->at] != '\0')) {
		l->gap = true;
		if (l->text[l->at] != '(')
			l->at++;
		else if (!comment_skip(l))
			return lexer_fail(l, "a comment does not end, or is nested too deep");
	}
	l->start = l->at;
	if (l->at >= l->len)
		return END;
	switch (l->text[l->at]) {
	case '"':
		return quoted_skip(l, '"')
			   ? WORD
			   : lexer_fail(l, "a quotation does not end, or contains a NUL octet");
	case '[':
		return quoted_skip(l, ']')
			   ? LITERAL
			   : lexer_fail(
				 l, "an address in brackets does not end, or contains a NUL octet");
	case '<':
	case '>':
	case '@':
	case ',':
	case ';':
	case ':':
		l->at++;
		return SPECIAL;
	default:
		while (l->at < l->len && is_atext((unsigned char)l->text[l->at]))
			l->at++;
		return l->at > l->start ? WORD
					: lexer_fail(l, "it has a character that no address has");
	}
}

static void
advance(struct parser *p)
{
	p->token = lexer_next(&p->lexer);
}

static bool
is_special(const struct parser *p, char c)
{
	return p->token == SPECIAL && p->lexer.text[p->lexer.start] == c;
}

static int
fail(struct parser *p, const char *error)
{
	p->error = p->lexer.error != NULL ? p->lexer.error : error;
	return -1;
}

static void
words_reset(struct parser *p)
{
	buf_reset(&p->address);
	p->any = false;
	p->joined = true;
	p->at = false;
	p->begin = p->local_end = p->domain = p->domain_end = 0;
}

static char
last(const struct buf *b)
{
	return b->len == 0 ? '\0' : b->data[b->len - 1];
}

/* Adds the token to the words; a gap is allowed only beside '.' and '@'. */
static int
word_add(struct parser *p)
{
	const struct lexer *l = &p->lexer;
	const char *s = l->text + l->start;
	size_t n = l->at - l->start;

	if (!p->any)
		p->begin = l->start;
	p->any = true;
	if (p->address.len > 0 && l->gap && *s != '@' && *s != '.' && last(&p->address) != '@' &&
	    last(&p->address) != '.')
		p->joined = false;
	if (*s == '@') {
		if (p->at)
			p->joined = false;
		p->at = true;
	} else if (!p->at) {
		p->local_end = l->at;
	} else {
		if (p->domain == 0)
			p->domain = l->start;
		p->domain_end = l->at;
	}
	if (p->token == LITERAL && last(&p->address) != '@')
		p->joined = false;
	/* folding inside a quotation is not part of it */
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '\r' && i + 1 < n && s[i + 1] == '\n')
			i++;
		else if (buf_append(&p->address, s + i, 1) < 0)
			break;
	}
	if (p->address.failed) {
		/* a phrase may be long; an address may not */
		p->no_memory |= errno != ENOBUFS;
		buf_reset(&p->address);
		p->joined = false;
	}
	return 0;
}

static int
mailbox_end(struct parser *p)
{
	struct address a = { .text = buf_string(&p->address),
		.bare = !p->at,
		.begin = p->begin,
		.end = p->local_end,
		.domain = p->domain,
		.domain_end = p->domain_end };

	if (!p->joined)
		return fail(p, "it is no address: the words do not belong together");
	if (p->at && (p->address.data[0] == '@' || last(&p->address) == '@'))
		return fail(p, "a part beside the @ is missing");
	/* LSB: a backslash in front suppresses aliasing; it is not part of the name */
	if (a.text[0] == '\\' && a.text[1] != '\0') {
		a.text++;
		a.escaped = true;
	}
	if (p->function(p->context, &a) < 0) {
		p->error = NULL;
		return -1;
	}
	return 0;
}

/* "<" [route ":"] addr-spec ">"; "<>" is nobody. */
static int
angle_parse(struct parser *p)
{
	words_reset(p);
	advance(p);
	if (is_special(p, '@')) {
		/* obs-route: "@a,@b:" */
		while (p->token != END && p->token != BAD && !is_special(p, ':') &&
		       !is_special(p, '>'))
			advance(p);
		if (!is_special(p, ':'))
			return fail(p, "a route has no end");
		advance(p);
	}
	while (p->token == WORD || p->token == LITERAL || is_special(p, '@')) {
		word_add(p);
		advance(p);
	}
	if (!is_special(p, '>'))
		return fail(p, "the > behind an address is missing");
	advance(p);
	return p->any ? mailbox_end(p) : 0;
}

static bool
is_end_of_element(const struct parser *p)
{
	return p->token == END || is_special(p, ',') || is_special(p, ';');
}

/* One element of the list: a mailbox, the start of a group, or nothing. */
static int
element_parse(struct parser *p)
{
	bool angle = false;

	words_reset(p);
	for (;;) {
		if (p->token == WORD || p->token == LITERAL || is_special(p, '@')) {
			if (angle)
				return fail(p, "something follows an address without a comma");
			word_add(p);
			advance(p);
		} else if (is_special(p, '<')) {
			if (angle || angle_parse(p) < 0)
				return angle ? fail(p, "two addresses stand without a comma") : -1;
			angle = true;
			words_reset(p);
		} else if (is_special(p, ':') && !angle) {
			/* that was the name of a group */
			if (p->at)
				return fail(
				    p, "an address stands where the name of a group belongs");
			words_reset(p);
			advance(p);
		} else if (is_end_of_element(p)) {
			return angle || !p->any ? 0 : mailbox_end(p);
		} else {
			return fail(p, "it has a character where none belongs");
		}
	}
}

int
address_list_parse(
    const char *text, size_t len, address_function *function, void *context, const char **error)
{
	struct parser p = { .lexer = { .text = text, .len = len },
		.address = BUF_INIT(ADDRESS_OCTETS_MAX),
		.function = function,
		.context = context };
	int r = 0;

	advance(&p);
	while (r == 0 && p.token != END && !p.no_memory) {
		r = element_parse(&p);
		if (r == 0 && p.token != END)
			advance(&p);
	}
	*error = p.no_memory ? NULL : p.error;
	buf_free(&p.address);
	if (p.no_memory)
		errno = ENOMEM;
	return p.no_memory ? -1 : r;
}
