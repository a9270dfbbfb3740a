/*
 * A binary tree of copies.
 */
#include "sendmail/address_set.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int
compare(const void *a, const void *b)
{
	const char *x = a, *y = b;
	const char *xat = strrchr(x, '@'), *yat = strrchr(y, '@');
	size_t xn = xat == NULL ? strlen(x) : (size_t)(xat - x);
	size_t yn = yat == NULL ? strlen(y) : (size_t)(yat - y);
	int c = xn == yn ? memcmp(x, y, xn) : xn < yn ? -1 : 1;

	return c != 0 ? c : strcasecmp(x + xn, y + yn);
}

int
address_set_add(struct address_set *set, const char *address)
{
	char *copy = strdup(address);
	char **found = copy == NULL ? NULL : tsearch(copy, &set->root, compare);

	if (found == NULL) {
		free(copy);
		return -1;
	}
	if (*found != copy) {
		free(copy);
		return 0;
	}
	return 1;
}

void
address_set_remove(struct address_set *set, const char *address)
{
	char **found = tfind(address, &set->root, compare), *copy;

	if (found == NULL)
		return;
	copy = *found;
	tdelete(address, &set->root, compare);
	free(copy);
}

void
address_set_free(struct address_set *set)
{
	tdestroy(set->root, free);
	set->root = NULL;
}
