/*
 * What a client of the control socket may ask for (spool/control.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "relayd/clients.h"
#include "relayd/receivers.h"
#include "spool/control.h"
#include "spool/listing.h"

#define FLUSH_A_TURN 5000 /* messages; most cost a line of the journal */

struct listing_pause
control_pause(struct relayd *r, uint64_t carriers, char *text, size_t size)
{
	struct smarthost *h = smarthost_soonest(r, carriers);
	struct listing_pause p = { .reason = NULL };
	int64_t now = clock_boot(), until;

	if (r->journal.broken) {
		snprintf(
		    text, size, "the journal cannot be written: %s", strerror(r->journal.error));
		p.reason = text;
	} else if (h == NULL) {
		snprintf(text, size, "no smarthost is configured in %s", r->settings.path);
		p.reason = text;
	} else if (h->paused_until > now) {
		snprintf(text, size, "smarthost %s: %s", h->name, h->problem);
		p.reason = text;
		p.until = h->paused_until;
	} else if ((h = smarthost_choose(r, carriers, now, &until)) != NULL &&
		   (until = rate_next(&h->rate, now)) != 0) {
		snprintf(text, size, "smarthost %s: it has as many as its rate allows", h->name);
		p.reason = text;
		p.until = until;
	} else {
		h = smarthost_first(r, carriers);
		if (h->problem[0] == '\0')
			return p;
		/* it is being tried again */
		snprintf(text, size, "smarthost %s: %s", h->name, h->problem);
		p.reason = text;
		p.until = now;
	}
	return p;
}

/* The message that id names; if there is none, the client is told. */
static struct index_entry *
find(struct relayd *r, const struct client *c, const char *id)
{
	size_t matches;
	struct index_entry *e = listing_find(&r->index, id, &matches);
	struct buf b = BUF_INIT(2000);

	if (matches > 1) {
		listing_matches(&r->index, id, &b);
		client_refuse(c, EX_DATAERR, "%s names several messages; give a whole name:\n%s",
		    id, buf_string(&b));
	} else if (e == NULL) {
		client_refuse(c, EX_DATAERR, "there is no message %.*s", NAME_LEN, id);
	}
	buf_free(&b);
	return e;
}

static void
entry_retry(struct relayd *r, struct index_entry *e)
{
	e->trouble = 0;
	if (e->state == STATE_ACTIVE || e->state == STATE_FINISHED ||
	    (e->state == STATE_DUE && e->due <= clock_boot()))
		return;
	queue_record(r, e, EVENT_RETRY, JOURNAL_ALL, 0, "");
	queue_wait(r, e, STATE_DUE, clock_boot());
}

/* Everybody may flush, now and then. */
static bool
may_flush(struct relayd *r, const struct client *c)
{
	int64_t now = clock_boot();

	if (!client_is_administrator(c) && r->last_flush != 0 &&
	    now - r->last_flush < (int64_t)r->settings.reconnect_first)
		return false;
	r->last_flush = now;
	return true;
}

void
control_flush(struct relayd *r, struct index_entry *e, bool administrator)
{
	if (e->state == STATE_DUE || e->state == STATE_DEFERRED ||
	    (administrator && e->state == STATE_DOUBT))
		entry_retry(r, e);
}

void
control_flush_turn(struct relayd *r)
{
	struct index_entry *e = NULL;

	if (!r->flush.active)
		return;
	for (int i = 0; i < FLUSH_A_TURN && (e = index_next(&r->index, &r->flush.at)) != NULL; i++)
		control_flush(r, e, r->flush.administrator);
	if (e == NULL)
		r->flush = (struct pass){ .active = false };
}

/* Only the administrator also flushes what is in doubt, and smarthosts that refused
 * our credential or are over a limit. */
static void
retry_all(struct relayd *r, const struct client *c)
{
	bool administrator = client_is_administrator(c);

	if (may_flush(r, c)) {
		/* one that is at work begins anew, for both */
		r->flush = (struct pass){ .active = true,
			.administrator = administrator || r->flush.administrator };
		control_flush_turn(r);
		smarthosts_wake(r, administrator);
	}
	client_answer(c, "ok\n" CONTROL_END);
}

static void
selection(struct relayd *r, const struct client *c, const char *argument)
{
	struct selection s;

	if (!selection_parse(&s, argument))
		client_refuse(c, EX_USAGE, "relayd does not know this selection");
	else if (may_flush(r, c))
		selection_start(r, c, &s);
	else
		client_answer(c, "ok\n" CONTROL_END);
}

/* The outcomes come later.  Whoever knows the whole name has submitted the message, or
 * may look into queue/. */
static bool
watch(const struct client *c, const char *name, char *watching)
{
	if (!name_is_valid(name)) {
		client_refuse(c, EX_USAGE, "that is no name of a message");
		return false;
	}
	memcpy(watching, name, NAME_LEN + 1);
	client_answer(c, "ok\n");
	return true;
}

/* "NAME LENGTH" */
static void
submission(struct relayd *r, const struct client *c, char *argument)
{
	char *length = strchr(argument, ' ');

	if (length == NULL) {
		client_refuse(c, EX_USAGE, "relayd does not know this request");
		return;
	}
	*length++ = '\0';
	if (receiver_start(r, c->watch.fd, c->uid, argument, length) == 0)
		return;
	if (errno != EAGAIN)
		log_warn_errno("cannot start a receiver");
	client_answer(c, "busy\n");
}

static void
retry(struct relayd *r, const struct client *c, const char *id)
{
	struct index_entry *e;

	if (strcmp(id, "all") == 0) {
		retry_all(r, c);
		return;
	}
	if (!client_is_administrator(c)) {
		client_refuse(
		    c, EX_NOPERM, "only root and relayd's own user may retry single messages");
		return;
	}
	if ((e = find(r, c, id)) == NULL)
		return;
	entry_retry(r, e);
	smarthosts_wake(r, true);
	client_answer(c, "ok\n" CONTROL_END);
}

static void
removal(struct relayd *r, const struct client *c, const char *id)
{
	struct index_entry *e;
	struct queue_name name;
	struct stat st;

	if (!client_is_administrator(c)) {
		client_refuse(c, EX_NOPERM, "only root and relayd's own user may remove messages");
		return;
	}
	if ((e = find(r, c, id)) == NULL)
		return;
	if (e->state == STATE_FINISHED) {
		client_refuse(
		    c, EX_TEMPFAIL, "message %s is finished, and its file about to be removed", id);
		return;
	}
	if (e->state == STATE_ACTIVE) {
		client_refuse(c, EX_TEMPFAIL, "message %s is being sent right now", id);
		return;
	}
	name = index_name(e);
	queue_record(r, e, EVENT_REMOVED, JOURNAL_ALL, 0, "");
	if (journal_commit(&r->journal, true) < 0) {
		client_refuse(c, EX_TEMPFAIL, "the journal cannot be written: %s", strerror(errno));
		return;
	}
	log_info("%.*s: status=removed uid=%u", QUEUE_ID_LEN, name.text, (unsigned)c->uid);
	watchers_tell(r, name.text, "removed by the administrator");
	queue_finish(
	    r, e, fstatat(r->queue, name.text, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0);
	client_answer(c, "ok\n" CONTROL_END);
}

static void
show(struct relayd *r, const struct client *c, const char *id)
{
	const struct index_entry *e;

	if (!client_is_administrator(c))
		client_refuse(c, EX_NOPERM, "only root and relayd's own user may read messages");
	else if ((e = find(r, c, id)) != NULL)
		listing_start(r, c, e);
}

bool
control_run(struct relayd *r, struct client *c, char *line)
{
	char *argument = strchr(line, ' ');

	if (argument != NULL)
		*argument++ = '\0';
	if (strcmp(line, "list") == 0 && argument == NULL)
		listing_start(r, c, NULL);
	else if (strcmp(line, "show") == 0 && argument != NULL)
		show(r, c, argument);
	else if (strcmp(line, "retry") == 0 && argument != NULL)
		retry(r, c, argument);
	else if (strcmp(line, "select") == 0 && argument != NULL)
		selection(r, c, argument);
	else if (strcmp(line, "remove") == 0 && argument != NULL)
		removal(r, c, argument);
	else if (strcmp(line, "submit") == 0 && argument != NULL)
		submission(r, c, argument);
	else if (strcmp(line, "watch") == 0 && argument != NULL)
		return watch(c, argument, c->watching);
	else
		client_refuse(c, EX_USAGE, "relayd does not know this request");
	return false;
}
