/*
 * Any octets as a command line, words between NULs: the words that are left are
 * words of the line, none begins with a dash before "--", and an error has words.
 */
#include "tests/fuzz/fuzz.h"

#include "sendmail/options.h"

#define WORDS_MAX 64

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *argv[WORDS_MAX + 1], *s;
	struct options o;
	int argc = 0, dashes = 0;

	CHECK(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	for (s = text; s <= text + size && argc < WORDS_MAX; s += strlen(s) + 1)
		argv[argc++] = s;
	argv[argc] = NULL;
	for (int i = 1; i < argc; i++)
		dashes |= strcmp(argv[i], "--") == 0;
	if (options_parse(&o, argc, argv) < 0) {
		CHECK(o.error[0] != '\0' && memchr(o.error, '\0', sizeof(o.error)) != NULL);
	} else {
		CHECK(o.recipient_count < (size_t)argc);
		for (size_t i = 0; i < o.recipient_count; i++) {
			CHECK(o.recipients[i] >= text && o.recipients[i] <= text + size);
			CHECK(dashes || o.recipients[i][0] != '-' || o.recipients[i][1] == '\0');
		}
		CHECK((o.notify & NOTIFY_NEVER) == 0 || o.notify == NOTIFY_NEVER);
		CHECK(o.envid == NULL || strlen(o.envid) <= ENVELOPE_ENVID_MAX);
		CHECK(o.mode != MODE_NOTE || o.note != NULL);
	}
	free(text);
	return 0;
}
