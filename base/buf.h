/*
 * A growable byte buffer with a hard cap: the one place where bytes from
 * outside are collected.
 *
 * An append that would pass the cap, or finds no memory, changes nothing and
 * sets `failed`, which stays set until buf_reset(); so a chain of appends needs
 * one check at its end.  The zero value is a valid, empty buffer that can hold
 * nothing.  Memory is wiped before it is given back, since secrets pass through.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *data; /* NULL while size is 0; else data[len] is always a NUL byte */
	size_t len;
	size_t size;
	size_t max; /* cap of len, in octets */
	bool failed;
};

#define BUF_INIT(cap) ((struct buf){ .max = (cap) })

/* Each append returns 0, or -1 with errno ENOBUFS (the cap) or ENOMEM. */
int buf_append(struct buf *b, const void *data, size_t len);
int buf_add_string(struct buf *b, const char *s);
int buf_add_char(struct buf *b, char c);
int buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Makes room for n more octets and returns where they go; NULL with errno as
 * above.  The caller adds what it wrote to len through buf_added(). */
char *buf_reserve(struct buf *b, size_t n);
void buf_added(struct buf *b, size_t n);

/* Removes n octets (at most len) from the front. */
void buf_consume(struct buf *b, size_t n);
void buf_truncate(struct buf *b, size_t len);

/* The content as a C string that the buffer owns; "" when it is empty. */
const char *buf_string(const struct buf *b);

/* Empties the buffer and clears `failed`; keeps cap and memory. */
void buf_reset(struct buf *b);
void buf_free(struct buf *b);

#endif
