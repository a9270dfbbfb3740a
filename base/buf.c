/*
 * Growth doubles, so that appending n octets one by one costs O(n); one octet
 * more than asked for is kept for the NUL that makes the content a C string.
 */
#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_FIRST 256

static int
buf_fail(struct buf *b, int error)
{
	b->failed = true;
	errno = error;
	return -1;
}

/* Not realloc(): the old memory may hold a secret and must be wiped. */
static int
buf_grow(struct buf *b, size_t need)
{
	size_t size = b->size ? b->size : BUF_FIRST;
	char *data;

	while (size < need)
		size = size > SIZE_MAX / 2 ? need : size * 2;
	data = malloc(size);
	if (data == NULL)
		return buf_fail(b, ENOMEM);
	if (b->len > 0)
		memcpy(data, b->data, b->len);
	data[b->len] = '\0';
	if (b->data != NULL) {
		explicit_bzero(b->data, b->size);
		free(b->data);
	}
	b->data = data;
	b->size = size;
	return 0;
}

char *
buf_reserve(struct buf *b, size_t n)
{
	if (n > b->max || b->len > b->max - n) {
		buf_fail(b, ENOBUFS);
		return NULL;
	}
	if (b->len + n + 1 > b->size && buf_grow(b, b->len + n + 1) < 0)
		return NULL;
	return b->data + b->len;
}

void
buf_added(struct buf *b, size_t n)
{
	b->len += n;
	b->data[b->len] = '\0';
}

int
buf_append(struct buf *b, const void *data, size_t len)
{
	char *to = buf_reserve(b, len);

	if (to == NULL)
		return -1;
	if (len > 0)
		memcpy(to, data, len);
	buf_added(b, len);
	return 0;
}

int
buf_add_string(struct buf *b, const char *s)
{
	return buf_append(b, s, strlen(s));
}

int
buf_add_char(struct buf *b, char c)
{
	return buf_append(b, &c, 1);
}

int
buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	int n;
	char *to;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	to = n < 0 ? NULL : buf_reserve(b, (size_t)n);
	if (to != NULL) {
		vsnprintf(to, (size_t)n + 1, fmt, again);
		buf_added(b, (size_t)n);
	}
	va_end(again);
	return to == NULL ? -1 : 0;
}

void
buf_consume(struct buf *b, size_t n)
{
	if (n == 0)
		return;
	b->len -= n;
	memmove(b->data, b->data + n, b->len + 1);
}

void
buf_truncate(struct buf *b, size_t len)
{
	if (len < b->len) {
		b->len = len;
		b->data[len] = '\0';
	}
}

const char *
buf_string(const struct buf *b)
{
	return b->data == NULL ? "" : b->data;
}

void
buf_reset(struct buf *b)
{
	buf_truncate(b, 0);
	b->failed = false;
}

void
buf_free(struct buf *b)
{
	if (b->data != NULL) {
		explicit_bzero(b->data, b->size);
		free(b->data);
	}
	*b = (struct buf){ .max = b->max };
}
