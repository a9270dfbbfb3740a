/*
 * Fields are copied as they are, but for the addresses of this host: one that is
 * mapped is replaced, the place behind a bare local part gains "@domain", and a domain
 * that has no dot and so means nothing elsewhere gives way to it.  A field whose addresses cannot
 * be parsed is not touched: repairing it is guessing.
 */
#include "sendmail/complete.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "sendmail/address.h"
#include "sendmail/local.h"
#include "spool/name.h"

/* Never sent: who gets a blind copy (RFC 5322 section 3.6.3), and a field that
 * only the last server may write (RFC 5321 section 4.4). */
static const char *const dropped[] = { "Bcc", "Resent-Bcc", "Return-Path", NULL };

static const char *const with_addresses[] = { "From", "Sender", "Reply-To", "To", "Cc",
	"Resent-From", "Resent-Sender", "Resent-Reply-To", "Resent-To", "Resent-Cc", "Errors-To",
	"Disposition-Notification-To", "Return-Receipt-To", NULL };

static bool
is_one_of(const struct header *h, const struct field *f, const char *const *names)
{
	for (; *names != NULL; names++)
		if (header_is(h, f, *names))
			return true;
	return false;
}

struct places {
	struct buf *out;
	const char *value;
	size_t copied;
	const struct completion *completion;
};

/* Puts text in the place of the octets from begin to end. */
static void
replace(struct places *p, size_t begin, size_t end, const char *text, size_t len)
{
	buf_append(p->out, p->value + p->copied, begin - p->copied);
	buf_append(p->out, text, len);
	p->copied = end;
}

static int
address_complete(void *context, const struct address *a)
{
	struct places *p = context;
	const struct completion *c = p->completion;
	const char *mapped = NULL, *domain = local_domain(c->identity, a);
	char name[LOCAL_NAME_SIZE];

	if (!local_is(c->settings, c->identity, a))
		return 0;
	if (local_name(a->text, local_part_length(a), name))
		mapped = local_map(c->settings, name);
	if (mapped != NULL) {
		const char *at = strrchr(mapped, '@');

		/* what stands around the @ stays */
		replace(p, a->begin, a->end, mapped, (size_t)(at - mapped));
		domain = at + 1;
	}
	if (a->bare) {
		replace(p, a->end, a->end, "@", 1);
		replace(p, a->end, a->end, domain, strlen(domain));
	} else if (strcasecmp(a->text + local_part_length(a) + 1, domain) != 0) {
		replace(p, a->domain, a->domain_end, domain, strlen(domain));
	}
	return p->out->failed ? -1 : 0;
}

/* The field with its addresses completed. */
static int
addresses_add(
    const struct header *h, const struct field *f, const struct completion *c, struct buf *b)
{
	const char *value = h->text.data + f->value;
	size_t len = f->start + f->len - f->value, before = b->len;
	struct places places = { .out = b, .value = value, .completion = c };
	const char *error;

	if (buf_append(b, h->text.data + f->start, f->value - f->start) < 0)
		return -1;
	if (address_list_parse(value, len, address_complete, &places, &error) < 0) {
		/* the function fails without memory, too */
		if (error == NULL)
			return -1;
		buf_truncate(b, before);
		return buf_append(b, h->text.data + f->start, f->len);
	}
	return buf_append(b, value + places.copied, len - places.copied);
}

/* RFC 5321 section 4.4 */
static void
received_add(const struct completion *c, const char *date, struct buf *b)
{
	buf_add_string(b, "Received: ");
	if (c->from_host != NULL)
		buf_addf(b, "from %s\r\n\t", c->from_host);
	buf_addf(b, "by %s (postbag, from uid %lu)\r\n\t", c->identity->hostname,
	    (unsigned long)c->identity->uid);
	if (c->protocol != NULL)
		buf_addf(b, "with %s ", c->protocol);
	buf_addf(b, "id %.*s; %s\r\n", QUEUE_ID_LEN, c->queue_id, date);
}

static void
from_add(const struct completion *c, const char *field, struct buf *b)
{
	const char *name = c->full_name != NULL ? c->full_name : c->identity->full_name;
	const char *mapped = local_map(c->settings, c->identity->user);

	buf_addf(b, "%s: ", field);
	if (*name != '\0') {
		identity_add_phrase(b, name);
		buf_add_char(b, ' ');
	}
	if (*c->envelope->sender != '\0')
		buf_addf(b, "<%s>\r\n", c->envelope->sender);
	else if (mapped != NULL)
		buf_addf(b, "<%s>\r\n", mapped);
	else
		buf_addf(b, "<%s@%s>\r\n", c->identity->user, c->identity->domain);
}

static int
message_id_add(const struct completion *c, const char *field, struct buf *b)
{
	const struct identity *id = c->identity;
	bool dotted = strchr(id->hostname, '.') != NULL || strchr(id->domain, '.') == NULL;
	struct queue_name unique;

	if (name_make(&unique) < 0)
		return -1;
	return buf_addf(
	    b, "%s: <%s@%s>\r\n", field, unique.text, dotted ? id->hostname : id->domain);
}

static bool
has_field(const struct header *h, size_t begin, size_t end, const char *name)
{
	for (size_t i = begin; i < end; i++)
		if (header_is(h, &h->fields[i], name))
			return true;
	return false;
}

/* RFC 5322 section 3.6.6: date and author belong to a block; they are put on top of
 * it.  A block of blind copies alone leaves no trace. */
static int
resent_add(const struct header *h, const struct completion *c, const char *date, struct buf *b)
{
	size_t begin, end;

	if (!header_resent_block(h, &begin, &end) ||
	    (!has_field(h, begin, end, "Resent-To") && !has_field(h, begin, end, "Resent-Cc") &&
		!has_field(h, begin, end, "Resent-From")))
		return 0;
	if (!has_field(h, begin, end, "Resent-Date"))
		buf_addf(b, "Resent-Date: %s\r\n", date);
	if (!has_field(h, begin, end, "Resent-From"))
		from_add(c, "Resent-From", b);
	if (!has_field(h, begin, end, "Resent-Message-ID"))
		return message_id_add(c, "Resent-Message-ID", b);
	return 0;
}

static int
missing_add(const struct header *h, const struct completion *c, const char *date, struct buf *b)
{
	if (header_find(h, "Date") == NULL)
		buf_addf(b, "Date: %s\r\n", date);
	if (header_find(h, "From") == NULL)
		from_add(c, "From", b);
	if (header_find(h, "To") == NULL && header_find(h, "Cc") == NULL)
		buf_add_string(b, "To: undisclosed-recipients:;\r\n");
	return header_find(h, "Message-ID") == NULL ? message_id_add(c, "Message-ID", b) : 0;
}

int
complete_header(const struct header *h, const struct completion *c, struct buf *b)
{
	char date[CLOCK_RFC5322_SIZE];

	clock_format_rfc5322(c->envelope->time, date);
	received_add(c, date, b);
	if (resent_add(h, c, date, b) < 0)
		return -1;
	for (size_t i = 0; i < h->count; i++) {
		const struct field *f = &h->fields[i];
		int r = 0;

		if (is_one_of(h, f, with_addresses))
			r = addresses_add(h, f, c, b);
		else if (!is_one_of(h, f, dropped))
			r = buf_append(b, h->text.data + f->start, f->len);
		if (r < 0)
			return -1;
	}
	return missing_add(h, c, date, b) < 0 || b->failed ? -1 : 0;
}
