/*
 * A paragraph:
 *
 *	0hgq3k9x2ab4        1234  2026-11-23 16:28:01  deferred  <root@example.org>
 *	              to  <ops@example.net>
 *	          reason  451 4.7.1 try later
 *	    next attempt  2026-11-23 16:29:03
 */
#include "spool/listing.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "spool/spool.h"

#define OUT_OCTETS_MAX (16 << 20)
#define OUT_FLUSH_AT (32 << 10)
#define LABEL "%16s  "

struct listing {
	const struct index *index;
	int fd;
	int queue;
	int journal;
	const struct listing_pause *pause;
	int64_t uid;
	struct buf out;
	uint64_t octets, messages;
};

static int
flush(struct listing *l)
{
	int r = l->out.failed ? -1 : file_write(l->fd, buf_string(&l->out), l->out.len);

	buf_reset(&l->out);
	return r;
}

static void
line_add(
    struct listing *l, const char *label, const char *open, const char *text, const char *close)
{
	buf_addf(&l->out, LABEL "%s", label, open);
	text_add_printable(&l->out, text, strlen(text));
	buf_addf(&l->out, "%s\n", close);
}

static int
recipients_add(struct listing *l, const struct index_entry *e, const struct envelope *env)
{
	for (size_t i = 0; i < env->recipient_count; i++) {
		if (!index_is_finished(l->index, e, i))
			line_add(l, "to", "<", env->recipients[i].address, ">");
		if (l->out.len > OUT_FLUSH_AT && flush(l) < 0)
			return -1;
	}
	return 0;
}

/* The journal's words for the state. */
static void
reason_add(struct listing *l, const struct index_entry *e, const struct envelope *env)
{
	struct journal_record r;
	struct buf text = BUF_INIT(0);
	bool known = index_reason(e) >= 0 && l->journal >= 0 &&
		     journal_read_at(l->journal, index_reason(e), &r, &text) == 0 &&
		     memcmp(r.name, index_name(e).text, NAME_LEN) == 0;

	if (known && *r.text != '\0') {
		buf_addf(&l->out, LABEL, "reason");
		if (r.recipient >= 0 && env->recipient_count > 1 &&
		    (size_t)r.recipient < env->recipient_count) {
			const char *address = env->recipients[r.recipient].address;

			buf_add_char(&l->out, '<');
			text_add_printable(&l->out, address, strlen(address));
			buf_add_string(&l->out, ">: ");
		}
		text_add_printable(&l->out, r.text, strlen(r.text));
		buf_add_char(&l->out, '\n');
	}
	if (e->state == STATE_DOUBT)
		line_add(l, "reason", "",
		    "the connection or relayd ended before the outcome was known; the message "
		    "may have been delivered",
		    "");
	buf_free(&text);
}

static void
next_add(struct listing *l, const struct index_entry *e)
{
	int64_t now = clock_boot(), at = e->due;
	struct listing_pause p = *l->pause;
	bool waits = e->state == STATE_DUE || e->state == STATE_DEFERRED || e->state == STATE_DOUBT;
	char text[CLOCK_LOCAL_SIZE];

	if (!waits)
		return;
	if (p.of != NULL)
		p = p.of(p.context, e);
	if (p.reason != NULL && (p.until == 0 || p.until > at)) {
		line_add(l, "waits for", "", p.reason, "");
		at = p.until;
	}
	if (at == 0 && p.reason != NULL)
		return;
	if (at <= now)
		buf_addf(&l->out, LABEL "now\n", "next attempt");
	else
		buf_addf(&l->out, LABEL "%s\n", "next attempt",
		    clock_format_local(clock_real() + at - now, text));
}

static const char *
status_words(const struct message *m, enum message_status status)
{
	switch (status) {
	case MESSAGE_NEWER:
		return "written by a newer version";
	case MESSAGE_EMPTY:
		return "empty";
	default:
		return m->error != NULL ? m->error : strerror(errno);
	}
}

/* What is no message has an envelope that says nothing of its submitter. */
static bool
is_shown(const struct listing *l, const struct message *m, enum message_status status)
{
	return l->uid == LISTING_ALL || (status == MESSAGE_OK && m->envelope.uid == l->uid);
}

/* e is an entry whose file may be gone by now: then nothing is printed. */
static int
entry_add(struct listing *l, const struct index_entry *e)
{
	struct queue_name name = index_name(e);
	char arrived[CLOCK_LOCAL_SIZE];
	struct message m;
	enum message_status status = message_open(&m, l->queue, name.text);
	int r = 0;

	/* finished is shown only if its file cannot be removed */
	if (status != MESSAGE_GONE && is_shown(l, &m, status) &&
	    (e->state != STATE_FINISHED || e->trouble > 0)) {
		buf_addf(&l->out, "%.*s  %10llu  %s  %-8s  ", QUEUE_ID_LEN, name.text,
		    (unsigned long long)m.length, clock_format_local(index_time(e), arrived),
		    index_state_name(e->state));
		if (status == MESSAGE_OK) {
			buf_add_char(&l->out, '<');
			text_add_printable(&l->out, m.envelope.sender, strlen(m.envelope.sender));
			buf_add_string(&l->out, ">\n");
		} else {
			buf_addf(&l->out, "(%s)\n", status_words(&m, status));
		}
		r = recipients_add(l, e, &m.envelope);
		reason_add(l, e, &m.envelope);
		next_add(l, e);
		l->octets += m.length;
		l->messages++;
	}
	message_close(&m);
	return r == 0 && l->out.len > OUT_FLUSH_AT ? flush(l) : r;
}

static struct listing
listing_begin(
    int fd, const struct index *x, int queue_fd, int journal, const struct listing_pause *pause)
{
	return (struct listing){ .index = x,
		.fd = fd,
		.queue = queue_fd,
		.journal = journal,
		.pause = pause,
		.uid = LISTING_ALL,
		.out = BUF_INIT(OUT_OCTETS_MAX) };
}

int
listing_queue(int fd, const struct index *x, int queue_fd, int journal,
    const struct listing_pause *pause, int64_t uid)
{
	struct listing l = listing_begin(fd, x, queue_fd, journal, pause);
	struct index_entry **all = index_sorted(x);
	int r = all == NULL ? -1 : 0;

	l.uid = uid;
	for (size_t i = 0; r == 0 && i < x->count; i++)
		r = entry_add(&l, all[i]);
	if (l.messages == 0)
		buf_add_string(&l.out, "Mail queue is empty\n");
	else
		buf_addf(&l.out, "-- %llu Kbytes in %llu Request%s.\n",
		    (unsigned long long)(l.octets + 1023) / 1024, (unsigned long long)l.messages,
		    l.messages == 1 ? "" : "s");
	if (r == 0)
		r = flush(&l);
	buf_free(&l.out);
	free(all);
	return r;
}

/* Line by line, so that a terminal sees no control character. */
static int
content_add(struct listing *l, const struct message *m)
{
	char chunk[8192];
	off_t at = m->content, end = m->content + (off_t)m->length;
	ssize_t n;

	while (at < end) {
		size_t want = end - at < (off_t)sizeof(chunk) ? (size_t)(end - at) : sizeof(chunk);
		const char *line = chunk, *stop;

		n = pread(m->fd, chunk, want, at);
		if (n <= 0)
			return -1;
		/* whole lines, so that no CRLF and no UTF-8 sequence is cut in two */
		stop = at + n < end ? memrchr(chunk, '\n', (size_t)n) : NULL;
		if (stop != NULL)
			n = stop + 1 - chunk;
		at += n;
		while ((stop = memchr(line, '\n', (size_t)(chunk + n - line))) != NULL) {
			size_t len = (size_t)(stop - line);

			text_add_printable(
			    &l->out, line, len > 0 && line[len - 1] == '\r' ? len - 1 : len);
			buf_add_char(&l->out, '\n');
			line = stop + 1;
		}
		text_add_printable(&l->out, line, (size_t)(chunk + n - line));
		if (flush(l) < 0)
			return -1;
	}
	return 0;
}

int
listing_message(int fd, const struct index *x, const struct index_entry *e, int queue_fd,
    int journal, const struct listing_pause *pause)
{
	struct listing l = listing_begin(fd, x, queue_fd, journal, pause);
	struct queue_name name = index_name(e);
	struct message m = { .fd = -1 };
	int r = entry_add(&l, e);

	if (r == 0 && message_open(&m, queue_fd, name.text) == MESSAGE_OK) {
		buf_addf(&l.out, LABEL "%s\n\n", "file", name.text);
		r = content_add(&l, &m);
	}
	message_close(&m);
	if (r == 0)
		r = flush(&l);
	buf_free(&l.out);
	return r;
}

/* id is a queue ID or more of a name: its time is whole. */
static bool
is_named(const struct index_entry *e, const char *id, int64_t time)
{
	return index_time(e) == time && memcmp(index_name(e).text, id, strlen(id)) == 0;
}

struct index_entry *
listing_find(const struct index *x, const char *id, size_t *matches)
{
	struct index_entry *found = NULL, *e;
	int64_t time;

	*matches = 0;
	if (!name_is_prefix(id) || strlen(id) < QUEUE_ID_LEN)
		return NULL;
	time = name_time(id);
	for (uint32_t at = 0; (e = index_next(x, &at)) != NULL;) {
		if (is_named(e, id, time)) {
			found = e;
			++*matches;
		}
	}
	return *matches == 1 ? found : NULL;
}

void
listing_matches(const struct index *x, const char *id, struct buf *b)
{
	const struct index_entry *e;
	int64_t time = name_time(id);

	for (uint32_t at = 0; (e = index_next(x, &at)) != NULL;)
		if (is_named(e, id, time))
			buf_addf(b, "%s\n", index_name(e).text);
}
