/*
 * sendmail/recipients: who is in the envelope, and where its bounces go.
 */
#include "tests/unit/unit_aliases.h"

#include <sysexits.h>

#include "sendmail/recipients.h"

static struct settings_map maps[] = { { (char *)"mapped", (char *)"m@prov.example" } };
static char ops[] = "ops@prov.example";

/* The envelope of a message from sender (and to the recipients, separated by blanks):
 * "SENDER [BOUNCE-TO] RECIPIENT ..."; or "CODE error". */
static void
envelope_describe(
    struct alias_host *h, const char *sender, const char *recipients, char result[static 4000])
{
	char words[1000], *arguments[20];
	size_t count = 0;
	struct buf b = BUF_INIT(3999);
	struct recipients r;
	struct envelope e;

	buf_reset(&h->log);
	envelope_init(&e);
	snprintf(words, sizeof(words), "%s", recipients);
	for (char *rest = words, *word; (word = strsep(&rest, " ")) != NULL;)
		if (*word != '\0')
			arguments[count++] = word;
	recipients_init(&r, &e, &h->settings, &h->identity);
	r.notify = NOTIFY_FAILURE;
	if (recipients_set_sender(&r, sender) < 0 ||
	    recipients_from_arguments(&r, arguments, count) < 0) {
		buf_addf(&b, "%d %s", r.code, buf_string(&r.error));
	} else {
		buf_addf(&b, "<%s>", e.sender);
		if (e.bounce_to != NULL)
			buf_addf(&b, " [%s]", e.bounce_to);
		for (size_t i = 0; i < e.recipient_count; i++) {
			assert_int_equal(e.recipients[i].notify, NOTIFY_FAILURE);
			buf_addf(&b, " %s", e.recipients[i].address);
		}
	}
	snprintf(result, 4000, "%s", buf_string(&b));
	alias_host_shorten(h, result);
	recipients_fini(&r);
	envelope_free(&e);
	buf_free(&b);
}

struct row {
	const char *aliases, *sender, *recipients, *expected;
};

static void
check(const struct row *rows, size_t count, char *local_mail_to)
{
	struct alias_host h;
	char result[4000];

	alias_host_init(&h, NULL);
	h.settings.maps = maps;
	h.settings.map_count = COUNT(maps);
	h.settings.local_mail_to = local_mail_to;
	for (size_t i = 0; i < count; i++) {
		alias_host_write(&h, "aliases", rows[i].aliases);
		envelope_describe(&h, rows[i].sender, rows[i].recipients, result);
		if (strcmp(result, rows[i].expected) != 0)
			fail_msg("\"%s\", from %s to %s, gives \"%s\", not \"%s\"", rows[i].aliases,
			    rows[i].sender, rows[i].recipients, result, rows[i].expected);
	}
	alias_host_fini(&h);
}

static void
an_address_is_there_once_after_expansion(void **state)
{
	static const struct row rows[] = {
		{ "r: x@y.z, w@y.z\ns: x@Y.Z", "", "r s x@y.z", "<> x@y.z w@y.z" },
		{ "r: X@y.z", "", "r x@y.z", "<> X@y.z x@y.z" },
		{ "r: joe", "", "r joe joe@localhost joe@dom.example", "<> joe@dom.example" },
		{ "a: b, x@y.z\nb: a, x@y.z", "", "a b", "<> a@dom.example x@y.z" },
		{ "r: x@y.z", "", "a@b.c,r,a@b.c", "<> a@b.c x@y.z" },
	};

	(void)state;
	check(rows, COUNT(rows), NULL);
}

static void
a_local_sender_is_mapped_or_completed(void **state)
{
	static const struct row rows[] = {
		{ "", "joe", "a@b.c", "<joe@dom.example> a@b.c" },
		{ "", "joe@localhost", "a@b.c", "<joe@dom.example> a@b.c" },
		{ "", "Joe@Host.Example", "a@b.c", "<Joe@Host.Example> a@b.c" },
		{ "", "mapped", "a@b.c", "<m@prov.example> a@b.c" },
		{ "", "Mapped@localhost", "a@b.c", "<m@prov.example> a@b.c" },
		{ "", "mapped@dom.example", "a@b.c", "<mapped@dom.example> a@b.c" },
		{ "", "joe@x.y", "a@b.c", "<joe@x.y> a@b.c" },
		{ "", "<>", "a@b.c", "<> a@b.c" },
		{ "", "", "a@b.c", "<> a@b.c" },
	};

	(void)state;
	check(rows, COUNT(rows), NULL);
}

static void
bounces_go_where_mail_for_the_sender_goes(void **state)
{
	static const struct row without[] = {
		{ "joe: x@y.z", "joe", "a@b.c", "<joe@dom.example> [x@y.z] a@b.c" },
		{ "joe: x@y.z, w@y.z", "joe@localhost", "joe",
		    "<joe@dom.example> [x@y.z] x@y.z w@y.z" },
		{ "joe: jim\njim: x@y.z", "joe", "a@b.c", "<joe@dom.example> [x@y.z] a@b.c" },
		{ "default: x@y.z", "joe", "a@b.c", "<joe@dom.example> [x@y.z] a@b.c" },
		{ "joe: x@y.z", "\\joe", "a@b.c", "<joe@dom.example> a@b.c" },
		{ "joe: joe", "joe", "a@b.c", "<joe@dom.example> a@b.c" },
		{ "joe: x@y.z", "joe@dom.example", "a@b.c", "<joe@dom.example> a@b.c" },
		{ "joe: x@y.z", "<>", "joe", "<> x@y.z" },
		{ "mapped: x@y.z", "mapped", "a@b.c", "<m@prov.example> [x@y.z] a@b.c" },
		{ "default: x@y.z", "mapped", "a@b.c", "<m@prov.example> a@b.c" },
	};
	static const struct row with[] = {
		{ "", "joe", "joe", "<joe@dom.example> [ops@prov.example] ops@prov.example" },
		{ "joe: x@y.z", "joe", "a@b.c", "<joe@dom.example> [x@y.z] a@b.c" },
		{ "joe: |cat", "joe", "a@b.c", "<joe@dom.example> [ops@prov.example] a@b.c" },
		{ "joe\n x@y.z", "joe", "a@b.c", "<joe@dom.example> [ops@prov.example] a@b.c" },
		{ "joe\n x@y.z, w@y.z", "<>", "joe", "<> ops@prov.example" },
	};

	(void)state;
	check(without, COUNT(without), NULL);
	check(with, COUNT(with), ops);
}

static void
trouble_with_the_senders_alias_is_only_logged(void **state)
{
	struct alias_host h;
	char result[4000];

	(void)state;
	alias_host_init(&h, "joe: |cat\n");
	envelope_describe(&h, "joe", "a@b.c", result);
	assert_string_equal(result, "<joe@dom.example> a@b.c");
	assert_non_null(strstr(buf_string(&h.log), "bounces of this message go to its sender"));
	assert_non_null(strstr(buf_string(&h.log), "pipes are not supported"));
	envelope_describe(&h, "joe", "joe", result);
	assert_non_null(strstr(result, "65 recipient: \"joe\": /aliases:1: joe: pipes are not"));
	assert_int_equal(unlink(h.path), 0);
	envelope_describe(&h, "joe", "a@b.c", result);
	assert_string_equal(result, "<joe@dom.example> a@b.c");
	assert_non_null(strstr(buf_string(&h.log), "cannot read the aliases"));
	envelope_describe(&h, "joe", "joe", result);
	assert_non_null(
	    strstr(result, "75 recipient: \"joe\": cannot read the aliases in /aliases"));
	alias_host_fini(&h);
}

static void
a_warning_is_given_once_for_sender_and_recipient(void **state)
{
	struct alias_host h;
	char result[4000];

	(void)state;
	alias_host_init(&h, "joe: |cat\n");
	h.settings.local_mail_to = ops;
	envelope_describe(&h, "joe", "joe joe@localhost", result);
	assert_non_null(strstr(buf_string(&h.log), "pipes"));
	assert_null(strstr(strstr(buf_string(&h.log), "pipes") + 1, "pipes"));
	alias_host_fini(&h);
}

static void
a_bad_address_is_reported_as_it_was_given(void **state)
{
	static const struct row rows[] = {
		{ "", "", "a@b@c",
		    "65 recipient: \"a@b@c\": it is no address: the words do not "
		    "belong together" },
		{ "", "", "a@b..c", "65 recipient: \"a@b..c\": the domain has an empty part" },
		{ "", "a@b..c", "x", "65 sender: \"a@b..c\": the domain has an empty part" },
		{ "", "a,b", "x", "65 sender: it must be one address" },
	};

	(void)state;
	check(rows, COUNT(rows), NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_is_there_once_after_expansion),
		cmocka_unit_test(a_local_sender_is_mapped_or_completed),
		cmocka_unit_test(bounces_go_where_mail_for_the_sender_goes),
		cmocka_unit_test(trouble_with_the_senders_alias_is_only_logged),
		cmocka_unit_test(a_warning_is_given_once_for_sender_and_recipient),
		cmocka_unit_test(a_bad_address_is_reported_as_it_was_given),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
