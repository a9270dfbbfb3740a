/*
 * The order is that of the errors: the header is read and understood before a
 * file is made, and only a commit that came back makes a message accepted.
 */
#include "sendmail/submission.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "sendmail/repair.h"

#define HOPS_MAX 100 /* RFC 5321 section 6.3 */

void
submission_init(struct submission *s, const struct settings *settings,
    const struct identity *identity, struct spool *spool)
{
	*s = (struct submission){
		.settings = settings, .identity = identity, .spool = spool, .writer = { .fd = -1 }
	};
	envelope_init(&s->envelope);
	s->envelope.time = clock_real();
	s->envelope.uid = (uint32_t)identity->uid;
	recipients_init(&s->recipients, &s->envelope, settings, identity);
}

void
submission_fini(struct submission *s)
{
	message_abort(&s->writer);
	header_free(&s->header);
	recipients_fini(&s->recipients);
	envelope_free(&s->envelope);
}

int
submission_fail(struct submission *s, int code, const char *fmt, ...)
{
	char raw[sizeof(s->problem)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	text_copy_printable(s->problem, sizeof(s->problem), raw, strlen(raw));
	s->code = code;
	return -1;
}

int
submission_fail_recipients(struct submission *s)
{
	const struct buf *error = &s->recipients.error;

	return submission_fail(
	    s, s->recipients.code, "%s", error->len == 0 ? "out of memory" : error->data);
}

int
submission_fail_spool(struct submission *s)
{
	/* EBADMSG: relayd's receiver says that the message is at fault */
	int code = errno == EBADMSG ? EX_DATAERR : EX_TEMPFAIL;

	if (errno == ENOSPC || errno == EDQUOT)
		s->status = "4.3.1";
	return submission_fail(s, code, "%s", s->spool->problem);
}

static int
input_fail(struct submission *s, const struct input *in)
{
	return submission_fail(s, EX_TEMPFAIL,
	    "cannot read the message from standard input: %s; nothing is queued",
	    strerror(in->error));
}

/* A message that has passed so many servers goes in a circle. */
static int
hops_check(struct submission *s)
{
	size_t hops = s->hops;

	for (size_t i = 0; i < s->header.count; i++)
		hops += header_is(&s->header, &s->header.fields[i], "Received");
	if (hops <= HOPS_MAX)
		return 0;
	s->status = "5.4.6";
	return submission_fail(s, EX_DATAERR,
	    "the message has passed %zu servers, so it seems to go in a circle (5.4.6)", hops);
}

static int
too_long(struct submission *s, const char *problem)
{
	s->status = "5.3.4";
	return submission_fail(s, EX_DATAERR, "%s", problem);
}

static int
header_take(struct submission *s, struct input *in, bool from_header, struct piece *first)
{
	int r = header_read(&s->header, in, first);

	if (r < 0 && in->failed)
		return input_fail(s, in);
	if (r < 0 && errno == ENOBUFS)
		return too_long(s, "the header of the message is longer than 8 MB");
	if (r < 0)
		return submission_fail(s, EX_TEMPFAIL, "out of memory");
	if (hops_check(s) < 0)
		return -1;
	if (from_header && recipients_from_header(&s->recipients, &s->header) < 0)
		return submission_fail_recipients(s);
	if (s->envelope.recipient_count == 0)
		return submission_fail(s, EX_USAGE,
		    "no recipients: neither an argument nor a To, Cc or Bcc of "
		    "the message names one");
	return r;
}

static int
file_begin(struct submission *s)
{
	if (message_begin(&s->writer, s->spool, &s->envelope) == 0)
		return 0;
	if (errno != ENOBUFS)
		return submission_fail_spool(s);
	return too_long(s,
	    "the envelope is longer than 8 MB: too many or too long addresses; send the "
	    "message in parts");
}

/* The limit is checked as the content passes. */
static int
size_check(struct submission *s)
{
	uint64_t max = s->settings->max_message_size;

	if (max == 0 || s->writer.length <= max)
		return 0;
	s->status = "5.3.4";
	return submission_fail(s, EX_DATAERR,
	    "the message is larger than max_message_size (%llu octets)", (unsigned long long)max);
}

static int
header_write(struct submission *s)
{
	struct completion c = { .settings = s->settings,
		.identity = s->identity,
		.envelope = &s->envelope,
		.full_name = s->full_name,
		.from_host = s->from_host,
		.protocol = s->protocol,
		.queue_id = s->writer.name.text };
	struct buf text = BUF_INIT(4 * HEADER_OCTETS_MAX);
	int r = 0;

	if (complete_header(&s->header, &c, &text) < 0)
		r = submission_fail(s, errno == ENOBUFS ? EX_DATAERR : EX_TEMPFAIL,
		    "cannot complete the header: %s",
		    errno == ENOBUFS ? "it would be too long" : strerror(errno));
	/* RFC 6531 section 3.4: raw UTF-8 in the header needs SMTPUTF8 */
	if (!text_is_ascii(text.data, text.len) && text_is_utf8(text.data, text.len))
		s->writer.flags |= MESSAGE_SMTPUTF8;
	if (r == 0 && buf_add_string(&text, "\r\n") < 0)
		r = submission_fail(s, EX_TEMPFAIL, "out of memory");
	scan_add(&s->header_scan, buf_string(&text), text.len);
	if (r == 0 && message_write(&s->writer, buf_string(&text), text.len) < 0)
		r = submission_fail_spool(s);
	buf_free(&text);
	return r == 0 ? size_check(s) : r;
}

static int
piece_write(struct submission *s, const struct piece *p)
{
	scan_add(&s->body_scan, p->data, p->len);
	if (p->ends_line)
		scan_add(&s->body_scan, "\r\n", 2);
	if (message_write(&s->writer, p->data, p->len) < 0 ||
	    (p->ends_line && message_write(&s->writer, "\r\n", 2) < 0))
		return submission_fail_spool(s);
	return size_check(s);
}

static int
body_write(struct submission *s, struct input *in, struct piece *p, bool has_piece)
{
	int r = has_piece ? 1 : input_next(in, p);

	for (; r > 0; r = input_next(in, p))
		if (piece_write(s, p) < 0)
			return -1;
	return r < 0 ? input_fail(s, in) : 0;
}

/* What is left of them no repair could take away; no session would send it. */
static int
stray_check(struct submission *s)
{
	if (!s->writer.stray)
		return 0;
	return submission_fail(s, EX_DATAERR,
	    "a part of the message that is signed, encrypted or in an encoding of its own has a "
	    "CR without LF, behind which a server could see another message; write it in CRLF "
	    "or base64");
}

/* The second pass, into a file of the same name. */
static int
content_repair(struct submission *s)
{
	struct message_writer repaired;
	char problem[REPAIR_PROBLEM_SIZE];
	enum repair_result r = REPAIR_FAILED;

	if (!repair_needed(&s->header, &s->header_scan, &s->body_scan))
		return 0;
	if (message_begin_again(&repaired, &s->writer, &s->envelope) == 0)
		r = repair_run(&s->writer, &repaired, problem);
	if (r == REPAIR_IMPOSSIBLE)
		submission_fail(s, EX_DATAERR, "%s", problem);
	else if (r == REPAIR_FAILED)
		submission_fail_spool(s);
	if (r != REPAIR_DONE) {
		message_abort(&repaired);
		return -1;
	}
	message_abort(&s->writer);
	s->writer = repaired;
	return size_check(s);
}

int
submission_read(struct submission *s, struct input *in, bool from_header)
{
	struct piece piece;
	int has_piece = header_take(s, in, from_header, &piece);

	if (has_piece < 0 || file_begin(s) < 0 || header_write(s) < 0)
		return -1;
	if (body_write(s, in, &piece, has_piece > 0) < 0)
		return -1;
	return content_repair(s) < 0 || stray_check(s) < 0 ? -1 : 0;
}

/* Where there is a log, it says what was accepted; where there is none, nobody reads
 * standard error for that.  What relayd has taken, relayd has logged. */
static void
accepted_log(const struct submission *s, const char *id, uint64_t length)
{
	if (!log_is_syslog())
		return;
	log_info("%.*s: status=accepted uid=%lu from=<%s> size=%llu recipients=%zu", QUEUE_ID_LEN,
	    id, (unsigned long)s->identity->uid, s->envelope.sender, (unsigned long long)length,
	    s->envelope.recipient_count);
}

int
submission_commit(struct submission *s)
{
	bool remote = s->writer.remote;

	if (message_commit(&s->writer) < 0)
		return submission_fail_spool(s);
	if (!remote)
		accepted_log(s, s->writer.name.text, s->writer.length);
	return 0;
}
