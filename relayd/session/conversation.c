/*
 * The way to MAIL, told top to bottom.
 */
#include "relayd/session/conversation.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "base/settings.h"
#include "relayd/session/connect.h"
#include "relayd/session/meaning.h"

int
conversation_broken(struct conversation *c)
{
	c->fault = FAULT_CONNECTION;
	c->code = 0;
	snprintf(c->problem, sizeof(c->problem), "%s", c->stream.problem);
	return -1;
}

int
conversation_refused(struct conversation *c, enum ipc_fault fault, const char *to_what)
{
	char line[400];

	c->fault = fault;
	c->code = c->reply.code;
	snprintf(c->problem, sizeof(c->problem), "%s: %s", to_what,
	    reply_line(&c->reply, line, sizeof(line)));
	return -1;
}

__attribute__((format(printf, 3, 4))) static int
misconfigured(struct conversation *c, enum ipc_fault fault, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	c->fault = fault;
	c->code = 0;
	vsnprintf(c->problem, sizeof(c->problem), fmt, ap);
	va_end(ap);
	return -1;
}

int
conversation_command(struct conversation *c, const char *fmt, ...)
{
	char line[2048];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line) - 2, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(line) - 2)
		return stream_fail(&c->stream, STREAM_PROTOCOL, "a command would be too long");
	memcpy(line + n, "\r\n", 2);
	if (c->awaited++ == 0)
		c->answered = false;
	return stream_write(&c->stream, line, (size_t)n + 2);
}

/* Of several commands that were written, the smarthost has answered some: perhaps it lost
 * the others. */
void
conversation_unanswered(struct conversation *c)
{
	if (!c->answered || c->awaited == 0 || c->stream.error == STREAM_STOPPED)
		return;
	c->peer |= c->stream.error == STREAM_TIMEOUT && c->awaited > 1 ? PEER_STALLED : PEER_BROKE;
}

int
conversation_reply(struct conversation *c)
{
	if (reply_read(&c->stream, &c->reply) < 0) {
		conversation_unanswered(c);
		return -1;
	}
	c->answered = true;
	c->awaited -= c->awaited > 0;
	return 0;
}

static int
greeting_refused(struct conversation *c, const char *to_what)
{
	return conversation_refused(
	    c, meaning_fault(reply_meaning(PHASE_GREETING, &c->reply)), to_what);
}

static int
banner(struct conversation *c)
{
	if (conversation_reply(c) < 0)
		return conversation_broken(c);
	if (c->reply.code != 220)
		return greeting_refused(c, "the smarthost's greeting");
	return 0;
}

/* Without user and `auth` a client certificate is enough by itself, unless the smarthost wants it
 * named in AUTH. */
static bool
wants_login(const struct conversation *c)
{
	const struct mechanism_means *means = &c->auth.means;

	return c->settings->user[0] != '\0' || *means->wanted != '\0' ||
	       (means->certificate && c->secured &&
		   capabilities_have_mechanism(&c->can, "EXTERNAL"));
}

static int
hello(struct conversation *c, const char *verb)
{
	if (conversation_command(c, "%s %s", verb, c->ehlo) < 0 || conversation_reply(c) < 0)
		return conversation_broken(c);
	if (reply_meaning(PHASE_GREETING, &c->reply) != MEANS_OK)
		return greeting_refused(c, verb);
	return 0;
}

/* What earlier sessions have found out about this server. */
static void
peer_recall(struct conversation *c)
{
	if (c->settings->ehlo != c->can.check)
		return;
	c->peer = c->settings->peer;
	c->recipients_max = c->settings->recipients_max;
	if ((c->peer & PEER_LOCKSTEP) != 0)
		c->can.set &= ~(unsigned)CAN_PIPELINING;
}

/* RFC 5321 section 3.2: HELO for a server that does not know EHLO.  It knows neither STARTTLS nor
 * AUTH then, so that this is only for those who need neither. */
static int
ehlo(struct conversation *c)
{
	c->can = (struct capabilities){ .set = 0 };
	if (hello(c, "EHLO") == 0) {
		capabilities_parse(&c->can, buf_string(&c->reply.text));
		peer_recall(c);
		return 0;
	}
	if ((c->code != 500 && c->code != 502) || c->secured || c->settings->tls == TLS_REQUIRED ||
	    wants_login(c))
		return -1;
	return hello(c, "HELO");
}

static int
secure(struct conversation *c)
{
	if (tls_start(&c->tls, &c->stream, c->host, c->domain) < 0)
		return conversation_broken(c);
	c->secured = true;
	return 0;
}

/* After STARTTLS all that was learned is forgotten; what arrives behind the 220
 * in the clear was put there by somebody else (RFC 3207 section 4.2). */
static int
starttls(struct conversation *c)
{
	if ((c->can.set & CAN_STARTTLS) == 0)
		return misconfigured(c, FAULT_CONNECTION,
		    "the smarthost does not offer STARTTLS; nothing is sent in the clear "
		    "(smtps:// speaks TLS from the first byte, usually on port 465)");
	if (conversation_command(c, "STARTTLS") < 0 || conversation_reply(c) < 0)
		return conversation_broken(c);
	if (c->reply.code != 220)
		return greeting_refused(c, "STARTTLS");
	if (stream_has_input(&c->stream)) {
		stream_fail(&c->stream, STREAM_PROTOCOL,
		    "something was injected behind the reply to STARTTLS");
		return conversation_broken(c);
	}
	if (secure(c) < 0)
		return -1;
	return ehlo(c);
}

static int
rejected(struct conversation *c, const char *mechanism)
{
	if (strstr(mechanism, "-PLUS") != NULL)
		return conversation_refused(c, FAULT_CREDENTIAL,
		    "the smarthost rejects user and password, or has no working channel binding "
		    "(see auth)");
	if (c->auth.means.token)
		return conversation_refused(
		    c, FAULT_CREDENTIAL, "the smarthost rejects user and token");
	return conversation_refused(c, FAULT_CREDENTIAL,
	    strcmp(mechanism, "EXTERNAL") == 0 ? "the smarthost rejects the client certificate"
					       : "the smarthost rejects user and password");
}

static int
authenticate(struct conversation *c, const char **mechanism)
{
	enum ipc_fault fault;
	const struct mechanism_means *means = &c->auth.means;
	const char *wanted = means->wanted;

	switch (auth_run(&c->auth, &c->stream, &c->can, &c->reply, mechanism)) {
	case AUTH_OK:
		return 0;
	case AUTH_REJECTED:
		return rejected(c, *mechanism);
	case AUTH_UNBOUND:
		return misconfigured(c, FAULT_CREDENTIAL,
		    "%s: TLS to the smarthost has no channel binding; name mechanisms without "
		    "-PLUS "
		    "in the setting auth to do without",
		    *mechanism);
	case AUTH_TEMPORARY:
		fault = meaning_fault(reply_meaning(PHASE_AUTH, &c->reply));
		return conversation_refused(c, fault,
		    fault == FAULT_CREDENTIAL ? "the smarthost cannot check the password now"
					      : "AUTH");
	case AUTH_NONE:
		return misconfigured(c, FAULT_CREDENTIAL,
		    "no mechanism for %s: the smarthost offers (%s)%s%s%s",
		    means->password ? "user and password"
		    : means->token  ? "user and token"
				    : "the client certificate",
		    c->can.auth, *wanted == '\0' ? "" : ", the setting auth allows (", wanted,
		    *wanted == '\0' ? "" : ")");
	case AUTH_BROKEN:
		break;
	}
	return conversation_broken(c);
}

int
conversation_open(struct conversation *c, char *ready, size_t size)
{
	const struct ipc_settings *s = c->settings;
	const char *mechanism = NULL;
	char peer[CONNECT_PEER_SIZE];

	stream_timeout(&c->stream, s->command_timeout);
	connect_ehlo_name(c->stream.fd, s->hostname, c->ehlo, sizeof(c->ehlo));
	if (c->implicit_tls && secure(c) < 0)
		return -1;
	if (banner(c) < 0 || ehlo(c) < 0)
		return -1;
	if (!c->secured &&
	    (s->tls == TLS_REQUIRED ||
		(s->tls == TLS_OPPORTUNISTIC && (c->can.set & CAN_STARTTLS) != 0)) &&
	    starttls(c) < 0)
		return -1;
	if ((c->auth.means.password || c->auth.means.token) && !c->secured && !s->insecure_auth)
		return misconfigured(c, FAULT_CONNECTION,
		    "the password would be readable on the way; see insecure_auth");
	if (wants_login(c) && authenticate(c, &mechanism) < 0)
		return -1;
	snprintf(ready, size, "%s, %s, %s%s", connect_peer_name(c->stream.fd, peer),
	    c->secured ? tls_version_name(&c->stream) : "in the clear",
	    mechanism == NULL ? "without authentication" : "authenticated by ",
	    mechanism == NULL ? "" : mechanism);
	return 0;
}

void
conversation_quit(struct conversation *c)
{
	stream_timeout(&c->stream, USEC_PER_SEC);
	if (c->stream.error == STREAM_OK && conversation_command(c, "QUIT") == 0 &&
	    stream_flush(&c->stream) == 0 && c->secured)
		gnutls_bye(c->stream.tls, GNUTLS_SHUT_WR);
}
