/*
 * The order is what makes it safe: settings, secret and trust store are read, the name is
 * resolved, the connection is made, and only then, before the first byte from the network
 * is read, the process locks itself in.
 */
#include "relayd/session/opening.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include "base/clock.h"
#include "base/number.h"
#include "base/settings.h"
#include "base/text.h"
#include "relayd/session/connect.h"
#include "relayd/session/endpoints.h"
#include "relayd/session/lock.h"
#include "relayd/session/report.h"
#include "relayd/session/secret.h"
#include "relayd/session/srv.h"
#include "spool/envelope.h"

struct opening {
	struct ipc_settings *settings;
	struct conversation *conversation;
	struct buf *secret;
};

/* What is said if the lookup takes too long. */
static struct ipc_report late = {
	.kind = IPC_REPORT, .type = REPORT_FAILED, .value = FAULT_CONNECTION
};

static int
fault(struct opening *o, enum ipc_fault value)
{
	o->conversation->fault = value;
	o->conversation->code = 0;
	return -1;
}

int
opening_receive(struct ipc_settings *settings)
{
	static union ipc_packet packet;
	int fd;

	if (ipc_receive(REPORT_SOCKET, &packet, &fd) != 1 || packet.kind != IPC_SETTINGS || fd >= 0)
		return -1;
	*settings = packet.settings;
	return ipc_is_string(settings->host, sizeof(settings->host)) &&
		       ipc_is_string(settings->hostname, sizeof(settings->hostname)) &&
		       ipc_is_string(settings->user, sizeof(settings->user)) &&
		       ipc_is_string(settings->password, sizeof(settings->password)) &&
		       ipc_is_string(settings->token, sizeof(settings->token)) &&
		       (settings->password[0] == '\0' || settings->token[0] == '\0') &&
		       ipc_is_string(settings->auth, sizeof(settings->auth)) &&
		       ipc_is_string(settings->trust_file, sizeof(settings->trust_file)) &&
		       ipc_is_string(settings->cert_file, sizeof(settings->cert_file)) &&
		       ipc_is_string(settings->key_file, sizeof(settings->key_file)) &&
		       settings->pin_count <= SETTINGS_PINS_MAX &&
		       settings->min_version <= TLS_VERSION_1_3 &&
		       (settings->cert_file[0] != '\0') == (settings->key_file[0] != '\0') &&
		       ipc_is_string(settings->from, sizeof(settings->from)) &&
		       (!settings->rewrite_from || settings->from[0] != '\0')
		   ? 0
		   : -1;
}

/* The setting from, with the domain as A-labels if that makes it ASCII, so that it
 * needs no SMTPUTF8.  0, or -1 with the conversation's problem. */
static int
from_settle(struct opening *o)
{
	struct conversation *c = o->conversation;
	char *from = o->settings->from, domain[256];
	const char *error = *from == '\0' ? NULL : envelope_address_check(from);
	size_t local = error != NULL || *from == '\0' ? 0 : (size_t)(strrchr(from, '@') - from);

	if (error == NULL && local > 0 && text_is_ascii(from, local)) {
		if (connect_ascii_host(from + local + 1, domain, sizeof(domain)) < 0)
			error = "its domain is not valid";
		else
			snprintf(
			    from + local + 1, sizeof(o->settings->from) - local - 1, "%s", domain);
	}
	if (error == NULL)
		return 0;
	snprintf(c->problem, sizeof(c->problem), "the setting from, %.300s: %s", from, error);
	return fault(o, FAULT_CONNECTION);
}

/* The password or token, and what libgsasl needs to use it. */
static int
login_prepare(struct opening *o)
{
	struct conversation *c = o->conversation;
	const struct ipc_settings *settings = o->settings;
	bool password = settings->password[0] != '\0', token = settings->token[0] != '\0';
	bool certificate = settings->cert_file[0] != '\0';

	c->auth = (struct auth){ .user = settings->user,
		.host = c->host,
		.secret = o->secret,
		.means = { .wanted = settings->auth,
		    .in_clear = settings->insecure_auth,
		    .password = password,
		    .token = token,
		    .certificate = certificate } };
	if ((password || token) && secret_read(token ? SECRET_TOKEN : SECRET_PASSWORD,
				       token ? settings->token : settings->password, o->secret,
				       c->problem, sizeof(c->problem)) < 0)
		return fault(o, FAULT_CREDENTIAL);
	if ((password || token || certificate) && auth_init(&c->auth) < 0) {
		snprintf(c->problem, sizeof(c->problem), "cannot set up libgsasl");
		return fault(o, FAULT_CONNECTION);
	}
	return 0;
}

/* Everything that needs a file: secret, trust store, certificate, libraries. */
static int
files_read(struct opening *o)
{
	struct conversation *c = o->conversation;
	const struct ipc_settings *settings = o->settings;
	const struct tls_wishes wishes = { .verify = settings->tls == TLS_REQUIRED,
		.only_1_3 = settings->min_version == TLS_VERSION_1_3,
		.pins = settings->pins,
		.pin_count = settings->pin_count,
		.trust_file = settings->trust_file,
		.cert_file = settings->cert_file,
		.key_file = settings->key_file };

	if (connect_ascii_host(settings->host, c->host, sizeof(c->host)) < 0) {
		snprintf(c->problem, sizeof(c->problem), "%s", c->host);
		return fault(o, FAULT_CONNECTION);
	}
	if (from_settle(o) < 0 || login_prepare(o) < 0)
		return -1;
	if (settings->tls != TLS_NONE && tls_init(&c->tls, &wishes) < 0) {
		snprintf(c->problem, sizeof(c->problem), "%s", c->tls.problem);
		return fault(o, FAULT_CONNECTION);
	}
	return 0;
}

/* The resolver has no deadline of its own.  What it is at cannot be continued, so this is
 * the end. */
static void
lookup_late(int number)
{
	(void)number;
	ipc_send(REPORT_SOCKET, &late, sizeof(late), -1);
	_exit(0);
}

static int
lookup(struct opening *o, struct endpoints *e)
{
	struct conversation *c = o->conversation;
	const struct ipc_settings *settings = o->settings;
	struct itimerval timer = {
		.it_value = { .tv_sec = (time_t)(settings->connect_timeout / USEC_PER_SEC),
		    .tv_usec = (suseconds_t)(settings->connect_timeout % USEC_PER_SEC) }
	};
	char length[DURATION_SIZE];
	int r;

	snprintf(late.text, sizeof(late.text), "cannot find the address of %s: no answer within %s",
	    c->host, duration_format(settings->connect_timeout, length));
	signal(SIGALRM, lookup_late);
	setitimer(ITIMER_REAL, &timer, NULL);
	r = endpoints_find(e, &c->stream, settings, c->host);
	timer.it_value = (struct timeval){ 0, 0 };
	setitimer(ITIMER_REAL, &timer, NULL);
	return r;
}

static int
host_connect(struct opening *o)
{
	struct conversation *c = o->conversation;
	int64_t deadline = clock_boot() + (int64_t)o->settings->connect_timeout;
	struct endpoints endpoints = { .count = 0 };
	const struct target *target = NULL;

	if (lookup(o, &endpoints) == 0)
		target =
		    connect_endpoints(&c->stream, &endpoints, o->settings->first_address, deadline);
	if (target == NULL)
		return conversation_broken(c);
	c->implicit_tls = target->implicit_tls;
	/* Whoever forges a record can name any host.  So the certificate is that of the
	 * domain (RFC 6186 section 6); a host below it is the domain's own. */
	if (o->settings->srv && srv_is_below(target->name, c->host)) {
		memcpy(c->domain, c->host, sizeof(c->domain));
		memcpy(c->host, target->name, sizeof(c->host));
	}
	return 0;
}

int
opening_run(struct conversation *c, struct ipc_settings *settings, struct buf *secret, char *ready,
    size_t size)
{
	struct opening opening = { .settings = settings, .conversation = c, .secret = secret };
	struct opening *o = &opening;

	c->settings = settings;
	stream_init(&c->stream, -1, REPORT_SOCKET);
	if (files_read(o) < 0 || host_connect(o) < 0)
		return -1;
	if (lock_in() < 0) {
		snprintf(c->problem, sizeof(c->problem), "cannot lock the session in: %s",
		    strerror(errno));
		return fault(o, FAULT_CONNECTION);
	}
	return conversation_open(c, ready, size);
}
