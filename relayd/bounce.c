/*
 * The report has three parts: for people, for programs, and what was sent: whole
 * up to 1 MB unless the sender asked for less (RET, RFC 3461 section 4.3), else
 * its header.
 */
#include "relayd/bounce.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define RETURNED_WHOLE_MAX (1 << 20)
#define RETURNED_HEADER_MAX (64 << 10)
#define TEXT_OCTETS_MAX (64 << 20)

const char *
bounce_address(const struct envelope *e)
{
	if (*e->sender == '\0')
		return NULL;
	return e->bounce_to != NULL ? e->bounce_to : e->sender;
}

const char *
bounce_status(unsigned code, const char *text, char dst[static BOUNCE_STATUS_SIZE])
{
	/* "550 5.1.1 …", or "4.4.7 …" where the reason is ours */
	const char *s = strspn(text, "0123456789") == 3 ? text + 3 : text;
	unsigned class, subject, detail;
	int end = 0;

	snprintf(dst, BOUNCE_STATUS_SIZE, "%s", code >= 500 || code == 0 ? "5.0.0" : "4.0.0");
	if (sscanf(s, " %1u.%3u.%3u%n", &class, &subject, &detail, &end) == 3 &&
	    (class == 4 || class == 5) && (s[end] == ' ' || s[end] == '\0'))
		snprintf(dst, BOUNCE_STATUS_SIZE, "%u.%u.%u", class, subject % 1000, detail % 1000);
	return dst;
}

static void
header_add(const struct bounce *b, const char *boundary, struct buf *t)
{
	char date[CLOCK_RFC5322_SIZE];

	buf_addf(t, "Date: %s\r\n", clock_format_rfc5322(clock_real(), date));
	buf_addf(t, "From: Mail Delivery System <MAILER-DAEMON@%s>\r\n", b->domain);
	buf_addf(t, "To: <%s>\r\n", bounce_address(&b->message->envelope));
	buf_addf(t, "Subject: Undelivered mail returned to sender\r\n");
	buf_addf(t, "Message-ID: <%s@%s>\r\n", boundary, b->domain);
	buf_addf(t, "Auto-Submitted: auto-replied\r\n");
	buf_addf(t, "MIME-Version: 1.0\r\n");
	buf_addf(t,
	    "Content-Type: multipart/report; report-type=delivery-status;\r\n"
	    "\tboundary=\"%s\"\r\n\r\n",
	    boundary);
}

static void
people_part_add(const struct bounce *b, const char *boundary, struct buf *t)
{
	buf_addf(t,
	    "--%s\r\nContent-Type: text/plain; charset=utf-8\r\n"
	    "Content-Transfer-Encoding: 8bit\r\n\r\n",
	    boundary);
	buf_addf(t, "This is postbag on %s.\r\n\r\n", b->hostname);
	buf_addf(t,
	    "Your message could not be delivered to %s, and will not be tried\r\n"
	    "again:\r\n\r\n",
	    b->count == 1 ? "the address below" : "the addresses below");
	for (size_t i = 0; i < b->count; i++)
		buf_addf(t, "<%s>\r\n    %s\r\n\r\n", b->recipients[i].recipient->address,
		    b->recipients[i].text);
	buf_addf(t, "What the servers said is in the second part of this message, and your own\r\n"
		    "message, or its header, in the third.\r\n\r\n");
}

static void
recipient_status_add(const struct bounce *b, const struct bounce_recipient *r, struct buf *t)
{
	buf_addf(t, "\r\n");
	if (r->recipient->orcpt != NULL)
		buf_addf(t, "Original-Recipient: %s\r\n", r->recipient->orcpt);
	buf_addf(t, "Final-Recipient: rfc822;%s\r\n", r->recipient->address);
	buf_addf(t, "Action: failed\r\nStatus: %s\r\n", r->status);
	if (r->code != 0 && *b->smarthost != '\0')
		buf_addf(t, "Remote-MTA: dns;%s\r\n", b->smarthost);
	buf_addf(t, "Diagnostic-Code: %s;%s\r\n", r->code != 0 ? "smtp" : "x-postbag", r->text);
}

static void
status_part_add(const struct bounce *b, const char *boundary, struct buf *t)
{
	char date[CLOCK_RFC5322_SIZE];

	buf_addf(t, "--%s\r\nContent-Type: message/delivery-status\r\n\r\n", boundary);
	if (b->message->envelope.envid != NULL)
		buf_addf(t, "Original-Envelope-Id: %s\r\n", b->message->envelope.envid);
	buf_addf(t, "Reporting-MTA: dns;%s\r\n", b->hostname);
	buf_addf(t, "X-Postbag-Queue-ID: %.*s\r\n", QUEUE_ID_LEN, b->queue_id);
	buf_addf(t, "Arrival-Date: %s\r\n", clock_format_rfc5322(b->message->envelope.time, date));
	for (size_t i = 0; i < b->count; i++)
		recipient_status_add(b, &b->recipients[i], t);
	buf_addf(t, "\r\n");
}

static ssize_t
content_read(const struct message *m, void *to, size_t max, uint64_t at)
{
	size_t want = m->length - at < max ? (size_t)(m->length - at) : max;
	ssize_t n;

	do
		n = pread(m->fd, to, want, m->content + (off_t)at);
	while (n < 0 && errno == EINTR);
	return n;
}

/* The header of the message, as far as it is not unreasonably long. */
static int
returned_header_add(const struct message *m, struct buf *t)
{
	size_t start = t->len;
	char *to = buf_reserve(t, RETURNED_HEADER_MAX), *end;
	ssize_t n = to == NULL ? -1 : content_read(m, to, RETURNED_HEADER_MAX, 0);

	if (n < 0)
		return -1;
	buf_added(t, (size_t)n);
	end = memmem(t->data + start, (size_t)n, "\r\n\r\n", 4);
	if (end == NULL)
		end = memrchr(t->data + start, '\n', (size_t)n);
	buf_truncate(t, end == NULL ? start : (size_t)(strchr(end, '\n') + 1 - t->data));
	return 0;
}

static int
returned_whole_write(const struct message *m, struct message_writer *w)
{
	char chunk[16384];
	uint64_t at = 0;

	while (at < m->length) {
		ssize_t n = content_read(m, chunk, sizeof(chunk), at);

		if (n <= 0) {
			errno = n == 0 ? EIO : errno;
			snprintf(w->spool->problem, sizeof(w->spool->problem),
			    "cannot read the message that is to be returned: %s", strerror(errno));
			return -1;
		}
		if (message_write(w, chunk, (size_t)n) < 0)
			return -1;
		at += (uint64_t)n;
	}
	return 0;
}

static int
content_write(const struct bounce *b, struct message_writer *w, const char *boundary)
{
	const struct message *m = b->message;
	bool whole = m->length <= RETURNED_WHOLE_MAX && m->envelope.ret != RET_HDRS;
	struct buf t = BUF_INIT(TEXT_OCTETS_MAX);
	int r = -1;

	header_add(b, boundary, &t);
	people_part_add(b, boundary, &t);
	status_part_add(b, boundary, &t);
	buf_addf(&t, "--%s\r\nContent-Type: %s\r\n%s\r\n", boundary,
	    whole ? "message/rfc822" : "text/rfc822-headers",
	    m->flags & MESSAGE_8BIT ? "Content-Transfer-Encoding: 8bit\r\n" : "");
	if (!whole)
		returned_header_add(m, &t);
	if (t.failed) {
		errno = ENOMEM;
		spool_fail(b->spool, "hold a bounce for", "queue");
	} else if (message_write(w, t.data, t.len) == 0 &&
		   (!whole || returned_whole_write(m, w) == 0)) {
		buf_reset(&t);
		buf_addf(&t, "\r\n--%s--\r\n", boundary);
		r = message_write(w, t.data, t.len);
	}
	buf_free(&t);
	return r;
}

int
bounce_send(const struct bounce *b, struct queue_name *name)
{
	struct envelope e;
	struct message_writer w = { .fd = -1 };
	struct queue_name unique;
	int r = -1;

	envelope_init(&e);
	e.time = clock_real();
	e.uid = (uint32_t)getuid();
	if (name_make(&unique) < 0 || envelope_set_sender(&e, "") < 0 ||
	    envelope_add_recipient(&e, bounce_address(&b->message->envelope), NOTIFY_NEVER, NULL) <
		0) {
		spool_fail(b->spool, "address a bounce for", "queue");
	} else if (message_begin(&w, b->spool, &e) == 0 && content_write(b, &w, unique.text) == 0) {
		r = message_commit(&w);
		*name = w.name;
	}
	message_abort(&w);
	envelope_free(&e);
	return r;
}
