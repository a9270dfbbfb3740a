/*
 * systemd's credentials, and what the sanitizers of a test build want.
 */
#include "relayd/environment.h"

#include <stdio.h>
#include <stdlib.h>

void
environment_keep(char *env[static ENVIRONMENT_MAX])
{
	static const char *const kept[ENVIRONMENT_MAX - 1] = { "CREDENTIALS_DIRECTORY",
		"ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS" };
	size_t n = 0;

	for (size_t i = 0; i < ENVIRONMENT_MAX - 1; i++) {
		const char *value = getenv(kept[i]);
		char *entry;

		if (value != NULL && asprintf(&entry, "%s=%s", kept[i], value) >= 0)
			env[n++] = entry;
	}
	env[n] = NULL;
}
