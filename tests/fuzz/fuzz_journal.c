/*
 * Any octets as the journal: reading and opening see the same records, each with
 * values in range; a record that is added is there afterwards, whatever stood
 * before it.  Each line of the input also gets a check value that fits, so that
 * the fields behind it are reached.
 */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/crc32c.h"
#include "spool/index.h"
#include "spool/journal.h"

#define NAME_A "0aaaaaaaaaaaaaaaaaaaaaaaaa"

struct seen {
	size_t count;
	uint32_t crc; /* of all records */
	struct index index;
	char last[JOURNAL_TEXT_MAX * 4];
};

static void
note(void *context, const struct journal_record *r, off_t at)
{
	struct seen *seen = context;

	CHECK(strspn(r->name, "0123456789abcdefghijklmnopqrstuvwxyz") >= NAME_LEN);
	CHECK(at >= 0);
	CHECK(r->time >= 0 && r->recipient >= JOURNAL_ALL && r->code <= 999);
	CHECK(strlen(journal_event_name(r->event)) > 0);
	seen->count++;
	seen->crc = crc32c(seen->crc, r->name, NAME_LEN);
	seen->crc = crc32c(seen->crc, r->text, strlen(r->text));
	snprintf(seen->last, sizeof(seen->last), "%s", r->text);
	CHECK(index_add(&seen->index, r->name, 0) != NULL);
	index_apply(&seen->index, r, at);
}

static void
check_journal(int state, const void *data, size_t size)
{
	struct seen read = { .count = 0 }, opened = { .count = 0 }, after = { .count = 0 };
	struct journal_record r = { .name = NAME_A, .event = EVENT_DONE, .text = "the last" };
	struct journal j;
	size_t damaged;
	int fd = openat(state, "journal", O_WRONLY | O_CREAT | O_TRUNC, 0600);

	CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	close(fd);
	CHECK(index_init(&read.index, 1) == 0 && index_init(&opened.index, 1) == 0 &&
	      index_init(&after.index, 1) == 0);
	CHECK(journal_read(state, note, &read, &damaged) == 0);
	CHECK(journal_open(&j, state, note, &opened, &damaged) == 0);
	CHECK(read.count == opened.count && read.crc == opened.crc);
	journal_append(&j, &r);
	CHECK(journal_commit(&j, false) == 0);
	journal_close(&j);
	CHECK(journal_read(state, note, &after, &damaged) == 0);
	CHECK(after.count == opened.count + 1 && strcmp(after.last, "the last") == 0);
	index_free(&read.index);
	index_free(&opened.index);
	index_free(&after.index);
}

/* Each line with its check value in front. */
static size_t
add_checks(const uint8_t *data, size_t size, char *out)
{
	size_t n = 0;

	while (size > 0) {
		const uint8_t *end = memchr(data, '\n', size);
		size_t len = end == NULL ? size : (size_t)(end - data);

		n += (size_t)sprintf(out + n, "%08x ", crc32c(0, data, len));
		memcpy(out + n, data, len);
		n += len;
		out[n++] = '\n';
		data += len + (end != NULL);
		size -= len + (end != NULL);
	}
	return n;
}

static char directory[] = "/dev/shm/postbag-fuzz-XXXXXX";

static void
directory_remove(void)
{
	char path[sizeof(directory) + 10];

	snprintf(path, sizeof(path), "%s/journal", directory);
	unlink(path);
	rmdir(directory);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int state = -1;
	char *out = malloc(11 * size + 11);

	if (state < 0) {
		CHECK(mkdtemp(directory) != NULL);
		atexit(directory_remove);
		state = open(directory, O_RDONLY | O_DIRECTORY);
		CHECK(state >= 0);
	}
	CHECK(out != NULL);
	check_journal(state, data, size);
	check_journal(state, out, add_checks(data, size, out));
	free(out);
	return 0;
}
