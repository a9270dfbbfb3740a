/*
 * What is made of an address without memory: nothing, and that is said.  Each
 * allocation of a step fails once, alone; malloc(3) and its kin are those below, so
 * this does nothing where a sanitizer has its own.
 */
#include "tests/unit/unit_aliases.h"

#include <errno.h>
#include <stdlib.h>
#include <sysexits.h>

#include "sendmail/complete.h"
#include "sendmail/recipients.h"

#ifdef __has_feature
#define HAS(feature) __has_feature(feature)
#else
#define HAS(feature) 0
#endif
#if !defined(__SANITIZE_ADDRESS__) && !HAS(address_sanitizer)
#define OWN_MALLOC 1
#else
#define OWN_MALLOC 0
#endif

static unsigned countdown; /* the allocation that fails; 0: none */

#if OWN_MALLOC

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

static bool
fails(void)
{
	if (countdown == 0 || --countdown > 0)
		return false;
	errno = ENOMEM;
	return true;
}

void *
malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
	return fails() ? NULL : __libc_calloc(count, size);
}

void *
realloc(void *old, size_t size)
{
	return fails() ? NULL : __libc_realloc(old, size);
}

#endif

static char ops[] = "ops@prov.example";

/* The addresses of the envelope, each with a blank. */
static void
addresses_add(const struct envelope *e, struct buf *b)
{
	buf_addf(b, "<%s> [%s]", e->sender, e->bounce_to == NULL ? "" : e->bounce_to);
	for (size_t i = 0; i < e->recipient_count; i++)
		buf_addf(b, " %s", e->recipients[i].address);
}

static void
alias_host_begin(struct alias_host *h)
{
	alias_host_init(h, "joe: boss@prov.example\n"
			   "team: a@prov.example, b@prov.example, :include:DIR/list\n");
	alias_host_write(h, "list", "c@prov.example\n");
	h->settings.local_mail_to = ops;
}

/* Runs with the n-th allocation failing.  0 if the envelope was made, else the code. */
static int
envelope_make(struct alias_host *h, unsigned n, struct buf *b)
{
	static char *arguments[] = { (char *)"team", (char *)"x@y.example" };
	struct recipients r;
	struct envelope e;
	int code = 0;

	buf_reset(b);
	buf_reset(&h->log);
	envelope_init(&e);
	recipients_init(&r, &e, &h->settings, &h->identity);
	countdown = n;
	if (recipients_set_sender(&r, "joe") < 0 || recipients_from_arguments(&r, arguments, 2) < 0)
		code = r.code;
	countdown = 0;
	if (code == 0)
		addresses_add(&e, b);
	recipients_fini(&r);
	envelope_free(&e);
	return code;
}

/* Where bounces go is no reason to refuse a message; but it is logged. */
static bool
only_bounces_differ(const struct alias_host *h, const char *made, const char *whole)
{
	return strstr(buf_string(&h->log), "bounces of this message go to its sender") != NULL &&
	       strstr(made, " [] ") != NULL && strcmp(strstr(made, "] "), strstr(whole, "] ")) == 0;
}

static void
an_envelope_is_whole_or_refused_for_now(void **state)
{
	static const char whole[] = "<joe@dom.example> [boss@prov.example] a@prov.example "
				    "b@prov.example c@prov.example x@y.example";
	struct buf b = BUF_INIT(4000);
	struct alias_host h;
	unsigned n, made = 0, refused = 0;

	(void)state;
	if (!OWN_MALLOC)
		skip();
	alias_host_begin(&h);
	for (n = 1; made < 10; n++) {
		int code = envelope_make(&h, n, &b);

		if (code != 0 && code != EX_TEMPFAIL)
			fail_msg("allocation %u: code %d", n, code);
		if (code == 0 && strcmp(buf_string(&b), whole) != 0 &&
		    !only_bounces_differ(&h, buf_string(&b), whole))
			fail_msg("allocation %u: %s", n, buf_string(&b));
		made = code == 0 ? made + 1 : 0;
		refused += code != 0;
	}
	assert_true(refused > 20);
	alias_host_fini(&h);
	buf_free(&b);
}

static void
a_recipient_that_was_refused_for_now_can_come_again(void **state)
{
	struct alias_host h;
	unsigned n, refused = 0, taken = 0;

	(void)state;
	if (!OWN_MALLOC)
		skip();
	alias_host_begin(&h);
	for (n = 1; taken < 5; n++) {
		struct recipients r;
		struct envelope e;
		int first;

		envelope_init(&e);
		recipients_init(&r, &e, &h.settings, &h.identity);
		countdown = n;
		first = recipients_add(&r, "x@y.example");
		countdown = 0;
		assert_true(first == 0 || r.code == EX_TEMPFAIL);
		assert_int_equal(recipients_add(&r, "x@y.example"), 0);
		assert_int_equal(e.recipient_count, 1);
		refused += first < 0;
		taken = first < 0 ? 0 : taken + 1;
		recipients_fini(&r);
		envelope_free(&e);
	}
	assert_true(refused > 3);
	alias_host_fini(&h);
}

static void
a_header_is_completed_or_not_written(void **state)
{
	static const char text[] = "To: joe, \"A Name\" <jim>\nFrom: x@y.example\n\n";
	struct alias_host h;
	unsigned n, whole = 0, failed = 0;

	(void)state;
	if (!OWN_MALLOC)
		skip();
	alias_host_begin(&h);
	for (n = 1; whole < 5; n++) {
		struct buf b = BUF_INIT(4 * HEADER_OCTETS_MAX);
		struct envelope e = { .sender = (char *)"x@y.example" };
		struct completion c = { .settings = &h.settings,
			.identity = &h.identity,
			.envelope = &e,
			.queue_id = "0123456789ab" };
		struct header header;
		struct input in;
		struct piece first;
		int pipes[2], r;

		assert_int_equal(pipe(pipes), 0);
		assert_int_equal(write(pipes[1], text, sizeof(text) - 1), sizeof(text) - 1);
		close(pipes[1]);
		assert_int_equal(input_init(&in, pipes[0], true), 0);
		assert_int_equal(header_read(&header, &in, &first), 0);
		countdown = n;
		r = complete_header(&header, &c, &b);
		countdown = 0;
		if (r == 0)
			assert_non_null(strstr(buf_string(&b),
			    "To: joe@dom.example, \"A Name\" <jim@dom.example>\r\n"));
		whole = r == 0 ? whole + 1 : 0;
		failed += r < 0;
		header_free(&header);
		input_fini(&in);
		close(pipes[0]);
		buf_free(&b);
	}
	assert_true(failed > 1);
	alias_host_fini(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_envelope_is_whole_or_refused_for_now),
		cmocka_unit_test(a_recipient_that_was_refused_for_now_can_come_again),
		cmocka_unit_test(a_header_is_completed_or_not_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
