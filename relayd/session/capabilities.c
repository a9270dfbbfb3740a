/*
 * Unknown keywords and malformed lines are passed over: what is not understood
 * is not used.
 */
#include "relayd/session/capabilities.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/crc32c.h"
#include "base/number.h"

static const struct {
	const char *keyword;
	unsigned bit;
} keywords[] = {
	{ "STARTTLS", CAN_STARTTLS },
	{ "PIPELINING", CAN_PIPELINING },
	{ "8BITMIME", CAN_8BITMIME },
	{ "SMTPUTF8", CAN_SMTPUTF8 },
	{ "SIZE", CAN_SIZE },
	{ "DSN", CAN_DSN },
	{ "CHUNKING", CAN_CHUNKING },
};

static void
mechanisms_add(struct capabilities *c, const char *list)
{
	size_t have = strlen(c->auth);

	while (*list != '\0') {
		size_t n = strcspn(list, " \t");

		if (n > 0 && n <= 40 && have + n + 3 < sizeof(c->auth)) {
			if (have == 0)
				c->auth[have++] = ' ';
			for (size_t i = 0; i < n; i++)
				c->auth[have++] = (char)toupper((unsigned char)list[i]);
			c->auth[have++] = ' ';
			c->auth[have] = '\0';
		}
		list += n;
		list += strspn(list, " \t");
	}
}

static void
line_parse(struct capabilities *c, char *line)
{
	/* "AUTH=" is how very old servers spell it */
	char *value = line + strcspn(line, " \t=");

	if (*value != '\0')
		*value++ = '\0';
	value += strspn(value, " \t");
	if (strcasecmp(line, "AUTH") == 0)
		mechanisms_add(c, value);
	for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
		if (strcasecmp(line, keywords[i].keyword) == 0)
			c->set |= keywords[i].bit;
	if (strcasecmp(line, "SIZE") == 0 && number_parse(value, 0, UINT64_MAX, &c->size) < 0)
		c->size = 0;
}

void
capabilities_parse(struct capabilities *c, const char *text)
{
	char line[1024];
	bool greeting = true;

	*c = (struct capabilities){ .set = 0 };
	while (*text != '\0') {
		size_t n = strcspn(text, "\n");

		if (!greeting)
			c->check = crc32c(c->check, text, n);
		if (!greeting && n < sizeof(line)) {
			snprintf(line, sizeof(line), "%.*s", (int)n, text);
			line_parse(c, line);
		}
		greeting = false;
		text += n;
		text += *text == '\n';
	}
	c->check |= 1;
}

bool
capabilities_have_mechanism(const struct capabilities *c, const char *name)
{
	char word[64];

	snprintf(word, sizeof(word), " %s ", name);
	return strstr(c->auth, word) != NULL;
}
