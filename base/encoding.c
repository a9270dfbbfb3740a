/*
 * A line is written when the next octets have no room in it, so an escape is never
 * divided, and "-" is looked at where a line begins.
 */
#include "base/encoding.h"

#include <stdio.h>
#include <string.h>

static const char base64_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int
quoted_line_add(struct quoted_line *q, const char *token, size_t n)
{
	if (q->len + n > ENCODING_LINE - 1) {
		memcpy(q->line + q->len, "=\r\n", 3);
		if (q->write(q->context, q->line, q->len + 3) < 0)
			return -1;
		q->len = 0;
		q->broken = true;
	}
	if (q->len == 0 && q->broken && token[0] == '-') {
		token = "=2D";
		n = 3;
	}
	memcpy(q->line + q->len, token, n);
	q->len += n;
	return 0;
}

int
quoted_line_escape(struct quoted_line *q, char octet)
{
	char hex[8];

	snprintf(hex, sizeof(hex), "=%02X", (unsigned char)octet);
	return quoted_line_add(q, hex, 3);
}

int
quoted_line_end(struct quoted_line *q)
{
	return q->write(q->context, q->line, q->len);
}

static void
base64_group(const unsigned char *s, size_t n, char *to)
{
	unsigned long bits = (unsigned long)s[0] << 16 | (n > 1 ? (unsigned long)s[1] << 8 : 0) |
			     (n > 2 ? s[2] : 0UL);

	to[0] = base64_alphabet[bits >> 18];
	to[1] = base64_alphabet[bits >> 12 & 63];
	to[2] = n > 1 ? base64_alphabet[bits >> 6 & 63] : '=';
	to[3] = n > 2 ? base64_alphabet[bits & 63] : '=';
}

size_t
base64_encode(const unsigned char *s, size_t n, char to[static ENCODING_LINE])
{
	size_t len = 0;

	for (size_t i = 0; i < n; i += 3, len += 4)
		base64_group(s + i, n - i, to + len);
	return len;
}

bool
base64_counts(char c)
{
	return c != '\0' && (c == '=' || strchr(base64_alphabet, c) != NULL);
}

size_t
q_encode(char c, char to[static 4])
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789!*+-/";

	if (c == ' ' || (c != '\0' && strchr(plain, c) != NULL)) {
		to[0] = c == ' ' ? '_' : c;
		return 1;
	}
	snprintf(to, 4, "=%02X", (unsigned char)c);
	return 3;
}
