/*
 * relayd/session/srv: the records of a reply, and the order in which they are tried.
 */
#include "tests/unit/unit.h"

#include "base/buf.h"
#include "relayd/session/srv.h"

#define SRV 33
#define CNAME 5
#define IN 1

/* A reply to _submissions._tcp.a.x. */
#define QUESTION                       \
	"\x0c_submissions\x04_tcp\x01" \
	"a\x01x\0\0\x21\0\x01"
#define OWNER "\xc0\x0c"

struct reply {
	unsigned char data[8192];
	size_t len;
};

static void
octets_add(struct reply *r, const void *data, size_t len)
{
	memcpy(r->data + r->len, data, len);
	r->len += len;
}

static void
number_add(struct reply *r, unsigned n)
{
	unsigned char octets[2] = { (unsigned char)(n >> 8), (unsigned char)n };

	octets_add(r, octets, 2);
}

static void
reply_begin(struct reply *r, unsigned answers)
{
	r->len = 0;
	octets_add(r, "\x12\x34\x81\x80\0\1", 6);
	number_add(r, answers);
	octets_add(r, "\0\0\0\0", 4);
	octets_add(r, QUESTION, sizeof(QUESTION) - 1);
}

static void
data_add(struct reply *r, unsigned type, unsigned class, const void *data, size_t len)
{
	octets_add(r, OWNER, 2);
	number_add(r, type);
	number_add(r, class);
	octets_add(r, "\0\0\0\x3c", 4);
	number_add(r, (unsigned)len);
	octets_add(r, data, len);
}

/* target as on the wire, with the NUL at its end. */
static void
record_add(struct reply *r, unsigned priority, unsigned weight, unsigned port, const char *target)
{
	struct reply data = { .len = 0 };

	number_add(&data, priority);
	number_add(&data, weight);
	number_add(&data, port);
	octets_add(&data, target, strlen(target) + 1);
	data_add(r, SRV, IN, data.data, data.len);
}

static struct srv_records
parsed(const struct reply *r, int expected)
{
	struct srv_records records = { .count = 0 };
	unsigned char *copy = malloc(r->len);

	memcpy(copy, r->data, r->len);
	assert_int_equal(srv_parse(&records, copy, r->len, true), expected);
	free(copy);
	return records;
}

static void
records_are_read(void **state)
{
	struct srv_records all = { .count = 0 };
	struct reply r;

	(void)state;
	reply_begin(&r, 3);
	data_add(&r, CNAME, IN, "\1b\1x", 5);
	record_add(&r, 10, 20, 465, "\4mail\1a\1x");
	record_add(&r, 0, 65535, 65535, "\6MAIL-2\1_\1x");
	assert_int_equal(srv_parse(&all, r.data, r.len, true), 0);
	assert_int_equal(srv_parse(&all, r.data, r.len, false), 0);
	assert_int_equal(all.count, 4);
	assert_string_equal(all.list[0].target.name, "mail.a.x");
	assert_int_equal(all.list[0].target.port, 465);
	assert_int_equal(all.list[0].priority, 10);
	assert_int_equal(all.list[0].weight, 20);
	assert_true(all.list[0].target.implicit_tls);
	assert_string_equal(all.list[1].target.name, "MAIL-2._.x");
	assert_int_equal(all.list[1].target.port, 65535);
	assert_int_equal(all.list[1].weight, 65535);
	assert_false(all.list[2].target.implicit_tls);
	assert_false(all.denied);
}

static void
a_dot_says_that_there_is_no_service(void **state)
{
	struct srv_records all;
	struct reply r;

	(void)state;
	reply_begin(&r, 1);
	record_add(&r, 0, 0, 0, "");
	all = parsed(&r, 0);
	assert_true(all.denied);
	assert_int_equal(all.count, 0);
}

static void
what_is_no_host_and_port_is_left_out(void **state)
{
	static const struct {
		unsigned port;
		const char *target;
	} rows[] = {
		{ 0, "\4mail\1a\1x" },
		{ 465, "\4ma l\1a\1x" },
		{ 465, "\4m\nil\1a\1x" },
		{ 465, "\4m.il\1a\1x" },
		{ 465, "\4m\\il\1a\1x" },
		{ 465, "\4m\xc3\xbcl\1a\1x" },
		{ 465, "\5m/../\1a" },
		{ 465, "\4m%il\1x" },
		{ 465, "\3"
		       "192\1"
		       "0\1"
		       "2\1"
		       "1" },
		{ 465, "\4"
		       "0x7f\1"
		       "1" },
		{ 465, "\11"
		       "127000001" },
		{ 465, "\2fe\1:\1"
		       "1" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct srv_records all;
		struct reply r;

		reply_begin(&r, 2);
		record_add(&r, 0, 0, rows[i].port, rows[i].target);
		record_add(&r, 1, 0, 587, "\4good\1x");
		all = parsed(&r, 0);
		if (all.count != 1)
			fail_msg("row %zu", i);
		assert_string_equal(all.list[0].target.name, "good.x");
	}
}

static void
records_of_other_types_and_classes_are_passed_over(void **state)
{
	struct srv_records all;
	struct reply r;

	(void)state;
	reply_begin(&r, 3);
	data_add(&r, SRV, 3, "\0\0\0\0\1\1\4mail\1x", 13);
	data_add(&r, 1, IN, "\x7f\0\0\1", 4);
	data_add(&r, 99, IN, "", 0);
	all = parsed(&r, 0);
	assert_int_equal(all.count, 0);
	assert_false(all.denied);
}

static void
more_records_than_there_is_room_for_are_left_out(void **state)
{
	struct srv_records all;
	struct reply r;

	(void)state;
	reply_begin(&r, 100);
	for (unsigned i = 0; i < 100; i++)
		record_add(&r, i, 0, 587, "\4mail\1x");
	all = parsed(&r, 0);
	assert_int_equal(all.count, SRV_RECORDS_MAX);
	/* and once more, without a place left */
	assert_int_equal(srv_parse(&all, r.data, r.len, true), 0);
	assert_int_equal(all.count, SRV_RECORDS_MAX);
}

static void
malformed_replies_add_nothing(void **state)
{
	static const struct {
		const char *data;
		size_t len;
	} rows[] = {
		{ "", 0 }, { "\0\0\0\0\2\x4b", 6 },     /* no target */
		{ "\0\0\0\0\2\x4b\4mail\1x", 13 },      /* its end is missing */
		{ "\0\0\0\0\2\x4b\4mail\1x\0\0", 15 },  /* and something behind it */
		{ "\0\0\0\0\2\x4b\4mail\xc0\xff", 13 }, /* it goes on outside */
		{ "\0\0\0\0\2\x4b\xc0\x53", 8 },        /* at itself */
		{ "\0\0\0\0\2\x4b\x80\0", 8 },          /* no kind of label that is known */
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct srv_records all = { .count = 0 };
		struct reply r;

		reply_begin(&r, 2);
		record_add(&r, 1, 0, 587, "\4good\1x");
		data_add(&r, SRV, IN, rows[i].data, rows[i].len);
		if (srv_parse(&all, r.data, r.len, true) != -1)
			fail_msg("row %zu", i);
		assert_int_equal(all.count, 0);
	}
}

static void
a_reply_that_is_cut_short_is_malformed(void **state)
{
	struct reply r;
	size_t len;

	(void)state;
	reply_begin(&r, 2);
	record_add(&r, 10, 20, 465, "\4mail\1a\1x");
	record_add(&r, 10, 20, 465, "\4mail\1a\1x");
	len = r.len;
	for (r.len = 1; r.len < len; r.len++)
		parsed(&r, -1);
	assert_int_equal(parsed(&r, 0).count, 2);
}

/* ---- the order ------------------------------------------------------------------ */

static uint32_t
draw(void *context)
{
	uint32_t *seed = context;

	*seed = *seed * 1664525U + 1013904223U;
	return *seed >> 8;
}

static void
row_add(struct srv_records *r, const char *name, unsigned priority, unsigned weight, bool tls)
{
	struct srv_record *to = &r->list[r->count++];

	*to = (struct srv_record){ .target = { .implicit_tls = tls },
		.priority = (uint16_t)priority,
		.weight = (uint16_t)weight };
	snprintf(to->target.name, sizeof(to->target.name), "%s", name);
}

static void
priority_comes_first_and_then_tls_from_the_first_byte(void **state)
{
	uint32_t seed = 1;

	(void)state;
	for (int i = 0; i < 100; i++) {
		struct srv_records r = { .count = 0 };

		row_add(&r, "e", 65535, 65535, true);
		row_add(&r, "d", 20, 0, false);
		row_add(&r, "b", 10, 65535, false);
		row_add(&r, "a", 10, 0, true);
		row_add(&r, "c", 20, 0, true);
		srv_order(&r, draw, &seed);
		for (size_t j = 0; j < 5; j++)
			assert_int_equal(r.list[j].target.name[0], "abcde"[j]);
	}
}

#define ROUNDS 20000

static void
weights_decide_how_often_one_comes_first(void **state)
{
	static const struct {
		unsigned weight, first; /* of ROUNDS */
	} rows[] = { { 0, 0 }, { 10, ROUNDS / 10 }, { 30, ROUNDS * 3 / 10 },
		{ 60, ROUNDS * 6 / 10 } };
	unsigned first[COUNT(rows)] = { 0 }, second[COUNT(rows)] = { 0 };
	uint32_t seed = 1;

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		struct srv_records r = { .count = 0 };
		bool seen[COUNT(rows)] = { false };

		for (size_t j = 0; j < COUNT(rows); j++)
			row_add(&r, (char[]){ (char)('a' + j), '\0' }, 10, rows[j].weight, true);
		srv_order(&r, draw, &seed);
		first[r.list[0].target.name[0] - 'a']++;
		second[r.list[1].target.name[0] - 'a']++;
		for (size_t j = 0; j < COUNT(rows); j++)
			seen[r.list[j].target.name[0] - 'a'] = true;
		for (size_t j = 0; j < COUNT(rows); j++)
			assert_true(seen[j]);
	}
	/* without weight: hardly ever, but not never (1 in 101) */
	for (size_t j = 0; j < COUNT(rows); j++) {
		assert_in_range(first[j] + ROUNDS / 50, rows[j].first, rows[j].first + ROUNDS / 25);
		assert_true(first[j] > 0);
	}
	/* 60 * 30/(10+30) + ... : the others' turn is by weight, too */
	assert_true(second[2] > second[1] && second[1] > second[0]);
}

static void
without_weights_the_order_is_any_one(void **state)
{
	uint32_t seed = 1;
	struct srv_records r = { .count = 0 };

	(void)state;
	row_add(&r, "a", 1, 0, true);
	row_add(&r, "b", 1, 0, true);
	srv_order(&r, draw, &seed);
	assert_int_equal(r.count, 2);
	r.count = 0;
	srv_order(&r, draw, &seed);
	assert_int_equal(r.count, 0);
}

static void
the_largest_weights_do_not_overflow(void **state)
{
	struct srv_records r = { .count = 0 };
	uint32_t seed = 1;

	(void)state;
	for (int i = 0; i < SRV_RECORDS_MAX; i++)
		row_add(&r, (char[]){ (char)('A' + i), '\0' }, 0, 65535, true);
	for (int i = 0; i < 1000; i++)
		srv_order(&r, draw, &seed);
	for (int i = 0; i < SRV_RECORDS_MAX; i++) {
		size_t n = 0;

		for (int j = 0; j < SRV_RECORDS_MAX; j++)
			n += r.list[j].target.name[0] == 'A' + i;
		assert_int_equal(n, 1);
	}
}

static void
only_a_name_that_ends_in_the_domain_is_below_it(void **state)
{
	static const struct {
		const char *name, *domain;
		bool below;
	} rows[] = {
		{ "mail.a.x", "a.x", true },
		{ "MAIL.A.x", "a.X", true },
		{ "1.mail.a.x", "a.x", true },
		{ "a.x", "a.x", false },
		{ "bada.x", "a.x", false },
		{ "mail.b.x", "a.x", false },
		{ "mail.a.x.evil", "a.x", false },
		{ "x", "a.x", false },
		{ "", "a.x", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(srv_is_below(rows[i].name, rows[i].domain), rows[i].below);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_are_read),
		cmocka_unit_test(a_dot_says_that_there_is_no_service),
		cmocka_unit_test(what_is_no_host_and_port_is_left_out),
		cmocka_unit_test(records_of_other_types_and_classes_are_passed_over),
		cmocka_unit_test(more_records_than_there_is_room_for_are_left_out),
		cmocka_unit_test(malformed_replies_add_nothing),
		cmocka_unit_test(a_reply_that_is_cut_short_is_malformed),
		cmocka_unit_test(priority_comes_first_and_then_tls_from_the_first_byte),
		cmocka_unit_test(weights_decide_how_often_one_comes_first),
		cmocka_unit_test(without_weights_the_order_is_any_one),
		cmocka_unit_test(the_largest_weights_do_not_overflow),
		cmocka_unit_test(only_a_name_that_ends_in_the_domain_is_below_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
