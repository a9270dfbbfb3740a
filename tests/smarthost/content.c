/*
 * Taking in message content; see content.h.  The unstuffer is a five-state machine that hands on
 * spans of the input, not octets, and skips through text with memchr(3).
 */
#include "content.h"

#include <string.h>

#include "store.h"

void
content_begin(struct content *content, struct store *store, uint64_t limit, bool strict)
{
	*content = (struct content){ .store = store, .limit = limit, .strict = strict };
	if (store->dir == -1)
		return;
	content->file = store_begin(store);
	content->store_failed = content->file == NULL;
}

static void
note_fault(struct content *content, const char *fault)
{
	if (content->fault == NULL)
		content->fault = fault;
}

static void
check(struct content *content, const unsigned char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char c = bytes[i];
		content->line++;
		if (c == '\n' && !content->after_cr)
			note_fault(content, "bare LF");
		if (c != '\n' && content->after_cr)
			note_fault(content, "bare CR");
		if (c == '\0')
			note_fault(content, "NUL");
		if (content->line > CONTENT_LINE_MAX)
			note_fault(content, "line longer than 998 octets");
		if (c == '\n')
			content->line = 0;
		content->after_cr = c == '\r';
	}
}

void
content_add(struct content *content, const unsigned char *bytes, size_t length)
{
	if (length == 0)
		return;
	content->octets += length;
	if (content->discard)
		return;
	if (content->octets > content->limit) {
		content_abandon(content);
		content->discard = true;
		return;
	}
	if (content->strict)
		check(content, bytes, length);
	if (content->file != NULL)
		store_write(content->file, bytes, length);
}

/* What c makes of the state; the caller has dealt with everything about dots. */
static enum content_state
state_after(unsigned char c, enum content_state state)
{
	if (c == '\r')
		return CONTENT_CR;
	return c == '\n' && state == CONTENT_CR ? CONTENT_START : CONTENT_TEXT;
}

size_t
content_add_stuffed(struct content *content, const unsigned char *bytes, size_t length, bool *end)
{
	size_t kept = 0; /* start of the span not yet handed on */
	size_t i = 0;

	*end = false;
	while (i < length) {
		unsigned char c = bytes[i];
		switch (content->state) {
		case CONTENT_TEXT: {
			const unsigned char *cr = memchr(bytes + i, '\r', length - i);
			i = cr != NULL ? (size_t)(cr - bytes) + 1 : length;
			content->state = cr != NULL ? CONTENT_CR : CONTENT_TEXT;
			continue;
		}
		case CONTENT_START:
			if (c == '.') { /* the span goes on behind this dot */
				content_add(content, bytes + kept, i - kept);
				kept = i + 1;
				content->state = CONTENT_DOT;
				break;
			}
			content->state = state_after(c, CONTENT_START);
			break;
		case CONTENT_DOT:
			if (c == '\r') {
				kept = i + 1; /* held back until the next octet tells */
				content->state = CONTENT_DOT_CR;
				break;
			}
			content->state = state_after(c, CONTENT_TEXT);
			break;
		case CONTENT_DOT_CR:
			if (c == '\n') {
				*end = true;
				return i + 1;
			}
			content_add(content, (const unsigned char *)"\r", 1);
			content->state = state_after(c, CONTENT_CR);
			break;
		case CONTENT_CR:
			content->state = state_after(c, CONTENT_CR);
			break;
		}
		i++;
	}
	if (kept < length)
		content_add(content, bytes + kept, length - kept);
	return length;
}

void
content_end(struct content *content)
{
	if (content->strict && content->after_cr)
		note_fault(content, "bare CR");
}

bool
content_too_big(const struct content *content)
{
	return content->octets > content->limit;
}

void
content_abandon(struct content *content)
{
	store_abandon(content->store, content->file);
	content->file = NULL;
}
