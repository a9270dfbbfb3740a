/*
 * A recipient that is named twice gets one copy; the case of the domain does not
 * distinguish them, that of the local part does (RFC 5321 section 2.4).
 */
#include "sendmail/recipients.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>

#include "base/text.h"
#include "sendmail/address.h"

void
recipients_init(
    struct recipients *r, struct envelope *e, const struct options *o, const char *domain)
{
	*r = (struct recipients){ .envelope = e,
		.options = o,
		.domain = domain,
		.error = BUF_INIT(4096),
		.code = EX_DATAERR };
}

void
recipients_fini(struct recipients *r)
{
	tdestroy(r->seen, free);
	buf_free(&r->error);
}

static int
compare(const void *a, const void *b)
{
	const char *x = a, *y = b;
	const char *xat = strrchr(x, '@'), *yat = strrchr(y, '@');
	size_t xn = (size_t)(xat - x), yn = (size_t)(yat - y);
	int c = xn == yn ? memcmp(x, y, xn) : xn < yn ? -1 : 1;

	return c != 0 ? c : strcasecmp(xat, yat);
}

static int
fail(struct recipients *r, const char *address, const char *why)
{
	buf_addf(&r->error, "%s: ", r->source);
	if (address != NULL) {
		buf_add_char(&r->error, '"');
		text_add_printable(&r->error, address, strlen(address));
		buf_add_string(&r->error, "\": ");
	}
	buf_add_string(&r->error, why);
	return -1;
}

static int
memory_fail(struct recipients *r)
{
	r->code = EX_TEMPFAIL;
	return fail(r, NULL, "out of memory");
}

/* 1 if it is new, 0 if it was seen, -1 without memory. */
static int
seen_add(struct recipients *r, const char *address)
{
	char *copy = strdup(address);
	char **found = copy == NULL ? NULL : tsearch(copy, &r->seen, compare);

	if (found == NULL) {
		free(copy);
		return -1;
	}
	if (*found != copy) {
		free(copy);
		return 0;
	}
	return 1;
}

/* a with the domain it lacks, in whole. */
static int
address_complete(struct recipients *r, const struct address *a, struct buf *whole)
{
	const char *wrong;

	buf_add_string(whole, a->text);
	if (a->bare)
		buf_addf(whole, "@%s", r->domain);
	if (whole->failed)
		return fail(r, a->text, "it is too long");
	wrong = envelope_address_check(buf_string(whole));
	return wrong == NULL ? 0 : fail(r, a->text, wrong);
}

static int
recipient_add(void *context, const struct address *a)
{
	struct recipients *r = context;
	struct buf whole = BUF_INIT(8192);
	int new, result = -1;

	if (address_complete(r, a, &whole) < 0)
		goto out;
	new = seen_add(r, whole.data);
	if (new > 0 &&
	    envelope_add_recipient(r->envelope, whole.data, r->options->notify, NULL) < 0) {
		if (errno == ENOBUFS)
			fail(r, NULL, "there are more than 65536 recipients; send it in parts");
		else
			memory_fail(r);
	} else if (new < 0) {
		memory_fail(r);
	} else {
		result = 0;
	}
out:
	buf_free(&whole);
	return result;
}

static int
list_add(struct recipients *r, const char *source, const char *text, size_t len)
{
	const char *error;
	char start[80];

	r->source = source;
	if (address_list_parse(text, len, recipient_add, r, &error) == 0)
		return 0;
	if (error == NULL)
		return -1;
	while (len > 0 && strchr(" \t\r\n", *text) != NULL && *text != '\0') {
		text++;
		len--;
	}
	text_copy_printable(start, sizeof(start), text, len);
	return fail(r, start, error);
}

int
recipients_from_arguments(struct recipients *r)
{
	for (size_t i = 0; i < r->options->recipient_count; i++) {
		const char *text = r->options->recipients[i];

		r->source = "recipient";
		/* a header folds its lines; an argument has one */
		if (strpbrk(text, "\r\n") != NULL)
			return fail(r, text, "it contains a line break");
		if (list_add(r, "recipient", text, strlen(text)) < 0)
			return -1;
	}
	return 0;
}

int
recipients_from_header(struct recipients *r, const struct header *h)
{
	static const char *const plain[] = { "To", "Cc", "Bcc" };
	static const char *const resent[] = { "Resent-To", "Resent-Cc", "Resent-Bcc" };
	bool is_resent = false;

	for (size_t k = 0; k < 3; k++)
		is_resent |= header_find(h, resent[k]) != NULL;
	for (size_t i = 0; i < h->count; i++) {
		const struct field *f = &h->fields[i];

		for (size_t k = 0; k < 3; k++) {
			const char *name = is_resent ? resent[k] : plain[k];

			if (header_is(h, f, name) && list_add(r, name, h->text.data + f->value,
							 f->start + f->len - f->value) < 0)
				return -1;
		}
	}
	return 0;
}

struct one_address {
	struct recipients *r;
	struct buf whole;
	unsigned count;
};

static int
sender_take(void *context, const struct address *a)
{
	struct one_address *one = context;

	if (one->count++ > 0)
		return fail(one->r, NULL, "it must be one address");
	return address_complete(one->r, a, &one->whole);
}

int
recipients_set_sender(struct recipients *r, const char *sender)
{
	struct one_address one = { .r = r, .whole = BUF_INIT(8192) };
	const char *error = NULL;
	int result = -1;

	r->source = "sender";
	/* a line break is refused here, not folded away */
	if (strpbrk(sender, "\r\n") != NULL)
		fail(r, sender, "it contains a line break");
	else if (address_list_parse(sender, strlen(sender), sender_take, &one, &error) < 0) {
		if (error != NULL)
			fail(r, sender, error);
	} else if (one.count == 0 && *sender != '\0' && strcmp(sender, "<>") != 0) {
		fail(r, sender, "it is no address; the null sender is written <>");
	} else if (envelope_set_sender(r->envelope, buf_string(&one.whole)) < 0) {
		memory_fail(r);
	} else {
		result = 0;
	}
	buf_free(&one.whole);
	return result;
}
