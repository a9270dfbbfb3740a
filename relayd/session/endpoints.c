/*
 * getaddrinfo(3) blocks for as long as the resolver sees fit; whoever calls has to put
 * an end to it.
 */
#include "relayd/session/endpoints.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "relayd/session/srv.h"

/* Moves up whatever is of another family than the one before it. */
static void
families_interleave(struct endpoint *list, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct endpoint moved;
		size_t next = i;

		while (
		    next < count && list[next].address.ss_family == list[i - 1].address.ss_family)
			next++;
		if (next == count)
			return;
		moved = list[next];
		memmove(&list[i + 1], &list[i], (next - i) * sizeof(*list));
		list[i] = moved;
	}
}

void
endpoints_add(
    struct endpoints *e, const struct target *t, const struct addrinfo *found, size_t limit)
{
	struct endpoint *first = &e->list[e->count];
	size_t v4 = 0, v6 = 0;

	for (; found != NULL; found = found->ai_next) {
		struct endpoint *to = &e->list[e->count];

		if (found->ai_family == AF_INET6 ? v6++ >= limit
						 : found->ai_family != AF_INET || v4++ >= limit)
			continue;
		*to = (struct endpoint){ .length = found->ai_addrlen, .target = t };
		memcpy(&to->address, found->ai_addr, found->ai_addrlen);
		e->count++;
	}
	families_interleave(first, (size_t)(&e->list[e->count] - first));
}

static int
resolve(struct endpoints *e, struct stream *s)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	size_t limit = ENDPOINTS_MAX / 2 / e->target_count;
	int result = -1;

	for (size_t i = 0; i < e->target_count; i++) {
		const struct target *t = &e->targets[i];
		struct addrinfo *found = NULL;
		char service[8];
		int r;

		snprintf(service, sizeof(service), "%u", t->port);
		r = getaddrinfo(t->name, service, &hints, &found);
		if (r == 0) {
			endpoints_add(e, t, found, limit);
			freeaddrinfo(found);
		} else if (result < 0) {
			stream_fail(s, STREAM_CLOSED, "cannot find the address of %s: %s", t->name,
			    r == EAI_SYSTEM ? strerror(errno) : gai_strerror(r));
		}
		if (e->count > 0)
			result = 0;
	}
	if (result == 0)
		s->error = STREAM_OK;
	return result;
}

int
endpoints_find(
    struct endpoints *e, struct stream *s, const struct ipc_settings *settings, const char *host)
{
	struct srv_records records;

	*e = (struct endpoints){ .target_count = 1 };
	e->targets[0] =
	    (struct target){ .port = settings->port, .implicit_tls = settings->implicit_tls };
	snprintf(e->targets[0].name, sizeof(e->targets[0].name), "%s", host);
	if (settings->srv) {
		if (srv_lookup(&records, s, host, settings->tls != TLS_NONE) < 0)
			return -1;
		e->target_count = records.count < TARGETS_MAX ? records.count : TARGETS_MAX;
		for (size_t i = 0; i < e->target_count; i++)
			e->targets[i] = records.list[i].target;
	}
	return resolve(e, s);
}
