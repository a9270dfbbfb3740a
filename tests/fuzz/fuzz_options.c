/*
 * Any octets as a command line, words between NULs: the words that are left are
 * words of the line, none begins with a dash before "--", an error has words, and
 * what goes into a log line, a header or a request can harm none of them.
 */
#include "tests/fuzz/fuzz.h"

#include "sendmail/options.h"

#define WORDS_MAX 64

static int
is_harmless(const char *word, size_t size)
{
	CHECK(memchr(word, '\0', size) != NULL);
	return word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				 "0123456789-._/")] == '\0';
}

static void
fields_check(const struct options *o)
{
	CHECK((o->notify & NOTIFY_NEVER) == 0 || o->notify == NOTIFY_NEVER);
	CHECK(o->envid == NULL || strlen(o->envid) <= ENVELOPE_ENVID_MAX);
	CHECK(o->mode != MODE_NOTE || o->note != NULL);
	CHECK(is_harmless(o->log_tag, sizeof(o->log_tag)));
	CHECK(is_harmless(o->protocol, sizeof(o->protocol)));
	CHECK(o->hops <= 1000 && o->read_timeout <= 7 * 86400 * UINT64_C(1000000));
	CHECK(o->select == 0 || strchr("IRS", o->select) != NULL);
	CHECK(o->select == 0 || (o->select_text[0] != '\0' && strlen(o->select_text) <= 200 &&
				    strpbrk(o->select_text, "\r\n") == NULL));
}

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
		fields_check(&o);
	}
	free(text);
	return 0;
}
