/*
 * Whoever answers for the DNS is not trusted: all that a record can do is name a host and
 * a port.  What counts then is the host's certificate.
 */
#include "relayd/session/srv.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#define REPLY_OCTETS_MAX 65535
#define RDATA_NAME 6 /* where the target begins: behind priority, weight and port */

/* The characters of the names of hosts, and nothing that getaddrinfo(3) takes for an
 * address. */
static bool
is_host_name(const char *name)
{
	struct in_addr address;

	return *name != '\0' && strlen(name) < TARGET_NAME_SIZE &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") ==
		   strlen(name) &&
	       inet_aton(name, &address) == 0;
}

static uint16_t
number(const unsigned char *octets)
{
	return (uint16_t)(octets[0] << 8 | octets[1]);
}

/* 0, or -1 if it is malformed. */
static int
record_parse(struct srv_records *r, const ns_msg *m, const ns_rr *rr, bool implicit_tls)
{
	const unsigned char *data = ns_rr_rdata(*rr);
	int size = ns_rr_rdlen(*rr), used;
	struct srv_record *to = &r->list[r->count];
	char name[NS_MAXDNAME]; /* with escapes, which no host has */
	unsigned port;

	if (size <= RDATA_NAME)
		return -1;
	used =
	    dn_expand(ns_msg_base(*m), ns_msg_end(*m), data + RDATA_NAME, name, (int)sizeof(name));
	if (used < 0 || used != size - RDATA_NAME)
		return -1;
	port = number(data + 4);
	if (*name == '\0') {
		r->denied = true;
	} else if (is_host_name(name) && port != 0 && r->count < SRV_RECORDS_MAX) {
		*to = (struct srv_record){ .priority = number(data),
			.weight = number(data + 2),
			.target = { .port = port, .implicit_tls = implicit_tls } };
		memcpy(to->target.name, name, strlen(name) + 1);
		r->count++;
	}
	return 0;
}

int
srv_parse(struct srv_records *r, const unsigned char *reply, size_t len, bool implicit_tls)
{
	size_t before = r->count;
	ns_msg m;
	ns_rr rr;

	if (len > REPLY_OCTETS_MAX || ns_initparse(reply, (int)len, &m) < 0)
		return -1;
	for (int i = 0; i < ns_msg_count(m, ns_s_an); i++) {
		int bad = ns_parserr(&m, ns_s_an, i, &rr);

		/* an alias (CNAME) may stand in front of them */
		if (bad == 0 && ns_rr_type(rr) == ns_t_srv && ns_rr_class(rr) == ns_c_in)
			bad = record_parse(r, &m, &rr, implicit_tls);
		if (bad < 0) {
			r->count = before;
			return -1;
		}
	}
	return 0;
}

/* ---- the order ---------------------------------------------------------------- */

/* Those without weight first, as the choice by weight wants it (RFC 2782). */
static int
compare(const void *x, const void *y)
{
	const struct srv_record *a = x, *b = y;

	if (a->priority != b->priority)
		return a->priority < b->priority ? -1 : 1;
	if (a->target.implicit_tls != b->target.implicit_tls)
		return a->target.implicit_tls ? -1 : 1;
	return (a->weight != 0) - (b->weight != 0);
}

static bool
is_choice(const struct srv_record *a, const struct srv_record *b)
{
	return a->priority == b->priority && a->target.implicit_tls == b->target.implicit_tls;
}

/* Moves the one that is chosen to the front of the others. */
static void
choose(struct srv_record *list, size_t count, uint32_t random)
{
	struct srv_record chosen;
	uint32_t sum = 0, sought;
	size_t i;

	for (i = 0; i < count; i++)
		sum += list[i].weight;
	sought = random % (sum + 1);
	for (i = 0, sum = list[0].weight; sum < sought; sum += list[i].weight)
		i++;
	chosen = list[i];
	memmove(&list[1], &list[0], i * sizeof(*list));
	list[0] = chosen;
}

void
srv_order(struct srv_records *r, uint32_t (*draw)(void *context), void *context)
{
	qsort(r->list, r->count, sizeof(r->list[0]), compare);
	for (size_t i = 0, end = 0; i < r->count; i++) {
		while (end < r->count && (end <= i || is_choice(&r->list[i], &r->list[end])))
			end++;
		choose(&r->list[i], end - i, draw(context));
	}
}

/* ---- the lookup ---------------------------------------------------------------- */

/* 0; or as h_errno says. */
static int
service_lookup(struct srv_records *r, res_state resolver, const char *service, const char *domain,
    unsigned char *reply)
{
	char name[TARGET_NAME_SIZE + 32];
	int len;

	snprintf(name, sizeof(name), "_%s._tcp.%s", service, domain);
	len = res_nquery(resolver, name, ns_c_in, ns_t_srv, reply, REPLY_OCTETS_MAX);
	if (len < 0)
		return resolver->res_h_errno;
	return srv_parse(r, reply, (size_t)len, strcmp(service, "submissions") == 0) < 0
		   ? NO_RECOVERY
		   : 0;
}

static uint32_t
draw_random(void *context)
{
	uint32_t n = 0;

	(void)context;
	return getrandom(&n, sizeof(n), GRND_NONBLOCK) == (ssize_t)sizeof(n) ? n : 0;
}

static int
none_found(const struct srv_records *r, struct stream *s, const char *domain, const int errors[2])
{
	for (int i = 0; i < 2; i++)
		if (errors[i] == TRY_AGAIN || errors[i] == NO_RECOVERY)
			return stream_fail(s, STREAM_CLOSED,
			    "cannot look up the SRV records of %s: %s", domain,
			    errors[i] == TRY_AGAIN ? "the DNS has no answer"
						   : "the DNS gives a wrong answer");
	if (r->denied)
		return stream_fail(s, STREAM_CLOSED,
		    "%s has SRV records, and they say that it takes no mail for submission",
		    domain);
	return stream_fail(s, STREAM_CLOSED,
	    "%s has no SRV record for submission (_submissions._tcp or _submission._tcp) that "
	    "names a host; name the smarthost itself",
	    domain);
}

int
srv_lookup(struct srv_records *r, struct stream *s, const char *domain, bool implicit_tls)
{
	struct __res_state resolver = { .options = 0 };
	unsigned char *reply = malloc(REPLY_OCTETS_MAX);
	int errors[2] = { 0, 0 };

	*r = (struct srv_records){ .count = 0 };
	if (reply == NULL || res_ninit(&resolver) < 0) {
		free(reply);
		return stream_fail(s, STREAM_CLOSED, "cannot set up the resolver");
	}
	if (implicit_tls)
		errors[0] = service_lookup(r, &resolver, "submissions", domain, reply);
	errors[1] = service_lookup(r, &resolver, "submission", domain, reply);
	res_nclose(&resolver);
	free(reply);
	if (r->count == 0)
		return none_found(r, s, domain, errors);
	srv_order(r, draw_random, NULL);
	return 0;
}

bool
srv_is_below(const char *name, const char *domain)
{
	size_t n = strlen(name), d = strlen(domain);

	return n > d && name[n - d - 1] == '.' && strcasecmp(name + n - d, domain) == 0;
}
