/*
 * Parsing of envelope arguments; see params.h.
 */
#include "params.h"

#include <string.h>
#include <strings.h>

#include "text.h"

enum { PARAMS_WORD_MAX = 2048 };

bool
params_parse_path(const char *arguments, const char *keyword, struct params_path *path)
{
	size_t length = strlen(keyword);
	bool quoted = false;

	if (strncasecmp(arguments, keyword, length) != 0)
		return false;
	const char *p = arguments + length;
	p += strspn(p, " ");
	if (*p != '<')
		return false;
	path->text = p++;
	for (; *p != '\0' && (quoted || *p != '>'); p++) {
		if (*p == '"')
			quoted = !quoted;
		else if (*p == '\\' && quoted && p[1] != '\0')
			p++;
		else if (!quoted && (*p == ' ' || *p == '<'))
			return false;
	}
	if (*p != '>')
		return false;
	p++;
	path->length = (size_t)(p - path->text);
	if (*p != '\0' && *p != ' ')
		return false;
	path->parameters = p + strspn(p, " ");
	return true;
}

/* One NAME[=VALUE]. */
struct word {
	char name[PARAMS_WORD_MAX];
	const char *value; /* or NULL */
};

/* Cuts the next word off the parameters; false when it is too long. */
static bool
next_word(const char **parameters, struct word *word)
{
	size_t length = strcspn(*parameters, " ");

	word->name[0] = '\0';
	word->value = NULL;
	if (length >= sizeof word->name)
		return false;
	memcpy(word->name, *parameters, length);
	word->name[length] = '\0';
	*parameters += length;
	*parameters += strspn(*parameters, " ");
	char *equals = strchr(word->name, '=');
	if (equals != NULL) {
		*equals = '\0';
		word->value = equals + 1;
	}
	return true;
}

static bool
is_one_of(const char *value, const char *first, const char *second)
{
	return value != NULL && (strcasecmp(value, first) == 0 || strcasecmp(value, second) == 0);
}

static bool
is_given(const char *value)
{
	return value != NULL && *value != '\0';
}

static unsigned
check_mail_word(const struct word *word, struct params_mail *mail)
{
	if (mail->has_size && strcasecmp(word->name, "SIZE") == 0)
		return word->value != NULL &&
		    text_parse_number(word->value, 0, UINT64_MAX, &mail->size) ? 0 : 501;
	if (mail->has_8bitmime && strcasecmp(word->name, "BODY") == 0)
		return is_one_of(word->value, "7BIT", "8BITMIME") ? 0 : 501;
	if (mail->has_smtputf8 && strcasecmp(word->name, "SMTPUTF8") == 0) {
		mail->utf8 = true;
		return word->value == NULL ? 0 : 501;
	}
	if (mail->has_dsn && strcasecmp(word->name, "RET") == 0)
		return is_one_of(word->value, "FULL", "HDRS") ? 0 : 501;
	if (mail->has_dsn && strcasecmp(word->name, "ENVID") == 0)
		return is_given(word->value) && strlen(word->value) <= 100 ? 0 : 501;
	if (mail->has_auth && strcasecmp(word->name, "AUTH") == 0)
		return is_given(word->value) ? 0 : 501;
	return 555;
}

unsigned
params_check_mail(const char *parameters, struct params_mail *mail)
{
	struct word word;

	if (*parameters != '\0' && !mail->esmtp)
		return 555;
	while (*parameters != '\0') {
		unsigned code = next_word(&parameters, &word) ? check_mail_word(&word, mail) : 501;
		if (code != 0)
			return code;
	}
	return 0;
}

/* NEVER, or a list of SUCCESS, FAILURE, DELAY. */
static bool
is_notify(const char *value)
{
	static const char *const conditions[] = { "SUCCESS", "FAILURE", "DELAY" };

	if (!is_given(value))
		return false;
	if (strcasecmp(value, "NEVER") == 0)
		return true;
	for (;;) {
		size_t n = strcspn(value, ",");
		bool found = false;
		for (size_t i = 0; i < 3; i++)
			found = found || (strlen(conditions[i]) == n &&
			    strncasecmp(conditions[i], value, n) == 0);
		if (!found)
			return false;
		if (value[n] == '\0')
			return true;
		value += n + 1;
	}
}

unsigned
params_check_rcpt(const char *parameters, const struct params_mail *mail)
{
	struct word word;

	while (*parameters != '\0') {
		bool good = false;
		if (!mail->esmtp || !mail->has_dsn)
			return 555;
		if (!next_word(&parameters, &word))
			return 501;
		if (strcasecmp(word.name, "NOTIFY") == 0)
			good = is_notify(word.value);
		else if (strcasecmp(word.name, "ORCPT") == 0)
			good = is_given(word.value) && strchr(word.value, ';') != NULL;
		else
			return 555;
		if (!good)
			return 501;
	}
	return 0;
}
