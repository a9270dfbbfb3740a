/*
 * Any octets as what a server sends: lines, enhanced codes, capabilities, and
 * what a reply means.
 */
#include "tests/fuzz/fuzz.h"

#include "base/text.h"
#include "relayd/session/mechanism.h"
#include "relayd/session/capabilities.h"
#include "relayd/session/meaning.h"
#include "relayd/session/reply.h"

static void
check_line(const char *line, size_t len)
{
	struct reply r = { .text = BUF_INIT(REPLY_OCTETS_MAX) };
	const char *text, *rest;
	char shown[64];
	int last = reply_parse_line(line, len, &r.code, &text);

	CHECK(last >= -1 && last <= 1);
	if (last < 0)
		return;
	CHECK(r.code >= 200 && r.code <= 599);
	CHECK(text >= line && text <= line + len);
	rest = reply_parse_enhanced(text, r.code, r.enhanced);
	CHECK(rest >= text && rest <= line + len);
	CHECK(memchr(r.enhanced, '\0', sizeof(r.enhanced)) != NULL);
	CHECK(
	    r.enhanced[0] == '\0' ? rest == text : (unsigned)(r.enhanced[0] - '0') == r.code / 100);
	buf_add_string(&r.text, rest);
	reply_line(&r, shown, sizeof(shown));
	CHECK(text_is_utf8(shown, strlen(shown)));
	for (const char *s = shown; *s != '\0'; s++)
		CHECK(((unsigned char)*s >= 0x20 && *s != 0x7f) || *s == '\t');
	for (unsigned phase = PHASE_GREETING; phase <= PHASE_END; phase *= 2) {
		enum meaning m = reply_meaning((enum phase)phase, &r);

		CHECK(m != MEANS_OK || r.code < 400);
		CHECK(phase > PHASE_AUTH ||
		      (m != MEANS_REFUSED && m != MEANS_SENDER_REFUSED && m != MEANS_DEFERRED));
		CHECK((m != MEANS_REFUSED && m != MEANS_SENDER_REFUSED) || r.code >= 500);
	}
	buf_free(&r.text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *line = text, *end;
	struct capabilities c;
	struct mechanism_means means = { .wanted = "", .password = true };
	const struct mechanism *chosen;

	CHECK(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	capabilities_parse(&c, text);
	CHECK(memchr(c.auth, '\0', sizeof(c.auth)) != NULL);
	CHECK(c.size == 0 || (c.set & CAN_SIZE) != 0);
	chosen = mechanism_choose(&c, &means);
	CHECK(chosen == NULL || (chosen->flags & MECHANISM_SCRAM) != 0);
	means.tls = true;
	chosen = mechanism_choose(&c, &means);
	CHECK(chosen == NULL || capabilities_have_mechanism(&c, chosen->name));
	while ((end = memchr(line, '\n', (size_t)(text + size - line))) != NULL) {
		*end = '\0';
		check_line(line, (size_t)(end - line));
		line = end + 1;
	}
	check_line(line, (size_t)(text + size - line));
	free(text);
	return 0;
}
