/*
 * relayd: carries the messages of the spool to the smarthost.  This file is its
 * start, its loop and its end; what the loop does stands in the other files.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hostname.h"
#include "base/log.h"
#include "base/number.h"
#include "relayd/clients.h"
#include "relayd/network.h"
#include "relayd/privilege.h"
#include "relayd/receivers.h"
#include "relayd/relayd.h"
#include "relayd/secrets.h"

#define EVENTS_A_TURN 64
#define STOP_PATIENCE ((int64_t)(4 * USEC_PER_SEC)) /* of the 5 s that a stop may take */

static const char usage[] = "usage: relayd [-d] [-C FILE]\n"
			    "       relayd -n [-C FILE]   (only checks the configuration)\n";

int
relayd_watch(struct relayd *r, struct watch *w)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = w };

	return epoll_ctl(r->epoll, EPOLL_CTL_ADD, w->fd, &event);
}

void
relayd_watch_room(struct relayd *r, struct watch *w, bool wanted)
{
	struct epoll_event event = { .events = EPOLLIN | (wanted ? EPOLLOUT : 0), .data.ptr = w };

	epoll_ctl(r->epoll, EPOLL_CTL_MOD, w->fd, &event);
}

void
relayd_unwatch(struct relayd *r, struct watch *w)
{
	epoll_ctl(r->epoll, EPOLL_CTL_DEL, w->fd, NULL);
}

void
relayd_bury(struct relayd *r, struct watch *w)
{
	relayd_unwatch(r, w);
	close(w->fd);
	w->fd = -1;
	w->next_dead = r->dead;
	r->dead = w;
}

/* ---- settings -------------------------------------------------------------- */

static void
errors_log(const struct buf *errors)
{
	const char *s = buf_string(errors);

	while (*s != '\0') {
		size_t n = strcspn(s, "\n");

		log_error("%.*s", (int)n, s);
		s += n + (s[n] == '\n');
	}
}

static int
settings_load(struct settings *s, const char *path)
{
	struct buf errors = BUF_INIT(0);
	int r = settings_read(s, path, &errors);

	errors_log(&errors);
	buf_free(&errors);
	return r;
}

static void
names_set(struct relayd *r)
{
	host_name(&r->settings, r->hostname);
	host_domain(&r->settings, r->domain);
}

/* Who carries what is another matter from now on. */
static void
smarthosts_set(struct relayd *r, struct smarthost *smarthosts)
{
	r->smarthosts = smarthosts;
	r->smarthost_count = r->settings.smarthost_count;
	r->routed = route_is_needed(&r->settings);
	parts_reconsider(r);
	rounds_free(&r->rounds);
	if (lanes_dissolve(&r->lanes, &r->heap) < 0)
		log_error_errno("cannot schedule; relayd must be restarted");
}

/* SIGHUP: a file with an error changes nothing. */
static void
reload(struct relayd *r)
{
	struct settings next;
	struct smarthost *smarthosts;

	r->reload = false;
	if (settings_load(&next, r->settings.path) < 0 ||
	    (smarthosts = smarthosts_make(&next)) == NULL) {
		log_error("the configuration has errors; the old settings stay in force");
		settings_free(&next);
		return;
	}
	if (strcmp(next.spool_directory, r->settings.spool_directory) != 0 ||
	    strcmp(next.runtime_directory, r->settings.runtime_directory) != 0 ||
	    strcmp(next.user, r->settings.user) != 0)
		log_warn("spool_directory, runtime_directory and user change only when relayd is "
			 "restarted");
	free(next.spool_directory);
	free(next.runtime_directory);
	free(next.user);
	next.spool_directory = r->settings.spool_directory;
	next.runtime_directory = r->settings.runtime_directory;
	next.user = r->settings.user;
	r->settings.spool_directory = r->settings.runtime_directory = r->settings.user = NULL;
	/* sessions keep nothing of the old ones */
	sessions_stop(r);
	secrets_unwatch(r);
	for (size_t i = 0; i < next.smarthost_count; i++)
		smarthost_inherit(&smarthosts[i], r->smarthosts, r->smarthost_count);
	free(r->smarthosts);
	settings_free(&r->settings);
	r->settings = next;
	smarthosts_set(r, smarthosts);
	parts_release(r);
	names_set(r);
	r->index.in_doubt_interval = r->settings.in_doubt_interval;
	r->next_expiry = 0;
	log_info("configuration read: %zu smarthosts", r->smarthost_count);
}

/* ---- signals and time ------------------------------------------------------ */

static void
children_reap(struct relayd *r)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (!listing_reap(r, pid) && !receiver_reap(r, pid))
			sessions_reap(r, pid, status);
	}
}

static void
signals_ready(struct relayd *r, struct watch *w)
{
	struct signalfd_siginfo info;

	while (read(w->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGCHLD:
			children_reap(r);
			break;
		case SIGHUP:
			r->reload = true;
			break;
		default:
			if (r->stop_at == 0) {
				log_info("stopping");
				notify_stopping(&r->notify);
				r->stop_at = clock_boot() + STOP_PATIENCE;
				sessions_stop(r);
			}
			break;
		}
	}
}

static void
timer_ready(struct relayd *r, struct watch *w)
{
	uint64_t ticks;
	ssize_t n = read(w->fd, &ticks, sizeof(ticks));

	(void)r;
	(void)n; /* the turn that follows looks at the clock itself */
}

static int64_t
earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* When something is due by itself: never, if nothing waits. */
static int64_t
next_time(struct relayd *r)
{
	int64_t next;

	if (r->stop_at != 0)
		return r->stop_at;
	next = earlier(earlier(sessions_next_idle(r), r->next_expiry), r->next_unlink);
	if (r->rescan != NULL || r->flush.active)
		return r->dispatched;
	if (r->journal.broken)
		return earlier(next, r->next_mend);
	if (r->rewrite.active)
		return r->dispatched;
	/* what has come to pass since the last look (a sync takes its time) waits for nobody */
	return earlier(next, sessions_next_dispatch(r, r->dispatched));
}

static void
timer_set(struct relayd *r)
{
	int64_t next = next_time(r);
	struct itimerspec spec = { .it_value = { 0, 0 } };

	if (next != INT64_MAX) {
		/* 0 would disarm it */
		next = next > 0 ? next : 1;
		spec.it_value.tv_sec = next / 1000000;
		spec.it_value.tv_nsec = next % 1000000 * 1000;
	}
	timerfd_settime(r->timer.fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

/* ---- the loop -------------------------------------------------------------- */

static void
turn(struct relayd *r)
{
	struct epoll_event events[EVENTS_A_TURN];
	int n = epoll_wait(r->epoll, events, EVENTS_A_TURN, -1);

	for (int i = 0; i < n; i++) {
		struct watch *w = events[i].data.ptr;

		if (w->fd >= 0)
			w->ready(r, w);
	}
	while (r->dead != NULL) {
		struct watch *w = r->dead;

		r->dead = w->next_dead;
		free(w);
	}
	if (r->reload) {
		notify_reloading(&r->notify);
		reload(r);
		notify_ready(&r->notify);
	}
	queue_rescan_turn(r);
	control_flush_turn(r);
	queue_expire(r);
	queue_commit(r);
	network_settle(r);
	watchers_flush(r);
	/* only whoever got nothing to do is idle */
	sessions_end_idle(r, clock_boot());
}

static void
loop(struct relayd *r)
{
	queue_expire(r);
	queue_commit(r);
	network_settle(r);
	while (r->stop_at == 0 || (r->sessions != NULL && clock_boot() < r->stop_at)) {
		timer_set(r);
		turn(r);
	}
	sessions_kill(r);
}

static int
loop_open(struct relayd *r)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	r->signals = (struct watch){ .fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC),
		.ready = signals_ready };
	r->timer = (struct watch){ .fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC),
		.ready = timer_ready };
	if (r->epoll < 0 || relayd_watch(r, &r->signals) < 0 || relayd_watch(r, &r->timer) < 0) {
		log_error_errno("cannot set up the event loop");
		return -1;
	}
	return 0;
}

/* Beside our own executable in a build tree or a private instance; as root only
 * the installed one. */
static void
session_path_set(struct relayd *r, bool root)
{
	char self[PATH_MAX], *slash;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	snprintf(r->session_path, sizeof(r->session_path), "%s/relayd-session", LIBEXECDIR);
	if (root || n <= 0)
		return;
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (slash == NULL || (size_t)(slash - self) + sizeof("/relayd-session") > sizeof(self))
		return;
	memcpy(slash, "/relayd-session", sizeof("/relayd-session"));
	if (access(self, X_OK) == 0)
		memcpy(r->session_path, self, sizeof(self));
}

/* Clients, and two descriptors for each session, must fit. */
static void
descriptors_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int
run(struct relayd *r)
{
	int code;

	descriptors_raise();
	session_path_set(r, geteuid() == 0);
	code = privilege_settle(r);
	if (code != 0)
		return code;
	names_set(r);
	smarthosts_set(r, smarthosts_make(&r->settings));
	if (r->smarthosts == NULL || loop_open(r) < 0 || queue_open(r) < 0 || control_open(r) < 0)
		return EX_TEMPFAIL;
	if (!r->to_stderr)
		log_to_syslog("relayd");
	notify_ready(&r->notify);
	log_info("started: %zu messages in %s, %zu smarthosts", r->index.count, r->spool.directory,
	    r->smarthost_count);
	if (r->smarthost_count == 0)
		log_warn("no smarthost is configured in %s; mail waits", r->settings.path);
	loop(r);
	log_info("stopped");
	return 0;
}

int
main(int argc, char **argv)
{
	static struct relayd r = { .queue = -1,
		.state = -1,
		.lock = -1,
		.epoll = -1,
		.inotify.fd = -1,
		.control.fd = -1,
		.secrets.fd = -1,
		.routes.fd = -1,
		.resolver.fd = -1,
		.spool = { .dir = -1, .queue = -1 } };
	const char *path = SYSCONFDIR "/postbag/postbag.conf";
	bool only_check = false;
	int c, code;

	if (file_fill_standard() < 0)
		return EX_TEMPFAIL;
	log_to_stderr("relayd");
	if (argc > 1 && strcmp(argv[1], RECEIVER_ROLE) == 0)
		_exit(receiver_main(argc, argv)); /* like a session: no handlers at exit */
	while ((c = getopt(argc, argv, "C:dn")) != -1) {
		if (c == 'C') {
			path = optarg;
		} else if (c == 'd') {
			r.to_stderr = true;
		} else if (c == 'n') {
			only_check = true;
		} else {
			fputs(usage, stderr);
			return EX_USAGE;
		}
	}
	if (optind != argc) {
		fputs(usage, stderr);
		return EX_USAGE;
	}
	notify_init(&r.notify);
	r.started = clock_boot();
	r.next_unlink = INT64_MAX;
	r.next_sweep = r.started + (int64_t)USEC_PER_HOUR;
	if (settings_load(&r.settings, path) < 0)
		return EX_CONFIG;
	if (only_check)
		printf("%s: no errors; %zu smarthost%s%s\n", path, r.settings.smarthost_count,
		    r.settings.smarthost_count == 1 ? "" : "s",
		    r.settings.smarthost_count == 0 ? ", so all mail would wait" : "");
	code = only_check ? 0 : run(&r);
	network_close(&r);
	control_close(&r);
	queue_close(&r);
	settings_free(&r.settings);
	free(r.smarthosts);
	return code;
}
