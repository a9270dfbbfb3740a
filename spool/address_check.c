/*
 * The syntax of an address on the wire: local-part@domain.  Nothing is decoded
 * and nothing is corrected; what passes here is sent as it is.
 */
#include "spool/envelope.h"

#include <ctype.h>
#include <string.h>

#include "base/text.h"

#define LOCAL_PART_MAX 64 /* RFC 5321 section 4.5.3.1.1 */
#define LABEL_MAX 63      /* RFC 1035 section 2.3.4; UTF-8 labels are checked by IDNA later */

static bool
is_atext(unsigned char c)
{
	return c >= 0x80 || isalnum(c) || strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL;
}

/* Dot-string of RFC 5321.  Leading, trailing and doubled dots, which some
 * providers gave to their users, are let through: the server decides. */
static bool
dot_string(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (s[i] != '.' && (s[i] == '\0' || !is_atext((unsigned char)s[i])))
			return false;
	return true;
}

/* Quoted-string of RFC 5321: qtextSMTP and quoted pairs. */
static bool
quoted_string(const char *s, size_t len)
{
	if (len < 2 || s[0] != '"' || s[len - 1] != '"')
		return false;
	for (size_t i = 1; i < len - 1; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == '\\') {
			c = (unsigned char)s[++i];
			if (i >= len - 1)
				return false;
		} else if (c == '"') {
			return false;
		}
		if (c < 0x20 || c == 0x7f)
			return false;
	}
	return true;
}

static bool
domain_literal(const char *s, size_t len)
{
	if (len < 3 || s[len - 1] != ']')
		return false;
	for (size_t i = 1; i < len - 1; i++)
		if (!isalnum((unsigned char)s[i]) && strchr(".:-", s[i]) == NULL)
			return false;
	return true;
}

static const char *
domain_check(const char *s, size_t len)
{
	size_t label = 0;

	if (len == 0)
		return "the domain behind the @ is missing";
	if (len > 255)
		return "the domain is longer than 255 octets";
	if (s[0] == '[')
		return domain_literal(s, len) ? NULL : "the address in brackets is malformed";
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == '.') {
			if (label == 0)
				return "the domain has an empty part";
			label = 0;
			continue;
		}
		if (c < 0x80 && !isalnum(c) && c != '-' && c != '_')
			return "the domain has a character that no domain has";
		if (++label > LABEL_MAX)
			return "a part of the domain is longer than 63 octets";
	}
	return label == 0 ? "the domain ends in a dot" : NULL;
}

const char *
envelope_address_check(const char *s)
{
	const char *at = strrchr(s, '@');
	size_t len = strlen(s), local;

	if (len == 0)
		return "it is empty";
	if (at == NULL)
		return "the @ and the domain are missing";
	if (at == s)
		return "the part before the @ is missing";
	local = (size_t)(at - s);
	if (local > LOCAL_PART_MAX)
		return "the part before the @ is longer than 64 octets";
	if (len > ENVELOPE_ADDRESS_MAX)
		return "it is longer than 254 octets";
	if (!text_is_utf8(s, len))
		return "it is not valid UTF-8";
	if (s[0] == '"' ? !quoted_string(s, local) : !dot_string(s, local))
		return "the part before the @ has characters that must be quoted";
	return domain_check(at + 1, len - local - 1);
}
