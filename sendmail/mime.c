/*
 * Values are read leniently, as readers of mail do: a type that is not valid is
 * text/plain (RFC 2045 section 5.2), a parameter may have specials without quotes.
 * CR counts as the blank that the repair of the header makes of it.
 */
#include "sendmail/mime.h"

#include <string.h>
#include <strings.h>

/* The value of a field without its line ends; the field may be missing. */
static int
value_copy(const struct header *h, const char *name, struct buf *b)
{
	const struct field *f = header_find(h, name);
	size_t end = f == NULL ? 0 : f->start + f->len;

	*b = BUF_INIT(4 * HEADER_OCTETS_MAX);
	for (size_t i = f == NULL ? 0 : f->value; i < end; i++) {
		char c = h->text.data[i];

		if (c == '\r' && i + 1 < end && h->text.data[i + 1] == '\n')
			continue;
		if (c != '\n' && buf_add_char(b, c == '\r' || c == '\t' ? ' ' : c) < 0) {
			buf_free(b);
			return -1;
		}
	}
	return 0;
}

/* The length of a token (RFC 2045 section 5.1). */
static size_t
token_length(const char *s)
{
	return strspn(s, "!#$%&'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`"
			 "abcdefghijklmnopqrstuvwxyz{|}~");
}

/* A value in quotes, or up to a semicolon or blank; returns what follows it.  What is
 * longer than the place becomes "". */
static const char *
parameter_value(const char *s, char *to, size_t size)
{
	size_t len = 0;
	bool quoted = *s == '"';

	s += quoted;
	for (; *s != '\0' && (quoted ? *s != '"' : *s != ';' && *s != ' '); s++) {
		if (quoted && *s == '\\' && s[1] != '\0')
			s++;
		if (len < size)
			to[len++] = *s;
	}
	while (len > 0 && len < size && to[len - 1] == ' ')
		len--;
	to[len < size ? len : 0] = '\0';
	return *s == '"' ? s + 1 : s;
}

/* Behind blanks and comments (RFC 5322 section 3.2.2); one that does not end is none. */
static const char *
blanks_skip(const char *s)
{
	unsigned depth = 0;
	const char *plain = s;

	for (; *s == ' ' || *s == '(' || depth > 0; s++) {
		if (*s == '\\' && s[1] != '\0')
			s++;
		else if (*s == '(')
			depth++;
		else if (*s == ')')
			depth--;
		else if (*s == '\0')
			return plain;
		if (depth == 0)
			plain = s + 1;
	}
	return s;
}

/* Looks for a parameter, behind the type.  `extended`: it has a form of RFC 2231. */
static bool
parameter_find(const char *s, const char *name, char *to, size_t size, bool *extended)
{
	char skipped[1];
	size_t n = strlen(name);

	*extended = false;
	for (;;) {
		bool found;

		s += strcspn(s, ";\"(");
		if (*s == '(') {
			const char *behind = blanks_skip(s);

			s = behind == s ? s + 1 : behind;
			continue;
		}
		if (*s == '"') {
			s = parameter_value(s, skipped, sizeof(skipped));
			continue;
		}
		if (*s == '\0')
			return false;
		s = blanks_skip(s + 1);
		found = strncasecmp(s, name, n) == 0;
		*extended |= found && s[n] == '*';
		if (!found)
			continue;
		s = blanks_skip(s + n);
		if (*s != '=')
			continue;
		parameter_value(blanks_skip(s + 1), to, size);
		return true;
	}
}

static bool
boundary_is_valid(const char *s)
{
	if (*s == '\0')
		return false;
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return false;
	return true;
}

static enum mime_kind
multipart_kind(const char *subtype, size_t len, const char *parameters, char *boundary)
{
	bool extended;

	if ((len == 6 && strncasecmp(subtype, "signed", 6) == 0) ||
	    (len == 9 && strncasecmp(subtype, "encrypted", 9) == 0))
		return MIME_OPAQUE;
	if (parameter_find(parameters, "boundary", boundary, MIME_BOUNDARY_SIZE, &extended) &&
	    boundary_is_valid(boundary))
		return MIME_MULTIPART;
	/* some readers see its parts; without a boundary there are none */
	return extended ? MIME_OPAQUE : MIME_TEXT;
}

static enum mime_kind
message_kind(const char *subtype, size_t len)
{
	if ((len == 6 && strncasecmp(subtype, "rfc822", 6) == 0) ||
	    (len == 6 && strncasecmp(subtype, "global", 6) == 0))
		return MIME_MESSAGE;
	/* RFC 2046 sections 5.2.2.1 and 5.2.3: always 7bit */
	if ((len == 7 && strncasecmp(subtype, "partial", 7) == 0) ||
	    (len == 13 && strncasecmp(subtype, "external-body", 13) == 0))
		return MIME_OPAQUE;
	return MIME_TEXT;
}

static enum mime_kind
value_kind(const char *value, bool missing, bool digest, char *boundary)
{
	const char *type = blanks_skip(value), *subtype;
	size_t n = token_length(type), m;

	if (missing)
		return digest ? MIME_MESSAGE : MIME_TEXT;
	if (n == 0 || type[n] != '/')
		return MIME_TEXT;
	subtype = type + n + 1;
	m = token_length(subtype);
	if (m == 0 || (subtype[m] != '\0' && strchr(" ;(", subtype[m]) == NULL))
		return MIME_TEXT;
	if (n == 4 && strncasecmp(type, "text", n) == 0)
		return MIME_TEXT;
	if (n == 9 && strncasecmp(type, "multipart", n) == 0)
		return multipart_kind(subtype, m, subtype + m, boundary);
	if (n == 7 && strncasecmp(type, "message", n) == 0)
		return message_kind(subtype, m);
	return MIME_DATA;
}

int
mime_kind(const struct header *h, bool digest, enum mime_kind *kind,
    char boundary[static MIME_BOUNDARY_SIZE])
{
	struct buf value;

	boundary[0] = '\0';
	if (value_copy(h, "Content-Type", &value) < 0)
		return -1;
	*kind = value_kind(
	    buf_string(&value), header_find(h, "Content-Type") == NULL, digest, boundary);
	buf_free(&value);
	return 0;
}

bool
mime_is_digest(const struct header *h)
{
	struct buf value;
	bool is;

	if (value_copy(h, "Content-Type", &value) < 0)
		return false;
	is = strncasecmp(blanks_skip(buf_string(&value)), "multipart/digest", 16) == 0;
	buf_free(&value);
	return is;
}

enum mime_encoding
mime_encoding(const struct header *h)
{
	static const struct {
		const char *name;
		enum mime_encoding encoding;
	} known[] = { { "7bit", MIME_IDENTITY }, { "8bit", MIME_IDENTITY },
		{ "binary", MIME_IDENTITY }, { "quoted-printable", MIME_QUOTED_PRINTABLE },
		{ "base64", MIME_BASE64 } };
	enum mime_encoding encoding = MIME_ENCODING_UNKNOWN;
	struct buf value;
	const char *s;
	size_t n;

	if (header_find(h, "Content-Transfer-Encoding") == NULL)
		return MIME_IDENTITY;
	if (value_copy(h, "Content-Transfer-Encoding", &value) < 0)
		return MIME_ENCODING_UNKNOWN;
	s = blanks_skip(buf_string(&value));
	n = token_length(s);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strlen(known[i].name) == n && strncasecmp(s, known[i].name, n) == 0)
			encoding = known[i].encoding;
	/* an empty field says nothing */
	if (*s == '\0')
		encoding = MIME_IDENTITY;
	buf_free(&value);
	return encoding;
}
