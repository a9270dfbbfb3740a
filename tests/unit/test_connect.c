/*
 * relayd/session/connect and endpoints: which address is tried when, and the argument
 * of EHLO.
 */
#include "tests/unit/unit.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/number.h"
#include "relayd/ipc.h"
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

/* ---- the order of addresses ------------------------------------------------- */

#define V4(n)                                                 \
	{                                                     \
		.sin_family = AF_INET, .sin_addr.s_addr = (n) \
	}
#define V6(n)                                                                \
	{                                                                    \
		.sin6_family = AF_INET6, .sin6_addr.s6_addr = { [15] = (n) } \
	}

/* What getaddrinfo(3) would give for a text such as "66644", is added in this order. */
static void
added(struct endpoints *e, const char *families, size_t limit, const char *expected)
{
	static struct sockaddr_in v4[64];
	static struct sockaddr_in6 v6[64];
	static struct addrinfo found[64];
	struct buf shown = BUF_INIT(1000);
	size_t n = strlen(families), before = e->count;

	for (size_t i = 0; i < n; i++) {
		bool is_v6 = families[i] == '6';

		v4[i] = (struct sockaddr_in)V4((uint8_t)(i + 1));
		v6[i] = (struct sockaddr_in6)V6((uint8_t)(i + 1));
		found[i] = (struct addrinfo){ .ai_family = is_v6 ? AF_INET6 : AF_INET,
			.ai_addr = is_v6 ? (void *)&v6[i] : (void *)&v4[i],
			.ai_addrlen = is_v6 ? sizeof(v6[i]) : sizeof(v4[i]),
			.ai_next = i + 1 < n ? &found[i + 1] : NULL };
	}
	endpoints_add(e, &e->targets[0], found, limit);
	for (size_t i = before; i < e->count; i++) {
		const struct sockaddr_in *in = (void *)&e->list[i].address;
		const struct sockaddr_in6 *in6 = (void *)&e->list[i].address;

		assert_ptr_equal(e->list[i].target, &e->targets[0]);
		buf_addf(&shown, " %u",
		    in->sin_family == AF_INET ? in->sin_addr.s_addr : in6->sin6_addr.s6_addr[15]);
	}
	assert_string_equal(buf_string(&shown), expected);
	buf_free(&shown);
}

static void
families_take_turns_beginning_with_the_first(void **state)
{
	static const char *const rows[][2] = {
		{ "66644", " 1 4 2 5 3" },
		{ "44466", " 1 4 2 5 3" },
		{ "6444", " 1 2 3 4" },
		{ "4646", " 1 2 3 4" },
		{ "444", " 1 2 3" },
		{ "6", " 1" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct endpoints e = { .count = 0 };

		added(&e, rows[i][0], 16, rows[i][1]);
	}
}

static void
no_family_and_no_target_takes_all_the_places(void **state)
{
	struct endpoints e = { .count = 0 };

	(void)state;
	added(&e, "66666444", 2, " 1 6 2 7");
	added(&e, "4444", 2, " 1 2");
	assert_int_equal(e.count, 6);
}

/* ---- the race ---------------------------------------------------------------- */

#define SOON ((int64_t)(USEC_PER_SEC / 2))
#define LATER ((int64_t)(20 * USEC_PER_SEC))

/* A listener at 127.0.0.N. */
static int
listener(uint8_t n, int backlog, struct sockaddr_in *at)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*at);

	*at = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(0x7f000000U + n) };
	assert_int_equal(bind(fd, (struct sockaddr *)at, sizeof(*at)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)at, &len), 0);
	assert_int_equal(backlog < 0 ? 0 : listen(fd, backlog), 0);
	return fd;
}

struct scene {
	struct endpoints e;
	struct stream s;
	int control[2];
	int fds[8][4];
};

/* Endpoints at 127.0.0.1, 127.0.0.2 …: good, refusing, silent.  A comma begins the next
 * target's. */
static void
scene_set(struct scene *x, const char *kinds)
{
	*x = (struct scene){ .e.count = 0 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, x->control), 0);
	stream_init(&x->s, -1, x->control[1]);
	for (; *kinds != '\0'; kinds++) {
		struct endpoint *to = &x->e.list[x->e.count];
		int *fds = x->fds[x->e.count];
		struct sockaddr_in at;

		if (*kinds == ',') {
			x->e.target_count++;
			continue;
		}
		/* a queue of one is filled, and what comes then is not answered */
		fds[0] = listener((uint8_t)(x->e.count + 1),
		    *kinds == 'g'   ? 5
		    : *kinds == 's' ? 0
				    : -1,
		    &at);
		for (int i = 1; i < 4 && *kinds == 's'; i++) {
			fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
			connect(fds[i], (struct sockaddr *)&at, sizeof(at));
		}
		*to = (struct endpoint){ .length = sizeof(at),
			.target = &x->e.targets[x->e.target_count] };
		memcpy(&to->address, &at, sizeof(at));
		x->e.count++;
	}
}

static void
scene_end(struct scene *x)
{
	stream_close(&x->s);
	close(x->control[0]);
	close(x->control[1]);
	for (size_t i = 0; i < x->e.count; i++)
		for (int j = 0; j < 4; j++)
			if (x->fds[i][j] > 0)
				close(x->fds[i][j]);
}

/* Connects, and the endpoint that it is comes back; -1 if it is none. */
static int
connected(struct scene *x, unsigned first, int64_t within)
{
	const struct target *t = connect_endpoints(&x->s, &x->e, first, clock_boot() + within);
	struct sockaddr_in peer;
	socklen_t len = sizeof(peer);
	uint32_t n;

	if (t == NULL) {
		assert_int_equal(x->s.fd, -1);
		return -1;
	}
	assert_int_equal(getpeername(x->s.fd, (struct sockaddr *)&peer, &len), 0);
	n = ntohl(peer.sin_addr.s_addr) - 0x7f000001U;
	assert_ptr_equal(t, x->e.list[n].target);
	return (int)n;
}

static size_t
descriptors(void)
{
	size_t n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void
the_first_address_that_answers_is_taken(void **state)
{
	static const struct {
		const char *kinds;
		unsigned first;
		int expected;
	} rows[] = {
		{ "g", 0, 0 },
		{ "gg", 0, 0 },
		{ "gg", 1, 1 },
		{ "gg", 5, 1 },
		{ "rg", 0, 1 },
		{ "rrrg", 2, 3 },
		{ "sg", 0, 1 },
		{ "ssrg", 0, 3 },
		{ "gs", 1, 0 },
		{ "r,g", 0, 1 },
		{ "rg,g", 0, 1 },
		{ "g,g", 1, 1 },
		{ "g,r", 1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct scene x;
		size_t before;

		scene_set(&x, rows[i].kinds);
		before = descriptors();
		if (connected(&x, rows[i].first, LATER) != rows[i].expected)
			fail_msg("%s, beginning with %u", rows[i].kinds, rows[i].first);
		/* the others are closed */
		assert_int_equal(descriptors(), before + 1);
		scene_end(&x);
	}
}

static void
the_next_address_is_left_alone_if_the_first_answers(void **state)
{
	struct scene x;

	(void)state;
	scene_set(&x, "gg");
	assert_int_equal(connected(&x, 0, LATER), 0);
	assert_int_equal(accept(x.fds[1][0], NULL, NULL), -1);
	assert_int_equal(errno, EAGAIN);
	scene_end(&x);
}

static void
a_silent_target_leaves_time_for_the_next(void **state)
{
	struct scene x;

	(void)state;
	scene_set(&x, "ss,g");
	assert_int_equal(connected(&x, 0, 2 * SOON), 2);
	scene_end(&x);
}

static void
the_problem_is_that_of_the_first_in_the_list(void **state)
{
	char expected[200];

	(void)state;
	for (unsigned first = 0; first < 3; first++) {
		struct scene x;
		const struct sockaddr_in *at = (void *)&x.e.list[0].address;

		scene_set(&x, "rrr");
		assert_int_equal(connected(&x, first, LATER), -1);
		snprintf(expected, sizeof(expected),
		    "cannot connect to [127.0.0.1]:%u: Connection refused", ntohs(at->sin_port));
		assert_string_equal(x.s.problem, expected);
		assert_int_equal(x.s.error, STREAM_CLOSED);
		scene_end(&x);
	}
}

static void
what_never_answers_ends_with_the_deadline(void **state)
{
	struct scene x;

	(void)state;
	scene_set(&x, "sr,s");
	assert_int_equal(connected(&x, 0, SOON), -1);
	assert_int_equal(x.s.error, STREAM_TIMEOUT);
	assert_non_null(strstr(x.s.problem, ": it does not answer"));
	scene_end(&x);
}

static void
a_stop_from_relayd_ends_the_race(void **state)
{
	struct ipc_stop stop = { .kind = IPC_STOP };
	struct scene x;

	(void)state;
	scene_set(&x, "ss,g");
	assert_int_equal(ipc_send(x.control[0], &stop, sizeof(stop), -1), 0);
	assert_int_equal(connected(&x, 0, LATER), -1);
	assert_int_equal(x.s.error, STREAM_STOPPED);
	scene_end(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(families_take_turns_beginning_with_the_first),
		cmocka_unit_test(no_family_and_no_target_takes_all_the_places),
		cmocka_unit_test(the_first_address_that_answers_is_taken),
		cmocka_unit_test(the_next_address_is_left_alone_if_the_first_answers),
		cmocka_unit_test(a_silent_target_leaves_time_for_the_next),
		cmocka_unit_test(the_problem_is_that_of_the_first_in_the_list),
		cmocka_unit_test(what_never_answers_ends_with_the_deadline),
		cmocka_unit_test(a_stop_from_relayd_ends_the_race),
		cmocka_unit_test(a_dotted_name_greets_as_it_is),
		cmocka_unit_test(a_name_without_dot_greets_with_its_own_ipv4_address),
		cmocka_unit_test(a_name_without_dot_greets_with_its_own_ipv6_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
