/*
 * The "!" stands before the kind, as in the option -q, so that a text may begin with
 * one, too.
 */
#include "spool/selection.h"

#include <string.h>

#include "spool/spool.h"

bool
selection_parse(struct selection *s, const char *argument)
{
	*s = (struct selection){ .negated = *argument == '!' };
	if (s->negated)
		argument++;
	if (*argument == '\0' || strchr("IRS", *argument) == NULL || argument[1] != ' ' ||
	    argument[2] == '\0')
		return false;
	s->kind = *argument;
	s->text = argument + 2;
	return true;
}

static bool
contains(const char *address, const char *text)
{
	return strcasestr(address, text) != NULL;
}

static bool
envelope_matches(const struct selection *s, const struct index *x, const struct index_entry *e,
    const struct envelope *envelope)
{
	if (s->kind == 'S')
		return contains(envelope->sender, s->text);
	for (size_t i = 0; i < envelope->recipient_count; i++)
		if (!index_is_finished(x, e, i) &&
		    contains(envelope->recipients[i].address, s->text))
			return true;
	return false;
}

bool
selection_matches(
    const struct selection *s, const struct index *x, const struct index_entry *e, int queue_fd)
{
	struct queue_name name = index_name(e);
	struct message m;
	bool found;

	if (s->kind == 'I') {
		found = memmem(name.text, QUEUE_ID_LEN, s->text, strlen(s->text)) != NULL;
		return found != s->negated;
	}
	found = message_open(&m, queue_fd, name.text) == MESSAGE_OK &&
		envelope_matches(s, x, e, &m.envelope);
	message_close(&m);
	return found != s->negated;
}
