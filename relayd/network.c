/*
 * An address or a route that appears, and another resolv.conf, may be what a smarthost
 * was missing.  They are watched only while one is being connected to, or is in trouble:
 * the rest of the time nothing here wakes relayd.
 *
 * On a host where interfaces come and go all the time, such events say nothing.  So a
 * change never makes an attempt by itself: it moves the end of a pause, once, and to no
 * less than a second after the failure, which doubles with every time that it was in vain.
 * The failures stay counted.
 */
#include "relayd/network.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/number.h"
#include "relayd/backoff.h"
#include "relayd/relayd.h"
#include "relayd/rtnetlink.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define PACKETS_A_TURN 64
#define JITTER USEC_PER_SEC
#define WAIT_FIRST USEC_PER_SEC /* after a failure, at least */
#define WAIT_MAX USEC_PER_MIN
#define FORGET_AFTER ((int64_t)(10 * USEC_PER_MIN)) /* then it begins with WAIT_FIRST again */

/* ---- addresses and routes ---------------------------------------------------- */

/* Whoever is neither paused nor being connected to has not missed anything. */
static void
network_changed(struct relayd *r)
{
	for (size_t i = 0; i < r->smarthost_count; i++)
		r->smarthosts[i].network_changed = true;
}

static void
routes_ready(struct relayd *r, struct watch *w)
{
	char packet[8192];
	bool changed = false;

	for (int i = 0; i < PACKETS_A_TURN; i++) {
		struct sockaddr_nl from = { .nl_pid = 0 };
		socklen_t size = sizeof(from);
		ssize_t n = recvfrom(
		    w->fd, packet, sizeof(packet), MSG_TRUNC, (struct sockaddr *)&from, &size);

		if (n < 0 && errno == ENOBUFS)
			changed = true; /* some were lost */
		else if (n < 0 && errno != EINTR)
			break;
		else if (n > 0 && size == sizeof(from) && from.nl_pid == 0)
			changed |=
			    (size_t)n > sizeof(packet) || rtnetlink_has_appeared(packet, (size_t)n);
	}
	if (changed)
		network_changed(r);
}

static int
routes_open(void)
{
	struct sockaddr_nl own = { .nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
			     RTMGRP_IPV6_ROUTE };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&own, sizeof(own)) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* ---- resolv.conf --------------------------------------------------------------- */

/* Its directory, because it may be replaced; that of the file that it is a link to; and
 * that file, because in a container it may lie in another directory of the host. */
static void
resolver_watch(int fd)
{
	const uint32_t events = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE;
	char target[PATH_MAX], *slash;

	inotify_add_watch(fd, "/etc", events | IN_ONLYDIR);
	inotify_add_watch(fd, RESOLV_CONF, IN_CLOSE_WRITE);
	if (realpath(RESOLV_CONF, target) == NULL)
		return;
	slash = strrchr(target, '/');
	*slash = '\0';
	inotify_add_watch(fd, target, events | IN_ONLYDIR);
}

static bool
is_resolver_name(const char *name)
{
	char target[PATH_MAX];

	return strcmp(name, strrchr(RESOLV_CONF, '/') + 1) == 0 ||
	       (realpath(RESOLV_CONF, target) != NULL &&
		   strcmp(name, strrchr(target, '/') + 1) == 0);
}

static void
resolver_ready(struct relayd *r, struct watch *w)
{
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool changed = false;
	ssize_t n;

	while ((n = read(w->fd, events, sizeof(events))) > 0) {
		const struct inotify_event *e;

		for (const char *p = events; p < events + n; p += sizeof(*e) + e->len) {
			e = (const void *)p;
			changed |= e->len == 0 || is_resolver_name(e->name);
		}
	}
	if (!changed)
		return;
	resolver_watch(w->fd);
	network_changed(r);
}

/* ---- what follows --------------------------------------------------------------- */

static void
smarthost_hasten(struct smarthost *h, int64_t now)
{
	uint64_t wait;
	int64_t at, earliest;

	if (h->hastened_at >= h->failed_at && h->hastened > 0)
		return; /* this pause has had it */
	if (now - h->hastened_at > FORGET_AFTER)
		h->hastened = 0;
	wait =
	    backoff_jitter(backoff_pause(WAIT_FIRST, WAIT_MAX, h->hastened + 1), backoff_random());
	at = now + (int64_t)(backoff_random() % JITTER);
	earliest = h->failed_at + (int64_t)wait;
	at = at < earliest ? earliest : at;
	if (at >= h->paused_until)
		return;
	h->paused_until = at;
	h->hastened_at = now;
	h->hastened++;
	log_info("smarthost=%s: the network has changed; it may be tried again", h->name);
}

static void
watch_open(
    struct relayd *r, struct watch *w, int fd, void (*ready)(struct relayd *, struct watch *))
{
	*w = (struct watch){ .fd = fd, .ready = ready };
	if (fd >= 0 && relayd_watch(r, w) < 0) {
		close(fd);
		w->fd = -1;
	}
}

static void
watch_close(struct relayd *r, struct watch *w)
{
	if (w->fd < 0)
		return;
	relayd_unwatch(r, w);
	close(w->fd);
	w->fd = -1;
}

static void
network_open(struct relayd *r)
{
	if (r->routes.fd < 0 && !r->has_no_netlink) {
		watch_open(r, &r->routes, routes_open(), routes_ready);
		if (r->routes.fd < 0) {
			log_info("cannot watch addresses and routes: %s; pauses end by their time",
			    strerror(errno));
			r->has_no_netlink = true;
		}
	}
	if (r->resolver.fd < 0) {
		watch_open(
		    r, &r->resolver, inotify_init1(IN_NONBLOCK | IN_CLOEXEC), resolver_ready);
		if (r->resolver.fd >= 0)
			resolver_watch(r->resolver.fd);
	}
}

void
network_close(struct relayd *r)
{
	watch_close(r, &r->routes);
	watch_close(r, &r->resolver);
}

void
network_settle(struct relayd *r)
{
	int64_t now = clock_boot();
	bool matters = false;

	for (size_t i = 0; i < r->smarthost_count; i++) {
		struct smarthost *h = &r->smarthosts[i];
		bool trouble = h->problem[0] != '\0' && h->fault == FAULT_CONNECTION;
		bool paused = trouble && h->paused_until > now;

		if (h->problem[0] == '\0')
			h->hastened = 0;
		if (paused && h->network_changed) {
			smarthost_hasten(h, now);
			parts_reconsider(r);
		}
		/* what happened during an attempt counts if it fails */
		if (paused || h->connecting == 0)
			h->network_changed = false;
		matters |= trouble || h->connecting > 0;
	}
	if (matters)
		network_open(r);
	else
		network_close(r);
}
