/*
 * Any octets as content: what comes out of a conversion is 7-bit, the same each time and
 * from a file as from memory, and converted once more it stays as it is.
 */
#include "tests/fuzz/fuzz.h"

#include "base/text.h"
#include "relayd/session/convert.h"
#include "relayd/session/rewrite.h"
#include "tests/unit/repair_run.h"

#define OUTPUT_MAX (256 << 20)

static int
output_add(void *context, const char *data, size_t len)
{
	return buf_append(context, data, len);
}

static enum convert_result
run(struct convert_input input, enum convert_scope scope, struct buf *out)
{
	struct convert c = { .input = input, .scope = scope, .write = output_add, .context = out };
	enum convert_result r;

	*out = BUF_INIT(OUTPUT_MAX);
	r = convert_run(&c);
	CHECK((r == CONVERT_IMPOSSIBLE) == (c.refusal != NULL));
	CHECK(r != CONVERT_FAILED);
	return r;
}

/* From a file behind its first `head` octets. */
static void
check_file(const char *content, size_t len, size_t head, enum convert_scope scope,
    enum convert_result result, const struct buf *expected)
{
	struct message m = { .fd = memory_file((const uint8_t *)content, len), .length = len };
	struct convert_input input = {
		.head = content, .head_len = head, .m = &m, .skipped = head
	};
	struct buf out;

	CHECK(run(input, scope, &out) == result);
	CHECK(result != CONVERT_DONE ||
	      (out.len == expected->len &&
		  memcmp(buf_string(&out), buf_string(expected), out.len) == 0));
	close(m.fd);
	buf_free(&out);
}

/* As much as rewrite_from would replace. */
static size_t
header_length(const char *s, size_t len)
{
	size_t at = 0;

	rewrite_find_body(s, len, &at);
	return at;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct convert_input input;
	struct buf first, second;
	enum convert_result r;
	char *content;
	size_t len;

	content = lines_canonical(data, size, &len);
	for (enum convert_scope scope = CONVERT_HEADER; scope <= CONVERT_ALL; scope++) {
		input = (struct convert_input){ .head = content, .head_len = len };
		r = run(input, scope, &first);
		check_file(content, len, 0, scope, r, &first);
		check_file(content, len, header_length(content, len), scope, r, &first);
		if (r == CONVERT_DONE) {
			CHECK(scope == CONVERT_HEADER ||
			      text_is_ascii(buf_string(&first), first.len));
			input = (struct convert_input){ .head = buf_string(&first),
				.head_len = first.len };
			CHECK(run(input, scope, &second) == CONVERT_DONE);
			CHECK(second.len == first.len);
			CHECK(memcmp(buf_string(&first), buf_string(&second), first.len) == 0);
			buf_free(&second);
		}
		buf_free(&first);
	}
	free(content);
	return 0;
}
