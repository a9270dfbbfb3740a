/*
 * Whoever may submit can write any octets into a header, and whoever reads a bounce
 * may be a filter that looks for them.  So the five fields are made anew: the name
 * as we write it, the value printable, cut, folded and in ASCII.
 */
#include "relayd/returned.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/text.h"
#include "relayd/report_text.h"

#define RETURNED_HEADER_MAX (64 << 10)
#define VALUE_OCTETS_MAX 800  /* of one of the five fields */
#define ENCODED_OCTETS_MAX 42 /* in an encoded word, which may have 75 characters */

int
returned_add_content(const struct message *m, uint64_t max, struct buf *b)
{
	uint64_t at = 0, end = m->length < max ? m->length : max;

	while (at < end) {
		size_t want = end - at < 65536 ? (size_t)(end - at) : 65536;
		char *to = buf_reserve(b, want);
		ssize_t n;

		if (to == NULL)
			return -1;
		do
			n = pread(m->fd, to, want, m->content + (off_t)at);
		while (n < 0 && errno == EINTR);
		if (n <= 0) {
			errno = n == 0 ? EIO : errno;
			return -1;
		}
		buf_added(b, (size_t)n);
		at += (uint64_t)n;
	}
	return 0;
}

/* The octets of the header that s begins with, without the empty line; the last
 * line may be missing where s was cut. */
static size_t
header_length(const char *s, size_t len)
{
	const char *end;

	if (len >= 2 && memcmp(s, "\r\n", 2) == 0)
		return 0;
	end = memmem(s, len, "\r\n\r\n", 4);
	if (end != NULL)
		return (size_t)(end + 2 - s);
	end = len == 0 ? NULL : memrchr(s, '\n', len);
	return end == NULL ? 0 : (size_t)(end + 1 - s);
}

int
returned_read(struct returned *r, const struct message *m, bool whole)
{
	size_t header;

	*r = (struct returned){ .content = BUF_INIT(RETURNED_WHOLE_MAX) };
	whole = whole && m->length <= RETURNED_WHOLE_MAX;
	if (returned_add_content(m, whole ? m->length : RETURNED_HEADER_MAX, &r->content) < 0)
		return -1;
	header = header_length(buf_string(&r->content), r->content.len);
	/* RFC 6532 section 3.7 and RFC 6533 section 6 for UTF-8 in the header */
	if (!text_is_ascii(buf_string(&r->content), header) &&
	    text_is_utf8(buf_string(&r->content), header))
		r->type = whole ? "message/global" : "message/global-headers";
	else
		r->type = whole ? "message/rfc822" : "text/rfc822-headers";
	if (!whole)
		buf_truncate(&r->content, header);
	return 0;
}

void
returned_fini(struct returned *r)
{
	buf_free(&r->content);
}

/* The place of the value of the first field of that name; NULL if there is none. */
static const char *
field_find(const char *header, size_t len, const char *name, size_t *value_len)
{
	const char *s = header, *stop = header + len;
	size_t n = strlen(name);

	while (s < stop) {
		const char *end = s;

		do {
			end = memchr(end, '\n', (size_t)(stop - end));
			end = end == NULL ? stop : end + 1;
		} while (end < stop && (*end == ' ' || *end == '\t'));
		if ((size_t)(end - s) > n && strncasecmp(s, name, n) == 0 && s[n] == ':') {
			*value_len = (size_t)(end - s) - n - 1;
			return s + n + 1;
		}
		s = end;
	}
	return NULL;
}

static void
base64_add(struct buf *b, const char *text, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				     "0123456789+/";
	const unsigned char *s = (const unsigned char *)text;

	for (size_t i = 0; i < len; i += 3) {
		unsigned a = s[i], c = i + 1 < len ? s[i + 1] : 0, d = i + 2 < len ? s[i + 2] : 0;

		buf_add_char(b, digits[a >> 2]);
		buf_add_char(b, digits[(a & 3) << 4 | c >> 4]);
		buf_add_char(b, i + 1 < len ? digits[(c & 15) << 2 | d >> 6] : '=');
		buf_add_char(b, i + 2 < len ? digits[d & 63] : '=');
	}
}

/* Encoded words, cut between characters. */
static void
encoded_add(struct buf *b, const char *s, size_t len)
{
	for (size_t at = 0; at < len;) {
		size_t n = 0, next = 0;

		while (at + n < len && n + next <= ENCODED_OCTETS_MAX) {
			n += next;
			next = text_utf8_length(s + at + n, len - at - n);
			/* what is no character stands for itself */
			next = next == 0 ? 1 : next;
		}
		buf_add_string(b, at == 0 ? " =?utf-8?B?" : "\r\n =?utf-8?B?");
		base64_add(b, s + at, n);
		buf_add_string(b, "?=");
		at += n;
	}
}

void
returned_add_fields(const char *content, size_t len, struct buf *b)
{
	static const char *const names[] = { "From", "To", "Subject", "Date", "Message-ID" };
	size_t header = header_length(content, len);

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct buf unfolded = BUF_INIT(VALUE_OCTETS_MAX);
		char value[VALUE_OCTETS_MAX + 1];
		size_t n;
		const char *s = field_find(content, header, names[i], &n);

		for (size_t k = 0; s != NULL && k < n; k++)
			if (s[k] != '\r' && s[k] != '\n' &&
			    (unfolded.len > 0 || (s[k] != ' ' && s[k] != '\t')))
				buf_add_char(&unfolded, s[k]);
		if (unfolded.len > 0) {
			text_copy_printable(value, sizeof(value), unfolded.data, unfolded.len);
			buf_addf(b, "%s:", names[i]);
			if (text_is_ascii(value, strlen(value))) {
				buf_add_char(b, ' ');
				report_add_folded(b, value, "\r\n");
			} else {
				encoded_add(b, value, strlen(value));
			}
			buf_add_string(b, "\r\n");
		}
		buf_free(&unfolded);
	}
}
