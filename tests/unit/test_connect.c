/*
 * relayd/session/connect: the argument of EHLO.
 */
#include "tests/unit/unit.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "relayd/session/connect.h"

static void
check(int fd, const char *hostname, const char *expected)
{
	char name[300];

	assert_string_equal(connect_ehlo_name(fd, hostname, name, sizeof(name)), expected);
}

static void
a_dotted_name_greets_as_it_is(void **state)
{
	(void)state;
	check(-1, "web1.example.org", "web1.example.org");
}

static void
a_name_without_dot_greets_with_its_own_ipv4_address(void **state)
{
	struct sockaddr_in own = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000002) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
	check(fd, "web1", "[127.0.0.2]");
	check(fd, "w\xc3\xb6.example.org", "[127.0.0.2]");
	check(fd, "", "[127.0.0.2]");
	close(fd);
}

static void
a_name_without_dot_greets_with_its_own_ipv6_address(void **state)
{
	struct sockaddr_in6 own = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in6 mapped = { .sin6_family = AF_INET6,
		.sin6_addr.s6_addr = { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1 } };
	int fd = socket(AF_INET6, SOCK_STREAM, 0), other = socket(AF_INET6, SOCK_STREAM, 0);

	(void)state;
	if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof(own)) < 0)
		skip(); /* a host without IPv6 */
	check(fd, "web1", "[IPv6:::1]");
	assert_int_equal(bind(other, (struct sockaddr *)&mapped, sizeof(mapped)), 0);
	check(other, "web1", "[127.0.0.1]");
	close(fd);
	close(other);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_dotted_name_greets_as_it_is),
		cmocka_unit_test(a_name_without_dot_greets_with_its_own_ipv4_address),
		cmocka_unit_test(a_name_without_dot_greets_with_its_own_ipv6_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
