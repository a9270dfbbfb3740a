/*
 * Any octets as the DNS's reply to a question for SRV records; then their order.
 */
#include "tests/fuzz/fuzz.h"

#include <arpa/inet.h>

#include "relayd/session/srv.h"

static uint32_t
draw(void *context)
{
	uint32_t *seed = context;

	*seed = *seed * 1664525U + 1013904223U;
	return *seed;
}

static void
check_record(const struct srv_record *r)
{
	struct in_addr address;
	size_t n = strnlen(r->target.name, sizeof(r->target.name));

	CHECK(n > 0 && n < sizeof(r->target.name));
	CHECK(strspn(r->target.name,
		  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == n);
	CHECK(inet_aton(r->target.name, &address) == 0);
	CHECK(r->target.port >= 1 && r->target.port <= 65535);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct srv_records r = { .count = 0 };
	uint32_t seed = (uint32_t)size;
	size_t once;

	if (srv_parse(&r, data, size, true) < 0) {
		CHECK(r.count == 0);
		return 0;
	}
	once = r.count;
	CHECK(srv_parse(&r, data, size, false) == 0);
	CHECK(r.count == (2 * once < SRV_RECORDS_MAX ? 2 * once : SRV_RECORDS_MAX));
	srv_order(&r, draw, &seed);
	for (size_t i = 0; i < r.count; i++) {
		check_record(&r.list[i]);
		CHECK(i == 0 || r.list[i - 1].priority <= r.list[i].priority);
		CHECK(i == 0 || r.list[i - 1].priority < r.list[i].priority ||
		      r.list[i - 1].target.implicit_tls || !r.list[i].target.implicit_tls);
	}
	return 0;
}
