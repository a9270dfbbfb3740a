/*
 * The group waits as the saved one, from where setresgid(2) may fetch it.  What
 * cannot be lowered again ends the program: to go on with a right that the caller
 * does not have is worse than any lost message.
 */
#include "spool/rights.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

int
rights_init(struct rights *r)
{
	uid_t uid = getuid();

	*r = (struct rights){ .group = getegid(), .own = getgid() };
	r->held = r->group != r->own;
	/* without the bit there is nothing to lower; and in a user namespace that does not
	 * map the caller's group this call would fail */
	if (r->held && setresgid(r->own, r->own, r->group) < 0)
		return -1;
	if (geteuid() != uid && setresuid(uid, uid, uid) < 0)
		return -1;
	return 0;
}

static void
effective_set(gid_t group)
{
	int saved = errno;

	if (setresgid((gid_t)-1, group, (gid_t)-1) < 0)
		abort();
	errno = saved;
}

void
rights_raise(const struct rights *r)
{
	if (r != NULL && r->held)
		effective_set(r->group);
}

void
rights_lower(const struct rights *r)
{
	if (r != NULL && r->held)
		effective_set(r->own);
}

void
rights_drop(struct rights *r)
{
	if (r == NULL || !r->held)
		return;
	if (setresgid(r->own, r->own, r->own) < 0)
		abort();
	r->held = false;
}
