/*
 * One octet at a time.  What is held back is a dot, which is dropped in any case, and
 * the CR behind it, which comes out before the octet that shows that it was no end.
 */
#include "sendmail/smtp_content.h"

static bool
line_go_on(struct smtp_content *c, char octet)
{
	if (octet == '\n' && (c->lf || c->state == CONTENT_CR))
		c->state = CONTENT_LINE_START;
	else
		c->state = octet == '\r' ? CONTENT_CR : CONTENT_LINE;
	return true;
}

/* True if the octet is content. */
static bool
octet_judge(struct smtp_content *c, char octet)
{
	if (c->state == CONTENT_LINE_START && octet == '.') {
		c->state = CONTENT_DOT;
		return false;
	}
	if (c->state == CONTENT_DOT && octet == '\r') {
		c->state = CONTENT_DOT_CR;
		return false;
	}
	if (octet == '\n' && (c->state == CONTENT_DOT_CR || (c->state == CONTENT_DOT && c->lf))) {
		c->ended = true;
		return false;
	}
	return line_go_on(c, octet);
}

size_t
smtp_content_decode(struct smtp_content *c, const char *in, size_t in_len, size_t *taken, char *out,
    size_t out_size)
{
	size_t n = 0;

	*taken = 0;
	while (!c->ended && *taken < in_len && n < out_size) {
		char octet = in[*taken];

		if (c->state == CONTENT_DOT_CR && octet != '\n') {
			c->state = CONTENT_CR;
			out[n++] = '\r';
			continue;
		}
		++*taken;
		if (octet_judge(c, octet))
			out[n++] = octet;
	}
	return n;
}
