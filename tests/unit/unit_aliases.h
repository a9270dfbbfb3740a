/*
 * What the tests of aliases share: a host with an alias file, its lists in a
 * directory, and what is logged.
 */
#ifndef TESTS_UNIT_UNIT_ALIASES_H
#define TESTS_UNIT_UNIT_ALIASES_H

#include "tests/unit/unit.h"

#include "base/buf.h"
#include "base/log.h"
#include "sendmail/identity.h"

struct alias_host {
	char directory[64];
	char path[80]; /* of the alias file */
	struct settings settings;
	struct identity identity;
	struct buf log;
};

static inline void
alias_host_note(void *context, enum log_level level, const char *line)
{
	struct alias_host *h = context;

	(void)level;
	buf_addf(&h->log, "%s\n", line);
}

/* text without the name of the directory, which differs each time. */
static inline void
alias_host_shorten(const struct alias_host *h, char *text)
{
	char *found;
	size_t n = strlen(h->directory);

	while ((found = strstr(text, h->directory)) != NULL)
		memmove(found, found + n, strlen(found + n) + 1);
}

/* Writes a file in the directory; "DIR" in its text stands for the directory. */
static inline void
alias_host_write(const struct alias_host *h, const char *name, const char *text)
{
	char path[200];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", h->directory, name);
	file = fopen(path, "w");
	assert_non_null(file);
	while (*text != '\0') {
		if (strncmp(text, "DIR", 3) == 0) {
			fputs(h->directory, file);
			text += 3;
		} else {
			putc(*text++, file);
		}
	}
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, 0644), 0);
}

static inline void
alias_host_init(struct alias_host *h, const char *aliases)
{
	*h = (struct alias_host){ .log = BUF_INIT(1 << 20) };
	directory_make(h->directory);
	snprintf(h->path, sizeof(h->path), "%s/aliases", h->directory);
	h->settings.aliases = h->path;
	h->settings.aliases_set = true;
	h->identity = (struct identity){
		.uid = 1000, .user = "joe", .hostname = "host.example", .domain = "dom.example"
	};
	if (aliases != NULL)
		alias_host_write(h, "aliases", aliases);
	log_to_sink(alias_host_note, h);
}

static inline void
alias_host_fini(struct alias_host *h)
{
	log_to_sink(NULL, NULL);
	directory_remove(h->directory);
	buf_free(&h->log);
}

#endif
