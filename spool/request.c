/*
 * Without relayd there is nobody who retries, so what is changed here is left in
 * the journal for its next start.
 */
#include "spool/request.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "spool/control.h"
#include "spool/journal.h"
#include "spool/listing.h"
#include "spool/selection.h"
#include "spool/spool.h"

#define WRITE_AT (1 << 20) /* octets of journal lines */

struct offline {
	struct spool spool;
	int queue, state, lock;
	struct index index;
	struct journal journal; /* fd is -1 unless it was opened for writing */
	int reasons;            /* the journal, for reading */
	struct buf *error;
};

static int
fail(struct buf *error, int code, const char *what)
{
	buf_add_string(error, what);
	return code;
}

/* Root acts as the owner of state/, so that no file there becomes root's. */
static int
owner_become(struct offline *f)
{
	struct stat st;

	if (geteuid() != 0)
		return 0;
	if (fstatat(f->spool.dir, "state", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return spool_fail(&f->spool, "examine", "state");
	if (st.st_uid == 0)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(st.st_gid, st.st_gid, st.st_gid) < 0 ||
	    setresuid(st.st_uid, st.st_uid, st.st_uid) < 0)
		return spool_fail(&f->spool, "become the owner of", "state");
	return 0;
}

static int
offline_open(struct offline *f, const struct settings *s, bool write)
{
	size_t damaged;

	if (spool_open(&f->spool, s->spool_directory, s->user, 0) < 0 || owner_become(f) < 0 ||
	    (f->queue = spool_open_queue(&f->spool)) < 0 ||
	    (f->state = spool_open_state(&f->spool)) < 0)
		return -1;
	if (write && (f->lock = journal_lock(f->state)) < 0)
		return spool_fail(&f->spool, "lock (is relayd starting?)", "state/lock");
	if (index_init(&f->index, s->in_doubt_interval) < 0 ||
	    index_scan(&f->index, f->queue, 0) < 0)
		return spool_fail(&f->spool, "read", "queue");
	if ((write ? journal_open(&f->journal, f->state, index_apply, &f->index, &damaged)
		   : journal_read(f->state, index_apply, &f->index, &damaged)) < 0)
		return spool_fail(&f->spool, "read", "state/journal");
	f->reasons = openat(f->state, "journal", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return 0;
}

static void
offline_close(struct offline *f)
{
	const int fds[] = { f->queue, f->state, f->lock, f->reasons };

	journal_close(&f->journal);
	index_free(&f->index);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	spool_close(&f->spool);
}

static struct index_entry *
find(struct offline *f, const char *id)
{
	size_t matches;
	struct index_entry *e = listing_find(&f->index, id, &matches);

	if (matches > 1) {
		buf_addf(f->error, "%s names several messages; give a whole name:\n", id);
		listing_matches(&f->index, id, f->error);
	} else if (e == NULL) {
		buf_addf(f->error, "there is no message %.*s", NAME_LEN, id);
	}
	return e;
}

static void
record(struct offline *f, const struct index_entry *e, enum journal_event event)
{
	journal_append(&f->journal, &(struct journal_record){ .time = clock_real(),
					.name = index_name(e).text,
					.recipient = JOURNAL_ALL,
					.event = event,
					.attempts = e->attempts,
					.elapsed = index_elapsed(e),
					.text = "" });
}

static int
commit(struct offline *f)
{
	if (journal_commit(&f->journal, true) == 0)
		return 0;
	spool_fail(&f->spool, "write", "state/journal");
	return fail(f->error, EX_TEMPFAIL, f->spool.problem);
}

static int
retry_all(struct offline *f, const struct selection *chosen)
{
	const struct index_entry *e;

	for (uint32_t at = 0; (e = index_next(&f->index, &at)) != NULL;) {
		if ((e->state == STATE_DEFERRED || e->state == STATE_DOUBT) &&
		    (chosen == NULL || selection_matches(chosen, &f->index, e, f->queue)))
			record(f, e, EVENT_RETRY);
		if (f->journal.pending.len > WRITE_AT)
			journal_commit(&f->journal, false);
	}
	return commit(f);
}

static int
retry(struct offline *f, const char *id)
{
	struct index_entry *e;

	if (strcmp(id, "all") == 0)
		return retry_all(f, NULL);
	if ((e = find(f, id)) == NULL)
		return EX_DATAERR;
	record(f, e, EVENT_RETRY);
	return commit(f);
}

static int
selection(struct offline *f, const char *argument)
{
	struct selection s;

	if (!selection_parse(&s, argument))
		return fail(f->error, EX_USAGE, "this is no selection");
	return retry_all(f, &s);
}

static int
removal(struct offline *f, const char *id)
{
	struct index_entry *e = find(f, id);
	int code;

	if (e == NULL)
		return EX_DATAERR;
	record(f, e, EVENT_REMOVED);
	code = commit(f);
	if (code == 0 && unlinkat(f->queue, index_name(e).text, 0) < 0) {
		spool_fail(&f->spool, "remove a file in", "queue");
		code = fail(f->error, EX_TEMPFAIL, f->spool.problem);
	}
	return code;
}

static int
request_apply(struct offline *f, const char *verb, const char *argument, int out_fd)
{
	static const struct listing_pause pause = { .reason = "relayd is not running" };
	struct index_entry *e;
	int r;

	if (strcmp(verb, "retry") == 0)
		return retry(f, argument);
	if (strcmp(verb, "select") == 0)
		return selection(f, argument);
	if (strcmp(verb, "remove") == 0)
		return removal(f, argument);
	if (strcmp(verb, "list") == 0) {
		r = listing_queue(out_fd, &f->index, f->queue, f->reasons, &pause, LISTING_ALL);
	} else {
		if ((e = find(f, argument)) == NULL)
			return EX_DATAERR;
		r = listing_message(out_fd, &f->index, e, f->queue, f->reasons, &pause);
	}
	return r == 0 ? 0 : fail(f->error, EX_TEMPFAIL, strerror(errno));
}

int
request_offline(const struct settings *s, const char *request, int out_fd, struct buf *error)
{
	struct offline f = { .queue = -1,
		.state = -1,
		.lock = -1,
		.reasons = -1,
		.journal = { .fd = -1 },
		.error = error };
	char verb[CONTROL_REQUEST_MAX], *argument;
	bool write;
	int code;

	snprintf(verb, sizeof(verb), "%s", request);
	argument = strchr(verb, ' ');
	if (argument != NULL)
		*argument++ = '\0';
	else
		argument = verb + strlen(verb);
	write = strcmp(verb, "retry") == 0 || strcmp(verb, "select") == 0 ||
		strcmp(verb, "remove") == 0;
	*error = BUF_INIT(8192);
	if (offline_open(&f, s, write) < 0) {
		bool denied = errno == EACCES || errno == EPERM;

		code = fail(error, denied ? EX_NOPERM : EX_TEMPFAIL, f.spool.problem);
		if (denied)
			buf_add_string(error,
			    " (relayd is not running, and without it only root and "
			    "the owner of the spool can look)");
	} else {
		code = request_apply(&f, verb, argument, out_fd);
	}
	offline_close(&f);
	return code;
}

int
request_run(const struct settings *s, const char *request, int out_fd, struct buf *error)
{
	int fd = control_connect(s->runtime_directory), code;

	if (fd < 0 && errno == EAGAIN) {
		*error = BUF_INIT(100);
		return fail(error, EX_TEMPFAIL, "relayd does not take connections");
	}
	if (fd < 0)
		return request_offline(s, request, out_fd, error);
	code = control_request(fd, request, out_fd, error);
	close(fd);
	return code;
}
