/*
 * Any lines as a message that is rewritten: the new header is made of lines, none
 * of them longer than the longest before or 998 octets; the body is not touched; a
 * second time changes nothing; and it does not matter how much of the message is
 * there when its header's end is looked for.
 */
#include "tests/fuzz/fuzz.h"

#include "relayd/session/rewrite.h"

static const char *const addresses[] = { "web1@example.org", "\"a b\"@example.org",
	"x@[IPv6:2001:db8::1]", "=?a?b?c?=@example.org" };

/* The longest line; all must end in CRLF. */
static size_t
check_lines(const char *s, size_t len)
{
	const char *end = s + len;
	size_t longest = 0;

	while (s < end) {
		const char *lf = memchr(s, '\n', (size_t)(end - s));

		CHECK(lf != NULL && lf > s && lf[-1] == '\r');
		longest = (size_t)(lf - s) - 1 > longest ? (size_t)(lf - s) - 1 : longest;
		s = lf + 1;
	}
	return longest;
}

/* Where the body begins, as it is found octet by octet. */
static size_t
body_find(const struct buf *b)
{
	size_t body = 0, again = 0;
	int found = 0;

	rewrite_find_body(buf_string(b), b->len, &body);
	for (size_t len = 0; len <= b->len && !found; len++)
		found = rewrite_find_body(buf_string(b), len, &again);
	CHECK(body == again);
	return body;
}

static void
message_rewrite(const struct buf *in, const char *from, struct buf *out)
{
	size_t body = body_find(in), header;

	CHECK(rewrite_header(buf_string(in), body, from, out) == 0);
	CHECK(out->len <= REWRITE_OCTETS_MAX(body));
	header = out->len;
	CHECK(buf_append(out, buf_string(in) + body, in->len - body) == 0);
	CHECK(body_find(out) == header);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *from = addresses[size % 4];
	struct buf in = BUF_INIT(2 * size + 2), once, twice;
	size_t longest, now;

	/* the file's lines end in CRLF, which is checked before */
	for (size_t i = 0; i < size; i++)
		if (data[i] == '\n')
			buf_add_string(&in, "\r\n");
		else
			buf_add_char(&in, (char)data[i]);
	if (size > 0 && data[size - 1] != '\n')
		buf_add_string(&in, "\r\n");
	CHECK(!in.failed);
	once = BUF_INIT(REWRITE_OCTETS_MAX(in.len));
	twice = BUF_INIT(REWRITE_OCTETS_MAX(REWRITE_OCTETS_MAX(in.len)));
	longest = check_lines(buf_string(&in), in.len);
	message_rewrite(&in, from, &once);
	now = check_lines(buf_string(&once), once.len);
	CHECK(now <= (longest > 998 ? longest : 998));
	message_rewrite(&once, from, &twice);
	CHECK(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
	buf_free(&in);
	buf_free(&once);
	buf_free(&twice);
	return 0;
}
