/*
 * Recursion, at most ALIASES_DEPTH_MAX aliases and ALIASES_INCLUDE_DEPTH_MAX lists
 * deep.  Each alias and each list is entered once in a pass, so that the work is
 * bounded by the size of the files whatever they lead to.
 */
#include "sendmail/expand.h"

#include <errno.h>
#include <string.h>
#include <sysexits.h>

#include "base/log.h"
#include "base/text.h"
#include "sendmail/local.h"
#include "sendmail/targets.h"
#include "spool/envelope.h"

/* Where an alias is being expanded. */
struct frame {
	struct expansion *x;
	const struct alias *alias;
	const char *file;
	unsigned depth, includes;
	size_t targets; /* found so far */
};

static int name_expand(struct expansion *x, const struct frame *from, const struct address *a);

void
expand_init(struct expansion *x, const struct settings *settings, const struct identity *identity)
{
	*x = (struct expansion){ .settings = settings,
		.identity = identity,
		.error = BUF_INIT(4096),
		.code = EX_DATAERR };
	expand_begin(x);
}

void
expand_fini(struct expansion *x)
{
	aliases_free(&x->aliases);
	address_set_free(&x->warnings);
	buf_free(&x->error);
}

void
expand_begin(struct expansion *x)
{
	x->pass++;
	x->troubles = 0;
}

static int
memory_fail(struct expansion *x)
{
	buf_add_string(&x->error, "out of memory");
	x->code = EX_TEMPFAIL;
	return -1;
}

/* A warning is given once, however often its reason is met. */
static int
warn(struct expansion *x, struct buf *text)
{
	int new = address_set_add(&x->warnings, buf_string(text));

	if (new > 0)
		log_warn("%s", buf_string(text));
	buf_free(text);
	return new < 0 ? memory_fail(x) : 0;
}

int
expand_load(struct expansion *x)
{
	const struct settings *s = x->settings;

	if (x->loaded)
		return 0;
	if (aliases_read(&x->aliases, s->aliases) == 0 || (errno == ENOENT && !s->aliases_set)) {
		x->loaded = true;
		return 0;
	}
	buf_addf(&x->error, "cannot read the aliases in %s: %s", s->aliases,
	    targets_load_problem(errno));
	x->code = EX_TEMPFAIL;
	aliases_free(&x->aliases);
	return -1;
}

/* Gives a final address to the caller. */
static int
give(struct expansion *x, const struct frame *from, const char *address)
{
	const char *wrong = envelope_address_check(address);

	if (wrong != NULL) {
		buf_addf(&x->error, "%s: %s", address, wrong);
		return -1;
	}
	if (from != NULL && ++x->given > ENVELOPE_RECIPIENTS_MAX) {
		buf_addf(&x->error,
		    "%s:%u: %s: more than %u addresses; divide the alias, and send "
		    "the message to its parts",
		    x->aliases.path, from->alias->line, from->alias->name, ENVELOPE_RECIPIENTS_MAX);
		return -1;
	}
	return x->function(x->context, address);
}

/* A name that no alias stands for (any more). */
static int
name_give(
    struct expansion *x, const struct frame *from, const struct address *a, const char *mapped)
{
	struct buf whole = BUF_INIT(1024);
	int result;

	if (mapped == NULL)
		mapped = x->settings->local_mail_to;
	if (mapped != NULL)
		return give(x, from, mapped);
	buf_append(&whole, a->text, local_part_length(a));
	buf_addf(&whole, "@%s", local_domain(x->identity, a));
	result = whole.failed ? memory_fail(x) : give(x, from, whole.data);
	buf_free(&whole);
	return result;
}

/* A target that mail cannot be sent to: the mail goes where somebody looks at it, or
 * is not taken at all. */
static int
target_refuse(struct frame *f, unsigned line, const char *problem, const char *written)
{
	struct expansion *x = f->x;
	const char *instead = x->settings->local_mail_to;
	struct buf text = BUF_INIT(3000);

	x->troubles++;
	buf_addf(&text, "%s:%u: %s: %s", f->file, line, f->alias->name, problem);
	if (*written != '\0')
		buf_addf(&text, ": %s", written);
	if (instead == NULL) {
		buf_addf(
		    &x->error, "%s; correct the alias, or set local_mail_to", buf_string(&text));
		x->code = EX_DATAERR;
		buf_free(&text);
		return -1;
	}
	buf_addf(&text, "; what is sent there goes to %s", instead);
	return warn(x, &text) < 0 ? -1 : give(x, f, instead);
}

/* A name that is not followed although it is an alias. */
static int
name_stop(const struct frame *f, const char *name, const char *why)
{
	struct buf text = BUF_INIT(3000);

	f->x->troubles++;
	buf_addf(&text, "%s:%u: %s: %s: %s; it is used as if it were no alias", f->x->aliases.path,
	    f->alias->line, f->alias->name, why, name);
	return warn(f->x, &text);
}

static int include_expand(struct frame *f, const struct target *t);

static int
target_expand(void *context, const struct target *t)
{
	struct frame *f = context;
	struct expansion *x = f->x;

	f->targets++;
	switch (t->kind) {
	case TARGET_BAD:
		return target_refuse(f, t->line, t->problem, t->written);
	case TARGET_INCLUDE:
		return include_expand(f, t);
	default:
		break;
	}
	if (!local_is(x->settings, x->identity, &t->address))
		return give(x, f, t->address.text);
	return name_expand(x, f, &t->address);
}

static int
include_expand(struct frame *f, const struct target *t)
{
	struct expansion *x = f->x;
	struct include *i = aliases_include(&x->aliases, t->path);
	struct frame inner = *f;
	int r;

	if (i == NULL)
		return memory_fail(x);
	if (i->temporary) {
		buf_addf(&x->error, "%s:%u: %s: %s: %s", f->file, t->line, f->alias->name,
		    i->problem, t->written);
		x->code = EX_TEMPFAIL;
		return -1;
	}
	if (i->problem[0] != '\0')
		return target_refuse(f, t->line, i->problem, t->written);
	if (i->visit.active)
		return target_refuse(f, t->line, "the list includes itself", t->written);
	if (i->visit.pass == x->pass)
		return 0;
	if (f->includes == ALIASES_INCLUDE_DEPTH_MAX)
		return target_refuse(f, t->line, "the list is included too deep", t->written);
	i->visit = (struct visit){ .pass = x->pass, .active = true };
	inner.file = i->path;
	inner.includes++;
	inner.targets = 0;
	r = targets_parse(buf_string(&i->text), i->text.len, 1, true, target_expand, &inner);
	i->visit.active = false;
	if (r == 0 && inner.targets == 0)
		r = target_refuse(f, t->line, "the list is empty", t->written);
	return r;
}

static int
alias_expand(struct expansion *x, struct alias *alias, unsigned depth)
{
	struct frame f = { .x = x, .alias = alias, .file = x->aliases.path, .depth = depth };
	int r;

	if (alias->visit.pass == x->pass)
		return 0;
	alias->visit = (struct visit){ .pass = x->pass, .active = true };
	/* what stands behind a name without a colon is no list of targets */
	if (alias->problem != NULL)
		r = target_refuse(&f, alias->line, alias->problem, "");
	else
		r = targets_parse(
		    alias->targets, alias->len, alias->line, false, target_expand, &f);
	if (r == 0 && alias->problem == NULL && f.targets == 0)
		r = target_refuse(&f, alias->line, "there is no target behind the colon", "");
	alias->visit.active = false;
	return r;
}

static int
name_expand(struct expansion *x, const struct frame *from, const struct address *a)
{
	unsigned depth = from == NULL ? 1 : from->depth + 1;
	char name[LOCAL_NAME_SIZE];
	struct alias *alias;
	const char *mapped;

	if (!local_name(a->text, local_part_length(a), name))
		name[0] = '\0';
	mapped = local_map(x->settings, name);
	if (a->escaped || x->no_aliases)
		return name_give(x, from, a, mapped);
	if (expand_load(x) < 0)
		return -1;
	alias = aliases_find(&x->aliases, name);
	if (alias != NULL && alias->visit.active) {
		/* "a: a, b" is no mistake: a gets a copy */
		if (alias != from->alias &&
		    name_stop(from, name, "the aliases lead in a circle, back to") < 0)
			return -1;
		return name_give(x, from, a, mapped);
	}
	if (alias != NULL) {
		if (depth <= ALIASES_DEPTH_MAX || alias->visit.pass == x->pass)
			return alias_expand(x, alias, depth);
		if (name_stop(from, name, "the aliases lead too deep, to") < 0)
			return -1;
		return name_give(x, from, a, mapped);
	}
	if (mapped == NULL && (alias = aliases_find(&x->aliases, "default")) != NULL &&
	    !alias->visit.active && depth <= ALIASES_DEPTH_MAX)
		return alias_expand(x, alias, depth);
	return name_give(x, from, a, mapped);
}

const char *
expand_check(const struct expansion *x, const struct address *a, struct buf *whole)
{
	if (local_is(x->settings, x->identity, a)) {
		buf_append(whole, a->text, local_part_length(a));
		buf_addf(whole, "@%s", local_domain(x->identity, a));
	} else {
		buf_add_string(whole, a->text);
	}
	return whole->failed ? "it is too long" : envelope_address_check(buf_string(whole));
}

int
expand_address(
    struct expansion *x, const struct address *a, expand_function *function, void *context)
{
	x->function = function;
	x->context = context;
	x->given = 0;
	x->code = EX_DATAERR;
	buf_reset(&x->error);
	if (!local_is(x->settings, x->identity, a))
		return give(x, NULL, a->text);
	return name_expand(x, NULL, a);
}
