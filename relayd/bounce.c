/*
 * The report has three parts: for people, for programs, and what was sent: whole
 * up to 1 MB unless the sender asked for less (RET, RFC 3461 section 4.3), else
 * its header.
 *
 * Everything is ASCII as far as what it is about is, and then says so (RFC 2045
 * section 6.4).  Fields go beyond ASCII only in a report that needs SMTPUTF8 anyhow,
 * for the address that it goes to (RFC 6533).
 */
#include "relayd/bounce.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "relayd/report_text.h"
#include "relayd/returned.h"

#define TEXT_OCTETS_MAX (64 << 20) /* of a report about 65,536 recipients */
#define EIGHT_BIT "Content-Transfer-Encoding: 8bit\r\n"

/* What the actions differ in. */
static const struct {
	const char *subject, *action, *one, *several;
} words[] = {
	[BOUNCE_FAILED] = { "Undelivered mail returned to sender", "failed",
	    "Your message could not be delivered to the address below, and will not be\r\n"
	    "tried again:\r\n",
	    "Your message could not be delivered to the addresses below, and will not be\r\n"
	    "tried again:\r\n" },
	[BOUNCE_DELAYED] = { "Delayed mail (still being tried)", "delayed",
	    "Your message could not yet be delivered to the address below.  You need not\r\n"
	    "send it again: it will be tried until it is delivered or returned to you.\r\n",
	    "Your message could not yet be delivered to the addresses below.  You need\r\n"
	    "not send it again: it will be tried until it is delivered or returned to\r\n"
	    "you.\r\n" },
	[BOUNCE_RELAYED] = { "Mail was handed on (no confirmation will follow)", "relayed",
	    "You asked for a confirmation.  Your message for the address below was handed\r\n"
	    "on to a server that sends none, so this is all that can be said:\r\n",
	    "You asked for a confirmation.  Your message for the addresses below was\r\n"
	    "handed on to a server that sends none, so this is all that can be said:\r\n" },
};

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

static bool
is_ascii(const char *s)
{
	return text_is_ascii(s, strlen(s));
}

/* Does the report need SMTPUTF8 for its own header? */
static bool
needs_utf8(const struct bounce *b)
{
	return !is_ascii(bounce_address(&b->message->envelope)) || !is_ascii(b->domain) ||
	       !is_ascii(b->hostname);
}

static void
header_add(const struct bounce *b, const char *boundary, bool eight_bit, struct buf *t)
{
	char date[CLOCK_RFC5322_SIZE];

	buf_addf(t, "Date: %s\r\n", clock_format_rfc5322(clock_real(), date));
	buf_addf(t, "From: Mail Delivery System <MAILER-DAEMON@%s>\r\n", b->domain);
	buf_addf(t, "To: <%s>\r\n", bounce_address(&b->message->envelope));
	buf_addf(t, "Subject: %s\r\n", words[b->action].subject);
	buf_addf(t, "Message-ID: <%s@%s>\r\n", boundary, b->domain);
	buf_addf(t, "Auto-Submitted: auto-replied\r\n");
	buf_addf(t, "MIME-Version: 1.0\r\n");
	buf_addf(t,
	    "Content-Type: multipart/report; report-type=%s;\r\n"
	    "\tboundary=\"%s\"\r\n%s\r\n",
	    needs_utf8(b) ? "global-delivery-status" : "delivery-status", boundary,
	    eight_bit ? EIGHT_BIT : "");
}

static void
people_text_add(const struct bounce *b, struct buf *t)
{
	static const char third[] =
	    "What was said of each address is in the second part of this message, and your\r\n"
	    "own message, or its header, in the third.\r\n";
	char date[CLOCK_RFC5322_SIZE];

	buf_addf(t, "This is postbag on %s.\r\n\r\n%s\r\n", b->hostname,
	    b->count == 1 ? words[b->action].one : words[b->action].several);
	for (size_t i = 0; i < b->count; i++) {
		const char *address = b->recipients[i].recipient->address;
		struct buf reason = BUF_INIT(8192);

		buf_add_char(t, '<');
		text_add_printable(t, address, strlen(address));
		buf_add_string(t, ">\r\n    ");
		text_add_printable(&reason, b->recipients[i].text, strlen(b->recipients[i].text));
		report_add_folded(t, buf_string(&reason), "\r\n   ");
		buf_add_string(t, "\r\n\r\n");
		buf_free(&reason);
	}
	if (b->action == BOUNCE_DELAYED)
		buf_addf(t, "It will be returned if it cannot be delivered until\r\n%s.\r\n\r\n",
		    clock_format_rfc5322(b->retry_until, date));
	buf_addf(t, "%s\r\n", third);
}

static void
people_part_add(const struct bounce *b, const char *boundary, struct buf *t)
{
	struct buf text = BUF_INIT(TEXT_OCTETS_MAX);

	people_text_add(b, &text);
	buf_addf(t, "--%s\r\nContent-Type: text/plain; charset=utf-8\r\n%s\r\n", boundary,
	    text_is_ascii(buf_string(&text), text.len) ? "" : EIGHT_BIT);
	buf_append(t, buf_string(&text), text.len);
	t->failed |= text.failed;
	buf_free(&text);
}

static void
date_add(const char *name, int64_t real, struct buf *t)
{
	char date[CLOCK_RFC5322_SIZE];

	if (real != 0)
		buf_addf(t, "%s: %s\r\n", name, clock_format_rfc5322(real, date));
}

static void
recipient_status_add(
    const struct bounce *b, const struct bounce_recipient *r, bool utf8, struct buf *t)
{
	buf_addf(t, "\r\n");
	if (r->recipient->orcpt != NULL) {
		buf_addf(t, "Original-Recipient: ");
		report_add_xtext(t, r->recipient->orcpt);
		buf_addf(t, "\r\n");
	}
	buf_addf(t, "Final-Recipient: ");
	report_add_address(t, r->recipient->address, utf8);
	buf_addf(t, "\r\nAction: %s\r\nStatus: %s\r\n", words[b->action].action, r->status);
	if (r->code != 0 && *b->smarthost != '\0') {
		buf_addf(t, "Remote-MTA: ");
		report_add_host(t, b->smarthost, utf8);
		buf_addf(t, "\r\n");
	}
	report_add_field(t, "Diagnostic-Code", r->code != 0 ? "smtp" : "x-postbag", r->text, utf8);
	date_add("Last-Attempt-Date", b->last_attempt, t);
	date_add("Will-Retry-Until", b->action == BOUNCE_DELAYED ? b->retry_until : 0, t);
}

static void
status_part_add(const struct bounce *b, const char *boundary, struct buf *t)
{
	bool utf8 = needs_utf8(b);

	buf_addf(t, "--%s\r\nContent-Type: message/%s\r\n%s\r\n", boundary,
	    utf8 ? "global-delivery-status" : "delivery-status", utf8 ? EIGHT_BIT : "");
	if (b->message->envelope.envid != NULL) {
		buf_addf(t, "Original-Envelope-Id: ");
		report_add_xtext(t, b->message->envelope.envid);
		buf_addf(t, "\r\n");
	}
	buf_addf(t, "Reporting-MTA: dns;%s\r\n", b->hostname);
	buf_addf(t, "X-Postbag-Queue-ID: %.*s\r\n", QUEUE_ID_LEN, b->queue_id);
	date_add("Arrival-Date", b->message->envelope.time, t);
	for (size_t i = 0; i < b->count; i++)
		recipient_status_add(b, &b->recipients[i], utf8, t);
	buf_addf(t, "\r\n");
}

static void
returned_part_add(const struct returned *r, const char *boundary, struct buf *t)
{
	bool ascii = text_is_ascii(buf_string(&r->content), r->content.len);

	buf_addf(
	    t, "--%s\r\nContent-Type: %s\r\n%s\r\n", boundary, r->type, ascii ? "" : EIGHT_BIT);
	buf_append(t, buf_string(&r->content), r->content.len);
	buf_addf(t, "\r\n--%s--\r\n", boundary);
}

/* A boundary that the returned content does not have. */
static int
boundary_make(const struct returned *r, struct queue_name *boundary)
{
	do
		if (name_make(boundary) < 0)
			return -1;
	while (memmem(buf_string(&r->content), r->content.len, boundary->text, NAME_LEN) != NULL);
	return 0;
}

/* Header and body, in memory.  0, or -1 with errno. */
static int
content_make(const struct bounce *b, struct buf *header, struct buf *body)
{
	bool whole = b->action == BOUNCE_FAILED && b->message->envelope.ret != RET_HDRS;
	struct returned returned;
	struct queue_name boundary;
	int r = -1;

	if (returned_read(&returned, b->message, whole) == 0 &&
	    boundary_make(&returned, &boundary) == 0) {
		people_part_add(b, boundary.text, body);
		status_part_add(b, boundary.text, body);
		returned_part_add(&returned, boundary.text, body);
		header_add(b, boundary.text, !text_is_ascii(buf_string(body), body->len), header);
		errno = ENOMEM;
		r = body->failed || header->failed ? -1 : 0;
	}
	returned_fini(&returned);
	return r;
}

/* Commits a message of nobody to one recipient, for whom nothing is ever reported. */
static int
report_commit(struct spool *s, const char *to, const struct buf *header, const struct buf *body,
    bool utf8, struct queue_name *name)
{
	struct envelope e;
	struct message_writer w = { .fd = -1 };
	int r = -1;

	envelope_init(&e);
	e.time = clock_real();
	e.uid = (uint32_t)getuid();
	if (envelope_set_sender(&e, "") < 0 ||
	    envelope_add_recipient(&e, to, NOTIFY_NEVER, NULL) < 0) {
		spool_fail(s, "address a bounce for", "queue");
	} else if (message_begin(&w, s, &e) == 0 &&
		   message_write(&w, buf_string(header), header->len) == 0 &&
		   message_write(&w, buf_string(body), body->len) == 0) {
		w.flags |= utf8 ? MESSAGE_SMTPUTF8 : 0;
		*name = w.name;
		r = message_commit(&w);
	}
	message_abort(&w);
	envelope_free(&e);
	return r;
}

int
bounce_send(const struct bounce *b, struct queue_name *name)
{
	struct buf header = BUF_INIT(TEXT_OCTETS_MAX), body = BUF_INIT(TEXT_OCTETS_MAX);
	int r = -1;

	if (content_make(b, &header, &body) < 0)
		spool_fail(b->spool, "make a bounce for", "queue");
	else
		r = report_commit(b->spool, bounce_address(&b->message->envelope), &header, &body,
		    needs_utf8(b), name);
	buf_free(&header);
	buf_free(&body);
	return r;
}

/* What stands in front of the returned part of a bounce of ours that has the whole
 * original; returned is where the latter begins.  False if content is no such
 * bounce. */
static bool
whole_find(
    const struct buf *content, char boundary[static NAME_LEN + 1], size_t *before, size_t *returned)
{
	static const char key[] = "\tboundary=\"", rfc822[] = "Content-Type: message/rfc822\r\n",
			  global[] = "Content-Type: message/global\r\n";
	const char *s = buf_string(content), *end = s + content->len, *at, *header_end;
	char delimiter[NAME_LEN + 7];

	at = memmem(s, content->len, key, strlen(key));
	if (at == NULL || (size_t)(end - at) < strlen(key) + NAME_LEN)
		return false;
	memcpy(boundary, at + strlen(key), NAME_LEN);
	boundary[NAME_LEN] = '\0';
	if (!name_is_valid(boundary))
		return false;
	snprintf(delimiter, sizeof(delimiter), "\r\n--%s\r\n", boundary);
	at = s;
	for (int part = 0; part < 3; part++) {
		at = memmem(at, (size_t)(end - at), delimiter, strlen(delimiter));
		if (at == NULL)
			return false;
		at += 2;
	}
	*before = (size_t)(at - s);
	at += strlen(delimiter) - 2;
	header_end = memmem(at, (size_t)(end - at), "\r\n\r\n", 4);
	if (header_end == NULL ||
	    (strncmp(at, rfc822, strlen(rfc822)) != 0 && strncmp(at, global, strlen(global)) != 0))
		return false;
	*returned = (size_t)(header_end + 4 - s);
	return true;
}

/* Nobody else can own a file of ours, or state our uid in it. */
static bool
is_own_bounce(const struct message *m)
{
	struct stat st;

	return *m->envelope.sender == '\0' && m->envelope.recipient_count == 1 &&
	       m->envelope.uid == getuid() && fstat(m->fd, &st) == 0 && st.st_uid == getuid();
}

int
bounce_send_smaller(struct spool *s, const struct message *refused, struct queue_name *name)
{
	struct buf content = BUF_INIT(TEXT_OCTETS_MAX), rest = BUF_INIT(TEXT_OCTETS_MAX);
	char boundary[NAME_LEN + 1];
	size_t before, returned;
	int r = 1;

	if (!is_own_bounce(refused) || refused->length > TEXT_OCTETS_MAX)
		return 1;
	if (returned_add_content(refused, refused->length, &content) < 0) {
		r = spool_fail(s, "read a bounce in", "queue");
	} else if (whole_find(&content, boundary, &before, &returned)) {
		buf_addf(&rest, "--%s\r\nContent-Type: text/rfc822-headers\r\n\r\n", boundary);
		returned_add_fields(content.data + returned, content.len - returned, &rest);
		buf_addf(&rest, "\r\n--%s--\r\n", boundary);
		buf_truncate(&content, before);
		r = report_commit(s, refused->envelope.recipients[0].address, &content, &rest,
		    (refused->flags & MESSAGE_SMTPUTF8) != 0, name);
	}
	buf_free(&content);
	buf_free(&rest);
	return r;
}
