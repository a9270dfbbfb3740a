/*
 * An entry has the number of its bits, from 1; 0: none of its recipients is finished.
 */
#include "spool/partial.h"

#include <stdlib.h>

#include "spool/envelope.h"

#define MORE_WORDS (ENVELOPE_RECIPIENTS_MAX / 64)

struct index_partial {
	uint64_t bits;  /* of the first 64 recipients; of a free one: the next free one */
	uint64_t *more; /* all recipients' bits but those, or NULL */
};

/* A free one, from 1; 0 if there is no memory. */
static uint32_t
partial_new(struct index *x)
{
	uint32_t n = x->partial_free, size = x->partial_count;

	if (n == 0) {
		struct index_partial *all;

		size = size == 0 ? 16 : 2 * size;
		all = reallocarray(x->partials, size, sizeof(*all));
		if (all == NULL)
			return 0;
		x->partials = all;
		for (uint32_t i = x->partial_count; i < size; i++)
			all[i].bits = i + 2 <= size ? i + 2 : 0;
		n = x->partial_count + 1;
		x->partial_count = size;
	}
	x->partial_free = (uint32_t)x->partials[n - 1].bits;
	x->partials[n - 1] = (struct index_partial){ .bits = 0 };
	return n;
}

void
partial_free(struct index *x, struct index_entry *e)
{
	struct index_partial *p;

	if (e->partial == 0)
		return;
	p = &x->partials[e->partial - 1];
	free(p->more);
	*p = (struct index_partial){ .bits = x->partial_free };
	x->partial_free = e->partial;
	e->partial = 0;
	if (x->count > 1)
		return;
	/* that was the last entry */
	free(x->partials);
	x->partials = NULL;
	x->partial_count = x->partial_free = 0;
}

void
partials_free(struct index *x)
{
	const struct index_entry *e;

	for (uint32_t at = 0; (e = index_next(x, &at)) != NULL;)
		if (e->partial != 0)
			free(x->partials[e->partial - 1].more);
	free(x->partials);
}

bool
index_is_finished(const struct index *x, const struct index_entry *e, size_t recipient)
{
	const struct index_partial *p = e->partial == 0 ? NULL : &x->partials[e->partial - 1];

	if (p == NULL || recipient >= ENVELOPE_RECIPIENTS_MAX)
		return false;
	if (recipient < 64)
		return p->bits >> recipient & 1;
	return p->more != NULL && (p->more[recipient / 64] >> (recipient % 64) & 1);
}

int
index_set_finished(struct index *x, struct index_entry *e, size_t recipient)
{
	struct index_partial *p;

	if (recipient >= ENVELOPE_RECIPIENTS_MAX)
		return 0;
	if (e->partial == 0 && (e->partial = partial_new(x)) == 0)
		return -1;
	p = &x->partials[e->partial - 1];
	if (recipient < 64) {
		p->bits |= UINT64_C(1) << recipient;
		return 0;
	}
	if (p->more == NULL && (p->more = calloc(MORE_WORDS, sizeof(uint64_t))) == NULL)
		return -1;
	p->more[recipient / 64] |= UINT64_C(1) << (recipient % 64);
	return 0;
}

size_t
index_finished_end(const struct index *x, const struct index_entry *e)
{
	if (e->partial == 0)
		return 0;
	return x->partials[e->partial - 1].more == NULL ? 64 : ENVELOPE_RECIPIENTS_MAX;
}
