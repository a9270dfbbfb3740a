/*
 * spool/remote: a message that goes to relayd, which is a child process here that
 * answers what the test wants.
 */
#include "tests/unit/unit_spool.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "spool/control.h"
#include "spool/remote.h"

#define CONTENT "Subject: x\r\n\r\nbody\r\n"

struct relay {
	char directory[64];
	struct spool spool;
	int listener;
	int taken;               /* a file with what came last, behind its request */
	char name[NAME_LEN + 1]; /* of the last message */
	pid_t pid;
};

static int
relay_setup(void **state)
{
	struct relay *r = calloc(1, sizeof(*r));
	struct sockaddr_un address;

	assert_non_null(r);
	directory_make(r->directory);
	assert_int_equal(control_address(r->directory, &address), 0);
	r->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(r->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(r->listener, 8), 0);
	r->taken = memory_file("", 0);
	assert_int_equal(
	    spool_open_submission(&r->spool, "/nonexistent/spool", "root", 0, r->directory, NULL),
	    0);
	*state = r;
	return 0;
}

static int
relay_teardown(void **state)
{
	struct relay *r = *state;
	int status = 0;

	if (r->pid != 0)
		waitpid(r->pid, &status, 0);
	close(r->listener);
	close(r->taken);
	spool_close(&r->spool);
	directory_remove(r->directory);
	free(r);
	return status;
}

/* In the child: takes all that is announced, the request with it. */
static bool
connection_take(struct relay *r, int socket)
{
	unsigned long long length = 0, got = 0;
	char c = '\0', line[CONTROL_REQUEST_MAX] = "";
	char chunk[4096];

	if (ftruncate(r->taken, 0) < 0 || lseek(r->taken, 0, SEEK_SET) < 0)
		return false;
	for (size_t i = 0; c != '\n' && i < sizeof(line) - 1; i++) {
		if (read(socket, &c, 1) != 1)
			return false;
		line[i] = c;
	}
	if (sscanf(line, "submit %*26s %llu\n", &length) != 1 ||
	    write(r->taken, line, strlen(line)) != (ssize_t)strlen(line))
		return false;
	while (got < length) {
		ssize_t n = read(socket, chunk, sizeof(chunk));

		if (n <= 0 || write(r->taken, chunk, (size_t)n) != n)
			return false;
		got += (size_t)n;
	}
	return got == length;
}

/* Answers one connection after the other; reads before, or not. */
static void
relay_answers(struct relay *r, bool reads, const char *const *answers)
{
	r->pid = fork();
	assert_true(r->pid >= 0);
	if (r->pid > 0)
		return;
	alarm(20); /* nobody may come */
	for (; *answers != NULL; answers++) {
		int socket = accept(r->listener, NULL, NULL);
		size_t len = strlen(*answers);

		if (socket < 0 || (reads && !connection_take(r, socket)) ||
		    send(socket, *answers, len, MSG_NOSIGNAL) < 0)
			_exit(1);
		close(socket);
	}
	_exit(0);
}

/* The outcome of a message that ends with so many lines: 0, or errno. */
static int
message_send(struct relay *r, size_t lines)
{
	struct envelope e;
	struct message_writer w;
	int result;

	envelope_make(&e, "root@example.org", "ops@example.net");
	assert_int_equal(message_begin(&w, &r->spool, &e), 0);
	envelope_free(&e);
	assert_true(w.remote);
	assert_int_equal(message_write(&w, CONTENT, strlen(CONTENT)), 0);
	for (size_t i = 0; i < lines; i++)
		assert_int_equal(message_write(&w, "one line of many\r\n", 18), 0);
	memcpy(r->name, w.name.text, NAME_LEN + 1);
	result = message_commit(&w) == 0 ? 0 : errno;
	assert_int_equal(w.fd, -1);
	return result;
}

static void
assert_problem(const struct relay *r, const char *part)
{
	if (strstr(r->spool.problem, part) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", r->spool.problem, part);
}

static void
a_whole_message_goes_under_the_name_that_it_has(void **state)
{
	struct relay *r = *state;
	size_t len, line;
	char *data, wanted[CONTROL_REQUEST_MAX];
	struct message m;

	relay_answers(r, true, (const char *[]){ "ok\nend\n", NULL });
	assert_int_equal(message_send(r, 10000), 0);
	data = file_load(r->taken, &len);
	line = strcspn(data, "\n") + 1;
	snprintf(wanted, sizeof(wanted), "submit %s %zu\n", r->name, len - line);
	assert_memory_equal(data, wanted, line);
	assert_int_equal(message_open_fd(&m, memory_file(data + line, len - line)), MESSAGE_OK);
	assert_int_equal(m.length, strlen(CONTENT) + 180000);
	message_close(&m);
	free(data);
}

static void
relayd_may_refuse_the_message(void **state)
{
	struct relay *r = *state;

	relay_answers(r, true, (const char *[]){ "error 65 it is \033[2Jbad\n", NULL });
	assert_int_equal(message_send(r, 0), EBADMSG);
	assert_problem(r, "relayd does not take the message: it is ");
	assert_problem(r, "bad");
	assert_null(strchr(r->spool.problem, '\033'));
}

static void
relayd_may_refuse_before_it_has_read_all(void **state)
{
	struct relay *r = *state;

	relay_answers(r, false, (const char *[]){ "error 65 too large\n", NULL });
	assert_int_equal(message_send(r, 200000), EBADMSG);
	assert_problem(r, "too large");
}

static void
relayd_may_have_no_space(void **state)
{
	struct relay *r = *state;

	relay_answers(r, true, (const char *[]){ "error 75 no space\n", NULL });
	assert_int_equal(message_send(r, 0), EAGAIN);
	assert_problem(r, "no space");
}

static void
a_busy_relayd_is_asked_again(void **state)
{
	struct relay *r = *state;

	relay_answers(r, true, (const char *[]){ "busy\n", "busy\n", "ok\nend\n", NULL });
	assert_int_equal(message_send(r, 10), 0);
}

static void
a_relayd_that_is_busy_before_it_reads_is_asked_again(void **state)
{
	struct relay *r = *state;

	/* the last one, too, answers without having read: what counts is its word */
	relay_answers(r, false, (const char *[]){ "busy\n", "error 75 enough\n", NULL });
	assert_int_equal(message_send(r, 200000), EAGAIN);
	assert_problem(r, "enough");
}

static void
an_answer_that_is_none_is_no_success(void **state)
{
	static const char *const answers[] = { "", "\n", "ok", "ok\n", "ok\nen", "okay\nend\n",
		"OK\nend\n", "end\n", "error\n", "error 0 x\n", "error 99 x\n", "error 65\n",
		"220 hello\r\n", "busy", NULL };
	struct relay *r = *state;

	relay_answers(r, true, answers);
	for (const char *const *a = answers; *a != NULL; a++) {
		if (message_send(r, 0) != EAGAIN)
			fail_msg("\"%s\"", *a);
		assert_problem(r, "relayd does not take the message: relayd ");
	}
}

static void
an_answer_without_end_ends(void **state)
{
	struct relay *r = *state;
	char *endless = malloc(1 << 20);

	assert_non_null(endless);
	memset(endless, 'x', (1 << 20) - 1);
	endless[(1 << 20) - 1] = '\0';
	relay_answers(r, true, (const char *[]){ endless, NULL });
	free(endless);
	assert_int_equal(message_send(r, 0), EAGAIN);
	waitpid(r->pid, NULL, 0); /* it was cut off */
	r->pid = 0;
}

static void
without_relayd_both_reasons_are_named(void **state)
{
	struct relay *r = *state;

	close(r->listener);
	r->listener = -1;
	assert_int_equal(message_send(r, 0), ECONNREFUSED);
	assert_problem(r, "cannot open the spool directory /nonexistent/spool: No such file");
	assert_problem(r, "; and relayd, which");
	assert_problem(r, ": Connection refused");
}

static void
without_a_runtime_directory_there_is_no_way(void **state)
{
	struct relay *r = *state;
	struct message_writer w;
	struct envelope e;

	r->spool.runtime_directory = NULL;
	envelope_make(&e, "root@example.org", "ops@example.net");
	assert_int_equal(message_begin(&w, &r->spool, &e), -1);
	message_abort(&w);
	envelope_free(&e);
}

static void
a_full_disk_is_nothing_that_relayd_could_help_with(void **state)
{
	struct relay *r = *state;
	struct message_writer w = { .spool = &r->spool, .fd = -1 };

	r->spool.queue = r->taken;
	for (size_t i = 0; i < 3; i++) {
		errno = (const int[]){ ENOSPC, EDQUOT, EIO }[i];
		assert_int_equal(remote_create(&w), -1);
		assert_int_equal(w.fd, -1);
	}
	errno = EROFS;
	assert_int_equal(remote_create(&w), 0);
	message_abort(&w);
	r->spool.queue = -1;
}

static void
waiting_for_relayd_has_an_end(void **state)
{
	struct relay *r = *state;
	int fd = control_connect(r->directory);
	struct timeval patience;
	socklen_t len = sizeof(patience);

	assert_true(fd >= 0);
	for (size_t i = 0; i < 2; i++) {
		int option = i == 0 ? SO_RCVTIMEO : SO_SNDTIMEO;

		assert_int_equal(getsockopt(fd, SOL_SOCKET, option, &patience, &len), 0);
		assert_true(patience.tv_sec > 0);
	}
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, relay_setup, relay_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_whole_message_goes_under_the_name_that_it_has),
		TEST(relayd_may_refuse_the_message),
		TEST(relayd_may_refuse_before_it_has_read_all),
		TEST(relayd_may_have_no_space),
		TEST(a_busy_relayd_is_asked_again),
		TEST(a_relayd_that_is_busy_before_it_reads_is_asked_again),
		TEST(an_answer_that_is_none_is_no_success),
		TEST(an_answer_without_end_ends),
		TEST(without_relayd_both_reasons_are_named),
		TEST(without_a_runtime_directory_there_is_no_way),
		TEST(a_full_disk_is_nothing_that_relayd_could_help_with),
		TEST(waiting_for_relayd_has_an_end),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
