/*
 * An entity is read twice: its header and the extent of its body first, which decides
 * what becomes of it; then it is written.  Only the header of one entity is in memory
 * at a time, and the boundaries of the multiparts around it.
 *
 * What is signed stays as it is, or the message cannot be converted.  Only in a bounce
 * a signed part of the returned message is encoded like any other: that it comes back
 * matters more.
 */
#include "relayd/session/convert.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "relayd/session/convert_body.h"
#include "relayd/session/convert_field.h"
#include "relayd/session/convert_mime.h"

#define DEPTH_MAX 50
#define HEADER_MAX (8 << 20)
#define HEADER_OUT_MAX (64 << 20)
#define LINE_OCTETS 998

static const char not_supported[] = "554 5.6.3 conversion to 7-bit is required but not supported "
				    "for this content, and the smarthost lacks 8BITMIME";

/* A range of content up to a boundary line. */
struct region {
	uint64_t start, end;
	bool eight_bit;
	bool odd;    /* a NUL, a CR without LF, a line over 998 octets */
	bool at_end; /* no boundary line ended it, but the content */
	struct convert_line boundary;
	size_t level; /* the index of its boundary */
	bool closes;  /* it is the last one of its multipart */
};

struct walk {
	struct convert *c;
	char boundaries[DEPTH_MAX][MIME_BOUNDARY_MAX];
	size_t count;         /* of multiparts around, the outermost first */
	struct region region; /* the last one: how the entity before ended */
	bool report;          /* the message is a bounce or the like */
};

struct entity {
	struct buf header; /* whole lines, without the empty one */
	struct entity_type type;
	uint64_t body;
	bool separated;  /* by an empty line from its body */
	bool is_message; /* the outermost one, or the content of a message/rfc822 */
};

/* What its header gets. */
struct additions {
	const char *encoding; /* in place of the one that is there; or NULL */
	const char *charset;  /* of a Content-Type that is missing; or NULL */
	bool version;
};

static int entity_convert(struct walk *w, uint64_t start, size_t depth, bool digest, bool message);

static int
put(struct walk *w, const char *s, size_t len)
{
	return len == 0 ? 0 : w->c->write(w->c->context, s, len);
}

static int
refuse(struct walk *w, const char *why)
{
	w->c->refusal = why;
	return -1;
}

/* ---- where entities begin and end --------------------------------------------- */

/* Is it a boundary line?  Blanks at its end do not count. */
static int
boundary_match(struct walk *w, const struct convert_line *line, struct region *r)
{
	size_t len;
	const char *s;

	if (line->text - line->start < 3 || line->text - line->start > MIME_BOUNDARY_MAX + 4)
		return 0;
	s = convert_at(&w->c->input, line->start, line->text, &len);
	if (s == NULL)
		return -1;
	if (s[0] != '-' || s[1] != '-')
		return 0;
	for (size_t i = w->count; i-- > 0;) {
		size_t n = strlen(w->boundaries[i]);

		if (len < n + 2 || memcmp(s + 2, w->boundaries[i], n) != 0)
			continue;
		r->closes = len == n + 4 && s[n + 2] == '-' && s[n + 3] == '-';
		if (len != n + 2 && !r->closes)
			continue;
		r->level = i;
		r->boundary = *line;
		return 1;
	}
	return 0;
}

static int
region_find(struct walk *w, uint64_t start, struct region *r)
{
	struct convert_line line = { .end = start, .next = start };

	*r = (struct region){ .start = start };
	for (;;) {
		/* the line end before a boundary line is not of the body */
		uint64_t end = line.end;
		int any = convert_line_next(&w->c->input, line.next, w->c->input.length, &line);
		int found = any > 0 ? boundary_match(w, &line, r) : 0;

		if (any < 0 || found < 0)
			return -1;
		if (any == 0 || found > 0) {
			r->at_end = any == 0;
			r->end = any == 0 ? line.next : end;
			return 0;
		}
		r->eight_bit |= line.eight_bit;
		r->odd |= line.odd || line.end - line.start > LINE_OCTETS;
	}
}

/* Adds a line of the header.  1; 0: it is none; -1. */
static int
header_line_add(struct walk *w, const struct convert_line *line, struct buf *header)
{
	size_t start = header->len, colon;

	for (uint64_t at = line->start; at < line->next;) {
		size_t len;
		const char *s = convert_at(&w->c->input, at, line->next, &len);

		if (s == NULL)
			return -1;
		if (buf_append(header, s, len) < 0)
			return errno == ENOBUFS ? refuse(w, not_supported) : -1;
		at += len;
	}
	if ((start > 0 && (header->data[start] == ' ' || header->data[start] == '\t')) ||
	    field_name_length(header->data + start, header->len - start, &colon) > 0)
		return 1;
	buf_truncate(header, start);
	return 0;
}

static int
entity_read(struct walk *w, uint64_t start, bool digest, struct entity *e)
{
	struct convert_line line = { .next = start };
	struct region r;

	e->header = BUF_INIT(HEADER_MAX);
	for (;;) {
		int any = convert_line_next(&w->c->input, line.next, w->c->input.length, &line);
		int found = any > 0 ? boundary_match(w, &line, &r) : any;

		if (any < 0 || found < 0)
			return -1;
		e->body = line.start;
		e->separated = any > 0 && line.start == line.end;
		if (any == 0 || found > 0)
			break;
		if (e->separated) {
			e->body = line.next;
			break;
		}
		any = header_line_add(w, &line, &e->header);
		if (any < 0)
			return -1;
		if (any == 0)
			break;
	}
	return entity_type_read(buf_string(&e->header), e->header.len, digest, &e->type);
}

/* ---- headers -------------------------------------------------------------------- */

static void
additions_add(struct buf *out, const struct additions *a, bool encoding)
{
	if (a->version)
		buf_add_string(out, "MIME-Version: 1.0\r\n");
	if (a->charset != NULL)
		buf_addf(out, "Content-Type: text/plain; charset=%s\r\n", a->charset);
	if (encoding)
		buf_addf(out, "Content-Transfer-Encoding: %s\r\n", a->encoding);
}

/* The header in ASCII.  `separate`: an empty line must follow, because the first line of the
 * body may become one that looks like a field. */
static int
header_write(struct walk *w, const struct entity *e, const struct additions *a, bool separate)
{
	struct buf out = BUF_INIT(HEADER_OUT_MAX);
	bool encoding = a->encoding != NULL;
	struct field f;
	size_t at = 0;
	int r = 1;

	while (r > 0 && field_next(buf_string(&e->header), e->header.len, &at, &f)) {
		if (a->encoding == NULL || !field_is(&f, "Content-Transfer-Encoding")) {
			r = convert_field(&f, &out, &w->c->refusal);
			continue;
		}
		/* a second one would contradict it */
		if (encoding)
			additions_add(&out, &(struct additions){ .encoding = a->encoding }, true);
		encoding = false;
	}
	additions_add(&out, a, encoding);
	if (e->separated || separate)
		buf_add_string(&out, "\r\n");
	if (r > 0 && !out.failed)
		r = put(w, buf_string(&out), out.len) == 0;
	else
		r = 0;
	buf_free(&out);
	return r > 0 ? 0 : -1;
}

/* ---- bodies ---------------------------------------------------------------------- */

/* The octets at s that are whole characters of UTF-8, if no more than the last one is
 * cut off; 0: it is not UTF-8. */
static size_t
utf8_whole(const char *s, size_t len, bool last)
{
	for (size_t cut = 0; cut < (last ? 1 : 4) && cut < len; cut++)
		if (text_is_utf8(s, len - cut))
			return len - cut;
	return 0;
}

static const char *
charset_name(struct walk *w, const struct region *r)
{
	if (!r->eight_bit)
		return "us-ascii";
	for (uint64_t at = r->start; at < r->end;) {
		size_t len, whole;
		const char *s = convert_at(&w->c->input, at, r->end, &len);

		whole = s == NULL ? 0 : utf8_whole(s, len, at + len == r->end);
		if (whole == 0)
			return "unknown-8bit";
		at += whole;
	}
	return "utf-8";
}

/* What a leaf becomes; -1: it cannot be done. */
static int
leaf_form(const struct walk *w, const struct entity *e, enum body_form *form)
{
	const struct region *r = &w->region;

	*form = BODY_COPY;
	if (e->type.kind == ENTITY_FIXED || e->type.kind == ENTITY_SIGNED ||
	    e->type.encoding == ENTITY_OTHER)
		return r->eight_bit ? -1 : 0;
	if (e->type.encoding == ENTITY_QUOTED_PRINTABLE && r->eight_bit)
		*form = BODY_REPAIR_QUOTED_PRINTABLE;
	else if (e->type.encoding == ENTITY_BASE64 && r->eight_bit)
		*form = BODY_REPAIR_BASE64;
	else if (e->type.encoding == ENTITY_IDENTITY && (r->eight_bit || r->odd))
		*form = e->type.kind == ENTITY_TEXT ? BODY_QUOTED_PRINTABLE : BODY_BASE64;
	return 0;
}

static int
leaf_write(struct walk *w, const struct entity *e)
{
	struct additions a = { .version = false };
	struct region r = w->region;
	enum body_form form;
	bool changes;

	if (leaf_form(w, e, &form) < 0)
		return refuse(w, not_supported);
	if (form == BODY_QUOTED_PRINTABLE || form == BODY_BASE64) {
		a.encoding = form == BODY_BASE64 ? "base64" : "quoted-printable";
		a.version = e->is_message && !e->type.has_version;
		a.charset = e->is_message && !e->type.has_type ? charset_name(w, &r) : NULL;
	} else if (e->type.has_encoding && e->type.encoding == ENTITY_IDENTITY) {
		a.encoding = "7bit";
	}
	changes = form != BODY_COPY || a.encoding != NULL;
	if (header_write(w, e, &a, changes && r.end > r.start) < 0 ||
	    body_write(w->c, r.start, r.end, form) < 0)
		return -1;
	/* its line end has been encoded too, and no boundary line brings one */
	return form == BODY_BASE64 && r.at_end ? put(w, "\r\n", 2) : 0;
}

static int
prose_write(struct walk *w)
{
	return body_write(
	    w->c, w->region.start, w->region.end, w->region.eight_bit ? BODY_PROSE : BODY_COPY);
}

/* From the preamble, which has been found, to the epilogue. */
static int
parts_convert(struct walk *w, size_t depth, bool digest)
{
	size_t level = w->count - 1;

	if (prose_write(w) < 0)
		return -1;
	while (!w->region.at_end && w->region.level == level) {
		uint64_t next = w->region.boundary.next;

		if (body_write(w->c, w->region.end, next, BODY_COPY) < 0)
			return -1;
		if (!w->region.closes) {
			if (entity_convert(w, next, depth + 1, digest, false) < 0)
				return -1;
			continue;
		}
		w->count = level;
		return region_find(w, next, &w->region) < 0 ? -1 : prose_write(w);
	}
	w->count = level;
	return 0;
}

/* ---- entities ---------------------------------------------------------------------- */

/* 1 if there are parts: then the region is the preamble.  0 if there are none: it is
 * the whole body, and the multipart is a leaf.  -1. */
static int
parts_find(struct walk *w, const struct entity *e)
{
	size_t level = w->count++;

	snprintf(w->boundaries[level], MIME_BOUNDARY_MAX, "%s", e->type.boundary);
	if (region_find(w, e->body, &w->region) < 0)
		return -1;
	if (!w->region.at_end && w->region.level == level)
		return 1;
	w->count = level;
	return 0;
}

/* Octet for octet, or not at all. */
static int
signed_write(struct walk *w, const struct entity *e)
{
	struct additions none = { .version = false };

	if (region_find(w, e->body, &w->region) < 0)
		return -1;
	if (w->region.eight_bit)
		return refuse(w, not_supported);
	if (header_write(w, e, &none, false) < 0)
		return -1;
	return body_write(w->c, w->region.start, w->region.end, BODY_COPY);
}

/* Its parts are 7-bit, so it is, too.  Sets the header free before it goes down. */
static int
composite_convert(struct walk *w, struct entity *e, size_t depth)
{
	struct additions a = { .version = false };
	bool digest = e->type.digest, message = e->type.kind == ENTITY_MESSAGE;
	int r;

	if (e->type.has_encoding)
		a.encoding = "7bit";
	w->report |= depth == 0 && e->type.report;
	r = header_write(w, e, &a, true);
	buf_free(&e->header);
	if (r < 0)
		return -1;
	if (message)
		return entity_convert(w, e->body, depth + 1, false, true);
	return parts_convert(w, depth, digest);
}

static int
entity_write(struct walk *w, struct entity *e, size_t depth)
{
	bool multipart = e->type.kind == ENTITY_MULTIPART;
	int parts = 0;

	if (depth >= DEPTH_MAX)
		e->type.kind = ENTITY_FIXED;
	else if (e->type.kind == ENTITY_SIGNED && !w->report)
		return signed_write(w, e);
	else if (e->type.kind == ENTITY_SIGNED)
		multipart = true;
	/* RFC 2046 section 5.2.1 forbids to encode a message; one that is encoded is no
	 * entity that anybody sees without decoding it */
	if (depth < DEPTH_MAX && e->type.kind == ENTITY_MESSAGE &&
	    e->type.encoding == ENTITY_IDENTITY)
		return composite_convert(w, e, depth);
	if (depth < DEPTH_MAX && multipart)
		parts = parts_find(w, e);
	else if (region_find(w, e->body, &w->region) < 0)
		return -1;
	if (parts != 0)
		return parts < 0 ? -1 : composite_convert(w, e, depth);
	/* without parts there is nothing to show but text */
	if (multipart)
		e->type.kind = ENTITY_TEXT;
	return leaf_write(w, e);
}

/* Header and body, up to the boundary line or the end that w->region tells. */
static int
entity_convert(struct walk *w, uint64_t start, size_t depth, bool digest, bool message)
{
	struct entity e = { .is_message = message };
	int r = entity_read(w, start, digest, &e);

	if (r == 0 && w->c->scope == CONVERT_HEADER) {
		r = header_write(w, &e, &(struct additions){ .version = false }, false);
		buf_free(&e.header);
		return r < 0 ? -1 : body_write(w->c, e.body, w->c->input.length, BODY_COPY);
	}
	if (r == 0)
		r = entity_write(w, &e, depth);
	buf_free(&e.header);
	return r;
}

enum convert_result
convert_run(struct convert *c)
{
	struct walk w = { .c = c };
	int r = convert_input_init(&c->input);

	c->refusal = NULL;
	if (r == 0)
		r = entity_convert(&w, 0, 0, false, true);
	convert_input_fini(&c->input);
	if (r == 0)
		return CONVERT_DONE;
	return c->refusal != NULL ? CONVERT_IMPOSSIBLE : CONVERT_FAILED;
}
