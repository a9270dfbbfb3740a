/*
 * Any octets as content: what comes out of repair has nothing that a smarthost
 * refuses, unless something in it must not be touched; and repaired once more it stays
 * as it is.
 */
#include "tests/fuzz/fuzz.h"

#include <limits.h>
#include <strings.h>

#include "tests/unit/repair_run.h"

static struct spool spool;
static char directory[] = "/tmp/postbag-fuzz-XXXXXX";

static void
directory_leave(void)
{
	char path[PATH_MAX];

	spool_close(&spool);
	snprintf(path, sizeof(path), "%s/queue", directory);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/state", directory);
	rmdir(path);
	rmdir(directory);
}

static bool
contains(const char *data, size_t len, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; i + n <= len; i++)
		if (strncasecmp(data + i, word, n) == 0)
			return true;
	return false;
}

/* Is there an encoding that is not known for sure? */
static bool
encoding_is_odd(const char *data, size_t len)
{
	static const char name[] = "Content-Transfer-Encoding";
	static const char *const known[] = { ":base64\r\n", ": base64\r\n", ": 8bit\r\n",
		": quoted-printable\r\n", ":quoted-printable\r\n" };

	for (size_t i = 0; i + sizeof(name) <= len; i++) {
		bool found = false;

		if (strncasecmp(data + i, name, sizeof(name) - 1) != 0)
			continue;
		for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++) {
			size_t n = strlen(known[k]), at = i + sizeof(name) - 1;

			found |= n <= len - at && strncasecmp(data + at, known[k], n) == 0;
		}
		if (!found)
			return true;
	}
	return false;
}

/* May something in it be left alone?  More is excused here than is left alone. */
static bool
is_excused(const char *data, size_t len)
{
	static const char *const words[] = { "DKIM-Signature", "ARC-Seal", "multipart/signed",
		"multipart/encrypted", "boundary*", "message/partial", "message/external-body" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (contains(data, len, words[i]))
			return true;
	return encoding_is_odd(data, len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct envelope e = { .sender = (char[]){ "" } };
	struct repaired once, twice;
	struct scan s = { .line = 0 };
	char *content, *first, *second;
	size_t len, first_len, second_len;

	if (spool.queue <= 0) {
		CHECK(mkdtemp(directory) != NULL);
		CHECK(spool_open(&spool, directory, "root", 1) == 0);
		atexit(directory_leave);
	}
	content = lines_canonical(data, size, &len);
	CHECK(repaired_begin(&once, &spool, &e, content, len) == 0);
	if (once.result == REPAIR_IMPOSSIBLE) {
		CHECK(once.problem[0] != '\0');
		goto out;
	}
	first = repaired_content(&once, &first_len);
	scan_add(&s, first, first_len);
	CHECK(!scan_is_refused(&s) || is_excused(content, len));
	CHECK(once.needed || (first_len == len && memcmp(first, content, len) == 0));
	CHECK(repaired_begin(&twice, &spool, &e, first, first_len) == 0);
	CHECK(twice.result == REPAIR_DONE);
	second = repaired_content(&twice, &second_len);
	CHECK(first_len == second_len && memcmp(first, second, first_len) == 0);
	repaired_end(&twice);
	free(first);
	free(second);
out:
	repaired_end(&once);
	free(content);
	return 0;
}
