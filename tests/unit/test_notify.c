/*
 * What the service manager hears.
 */
#include "tests/unit/unit.h"

#include <inttypes.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "base/notify.h"

struct manager {
	int fd;
	char directory[64];
	char name[108]; /* NOTIFY_SOCKET */
};

/* A service manager that listens at a path, or at an abstract name. */
static void
manager_listen(struct manager *m, bool abstract)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t len;

	directory_make(m->directory);
	snprintf(m->name, sizeof(m->name), "%s%s/notify", abstract ? "@" : "", m->directory);
	memcpy(address.sun_path, m->name, sizeof(m->name));
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(m->name));
	if (abstract)
		address.sun_path[0] = '\0';
	m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(m->fd >= 0);
	assert_int_equal(bind(m->fd, (struct sockaddr *)&address, len), 0);
	setenv("NOTIFY_SOCKET", m->name, 1);
}

/* The next message; fails if there is none. */
static const char *
manager_hears(const struct manager *m, char message[static 200])
{
	ssize_t n = recv(m->fd, message, 199, 0);

	assert_true(n > 0);
	message[n] = '\0';
	return message;
}

static void
manager_end(struct manager *m)
{
	char c;

	assert_int_equal(recv(m->fd, &c, 1, 0), -1);
	close(m->fd);
	directory_remove(m->directory);
}

static void
the_start_and_the_end_are_told(bool abstract)
{
	struct manager m;
	struct notify_socket n;
	char message[200];

	manager_listen(&m, abstract);
	notify_init(&n);
	notify_ready(&n);
	assert_string_equal(manager_hears(&m, message), "READY=1");
	notify_stopping(&n);
	assert_string_equal(manager_hears(&m, message), "STOPPING=1");
	manager_end(&m);
}

static void
a_manager_with_a_path_hears_start_and_end(void **state)
{
	(void)state;
	the_start_and_the_end_are_told(false);
}

static void
a_manager_with_an_abstract_name_hears_start_and_end(void **state)
{
	(void)state;
	the_start_and_the_end_are_told(true);
}

static int64_t
monotonic_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void
a_reload_is_told_with_its_time(void **state)
{
	int64_t before = monotonic_now(), told;
	struct manager m;
	struct notify_socket n;
	char message[200];

	(void)state;
	manager_listen(&m, false);
	notify_init(&n);
	notify_reloading(&n);
	assert_int_equal(
	    sscanf(manager_hears(&m, message), "RELOADING=1\nMONOTONIC_USEC=%" SCNd64, &told), 1);
	assert_true(before <= told && told <= monotonic_now());
	manager_end(&m);
}

static void
the_socket_is_not_inherited(void **state)
{
	struct notify_socket n;

	(void)state;
	setenv("NOTIFY_SOCKET", "/run/systemd/notify", 1);
	notify_init(&n);
	assert_null(getenv("NOTIFY_SOCKET"));
}

static void
what_is_no_address_notifies_nobody(void **state)
{
	char longest[200];
	const char *const values[] = { NULL, "", "/", "@", "relative", "vsock:2:1", longest };
	struct notify_socket n;

	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[0] = '/';
	longest[108] = '\0'; /* one more than fits with its NUL */
	for (size_t i = 0; i < COUNT(values); i++) {
		if (values[i] == NULL)
			unsetenv("NOTIFY_SOCKET");
		else
			setenv("NOTIFY_SOCKET", values[i], 1);
		notify_init(&n);
		assert_int_equal(n.length, 0);
		notify_ready(&n);
	}
}

static void
a_manager_that_is_not_there_is_no_error(void **state)
{
	struct notify_socket n;

	(void)state;
	setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1);
	notify_init(&n);
	assert_true(n.length > 0);
	notify_ready(&n);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_manager_with_a_path_hears_start_and_end),
		cmocka_unit_test(a_manager_with_an_abstract_name_hears_start_and_end),
		cmocka_unit_test(a_reload_is_told_with_its_time),
		cmocka_unit_test(the_socket_is_not_inherited),
		cmocka_unit_test(what_is_no_address_notifies_nobody),
		cmocka_unit_test(a_manager_that_is_not_there_is_no_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
