/*
 * Names are cut out of the text in place, targets stay where they are.  An entry
 * begins at the start of a line and goes on in lines that begin with a blank, and
 * behind a comma in a line that could begin no entry.
 */
#include "sendmail/aliases.h"

#include <ctype.h>
#include <errno.h>
#include <search.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sendmail/local.h"
#include "sendmail/targets.h"
#include "spool/envelope.h"

/* The name at the start of a line. */
struct name {
	size_t len;   /* with quotes */
	size_t colon; /* where the colon is */
};

/* Does "NAME :" stand at the start of the line? */
static bool
name_scan(const char *s, size_t len, struct name *name)
{
	size_t i = 0;

	if (len > 0 && s[0] == '"') {
		for (i = 1; i < len && s[i] != '"'; i++)
			i += s[i] == '\\';
		i++;
	} else {
		while (i < len && s[i] != '\0' && strchr(" \t:,\"()<>|", s[i]) == NULL)
			i++;
	}
	name->len = i;
	while (i < len && (s[i] == ' ' || s[i] == '\t'))
		i++;
	name->colon = i;
	return name->len > 0 && i < len && s[i] == ':';
}

/* NULL if mail can be addressed to the name. */
static const char *
name_check(const char *s, size_t len)
{
	char whole[LOCAL_NAME_SIZE];

	if (memchr(s, '@', len) != NULL)
		return "the name of an alias has no @ and no domain; write the local part alone";
	if (memchr(s, '\0', len) != NULL)
		return "the line contains a NUL octet";
	if (len + sizeof("@x") > sizeof(whole) ||
	    snprintf(whole, sizeof(whole), "%.*s@x", (int)len, s) < 0 ||
	    envelope_address_check(whole) != NULL || len <= (s[0] == '"' ? 2 : 0))
		return "no local part is like this name; correct it, or put it in quotes";
	return NULL;
}

static struct alias *
entry_new(struct aliases *a)
{
	if (a->count == a->size) {
		size_t size = a->size == 0 ? 64 : 2 * a->size;
		struct alias *all = reallocarray(a->entries, size, sizeof(*all));

		if (all == NULL)
			return NULL;
		a->entries = all;
		a->size = size;
	}
	a->entries[a->count] = (struct alias){ .name = "" };
	return &a->entries[a->count++];
}

/* A line that is no alias.  If it is one without its colon, mail for the name must not
 * go where the name alone would send it. */
static void
entry_refuse(struct alias *e, char *s, size_t len, size_t name_len)
{
	if (*s == ' ' || *s == '\t') {
		e->problem = "a line that begins with a blank continues an alias, and there is "
			     "none above";
		return;
	}
	e->problem = "it must be NAME: TARGET, ...; a line that continues an alias begins with "
		     "a blank";
	if (name_len == 0 || name_len > len || memchr(s, ':', len) != NULL ||
	    name_check(s, name_len) != NULL)
		return;
	e->problem = "the colon behind the name is missing; a line that continues an alias "
		     "begins with a blank";
	e->named = true;
}

static struct alias *
entry_begin(struct aliases *a, char *s, size_t len, unsigned line)
{
	struct alias *e = entry_new(a);
	char plain[LOCAL_NAME_SIZE];
	struct name name;

	if (e == NULL)
		return NULL;
	e->name = s;
	e->line = line;
	e->targets = s + len;
	if (name_scan(s, len, &name)) {
		e->problem = name_check(s, name.len);
		e->named = e->problem == NULL;
		e->targets = s + name.colon + 1;
		e->len = len - name.colon - 1;
	} else {
		entry_refuse(e, s, len, name.len);
		if (!e->named)
			return e;
	}
	if (e->named && local_name(s, name.len, plain))
		memcpy(s, plain, strlen(plain) + 1);
	else
		s[name.len] = '\0';
	if (strcmp(e->name, "*") == 0)
		e->name = "default";
	return e;
}

static bool
ends_in_comma(const struct alias *e)
{
	size_t n = e->len;

	while (n > 0 && (isspace((unsigned char)e->targets[n - 1])))
		n--;
	return n > 0 && e->targets[n - 1] == ',';
}

static int
text_parse(struct aliases *a)
{
	char *s = a->text.data, *end = a->text.len == 0 ? s : s + a->text.len;
	struct alias *e = NULL;
	struct name name;

	for (unsigned line = 1; s < end; line++) {
		char *lf = memchr(s, '\n', (size_t)(end - s));
		char *line_end = lf == NULL ? end : lf;
		size_t len = (size_t)(line_end - s), blanks = 0;

		while (blanks < len && (s[blanks] == ' ' || s[blanks] == '\t'))
			blanks++;
		if (blanks == len) {
			/* an empty line, or a comment */
		} else if (e != NULL && (blanks > 0 || (e->problem == NULL && ends_in_comma(e) &&
							   !name_scan(s, len, &name)))) {
			e->len = (size_t)(line_end - e->targets);
		} else if ((e = entry_begin(a, s, len, line)) == NULL) {
			return -1;
		}
		if (lf != NULL)
			*lf = e != NULL && e->problem != NULL ? '\0' : '\n';
		s = line_end + 1;
	}
	return 0;
}

/* FNV-1a; whoever writes the file has no reason to make names that collide. */
static size_t
name_hash(const char *name)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (; *name != '\0'; name++)
		hash = (hash ^ (unsigned char)*name) * UINT64_C(1099511628211);
	return (size_t)(hash ^ hash >> 32);
}

/* Where the name is in the index, or belongs. */
static size_t *
index_find(const struct aliases *a, const char *name)
{
	size_t at = name_hash(name) & (a->index_size - 1);

	while (a->index[at] != 0 && strcmp(a->entries[a->index[at] - 1].name, name) != 0)
		at = (at + 1) & (a->index_size - 1);
	return &a->index[at];
}

static void
index_add(struct aliases *a, size_t entry)
{
	struct alias *e = &a->entries[entry];
	size_t *place = index_find(a, e->name);

	if (*place == 0)
		*place = entry + 1;
	else if (e->problem == NULL)
		e->problem = "the name stands above already, and that alias counts; remove one "
			     "of the two";
}

static int
index_make(struct aliases *a)
{
	for (a->index_size = 2; a->index_size < 2 * a->count;)
		a->index_size *= 2;
	a->index = calloc(a->index_size, sizeof(*a->index));
	if (a->index == NULL)
		return -1;
	for (size_t i = 0; i < a->count; i++)
		if (a->entries[i].named && a->entries[i].problem == NULL)
			index_add(a, i);
	for (size_t i = 0; i < a->count; i++)
		if (a->entries[i].named && a->entries[i].problem != NULL)
			index_add(a, i);
	return 0;
}

int
aliases_read(struct aliases *a, const char *path)
{
	mode_t mode;

	*a = (struct aliases){ .path = strdup(path) };
	if (a->path == NULL ||
	    targets_load(path, ALIASES_OCTETS_MAX, &a->text, &a->owner, &mode) < 0)
		return -1;
	return text_parse(a) < 0 ? -1 : index_make(a);
}

static void
include_free(void *p)
{
	struct include *include = p;

	free(include->path);
	buf_free(&include->text);
	free(include);
}

void
aliases_free(struct aliases *a)
{
	free(a->path);
	free(a->entries);
	free(a->index);
	buf_free(&a->text);
	tdestroy(a->includes, include_free);
	*a = (struct aliases){ .path = NULL };
}

struct alias *
aliases_find(struct aliases *a, const char *name)
{
	size_t place = a->index == NULL ? 0 : *index_find(a, name);

	return place == 0 ? NULL : &a->entries[place - 1];
}

static int
include_compare(const void *a, const void *b)
{
	return strcmp(((const struct include *)a)->path, ((const struct include *)b)->path);
}

/* Whoever can write the list can send the mail elsewhere. */
static void
include_read(struct include *i, uid_t aliases_owner)
{
	uid_t owner;
	mode_t mode;

	if (targets_load(i->path, ALIASES_INCLUDE_OCTETS_MAX, &i->text, &owner, &mode) < 0) {
		i->temporary =
		    errno == ENOMEM || errno == EMFILE || errno == ENFILE || errno == EIO;
		snprintf(i->problem, sizeof(i->problem), "the list cannot be read: %s",
		    targets_load_problem(errno));
	} else if (owner != 0 && (owner != geteuid() || owner != aliases_owner))
		snprintf(i->problem, sizeof(i->problem),
		    "the list belongs to uid %lu; it must belong to root", (unsigned long)owner);
	else if ((mode & (S_IWGRP | S_IWOTH)) != 0)
		snprintf(i->problem, sizeof(i->problem),
		    "the list may be written by others than its owner; use chmod go-w");
}

struct include *
aliases_include(struct aliases *a, const char *path)
{
	struct include *new = calloc(1, sizeof(*new)), **found;

	if (new == NULL || (new->path = strdup(path)) == NULL ||
	    (found = tsearch(new, &a->includes, include_compare)) == NULL) {
		if (new != NULL)
			include_free(new);
		return NULL;
	}
	if (*found != new)
		include_free(new);
	else
		include_read(new, a->owner);
	return *found;
}
