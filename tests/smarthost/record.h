/*
 * What the smarthost tells about itself: the transcript of every conversation and the totals.
 * Every line is one write(2) on an O_APPEND descriptor, so lines of concurrent connections never
 * mix and a reader sees a line as soon as it was said.  Nothing is formatted when there is no
 * transcript, which keeps benchmarks honest.
 */
#ifndef SMARTHOST_RECORD_H
#define SMARTHOST_RECORD_H

#include <stdatomic.h>
#include <stddef.h>

struct record {
	int fd; /* transcript, or -1 */
	atomic_ullong connections;
	atomic_ullong commands;
	atomic_ullong messages;    /* accepted */
	atomic_ullong round_trips;
	atomic_ullong octets;      /* content of the accepted messages */
};

/* path NULL: no transcript.  0, or -1 with errno. */
int record_open(struct record *record, const char *path);
void record_close(struct record *record);

/* "7 C: text": one line of the conversation; side is 'C' or 'S'; made printable. */
void record_line(struct record *record, unsigned connection, char side, const char *bytes,
    size_t length);

/* "7 = text": something that happened. */
void record_note(struct record *record, unsigned connection, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The line of totals, to the transcript or else to stderr. */
void record_write_totals(struct record *record);

/* The line of totals as a file of its own.  0, or -1 with errno. */
int record_write_stats(struct record *record, const char *path);

#endif
