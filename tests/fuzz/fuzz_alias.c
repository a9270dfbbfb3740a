/*
 * Any octets as an alias file: every name in it, and one that is not, leads to
 * addresses that can stand in an envelope, the same ones whether lines end in LF or in
 * CR LF; with local_mail_to none leads to nothing; and what is reported of the file
 * does not depend on the line ends either.
 */
#include "tests/fuzz/fuzz.h"

#include <strings.h>

#include "base/log.h"
#include "sendmail/expand.h"
#include "spool/envelope.h"

#define NAMES_MAX 50 /* names that are tried of each file */

static const struct identity identity = {
	.uid = 1000, .user = "joe", .hostname = "host.example", .domain = "dom.example"
};
static char mapped_name[] = "mapped", mapped_address[] = "m@prov.example";
static char ops[] = "ops@prov.example";
static struct settings_map maps[] = { { mapped_name, mapped_address } };

static void
no_log(void *context, enum log_level level, const char *line)
{
	(void)context;
	CHECK(level == LOG_LEVEL_WARNING && *line != '\0');
}

static int
take(void *context, const char *address)
{
	CHECK(envelope_address_check(address) == NULL);
	return buf_addf(context, " %s", address);
}

static void
name_expand(struct expansion *x, const char *name, struct buf *result)
{
	const struct address a = { .text = name, .bare = true };
	struct buf whole = BUF_INIT(8192);
	size_t before;
	int r;

	if (expand_check(x, &a, &whole) == NULL) {
		expand_begin(x);
		buf_addf(result, "%s:", name);
		before = result->len;
		r = expand_address(x, &a, take, result);
		CHECK(x->settings->local_mail_to == NULL || r == 0 || result->failed ||
		      x->given > ENVELOPE_RECIPIENTS_MAX);
		CHECK(r < 0 || result->len > before);
		if (r < 0 && x->error.len > 0)
			buf_addf(result, " %d", x->code);
		buf_add_char(result, '\n');
	}
	buf_free(&whole);
}

static void
count_report(void *context, const char *line)
{
	CHECK(strchr(line, '\n') == NULL && *line != '\0');
	++*(size_t *)context;
}

/* What the file says, as text. */
static void
describe(const struct buf *file, char *local_mail_to, struct buf *result)
{
	char path[64];
	int fd = memory_file(buf_string(file), file->len);
	const struct settings s = { .aliases = path,
		.aliases_set = true,
		.local_mail_to = local_mail_to,
		.maps = maps,
		.map_count = 1 };
	struct expansion x;
	size_t good, errors, reports = 0;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	expand_init(&x, &s, &identity);
	CHECK(expand_load(&x) == 0);
	for (size_t i = 0; i < x.aliases.count && i < NAMES_MAX; i++)
		name_expand(&x, x.aliases.entries[i].name, result);
	name_expand(&x, "nobody-has-this-name", result);
	CHECK(
	    aliases_check(&x.aliases, &s, &identity, count_report, &reports, &good, &errors) == 0);
	CHECK(errors == reports && good <= x.aliases.count);
	buf_addf(result, "%zu good, %zu errors\n", good, errors);
	expand_fini(&x);
	close(fd);
}

static int
names_list(const uint8_t *data, size_t size)
{
	for (size_t i = 0; i + 8 < size; i++)
		if (strncasecmp((const char *)data + i, "include", 7) == 0)
			return 1;
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf lf = BUF_INIT(16 << 20), crlf = BUF_INIT(16 << 20);
	struct buf from_lf = BUF_INIT(16 << 20), from_crlf = BUF_INIT(16 << 20);
	char *local_mail_to = size % 2 == 0 ? ops : NULL;

	/* a list could be any file of this machine; the unit tests have lists */
	if (names_list(data, size))
		return -1;
	log_to_sink(no_log, NULL);
	for (size_t i = 0; i < size; i++) {
		if (data[i] == '\r')
			continue;
		if (data[i] == '\n')
			buf_add_char(&crlf, '\r');
		buf_add_char(&crlf, (char)data[i]);
		buf_add_char(&lf, (char)data[i]);
	}
	describe(&lf, local_mail_to, &from_lf);
	describe(&crlf, local_mail_to, &from_crlf);
	CHECK(
	    from_lf.len == from_crlf.len && memcmp(from_lf.data, from_crlf.data, from_lf.len) == 0);
	buf_free(&lf);
	buf_free(&crlf);
	buf_free(&from_lf);
	buf_free(&from_crlf);
	return 0;
}
