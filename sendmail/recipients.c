/*
 * An address is checked first as it was given, so that a mistake of the caller's is
 * reported in his own words, and then expanded; what comes out is added unless it is
 * there already.
 */
#include "sendmail/recipients.h"

#include <errno.h>
#include <string.h>
#include <sysexits.h>

#include "base/log.h"
#include "base/text.h"
#include "sendmail/address.h"
#include "sendmail/local.h"

/* ENVELOPE_RECIPIENTS_MAX addresses of ENVELOPE_ADDRESS_MAX octets */
#define FINALS_OCTETS_MAX (17 << 20)

void
recipients_init(
    struct recipients *r, struct envelope *e, const struct settings *s, const struct identity *id)
{
	*r = (struct recipients){ .envelope = e,
		.finals = BUF_INIT(FINALS_OCTETS_MAX),
		.error = BUF_INIT(8192),
		.code = EX_DATAERR };
	expand_init(&r->expansion, s, id);
}

void
recipients_fini(struct recipients *r)
{
	expand_fini(&r->expansion);
	address_set_free(&r->seen);
	buf_free(&r->finals);
	buf_free(&r->error);
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

static int
final_gather(void *context, const char *address)
{
	struct recipients *r = context;

	return buf_append(&r->finals, address, strlen(address) + 1);
}

/* What one recipient has led to, now that all of it is known. */
static int
finals_add(struct recipients *r)
{
	const char *end = buf_string(&r->finals) + r->finals.len;

	for (const char *f = buf_string(&r->finals); f < end; f += strlen(f) + 1) {
		int new = address_set_add(&r->seen, f), error;

		if (new == 0)
			continue;
		if (new > 0 && envelope_add_recipient(r->envelope, f, r->notify, r->orcpt) == 0)
			continue;
		error = errno;
		/* who is not in the envelope has not been seen */
		if (new > 0)
			address_set_remove(&r->seen, f);
		if (error == ENOBUFS)
			return fail(
			    r, NULL, "there are more than 65536 recipients; send it in parts");
		return memory_fail(r);
	}
	return 0;
}

static int
recipient_add(void *context, const struct address *a)
{
	struct recipients *r = context;
	struct buf whole = BUF_INIT(8192);
	const char *wrong = expand_check(&r->expansion, a, &whole);
	bool no_memory = whole.failed;

	buf_free(&whole);
	buf_reset(&r->finals);
	if (no_memory)
		return memory_fail(r);
	if (wrong != NULL)
		return fail(r, a->text, wrong);
	if (expand_address(&r->expansion, a, final_gather, r) == 0)
		return finals_add(r);
	if (r->expansion.error.len == 0)
		return memory_fail(r);
	r->code = r->expansion.code;
	return fail(r, a->text, r->expansion.error.data);
}

/* A list could not be parsed; without an error its function has set one, or there is
 * no memory. */
static int
list_fail(struct recipients *r, const char *text, const char *error)
{
	if (error != NULL)
		return fail(r, text, error);
	return r->error.len > 0 ? -1 : memory_fail(r);
}

static int
list_add(struct recipients *r, const char *source, const char *text, size_t len)
{
	const char *error;
	char start[80];

	r->source = source;
	if (address_list_parse(text, len, recipient_add, r, &error) == 0)
		return 0;
	while (len > 0 && strchr(" \t\r\n", *text) != NULL && *text != '\0') {
		text++;
		len--;
	}
	text_copy_printable(start, sizeof(start), text, len);
	return list_fail(r, start, error);
}

int
recipients_from_arguments(struct recipients *r, char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		r->source = "recipient";
		/* a header folds its lines; an argument has one */
		if (strpbrk(list[i], "\r\n") != NULL)
			return fail(r, list[i], "it contains a line break");
		if (list_add(r, "recipient", list[i], strlen(list[i])) < 0)
			return -1;
	}
	return 0;
}

struct only_one {
	struct recipients *r;
	unsigned count;
};

static int
only_one_count(void *context, const struct address *a)
{
	struct only_one *one = context;

	(void)a;
	return one->count++ == 0 ? 0 : fail(one->r, NULL, "it must be one address");
}

int
recipients_add(struct recipients *r, const char *address)
{
	struct only_one one = { .r = r };
	const char *error;

	/* one that failed may have left aliases half followed */
	expand_begin(&r->expansion);
	buf_reset(&r->expansion.error);
	buf_reset(&r->error);
	r->code = EX_DATAERR;
	r->source = "recipient";
	if (address_list_parse(address, strlen(address), only_one_count, &one, &error) < 0)
		return list_fail(r, address, error);
	if (one.count == 0)
		return fail(r, address, "it is no address");
	return list_add(r, "recipient", address, strlen(address));
}

/* A message that was resent has its old recipients below the new ones: those of the
 * topmost block count. */
int
recipients_from_header(struct recipients *r, const struct header *h)
{
	static const char *const plain[] = { "To", "Cc", "Bcc" };
	static const char *const resent[] = { "Resent-To", "Resent-Cc", "Resent-Bcc" };
	size_t begin = 0, end = h->count;
	bool is_resent = false;

	for (size_t k = 0; k < 3; k++)
		is_resent |= header_find(h, resent[k]) != NULL;
	if (is_resent)
		header_resent_block(h, &begin, &end);
	for (size_t i = begin; i < end; i++) {
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

/* The one address of a sender. */
struct sender {
	struct recipients *r;
	struct buf address;
	struct buf local; /* as it was given, if it is of this host */
	struct buf bounce_to;
	bool bare, escaped;
	unsigned count;
};

static int
sender_take(void *context, const struct address *a)
{
	struct sender *s = context;
	const struct expansion *x = &s->r->expansion;
	const char *wrong, *mapped = NULL;
	char name[LOCAL_NAME_SIZE];

	if (s->count++ > 0)
		return fail(s->r, NULL, "it must be one address");
	wrong = expand_check(x, a, &s->address);
	if (s->address.failed)
		return memory_fail(s->r);
	if (wrong != NULL)
		return fail(s->r, a->text, wrong);
	if (!local_is(x->settings, x->identity, a))
		return 0;
	s->bare = a->bare;
	s->escaped = a->escaped;
	buf_add_string(&s->local, a->text);
	if (local_name(a->text, local_part_length(a), name))
		mapped = local_map(x->settings, name);
	if (mapped != NULL) {
		buf_reset(&s->address);
		buf_add_string(&s->address, mapped);
	}
	return s->address.failed || s->local.failed ? memory_fail(s->r) : 0;
}

static int
first_take(void *context, const char *address)
{
	struct sender *s = context;

	buf_add_string(&s->bounce_to, address);
	return -1;
}

/* Bounces go where mail for the sender goes.  Where that cannot be said they go to the
 * sender's address: a message is not refused for the sake of its bounce. */
static int
bounce_to_set(struct sender *s)
{
	struct expansion *x = &s->r->expansion;
	struct address a = { .bare = s->bare, .escaped = s->escaped };

	if (s->local.len == 0)
		return 0;
	a.text = s->local.data;
	if (expand_address(x, &a, first_take, s) < 0 && x->error.len == 0 && s->bounce_to.len == 0)
		return -1;
	if (x->error.len > 0)
		log_warn("bounces of this message go to its sender <%s>: %s",
		    s->r->envelope->sender, x->error.data);
	/* its aliases are to be followed again for the recipients */
	expand_begin(x);
	if (s->bounce_to.len == 0 || strcmp(s->bounce_to.data, s->r->envelope->sender) == 0)
		return 0;
	return envelope_set_bounce_to(s->r->envelope, s->bounce_to.data);
}

int
recipients_set_sender(struct recipients *r, const char *sender)
{
	struct sender s = { .r = r,
		.address = BUF_INIT(8192),
		.local = BUF_INIT(8192),
		.bounce_to = BUF_INIT(8192) };
	const char *error = NULL;
	int result = -1;

	r->source = "sender";
	/* a line break is refused here, not folded away */
	if (strpbrk(sender, "\r\n") != NULL)
		fail(r, sender, "it contains a line break");
	else if (address_list_parse(sender, strlen(sender), sender_take, &s, &error) < 0) {
		list_fail(r, sender, error);
	} else if (s.count == 0 && *sender != '\0' && strcmp(sender, "<>") != 0) {
		fail(r, sender, "it is no address; the null sender is written <>");
	} else if (envelope_set_sender(r->envelope, buf_string(&s.address)) < 0) {
		if (errno == EINVAL)
			fail(r, s.address.data, "the setting map gives an unusable address");
		else
			memory_fail(r);
	} else if (bounce_to_set(&s) < 0) {
		memory_fail(r);
	} else {
		result = 0;
	}
	buf_free(&s.address);
	buf_free(&s.local);
	buf_free(&s.bounce_to);
	return result;
}
