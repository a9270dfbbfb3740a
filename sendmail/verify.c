/*
 * The same expansion as for a message, with nothing sent.
 */
#include "sendmail/verify.h"

#include <errno.h>
#include <string.h>
#include <sysexits.h>

#include "base/log.h"
#include "base/text.h"
#include "sendmail/address.h"
#include "sendmail/address_set.h"
#include "sendmail/aliases.h"
#include "sendmail/expand.h"
#include "sendmail/targets.h"

enum { ALL_GOOD = 0, UNDECIDED = 1, BAD = 2 }; /* exit codes, as Exim has them */

struct verify {
	struct expansion expansion;
	struct address_set seen;
	FILE *out, *err;
	struct buf line;
	int code;
};

static void
code_raise(struct verify *v, int code)
{
	if (code > v->code)
		v->code = code;
}

static void
complain(struct verify *v, const char *address, const char *what)
{
	struct buf text = BUF_INIT(16384);

	text_add_printable(&text, address, strlen(address));
	buf_add_string(&text, ": ");
	text_add_printable(&text, what, strlen(what));
	fprintf(v->err, "sendmail: %s\n", buf_string(&text));
	buf_free(&text);
}

static int
final_add(void *context, const char *address)
{
	struct verify *v = context;
	int new = address_set_add(&v->seen, address);

	if (new <= 0)
		return new;
	buf_add_string(&v->line, v->line.len == 0 ? "" : ", ");
	return text_add_printable(&v->line, address, strlen(address));
}

static int
address_verify(void *context, const struct address *a)
{
	struct verify *v = context;
	struct expansion *x = &v->expansion;
	struct buf whole = BUF_INIT(8192), given = BUF_INIT(16384);
	const char *wrong = expand_check(x, a, &whole);
	int r;

	buf_free(&whole);
	if (wrong != NULL) {
		complain(v, a->text, wrong);
		code_raise(v, BAD);
		return 0;
	}
	expand_begin(x);
	buf_reset(&v->line);
	r = expand_address(x, a, final_add, v);
	address_set_free(&v->seen);
	if (r < 0) {
		complain(v, a->text, x->error.len > 0 ? x->error.data : "out of memory");
		code_raise(v, x->error.len > 0 && x->code != EX_TEMPFAIL ? BAD : UNDECIDED);
		return 0;
	}
	text_add_printable(&given, a->text, strlen(a->text));
	fprintf(v->out, "%s: %s\n", buf_string(&given), buf_string(&v->line));
	buf_free(&given);
	if (x->troubles > 0)
		code_raise(v, BAD);
	return 0;
}

int
verify_print(const struct settings *s, const struct identity *id, bool no_aliases,
    char *const *arguments, size_t count, FILE *out, FILE *err)
{
	/* as many addresses as an envelope may have */
	struct verify v = { .out = out, .err = err, .line = BUF_INIT(64 << 20) };

	expand_init(&v.expansion, s, id);
	v.expansion.no_aliases = no_aliases;
	for (size_t i = 0; i < count; i++) {
		const char *error = NULL;

		if (address_list_parse(
			arguments[i], strlen(arguments[i]), address_verify, &v, &error) < 0) {
			complain(&v, arguments[i], error != NULL ? error : "out of memory");
			code_raise(&v, error != NULL ? BAD : UNDECIDED);
		}
	}
	expand_fini(&v.expansion);
	buf_free(&v.line);
	if (fflush(out) != 0)
		code_raise(&v, UNDECIDED);
	return v.code;
}

int
verify_run(const struct settings *s, const struct options *o)
{
	struct identity id;

	log_to_stderr("sendmail");
	if (o->recipient_count == 0) {
		fputs("sendmail: no addresses to verify: name them as arguments\n", stderr);
		return EX_USAGE;
	}
	if (identity_init(&id, s) < 0) {
		fputs("sendmail: cannot look up who asks\n", stderr);
		return UNDECIDED;
	}
	return verify_print(
	    s, &id, o->no_aliases, o->recipients, o->recipient_count, stdout, stderr);
}

static void
error_print(void *context, const char *line)
{
	fprintf(context, "%s\n", line);
}

int
newaliases_print(const struct settings *s, const struct identity *id, FILE *out, FILE *err)
{
	struct aliases a;
	size_t good = 0, errors = 0;
	int code = EX_CONFIG, r = aliases_read(&a, s->aliases);

	if (r < 0 && errno == ENOENT && !s->aliases_set) {
		fprintf(
		    out, "%s: there is no such file, and so there are no aliases\n", s->aliases);
		code = 0;
	} else if (r < 0) {
		fprintf(err, "newaliases: cannot read the aliases in %s: %s\n", s->aliases,
		    targets_load_problem(errno));
	} else if (aliases_check(&a, s, id, error_print, err, &good, &errors) < 0) {
		fputs("newaliases: out of memory\n", err);
		code = EX_TEMPFAIL;
	} else if (errors > 0) {
		fprintf(err, "newaliases: %s: %zu aliases, %zu errors\n", s->aliases, good, errors);
	} else {
		fprintf(out, "%s: %zu aliases, no errors\n", s->aliases, good);
		code = 0;
	}
	aliases_free(&a);
	return code;
}

int
newaliases_run(const struct settings *s)
{
	struct identity id;

	if (identity_init(&id, s) < 0) {
		fputs("newaliases: cannot look up who asks\n", stderr);
		return EX_TEMPFAIL;
	}
	return newaliases_print(s, &id, stdout, stderr);
}
