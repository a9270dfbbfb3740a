/*
 * spool/rights: the group of a set-gid program, in a child process that is made to
 * look like one: the real group is the caller's, the other two are the program's.
 */
#include "tests/unit/unit.h"

#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "spool/rights.h"

#define CALLER 54341
#define PROGRAM 54342

static bool
groups_are(gid_t real, gid_t effective, gid_t saved)
{
	gid_t r, e, s;

	return getresgid(&r, &e, &s) == 0 && r == real && e == effective && s == saved;
}

/* The status of a child that runs body with these groups and this effective user, and
 * without the power to take others. */
static int
child_run(gid_t program, uid_t effective_uid, bool (*body)(void))
{
	int status;
	pid_t pid;

	if (geteuid() != 0)
		skip(); /* only root can make such a process */
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_DUMPABLE, 0);
		if (setgroups(0, NULL) < 0 || setresgid(CALLER, program, program) < 0 ||
		    setresuid(CALLER, effective_uid, effective_uid) < 0)
			_exit(2);
		_exit(body() ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static bool
right_is_lowered_at_the_start(void)
{
	struct rights r;

	return rights_init(&r) == 0 && r.held && r.own == CALLER && r.group == PROGRAM &&
	       groups_are(CALLER, CALLER, PROGRAM);
}

static bool
right_is_raised_and_lowered_again(void)
{
	struct rights r;

	if (rights_init(&r) < 0)
		return false;
	for (int i = 0; i < 2; i++) {
		rights_raise(&r);
		if (!groups_are(CALLER, PROGRAM, PROGRAM))
			return false;
		rights_lower(&r);
		if (!groups_are(CALLER, CALLER, PROGRAM))
			return false;
	}
	return true;
}

static bool
right_that_was_dropped_is_gone_for_good(void)
{
	struct rights r;

	if (rights_init(&r) < 0)
		return false;
	rights_drop(&r);
	rights_drop(&r);
	rights_raise(&r);
	rights_lower(&r);
	return !r.held && groups_are(CALLER, CALLER, CALLER) && setresgid(-1, PROGRAM, -1) < 0;
}

static bool
raising_and_lowering_keep_errno(void)
{
	struct rights r;

	if (rights_init(&r) < 0)
		return false;
	errno = EXDEV;
	rights_raise(&r);
	if (errno != EXDEV)
		return false;
	rights_lower(&r);
	return errno == EXDEV;
}

static bool
program_without_the_bit_holds_nothing(void)
{
	struct rights r;

	if (rights_init(&r) < 0 || r.held)
		return false;
	rights_raise(&r);
	rights_lower(&r);
	rights_drop(&r);
	return groups_are(CALLER, CALLER, CALLER);
}

static bool
set_uid_bit_is_given_up(void)
{
	struct rights r;
	uid_t real, effective, saved;

	return rights_init(&r) == 0 && getresuid(&real, &effective, &saved) == 0 &&
	       real == CALLER && effective == CALLER && saved == CALLER &&
	       groups_are(CALLER, CALLER, PROGRAM);
}

static bool
lowers_to_what_it_may_not_have(void)
{
	struct rights r = { .group = PROGRAM, .own = 0, .held = true };

	rights_lower(&r);
	return true;
}

static void
the_right_is_lowered_at_the_start(void **state)
{
	(void)state;
	assert_int_equal(child_run(PROGRAM, CALLER, right_is_lowered_at_the_start), 0);
}

static void
the_right_can_be_raised_and_lowered(void **state)
{
	(void)state;
	assert_int_equal(child_run(PROGRAM, CALLER, right_is_raised_and_lowered_again), 0);
}

static void
a_right_that_was_dropped_is_gone_for_good(void **state)
{
	(void)state;
	assert_int_equal(child_run(PROGRAM, CALLER, right_that_was_dropped_is_gone_for_good), 0);
}

static void
errno_is_that_of_the_call_between(void **state)
{
	(void)state;
	assert_int_equal(child_run(PROGRAM, CALLER, raising_and_lowering_keep_errno), 0);
}

static void
a_program_without_the_bit_holds_nothing(void **state)
{
	(void)state;
	assert_int_equal(child_run(CALLER, CALLER, program_without_the_bit_holds_nothing), 0);
}

static void
a_set_uid_bit_is_given_up(void **state)
{
	(void)state;
	assert_int_equal(child_run(PROGRAM, 0, set_uid_bit_is_given_up), 0);
}

static void
a_right_that_cannot_be_lowered_ends_the_program(void **state)
{
	int status = child_run(PROGRAM, CALLER, lowers_to_what_it_may_not_have);

	(void)state;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void
without_rights_nothing_happens(void **state)
{
	(void)state;
	rights_raise(NULL);
	rights_lower(NULL);
	rights_drop(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_right_is_lowered_at_the_start),
		cmocka_unit_test(the_right_can_be_raised_and_lowered),
		cmocka_unit_test(a_right_that_was_dropped_is_gone_for_good),
		cmocka_unit_test(errno_is_that_of_the_call_between),
		cmocka_unit_test(a_program_without_the_bit_holds_nothing),
		cmocka_unit_test(a_set_uid_bit_is_given_up),
		cmocka_unit_test(a_right_that_cannot_be_lowered_ends_the_program),
		cmocka_unit_test(without_rights_nothing_happens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
