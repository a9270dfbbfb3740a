/*
 * relayd/rtnetlink: what rtnetlink(7) says, and which of it means that a smarthost may be
 * reachable again.
 */
#include "tests/unit/unit.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "relayd/rtnetlink.h"

struct message {
	char data[512];
	size_t len;
};

static void
message_add(struct message *m, uint16_t type, const void *body, size_t len, const void *dst)
{
	struct nlmsghdr h = { .nlmsg_type = type };
	struct rtattr a = { .rta_type = RTA_DST, .rta_len = RTA_LENGTH(16) };
	char *p = m->data + m->len;

	h.nlmsg_len = (uint32_t)(sizeof(h) + NLMSG_ALIGN(len) + (dst == NULL ? 0 : a.rta_len));
	memcpy(p, &h, sizeof(h));
	memcpy(p + sizeof(h), body, len);
	if (dst != NULL) {
		memcpy(p + sizeof(h) + NLMSG_ALIGN(len), &a, sizeof(a));
		memcpy(p + sizeof(h) + NLMSG_ALIGN(len) + sizeof(a), dst, 16);
	}
	m->len += NLMSG_ALIGN(h.nlmsg_len);
}

static const struct ifaddrmsg good_address = { .ifa_family = AF_INET, .ifa_prefixlen = 24 };

static void
an_address_by_which_others_are_reached_counts(void **state)
{
	static const struct {
		uint16_t type;
		uint8_t flags, scope;
		bool counts;
	} rows[] = {
		{ RTM_NEWADDR, 0, RT_SCOPE_UNIVERSE, true },
		{ RTM_NEWADDR, IFA_F_PERMANENT, RT_SCOPE_SITE, true },
		{ RTM_NEWADDR, IFA_F_TENTATIVE, RT_SCOPE_UNIVERSE, false },
		{ RTM_NEWADDR, IFA_F_DADFAILED, RT_SCOPE_UNIVERSE, false },
		{ RTM_NEWADDR, IFA_F_DEPRECATED, RT_SCOPE_UNIVERSE, false },
		{ RTM_NEWADDR, 0, RT_SCOPE_LINK, false },
		{ RTM_NEWADDR, 0, RT_SCOPE_HOST, false },
		{ RTM_DELADDR, 0, RT_SCOPE_UNIVERSE, false },
		{ RTM_NEWLINK, 0, RT_SCOPE_UNIVERSE, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct ifaddrmsg a = good_address;
		struct message m = { .len = 0 };

		a.ifa_flags = rows[i].flags;
		a.ifa_scope = rows[i].scope;
		message_add(&m, rows[i].type, &a, sizeof(a), NULL);
		if (rtnetlink_has_appeared(m.data, m.len) != rows[i].counts)
			fail_msg("row %zu", i);
	}
}

static void
a_route_by_which_others_are_reached_counts(void **state)
{
	static const unsigned char far[16] = { 0x20, 1, 0xd, 0xb8 }, near[16] = { 0xfe, 0x80 };
	static const struct {
		uint16_t type;
		struct rtmsg route;
		const void *dst;
		bool counts;
	} rows[] = {
#define ROUTE(family, table, kind, flags) \
	{ .rtm_family = family, .rtm_table = table, .rtm_type = kind, .rtm_flags = flags }
		{ RTM_NEWROUTE, ROUTE(AF_INET, RT_TABLE_MAIN, RTN_UNICAST, 0), NULL, true },
		{ RTM_NEWROUTE, ROUTE(AF_INET, 100, RTN_UNICAST, 0), NULL, true },
		{ RTM_NEWROUTE, ROUTE(AF_INET6, RT_TABLE_MAIN, RTN_UNICAST, 0), NULL, true },
		{ RTM_NEWROUTE, ROUTE(AF_INET6, RT_TABLE_MAIN, RTN_UNICAST, 0), far, true },
		{ RTM_NEWROUTE, ROUTE(AF_INET6, RT_TABLE_MAIN, RTN_UNICAST, 0), near, false },
		{ RTM_NEWROUTE, ROUTE(AF_INET, RT_TABLE_LOCAL, RTN_UNICAST, 0), NULL, false },
		{ RTM_NEWROUTE, ROUTE(AF_INET, RT_TABLE_MAIN, RTN_UNREACHABLE, 0), NULL, false },
		{ RTM_NEWROUTE, ROUTE(AF_INET, RT_TABLE_LOCAL, RTN_BROADCAST, 0), NULL, false },
		{ RTM_NEWROUTE, ROUTE(AF_INET6, RT_TABLE_MAIN, RTN_UNICAST, RTM_F_CLONED), far,
		    false },
		{ RTM_NEWROUTE, ROUTE(AF_INET, RT_TABLE_MAIN, RTN_UNICAST, RTNH_F_LINKDOWN), NULL,
		    false },
		{ RTM_DELROUTE, ROUTE(AF_INET, RT_TABLE_MAIN, RTN_UNICAST, 0), NULL, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct message m = { .len = 0 };

		message_add(&m, rows[i].type, &rows[i].route, sizeof(rows[i].route), rows[i].dst);
		if (rtnetlink_has_appeared(m.data, m.len) != rows[i].counts)
			fail_msg("row %zu", i);
	}
}

static void
one_among_others_counts(void **state)
{
	struct ifaddrmsg tentative = { .ifa_flags = IFA_F_TENTATIVE };
	struct message m = { .len = 0 };

	(void)state;
	message_add(&m, RTM_NEWLINK, &tentative, 5, NULL);
	message_add(&m, RTM_NEWADDR, &tentative, sizeof(tentative), NULL);
	assert_false(rtnetlink_has_appeared(m.data, m.len));
	message_add(&m, RTM_NEWADDR, &good_address, sizeof(good_address), NULL);
	assert_true(rtnetlink_has_appeared(m.data, m.len));
}

/* Each copy is as large as what it holds, so that the sanitizers see each octet too many. */
static void
what_is_cut_short_or_says_a_wrong_length_is_not_read_beyond(void **state)
{
	static const uint32_t lengths[] = { 0, 1, 15, 16, 17, 23, 1000, 0x7fffffff, 0xfffffffd,
		0xffffffff };
	static const unsigned char near[16] = { 0xfe, 0x80 };
	static const struct rtmsg route = {
		.rtm_family = AF_INET6, .rtm_table = RT_TABLE_MAIN, .rtm_type = RTN_UNICAST
	};
	struct message m = { .len = 0 };

	(void)state;
	message_add(&m, RTM_NEWROUTE, &route, sizeof(route), near);
	message_add(&m, RTM_NEWADDR, &good_address, sizeof(good_address), NULL);
	for (size_t len = 0; len <= m.len; len++) {
		char *copy = malloc(len == 0 ? 1 : len);

		memcpy(copy, m.data, len);
		assert_int_equal(rtnetlink_has_appeared(copy, len), len == m.len);
		for (size_t i = 0; i < COUNT(lengths) && len >= 4; i++) {
			memcpy(copy, &lengths[i], 4);
			rtnetlink_has_appeared(copy, len);
		}
		/* that of the attribute */
		memcpy(copy, m.data, len);
		for (size_t i = 0; i < COUNT(lengths) && len >= 30; i++) {
			memcpy(copy + 28, &lengths[i], 2);
			rtnetlink_has_appeared(copy, len);
		}
		free(copy);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_by_which_others_are_reached_counts),
		cmocka_unit_test(a_route_by_which_others_are_reached_counts),
		cmocka_unit_test(one_among_others_counts),
		cmocka_unit_test(what_is_cut_short_or_says_a_wrong_length_is_not_read_beyond),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
