/*
 * relayd/ipc: whole structs, or nothing.
 */
#include "tests/unit/unit.h"

#include <sys/socket.h>

#include "relayd/ipc.h"

static int
pair_setup(void **state)
{
	int *fds = calloc(2, sizeof(*fds));

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	*state = fds;
	return 0;
}

static int
pair_teardown(void **state)
{
	int *fds = *state;

	close(fds[0]);
	close(fds[1]);
	free(fds);
	return 0;
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
each_kind_comes_back_whole(void **state)
{
	static const struct {
		uint32_t kind;
		size_t size;
	} rows[] = {
		{ IPC_SETTINGS, sizeof(struct ipc_settings) },
		{ IPC_JOB, sizeof(struct ipc_job) },
		{ IPC_STOP, sizeof(struct ipc_stop) },
		{ IPC_REPORT, sizeof(struct ipc_report) },
	};
	const int *fds = *state;
	union ipc_packet *sent = malloc(sizeof(*sent)), *got = malloc(sizeof(*got));

	for (size_t i = 0; i < COUNT(rows); i++) {
		int fd = 99;

		memset(sent, 0x5a, sizeof(*sent));
		sent->kind = rows[i].kind;
		if (rows[i].kind == IPC_JOB)
			sent->job.finished_length = sizeof(sent->job.finished);
		assert_int_equal(ipc_send(fds[0], sent, rows[i].size, -1), 0);
		assert_int_equal(ipc_receive(fds[1], got, &fd), 1);
		assert_memory_equal(got, sent, rows[i].size);
		assert_int_equal(fd, -1);
	}
	free(sent);
	free(got);
}

static void
a_descriptor_is_passed_and_closed_on_exec(void **state)
{
	const int *fds = *state;
	struct ipc_job *job = calloc(1, sizeof(*job));
	union ipc_packet *got = malloc(sizeof(*got));
	int file = memory_file("hello", 5), fd = -1;
	char text[6] = "";

	job->kind = IPC_JOB;
	job->finished_length = 2;
	job->finished[1] = 0x80;
	memset(got, 0xff, sizeof(*got));
	assert_int_equal(ipc_send(fds[0], job, IPC_JOB_SIZE(job), file), 0);
	close(file);
	assert_int_equal(ipc_receive(fds[1], got, &fd), 1);
	assert_true(fd >= 0);
	/* what is not sent of a job is 0 */
	assert_memory_equal(got->job.finished, job->finished, sizeof(job->finished));
	assert_int_equal(pread(fd, text, 5, 0), 5);
	assert_string_equal(text, "hello");
	assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	close(fd);
	free(got);
	free(job);
}

static void
a_packet_of_another_size_is_malformed_and_leaks_nothing(void **state)
{
	static const struct {
		uint32_t kind;
		size_t size;
	} rows[] = {
		{ IPC_REPORT, sizeof(struct ipc_report) - 1 },
		{ IPC_REPORT, sizeof(struct ipc_report) + 1 },
		{ IPC_REPORT, 4 },
		{ IPC_STOP, 3 },
		{ IPC_STOP, 1 },
		{ IPC_STOP, 5 },
		{ IPC_JOB, sizeof(struct ipc_settings) },
		{ IPC_JOB, sizeof(union ipc_packet) + 100 },
		{ 0, sizeof(struct ipc_report) },
		{ 5, sizeof(struct ipc_report) },
		{ UINT32_MAX, 4 },
		{ IPC_SETTINGS, sizeof(struct ipc_settings) - 8 },
	};
	const int *fds = *state;
	char *sent = calloc(1, sizeof(union ipc_packet) + 200);
	union ipc_packet *got = malloc(sizeof(*got));
	int file = memory_file("", 0), fd;
	size_t before = descriptors();

	for (size_t i = 0; i < COUNT(rows); i++) {
		memcpy(sent, &rows[i].kind, sizeof(rows[i].kind));
		assert_int_equal(ipc_send(fds[0], sent, rows[i].size, file), 0);
		assert_int_equal(ipc_receive(fds[1], got, &fd), -1);
		assert_int_equal(errno, EPROTO);
		assert_int_equal(fd, -1);
		assert_int_equal(descriptors(), before);
	}
	close(file);
	free(got);
	free(sent);
}

/* A session that talked to the network must not fill relayd's descriptor table. */
static void
several_descriptors_leak_nothing(void **state)
{
	const int *fds = *state;
	struct ipc_stop stop = { .kind = IPC_STOP };
	size_t before = descriptors(), leaked = 0;

	for (size_t n = 2; n <= 8; n++) {
		union {
			struct cmsghdr header;
			char space[CMSG_SPACE(8 * sizeof(int))];
		} control = { .space = { 0 } };
		struct iovec iov = { .iov_base = &stop, .iov_len = sizeof(stop) };
		struct msghdr msg = { .msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = CMSG_SPACE(n * sizeof(int)) };
		union ipc_packet got;
		int many[8] = { fds[0], fds[0], fds[0], fds[0], fds[0], fds[0], fds[0], fds[0] },
		    fd;

		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(&control.header), many, n * sizeof(int));
		assert_int_equal(sendmsg(fds[0], &msg, 0), sizeof(stop));
		if (ipc_receive(fds[1], &got, &fd) == 1 && fd >= 0)
			close(fd);
		leaked += descriptors() - before;
		before = descriptors();
	}
	assert_int_equal(leaked, 0);
}

static void
the_end_of_the_peer_is_0(void **state)
{
	int *fds = *state;
	union ipc_packet *got = malloc(sizeof(*got));
	int fd;

	close(fds[0]);
	fds[0] = -1;
	assert_int_equal(ipc_receive(fds[1], got, &fd), 0);
	assert_int_equal(fd, -1);
	assert_int_equal(
	    ipc_send(fds[1], &(struct ipc_stop){ .kind = IPC_STOP }, sizeof(struct ipc_stop), -1),
	    -1);
	assert_int_equal(errno, EPIPE);
	free(got);
}

static void
a_field_without_nul_is_no_string(void **state)
{
	char field[4] = "abc";

	(void)state;
	assert_true(ipc_is_string(field, sizeof(field)));
	field[3] = 'd';
	assert_false(ipc_is_string(field, sizeof(field)));
	field[0] = '\0';
	assert_true(ipc_is_string(field, sizeof(field)));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, pair_setup, pair_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_kind_comes_back_whole),
		TEST(a_descriptor_is_passed_and_closed_on_exec),
		TEST(a_packet_of_another_size_is_malformed_and_leaks_nothing),
		TEST(several_descriptors_leak_nothing),
		TEST(the_end_of_the_peer_is_0),
		cmocka_unit_test(a_field_without_nul_is_no_string),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
