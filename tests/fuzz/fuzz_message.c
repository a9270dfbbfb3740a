/*
 * Any octets as a spool file: what is accepted has an envelope that is written as
 * the same octets again, once written canonically, and addresses that may go on
 * the wire.
 */
#include "tests/fuzz/fuzz.h"

#include "base/crc32c.h"
#include "spool/format.h"
#include "spool/spool.h"

static void
check_envelope(const struct envelope *e)
{
	struct buf once = BUF_INIT(ENVELOPE_OCTETS_MAX), twice = BUF_INIT(ENVELOPE_OCTETS_MAX);
	struct envelope again;
	const char *error = "unset";

	CHECK(e->sender != NULL && e->recipient_count > 0);
	CHECK(*e->sender == '\0' || envelope_address_check(e->sender) == NULL);
	CHECK(e->bounce_to == NULL || envelope_address_check(e->bounce_to) == NULL);
	for (size_t i = 0; i < e->recipient_count; i++) {
		CHECK(envelope_address_check(e->recipients[i].address) == NULL);
		CHECK(strpbrk(e->recipients[i].address, "\r\n") == NULL);
		CHECK(e->recipients[i].orcpt == NULL ||
		      strpbrk(e->recipients[i].orcpt, "\r\n =") == NULL);
	}
	envelope_init(&again);
	CHECK(envelope_format(e, &once) == 0);
	CHECK(envelope_parse(&again, once.data, once.len, &error) == 0);
	CHECK(envelope_format(&again, &twice) == 0);
	CHECK(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
	CHECK(again.recipient_count == e->recipient_count);
	envelope_free(&again);
	buf_free(&once);
	buf_free(&twice);
}

static void
check_message(const uint8_t *data, size_t size)
{
	struct message m;
	enum message_status status = message_open_fd(&m, memory_file(data, size));
	uint32_t crc;

	CHECK(status != MESSAGE_GONE && status != MESSAGE_ERROR);
	CHECK((status == MESSAGE_EMPTY) == (size == 0));
	CHECK(status != MESSAGE_CORRUPT || m.error != NULL);
	if (status == MESSAGE_OK) {
		CHECK(m.content + (off_t)m.length == (off_t)size);
		check_envelope(&m.envelope);
		CHECK(message_check_begin(&m, &crc) == 0);
		crc = crc32c(crc, data + m.content, m.length);
		message_check_end(&m, crc);
	}
	message_close(&m);
}

/* The octets as they are, and as the rest of a file with a head that fits them. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = memmem(data, size, "\n\n", 2);
	char *file = malloc(FORMAT_HEAD_LEN + size + 1);

	check_message(data, size);
	CHECK(file != NULL);
	if (end != NULL) {
		struct format_head h = { .crc = crc32c(0, data, size),
			.length = (uint64_t)(data + size - end - 2) };

		format_head_write(&h, file);
		memcpy(file + FORMAT_HEAD_LEN, data, size);
		check_message((const uint8_t *)file, FORMAT_HEAD_LEN + size);
	}
	free(file);
	return 0;
}
