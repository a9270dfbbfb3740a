/*
 * Each entry is judged alone, in the order of the file; on the way the references
 * from alias to alias are gathered, and at the end they are searched for circles and
 * for chains that are too long.  The search keeps its own stack: a chain may be as
 * long as the file.
 */
#include "sendmail/aliases.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "sendmail/local.h"
#include "sendmail/targets.h"

#define LINE_OCTETS_MAX 3000
#define CIRCLE_NAMES_MAX 8 /* how many names of a circle are printed */

/* One alias stands among the targets of another. */
struct reference {
	struct alias *to;
	size_t next; /* the next one of the same alias, plus 1; 0: none */
};

enum state { NEW, OPEN, CLOSED };

/* What is known of an entry, at its place in aliases.entries. */
struct node {
	size_t references; /* the first, plus 1 */
	size_t at;         /* how far the search is */
	size_t parent;
	unsigned height; /* aliases from here on, itself included */
	enum state state;
};

struct check {
	struct aliases *aliases;
	const struct settings *settings;
	const struct identity *identity;
	aliases_report_function *report;
	void *context;
	size_t errors;
	struct node *nodes;
	struct reference *references;
	size_t count, size;
	bool failed; /* no memory */
};

/* Where a list is being checked. */
struct place {
	struct check *check;
	struct alias *alias;
	const char *file;
	unsigned includes;
	bool silent; /* its errors have been reported */
	size_t targets;
	bool bad;
};

__attribute__((format(printf, 5, 6))) static void
report(struct check *c, const char *file, unsigned line, const char *name, const char *fmt, ...)
{
	struct buf raw = BUF_INIT(LINE_OCTETS_MAX), text = BUF_INIT(4 * LINE_OCTETS_MAX);
	char what[LINE_OCTETS_MAX], shown[100];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	text_copy_printable(shown, sizeof(shown), name, strlen(name));
	buf_addf(&raw, "%s:%u: %s: %s", file, line, shown, what);
	text_add_printable(&text, buf_string(&raw), raw.len);
	c->errors++;
	c->report(c->context, buf_string(&text));
	buf_free(&raw);
	buf_free(&text);
}

static void
refuse(struct place *p, unsigned line, const char *problem, const char *written)
{
	p->bad = true;
	if (!p->silent)
		report(p->check, p->file, line, p->alias->name, "%s: %s", problem, written);
}

static void
reference_add(struct check *c, const struct alias *from, struct alias *to)
{
	struct node *node = &c->nodes[from - c->aliases->entries];

	if (c->count == c->size) {
		size_t size = c->size == 0 ? 64 : 2 * c->size;
		struct reference *all = reallocarray(c->references, size, sizeof(*all));

		if (all == NULL) {
			c->failed = true;
			return;
		}
		c->references = all;
		c->size = size;
	}
	c->references[c->count] = (struct reference){ .to = to, .next = node->references };
	node->references = ++c->count;
}

static int target_check(void *context, const struct target *t);

/* A list is read for each alias that includes it, because of the references; what is
 * wrong in it is reported once. */
static void
include_check(struct place *p, const struct target *t)
{
	struct check *c = p->check;
	struct include *i = aliases_include(c->aliases, t->path);
	const char *problem = NULL;
	struct place inner = *p;

	if (i == NULL) {
		c->failed = true;
		return;
	}
	if (i->problem[0] != '\0')
		problem = i->problem;
	else if (i->visit.active)
		problem = "the list includes itself";
	else if (i->visit.pass == p->alias->line)
		return;
	else if (p->includes == ALIASES_INCLUDE_DEPTH_MAX)
		problem = "the list is included too deep";
	if (problem != NULL) {
		refuse(p, t->line, problem, t->written);
		return;
	}
	/* the line of an alias is its own, and so serves as the number of the pass */
	i->visit = (struct visit){ .pass = p->alias->line, .active = true };
	inner.file = i->path;
	inner.includes++;
	inner.targets = 0;
	inner.silent = i->checked;
	i->checked = true;
	if (targets_parse(buf_string(&i->text), i->text.len, 1, true, target_check, &inner) < 0)
		c->failed = true;
	i->visit.active = false;
	p->bad |= inner.bad;
	if (inner.targets == 0 && !c->failed)
		refuse(p, t->line, "the list is empty", t->written);
}

static int
target_check(void *context, const struct target *t)
{
	struct place *p = context;
	struct check *c = p->check;
	char name[LOCAL_NAME_SIZE];
	struct alias *to;

	p->targets++;
	if (t->kind == TARGET_BAD) {
		refuse(p, t->line, t->problem, t->written);
	} else if (t->kind == TARGET_INCLUDE) {
		include_check(p, t);
	} else if (!t->address.escaped && local_is(c->settings, c->identity, &t->address) &&
		   local_name(t->address.text, local_part_length(&t->address), name) &&
		   (to = aliases_find(c->aliases, name)) != NULL && to != p->alias) {
		reference_add(c, p->alias, to);
	}
	return c->failed ? -1 : 0;
}

/* Returns whether the alias can be used. */
static bool
entry_check(struct check *c, struct alias *e)
{
	struct place p = { .check = c, .alias = e, .file = c->aliases->path };

	if (e->problem != NULL) {
		report(c, p.file, e->line, e->name, "%s", e->problem);
		return false;
	}
	if (targets_parse(e->targets, e->len, e->line, false, target_check, &p) < 0)
		c->failed = true;
	if (p.targets == 0 && !c->failed) {
		report(c, p.file, e->line, e->name,
		    "there is no target behind the colon; name an address, or remove the alias");
		p.bad = true;
	}
	return !p.bad;
}

/* The way from an open alias to one of its targets that led to it. */
static void
circle_report(struct check *c, size_t from, size_t back)
{
	const struct alias *entries = c->aliases->entries;
	size_t last[CIRCLE_NAMES_MAX], n = 0, i = from;
	struct buf way = BUF_INIT(LINE_OCTETS_MAX);

	for (; i != back && n < CIRCLE_NAMES_MAX; i = c->nodes[i].parent)
		last[n++] = i;
	buf_add_string(&way, entries[back].name);
	if (i != back)
		buf_add_string(&way, " -> ...");
	while (n > 0)
		buf_addf(&way, " -> %s", entries[last[--n]].name);
	report(c, c->aliases->path, entries[from].line, entries[from].name,
	    "the aliases lead in a circle: %s -> %s; take one of these targets out",
	    buf_string(&way), entries[back].name);
	buf_free(&way);
}

/* Goes on with the references of an open alias; returns the one to open next, or the
 * parent. */
static size_t
search_step(struct check *c, size_t at)
{
	struct node *node = &c->nodes[at], *to;

	while (node->at != 0) {
		const struct reference *r = &c->references[node->at - 1];
		size_t index = (size_t)(r->to - c->aliases->entries);

		to = &c->nodes[index];
		if (to->state == NEW) {
			to->parent = at;
			to->state = OPEN;
			to->at = to->references;
			return index;
		}
		if (to->state == OPEN)
			circle_report(c, at, index);
		else if (node->height <= to->height)
			node->height = to->height + 1;
		node->at = r->next;
	}
	node->state = CLOSED;
	/* reported once, where it becomes true */
	if (node->height == ALIASES_DEPTH_MAX)
		report(c, c->aliases->path, c->aliases->entries[at].line,
		    c->aliases->entries[at].name,
		    "%d aliases lead one to the next from here; name its final address",
		    ALIASES_DEPTH_MAX + 1);
	return node->parent;
}

static void
ways_check(struct check *c)
{
	for (size_t start = 0; start < c->aliases->count; start++) {
		size_t at = start;

		if (c->nodes[start].state != NEW)
			continue;
		c->nodes[start].state = OPEN;
		c->nodes[start].at = c->nodes[start].references;
		c->nodes[start].parent = start;
		while (c->nodes[start].state != CLOSED)
			at = search_step(c, at);
	}
}

int
aliases_check(struct aliases *a, const struct settings *s, const struct identity *id,
    aliases_report_function *function, void *context, size_t *good, size_t *errors)
{
	struct check c = { .aliases = a,
		.settings = s,
		.identity = id,
		.report = function,
		.context = context,
		.nodes = calloc(a->count + 1, sizeof(*c.nodes)) };

	*good = 0;
	c.failed = c.nodes == NULL;
	for (size_t i = 0; i < a->count && !c.failed; i++)
		*good += entry_check(&c, &a->entries[i]);
	if (!c.failed)
		ways_check(&c);
	*errors = c.errors;
	free(c.nodes);
	free(c.references);
	errno = ENOMEM;
	return c.failed ? -1 : 0;
}
