/*
 * An entity is read twice: its header and the extent of its body first, which decides
 * what becomes of it; then it is written.  Only the header of one entity is in memory
 * at a time, and the boundaries of the multiparts around it.
 */
#include "sendmail/repair.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "sendmail/encode.h"
#include "sendmail/entity.h"
#include "sendmail/field.h"

struct repair {
	struct message_writer *to;
	struct window window;
	struct boundaries boundaries;
	struct region region; /* the last one: how the entity before ended */
	struct scan fields;   /* of the message itself, as they were written */
	bool within;          /* they have been written */
	char *problem;        /* "" if it can be done */
};

/* What a header gets. */
struct additions {
	bool version;
	const char *charset;  /* of a Content-Type that is missing; or NULL */
	const char *encoding; /* in place of the one that is there; or NULL */
	bool body;            /* the body is not copied as it is */
};

static int entity_repair(struct repair *r, uint64_t start, unsigned depth, bool digest);

static bool
has(const struct header *h, const char *name)
{
	return header_find(h, name) != NULL;
}

bool
repair_needed(const struct header *h, const struct scan *header, const struct scan *body)
{
	char boundary[MIME_BOUNDARY_SIZE];
	enum mime_kind kind;

	/* of a stray CR no signature holds (RFC 6376 section 5.3), and behind it a server
	 * could see another message */
	if ((has(h, "DKIM-Signature") || has(h, "ARC-Seal")) && !scan_has_stray_cr(header) &&
	    !scan_has_stray_cr(body))
		return false;
	if (scan_is_refused(header))
		return true;
	if (!scan_is_refused(body) && !body->eight_bit)
		return false;
	/* without memory the second pass fails and says so */
	if (mime_kind(h, false, &kind, boundary) < 0)
		return true;
	if (kind == MIME_OPAQUE)
		return false;
	if (scan_is_refused(body) || !has(h, "MIME-Version") || !has(h, "Content-Type"))
		return true;
	return !has(h, "Content-Transfer-Encoding") && kind != MIME_MULTIPART &&
	       kind != MIME_MESSAGE;
}

/* ---- headers -------------------------------------------------------------- */

static int
text_write(struct repair *r, const char *s)
{
	return message_write(r->to, s, strlen(s));
}

static int
no_memory(struct repair *r)
{
	return spool_fail(r->to->spool, "repair a message for", "queue");
}

static int
field_text_write(struct repair *r, const char *s, size_t len)
{
	if (!r->within)
		scan_add(&r->fields, s, len);
	return message_write(r->to, s, len);
}

static int
field_write(struct repair *r, const struct header *h, const struct field *f)
{
	struct buf text = BUF_INIT(8 * HEADER_OCTETS_MAX);
	const char *reason;
	char name[80];
	int result;

	if (!field_is_refused(h, f))
		return field_text_write(r, h->text.data + f->start, f->len);
	if (field_repair(h, f, &text, &reason) == 0) {
		result = field_text_write(r, text.data, text.len);
	} else if (reason == NULL) {
		result = no_memory(r);
	} else {
		text_copy_printable(name, sizeof(name), h->text.data + f->start, f->name_len);
		snprintf(r->problem, REPAIR_PROBLEM_SIZE, "header field %s: %s", name, reason);
		result = -1;
	}
	buf_free(&text);
	return result;
}

static int
encoding_write(struct repair *r, const char *encoding)
{
	return text_write(r, "Content-Transfer-Encoding: ") < 0 || text_write(r, encoding) < 0 ||
		       text_write(r, "\r\n") < 0
		   ? -1
		   : 0;
}

/* What was not there, behind the fields. */
static int
additions_write(struct repair *r, const struct additions *a, bool encoding)
{
	if (a->version && text_write(r, "MIME-Version: 1.0\r\n") < 0)
		return -1;
	if (a->charset != NULL && (text_write(r, "Content-Type: text/plain; charset=") < 0 ||
				      text_write(r, a->charset) < 0 || text_write(r, "\r\n") < 0))
		return -1;
	return encoding ? encoding_write(r, a->encoding) : 0;
}

static int prose_write(struct repair *r, uint64_t start, uint64_t end);

/* A range may be empty: has the entity, whose header is written, a body? */
static int
header_write(struct repair *r, const struct entity *e, const struct additions *a, bool has_body)
{
	bool encoding = a->encoding != NULL;
	bool added = a->version || a->charset != NULL || a->encoding != NULL;
	const struct header *h = &e->header;

	if (prose_write(r, e->start, e->fields) < 0)
		return -1;
	for (size_t i = 0; i < h->count; i++) {
		const struct field *f = &h->fields[i];

		if (a->encoding == NULL || !header_is(h, f, "Content-Transfer-Encoding")) {
			if (field_write(r, h, f) < 0)
				return -1;
			continue;
		}
		/* a second one would contradict it */
		if (encoding && encoding_write(r, a->encoding) < 0)
			return -1;
		encoding = false;
	}
	r->within = true;
	if (additions_write(r, a, encoding) < 0)
		return -1;
	if (e->separated || (has_body && (added || a->body)))
		return text_write(r, "\r\n");
	return 0;
}

/* ---- bodies --------------------------------------------------------------- */

/* What nobody decodes: before the first part and behind the last one. */
static int
prose_write(struct repair *r, uint64_t start, uint64_t end)
{
	return encode_range(&r->window, start, end, ENCODE_REPAIR_PROSE, r->to);
}

static int
opaque_copy(struct repair *r, const struct entity *e)
{
	struct additions none = { .version = false };

	if (region_find(&r->window, e->body, &r->boundaries, &r->region) < 0 ||
	    header_write(r, e, &none, true) < 0)
		return -1;
	return window_copy(&r->window, e->body, r->region.end, r->to);
}

static const char *
charset_name(const struct scan *s)
{
	return !s->eight_bit ? "us-ascii" : scan_is_utf8(s) ? "utf-8" : "unknown-8bit";
}

/* The fields that a message of one part lacks. */
static void
leaf_complete(
    const struct header *h, const struct scan *s, enum mime_encoding encoding, struct additions *a)
{
	if (!a->body && !s->eight_bit)
		return;
	a->version = !has(h, "MIME-Version");
	if (encoding != MIME_IDENTITY)
		return;
	if (!has(h, "Content-Type"))
		a->charset = charset_name(s);
	if (a->encoding == NULL && !has(h, "Content-Transfer-Encoding"))
		a->encoding = "8bit";
}

static int
leaf_write(struct repair *r, const struct entity *e, enum mime_kind kind, bool top)
{
	const struct scan *s = &r->region.scan;
	enum mime_encoding encoding = mime_encoding(&e->header);
	enum encode_form form = ENCODE_REPAIR_PROSE;
	struct additions a = { .body = scan_is_refused(s) && encoding != MIME_ENCODING_UNKNOWN };
	uint64_t start = r->region.start, end = r->region.end;

	if (encoding == MIME_IDENTITY) {
		form = kind == MIME_DATA || s->nul ? ENCODE_BASE64 : ENCODE_QUOTED_PRINTABLE;
		if (a.body)
			a.encoding = form == ENCODE_BASE64 ? "base64" : "quoted-printable";
	} else {
		form =
		    encoding == MIME_BASE64 ? ENCODE_REPAIR_BASE64 : ENCODE_REPAIR_QUOTED_PRINTABLE;
	}
	if (top)
		leaf_complete(&e->header, s, encoding, &a);
	if (header_write(r, e, &a, end > start) < 0)
		return -1;
	if (!a.body)
		return window_copy(&r->window, start, end, r->to);
	if (encode_range(&r->window, start, end, form, r->to) < 0)
		return -1;
	/* its line end has been encoded too, and no boundary line brings one */
	return form == ENCODE_BASE64 && r->region.at_end ? text_write(r, "\r\n") : 0;
}

static int
boundary_write(struct repair *r)
{
	const struct line *b = &r->region.boundary;
	bool long_line = b->end - b->start > SCAN_LINE_MAX;

	if (window_copy(&r->window, r->region.end, long_line ? b->text : b->next, r->to) < 0)
		return -1;
	return long_line ? text_write(r, "\r\n") : 0;
}

/* From the preamble, which has been found, to the epilogue. */
static int
parts_repair(struct repair *r, unsigned depth, bool digest)
{
	size_t level = r->boundaries.count - 1;

	if (prose_write(r, r->region.start, r->region.end) < 0)
		return -1;
	while (!r->region.at_end && r->region.level == level) {
		uint64_t next = r->region.boundary.next;

		if (boundary_write(r) < 0)
			return -1;
		if (!r->region.closes) {
			if (entity_repair(r, next, depth + 1, digest) < 0)
				return -1;
			continue;
		}
		r->boundaries.count = level;
		if (region_find(&r->window, next, &r->boundaries, &r->region) < 0)
			return -1;
		return prose_write(r, r->region.start, r->region.end);
	}
	r->boundaries.count = level;
	return 0;
}

/* ---- entities ------------------------------------------------------------- */

/* 1 if there are parts: then the region is the preamble.  0 if there are none: it is
 * the whole body, and the multipart is a leaf.  -1. */
static int
parts_find(struct repair *r, const struct entity *e, const char *boundary)
{
	size_t level = r->boundaries.count++;

	snprintf(r->boundaries.text[level], MIME_BOUNDARY_SIZE, "%s", boundary);
	if (region_find(&r->window, e->body, &r->boundaries, &r->region) < 0)
		return -1;
	if (!r->region.at_end && r->region.level == level)
		return 1;
	r->boundaries.count = level;
	return 0;
}

/* The header of a multipart, or of a message in a message. */
static int
outer_header_write(struct repair *r, const struct entity *e, unsigned depth, bool body)
{
	struct additions a = { .body = body };

	a.version = depth == 0 && !has(&e->header, "MIME-Version");
	return header_write(r, e, &a, true);
}

/* Sets the header free before it goes down. */
static int
composite_repair(struct repair *r, struct entity *e, enum mime_kind kind, unsigned depth)
{
	bool digest = mime_is_digest(&e->header);
	bool body = kind == MIME_MESSAGE || scan_is_refused(&r->region.scan);
	int result = outer_header_write(r, e, depth, body);

	header_free(&e->header);
	if (result < 0)
		return -1;
	if (kind == MIME_MESSAGE)
		return entity_repair(r, e->body, depth + 1, false);
	return parts_repair(r, depth, digest);
}

static int
entity_write(struct repair *r, struct entity *e, unsigned depth, bool digest)
{
	char boundary[MIME_BOUNDARY_SIZE];
	enum mime_kind kind;
	int parts = 0;

	if (mime_kind(&e->header, digest, &kind, boundary) < 0)
		return no_memory(r);
	if (kind == MIME_OPAQUE || depth >= ENTITY_DEPTH_MAX)
		return opaque_copy(r, e);
	/* RFC 2046 section 5.2.1 forbids to encode a message; some do, and it is no entity
	 * then that anybody sees without decoding it */
	if (kind == MIME_MESSAGE && mime_encoding(&e->header) == MIME_IDENTITY)
		return composite_repair(r, e, kind, depth);
	if (kind == MIME_MULTIPART)
		parts = parts_find(r, e, boundary);
	else if (region_find(&r->window, e->body, &r->boundaries, &r->region) < 0)
		return -1;
	if (parts != 0)
		return parts < 0 ? -1 : composite_repair(r, e, kind, depth);
	return leaf_write(r, e, kind, depth == 0);
}

/* Header and body, up to the boundary line or the end that r->region tells. */
static int
entity_repair(struct repair *r, uint64_t start, unsigned depth, bool digest)
{
	struct entity e;
	int result = entity_read(&r->window, start, &r->boundaries, &e);

	if (result < 0 && errno == ENOBUFS)
		snprintf(r->problem, REPAIR_PROBLEM_SIZE,
		    "the header of a part of the message is longer than 8 MB");
	if (result == 0)
		result = entity_write(r, &e, depth, digest);
	header_free(&e.header);
	return result;
}

enum repair_result
repair_run(struct message_writer *from, struct message_writer *to,
    char problem[static REPAIR_PROBLEM_SIZE])
{
	struct repair r = { .to = to, .problem = problem };
	int result = window_init(&r.window, from);

	problem[0] = '\0';
	if (result == 0)
		result = entity_repair(&r, 0, 0, false);
	window_fini(&r.window);
	/* RFC 6531 section 3.4 */
	if (r.fields.eight_bit && scan_is_utf8(&r.fields))
		to->flags |= MESSAGE_SMTPUTF8;
	if (result == 0)
		return REPAIR_DONE;
	return problem[0] != '\0' ? REPAIR_IMPOSSIBLE : REPAIR_FAILED;
}
