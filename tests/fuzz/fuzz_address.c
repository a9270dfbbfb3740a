/*
 * Any octets as an address list: what is found and may stand in an envelope is
 * found again in its own text, alone; and a list whose bare addresses gained a
 * domain is a list of as many addresses, none of them bare.
 */
#include "tests/fuzz/fuzz.h"

#include "sendmail/address.h"
#include "spool/envelope.h"

struct list {
	const char *text;
	struct buf completed;
	size_t copied, count, bare, end;
	size_t len;
};

static int
again(void *context, const struct address *a)
{
	struct list *l = context;

	CHECK(strcmp(a->text, l->text) == 0);
	CHECK(!a->bare);
	l->count++;
	return 0;
}

static int
note(void *context, const struct address *a)
{
	struct list *l = context;
	const char *error = "unset";

	CHECK(*a->text != '\0');
	CHECK(a->end <= l->len && a->end >= l->end);
	l->end = a->end;
	l->count++;
	if (a->bare) {
		l->bare++;
		buf_append(&l->completed, l->text + l->copied, a->end - l->copied);
		buf_add_string(&l->completed, "@d.x");
		l->copied = a->end;
	} else if (envelope_address_check(a->text) == NULL) {
		struct list alone = { .text = a->text };

		CHECK(strpbrk(a->text, "\r\n") == NULL);
		CHECK(address_list_parse(a->text, strlen(a->text), again, &alone, &error) == 0);
		CHECK(alone.count == 1);
	}
	return 0;
}

static int
count(void *context, const struct address *a)
{
	struct list *l = context;

	l->count++;
	l->bare += a->bare;
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct list l = {
		.text = (const char *)data, .len = size, .completed = BUF_INIT(16 << 20)
	};
	struct list completed = { .count = 0 };
	const char *error = NULL;

	if (address_list_parse(l.text, size, note, &l, &error) == 0) {
		buf_append(&l.completed, l.text + l.copied, size - l.copied);
		CHECK(!l.completed.failed);
		CHECK(address_list_parse(buf_string(&l.completed), l.completed.len, count,
			  &completed, &error) == 0);
		CHECK(completed.count == l.count);
		CHECK(completed.bare == 0);
	} else {
		CHECK(error != NULL && *error != '\0');
	}
	buf_free(&l.completed);
	return 0;
}
