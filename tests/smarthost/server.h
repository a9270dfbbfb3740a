/*
 * What all connections share.  Filled by main before the first connection; afterwards only the
 * parts that lock themselves (record, store, rules) and the atomics change.
 */
#ifndef SMARTHOST_SERVER_H
#define SMARTHOST_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "auth.h"
#include "options.h"
#include "record.h"
#include "rules.h"
#include "store.h"
#include "tls.h"

struct session;

struct server {
	struct options options;
	struct record record;
	struct rules rules;
	struct store store;
	struct tls_config tls;
	struct auth_config auth;
	atomic_ullong accepted;  /* tickets for --exit-after */
	atomic_bool stopping;    /* no new transactions */
	int stop_event;          /* eventfd that wakes main */
	pthread_mutex_t lock;    /* guards sessions and live */
	pthread_cond_t gone;
	struct session *sessions;
	unsigned live;
};

/* The last message that was asked for is in: main ends once the clients had time to leave. */
void server_stop(struct server *server);

#endif
