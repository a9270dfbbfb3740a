/*
 * The directories are watched, with inotify(7), and only while a pause lasts: a file that is
 * replaced has another inode, and one that is missing has none.  An event only means that the
 * files are looked at; what counts is whether they are others than those that were refused.
 * Where a directory cannot be watched, SIGHUP does the same.
 */
#include "relayd/secrets.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#define CHANGES (IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_ATTRIB | IN_ONLYDIR)

static void
paths_get(const struct settings_smarthost *s, const char *paths[SMARTHOST_SECRETS])
{
	const char *source = s->password != NULL ? s->password : s->token;
	bool file = source != NULL && strncmp(source, "file:", 5) == 0;

	paths[0] = file ? source + 5 : NULL;
	paths[1] = s->tls_cert_file;
	paths[2] = s->tls_key_file;
}

/* ctime also changes with owner and mode, which may have been what was wrong. */
static struct secret_stamp
stamp_get(const char *path)
{
	struct stat st;

	if (path == NULL || stat(path, &st) < 0)
		return (struct secret_stamp){ .inode = 0 };
	return (struct secret_stamp){ .device = st.st_dev,
		.inode = st.st_ino,
		.seconds = st.st_ctim.tv_sec,
		.nanoseconds = st.st_ctim.tv_nsec };
}

static bool
is_same(const struct secret_stamp *a, const struct secret_stamp *b)
{
	return a->device == b->device && a->inode == b->inode && a->seconds == b->seconds &&
	       a->nanoseconds == b->nanoseconds;
}

static bool
have_changed(const struct smarthost *h)
{
	const char *paths[SMARTHOST_SECRETS];
	bool changed = false;

	paths_get(h->settings, paths);
	for (size_t i = 0; i < SMARTHOST_SECRETS; i++) {
		struct secret_stamp now = stamp_get(paths[i]);

		changed |= !is_same(&now, &h->secrets[i]);
	}
	return changed;
}

void
secrets_note(struct smarthost *h)
{
	const char *paths[SMARTHOST_SECRETS];

	paths_get(h->settings, paths);
	for (size_t i = 0; i < SMARTHOST_SECRETS; i++)
		h->secrets[i] = stamp_get(paths[i]);
}

static void
secrets_ready(struct relayd *r, struct watch *w)
{
	char events[4096];
	bool waiting = false;

	while (read(w->fd, events, sizeof(events)) > 0)
		continue;
	for (size_t i = 0; i < r->smarthost_count; i++) {
		struct smarthost *h = &r->smarthosts[i];

		if (h->paused_until == 0 || h->fault != FAULT_CREDENTIAL)
			continue;
		if (!have_changed(h)) {
			waiting = true;
			continue;
		}
		log_info("smarthost=%s: the file with its credential has changed; trying again",
		    h->name);
		h->paused_until = 0;
		h->failures = 0;
		parts_reconsider(r);
	}
	if (!waiting)
		secrets_unwatch(r);
}

static void
directory_watch(const struct relayd *r, const char *path)
{
	char directory[PATH_MAX];
	const char *slash = strrchr(path, '/');

	snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path) + 1, path);
	/* the same directory twice is one watch */
	inotify_add_watch(r->secrets.fd, directory, CHANGES);
}

bool
secrets_watch(struct relayd *r, struct smarthost *h)
{
	const char *paths[SMARTHOST_SECRETS];

	paths_get(h->settings, paths);
	if (r->secrets.fd < 0) {
		r->secrets = (struct watch){ .fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC),
			.ready = secrets_ready };
		if (r->secrets.fd >= 0 && relayd_watch(r, &r->secrets) < 0) {
			close(r->secrets.fd);
			r->secrets.fd = -1;
		}
	}
	/* first the watch, then the look */
	for (size_t i = 0; r->secrets.fd >= 0 && i < SMARTHOST_SECRETS; i++)
		if (paths[i] != NULL)
			directory_watch(r, paths[i]);
	return have_changed(h);
}

void
secrets_unwatch(struct relayd *r)
{
	if (r->secrets.fd < 0)
		return;
	relayd_unwatch(r, &r->secrets);
	close(r->secrets.fd);
	r->secrets.fd = -1;
}
