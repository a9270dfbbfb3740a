/*
 * Pins as people copy them: base64 as openssl and browsers print them, with curl's
 * "sha256//" in front or not; hexadecimal digits with colons or without.
 */
#include <string.h>

#include "base/settings_parser.h"

#define BASE64_LEN 44 /* of 32 octets, with one '=' */
#define BLANKS " \t"

static int
hex_value(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);

	return c == '\0' || at == NULL ? -1 : (int)(at - digits);
}

static bool
from_hex(const char *word, size_t len, uint8_t pin[static SETTINGS_PIN_SIZE])
{
	size_t n = 0;

	for (size_t i = 0; i < len; n++) {
		int high = hex_value(word[i]), low = i + 1 < len ? hex_value(word[i + 1]) : -1;

		if (n == SETTINGS_PIN_SIZE || high < 0 || low < 0)
			return false;
		pin[n] = (uint8_t)(high << 4 | low);
		i += 2;
		/* between two octets, not at the end */
		if (i + 1 < len && word[i] == ':')
			i++;
	}
	return n == SETTINGS_PIN_SIZE;
}

static bool
from_base64(const char *word, size_t len, uint8_t pin[static SETTINGS_PIN_SIZE])
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned bits = 0, have = 0;
	size_t n = 0;

	if (len != BASE64_LEN || word[len - 1] != '=')
		return false;
	for (size_t i = 0; i < len - 1; i++) {
		const char *at = memchr(digits, word[i], sizeof(digits) - 1);

		if (at == NULL)
			return false;
		bits = bits << 6 | (unsigned)(at - digits);
		have += 6;
		if (have >= 8) {
			have -= 8;
			pin[n++] = (uint8_t)(bits >> have);
			bits &= (1U << have) - 1;
		}
	}
	return bits == 0;
}

void
settings_set_pins(struct parser *p)
{
	struct settings_smarthost *h = p->smarthost;
	const char *word = p->line.value;

	if (*word == '\0')
		settings_fail(p, "a value is missing");
	while (*word != '\0') {
		size_t len = strcspn(word, BLANKS),
		       skip = strncmp(word, "sha256//", 8) == 0 ? 8 : 0;
		uint8_t *pin = h->tls_pins[h->tls_pin_count];

		if (h->tls_pin_count == SETTINGS_PINS_MAX) {
			settings_fail(p, "must not have more than 8 values");
			return;
		}
		if (!from_base64(word + skip, len - skip, pin) &&
		    (skip > 0 || !from_hex(word, len, pin))) {
			settings_fail(p,
			    "must be the SHA-256 of a public key: 44 characters of base64 or 64 "
			    "hexadecimal digits, with colons or without; several are separated by "
			    "blanks");
			return;
		}
		h->tls_pin_count++;
		word += len + strspn(word + len, BLANKS);
	}
}
