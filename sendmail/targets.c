/*
 * A list is first cut at its commas, outside of quotations and comments, and then
 * each element is judged alone.
 */
#include "sendmail/targets.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "spool/envelope.h"

#define ELEMENT_MAX 4096 /* octets; an address of this length is refused anyway */

static const char include_word[] = ":include:";
static const char no_memory[] = "out of memory"; /* ends the parse; no target is at fault */

struct walk {
	bool quoted, bracketed;
	unsigned comment; /* depth */
};

/* One octet of an element; true if it stands outside of all quotation. */
static bool
walk_plain(struct walk *w, char c)
{
	if (w->quoted) {
		w->quoted = c != '"';
		return false;
	}
	if (w->comment > 0 || c == '(') {
		w->comment += c == '(';
		w->comment -= c == ')';
		return false;
	}
	if (w->bracketed) {
		w->bracketed = c != ']';
		return false;
	}
	w->quoted = c == '"';
	w->bracketed = c == '[';
	return !w->quoted && !w->bracketed;
}

/* The first of the octets in stop that is no part of a quotation, or the end. */
static size_t
plain_find(const char *s, size_t len, const char *stop)
{
	struct walk w = { .comment = 0 };

	for (size_t i = 0; i < len; i++) {
		if (s[i] == '\\')
			i++;
		else if (walk_plain(&w, s[i]) && s[i] != '\0' && strchr(stop, s[i]) != NULL)
			return i;
	}
	return len;
}

/* To the comma or, whatever is open there, to the line end. */
static size_t
element_length(const char *s, size_t len, bool by_line)
{
	struct walk w = { .comment = 0 };
	size_t i = 0;

	for (; i < len && !(by_line && s[i] == '\n'); i++) {
		if (s[i] == '\\' && i + 1 < len && !(by_line && s[i + 1] == '\n'))
			i++;
		else if (walk_plain(&w, s[i]) && s[i] == ',')
			break;
	}
	return i;
}

/* The content of an element that is one quotation as a whole, or the element. */
static int
element_unquote(const char *s, size_t len, struct buf *b)
{
	struct walk w = { .comment = 0 };
	size_t end = 1;

	for (walk_plain(&w, *s); end < len && w.quoted; end++) {
		if (s[end] == '\\')
			end++;
		else
			walk_plain(&w, s[end]);
	}
	if (*s != '"' || w.quoted || end != len)
		return buf_append(b, s, len);
	for (size_t i = 1; i < len - 1; i++) {
		if (s[i] == '\\' && i + 2 < len)
			i++;
		if (buf_append(b, s + i, 1) < 0)
			return -1;
	}
	return 0;
}

/* What no address begins with: the target as another thing than an address, and why
 * it cannot be used. */
static const char *
special_check(const char *plain, struct target *t)
{
	if (*plain == '|')
		return "pipes are not supported";
	if (*plain == '/')
		return "files are not supported";
	if (*plain == '#')
		return "a comment must stand on a line of its own";
	if (strncasecmp(plain, include_word, strlen(include_word)) != 0)
		return "no target but :include: begins with a colon";
	t->path = plain + strlen(include_word);
	t->path += strspn(t->path, " \t");
	t->kind = TARGET_INCLUDE;
	return *t->path == '/' ? NULL : "an :include: needs an absolute path";
}

/* Why something could not be kept. */
static const char *
no_room(void)
{
	return errno == ENOBUFS ? "it is too long" : no_memory;
}

struct taken {
	struct address address;
	struct buf *text;
};

static int
address_take(void *context, const struct address *a)
{
	struct taken *taken = context;

	taken->address = *a;
	return buf_add_string(taken->text, a->text);
}

/* Makes the one address that the element is the target's; or says what is wrong. */
static const char *
address_check(const char *s, size_t len, struct target *t, struct buf *text)
{
	struct taken taken = { .text = text };
	const char *error = NULL;

	if (plain_find(s, len, ":;") < len)
		return "it has a colon or semicolon; an alias begins at the start of a line";
	if (address_list_parse(s, len, address_take, &taken, &error) < 0)
		return error != NULL ? error : no_room();
	if (text->len == 0)
		return "it is no address";
	t->address = taken.address;
	t->address.text = text->data;
	t->kind = TARGET_ADDRESS;
	if (!t->address.bare)
		return envelope_address_check(text->data);
	/* whatever is around it, a name does not begin so */
	if (strchr("|/:", text->data[text->data[0] == '"']) != NULL)
		return "pipes and files are not supported";
	/* what it will be completed with is not known here */
	if (buf_add_string(text, "@x") < 0)
		return no_room();
	error = envelope_address_check(text->data);
	buf_truncate(text, text->len - 2);
	t->address.text = buf_string(text);
	return error;
}

static int
element_give(const char *s, size_t len, struct target *t, target_function *function, void *context)
{
	struct buf text = BUF_INIT(ELEMENT_MAX), plain = BUF_INIT(ELEMENT_MAX);
	int result;

	text_copy_printable(t->written, sizeof(t->written), s, len);
	if (memchr(s, '\0', len) != NULL)
		t->problem = "it contains a NUL octet";
	else if (element_unquote(s, len, &plain) < 0)
		t->problem = no_room();
	else if (strchr("|/:#", *buf_string(&plain)) != NULL && plain.len > 0)
		t->problem = special_check(plain.data, t);
	else
		t->problem = address_check(s, len, t, &text);
	if (t->problem != NULL)
		t->kind = TARGET_BAD;
	result = t->problem == no_memory ? -1 : function(context, t);
	buf_free(&text);
	buf_free(&plain);
	return result;
}

int
targets_parse(const char *text, size_t len, unsigned line, bool by_line, target_function *function,
    void *context)
{
	size_t at = 0;

	while (at < len) {
		size_t n = element_length(text + at, len - at, by_line);
		struct target t = { .kind = TARGET_BAD };
		size_t from = at, end = at + n;
		int r = 0;

		for (; from < end && strchr(" \t\n\r,", text[from]) != NULL && text[from] != '\0';
		     from++)
			line += text[from] == '\n';
		t.line = line;
		for (size_t i = from; i < end; i++)
			line += text[i] == '\n';
		at = end;
		while (
		    end > from && strchr(" \t\n\r", text[end - 1]) != NULL && text[end - 1] != '\0')
			end--;
		if (end > from)
			r = element_give(text + from, end - from, &t, function, context);
		if (r != 0)
			return r;
		if (at < len)
			line += text[at++] == '\n';
	}
	return 0;
}

static void
line_ends_unify(struct buf *b)
{
	char *from = memchr(b->data, '\r', b->len), *end = b->data + b->len, *to = from;

	if (from == NULL)
		return;
	for (; from < end; from++)
		if (*from != '\r' || from + 1 == end || from[1] != '\n')
			*to++ = *from;
	buf_truncate(b, (size_t)(to - b->data));
}

static void
comments_blank(struct buf *b)
{
	char *s = b->data, *end = b->data + b->len;

	while (s < end) {
		char *lf = memchr(s, '\n', (size_t)(end - s)), *first = s;

		lf = lf == NULL ? end : lf;
		while (first < lf && (*first == ' ' || *first == '\t'))
			first++;
		if (first < lf && *first == '#')
			memset(first, ' ', (size_t)(lf - first));
		s = lf + 1;
	}
}

int
targets_load(const char *path, size_t max, struct buf *b, uid_t *owner, mode_t *mode)
{
	int fd = file_open_regular(AT_FDCWD, path, 0), r, saved;
	struct stat st;

	*b = BUF_INIT(max);
	if (fd < 0)
		return -1;
	r = fstat(fd, &st) < 0 ? -1 : file_read_all(fd, b);
	saved = errno;
	close(fd);
	errno = saved;
	if (r < 0) {
		buf_free(b);
		return -1;
	}
	*owner = st.st_uid;
	*mode = st.st_mode;
	if (b->len >= 3 && memcmp(b->data, "\xef\xbb\xbf", 3) == 0)
		buf_consume(b, 3);
	if (b->len > 0) {
		line_ends_unify(b);
		comments_blank(b);
	}
	return 0;
}

const char *
targets_load_problem(int error)
{
	switch (error) {
	case EINVAL:
		return "it is no regular file";
	case ENOBUFS:
		return "it is too large";
	default:
		return strerror(error);
	}
}
