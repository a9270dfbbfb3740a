/*
 * The commands that come before mail: EHLO, HELO, STARTTLS, AUTH.
 */
#include "session.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { HELLO_REPLY_MAX = 2048 };

static bool
is_address_literal(const char *name)
{
	unsigned char address[16];
	char inner[64];
	size_t length = strlen(name);

	if (length < 3 || length - 2 >= sizeof inner || name[0] != '[' || name[length - 1] != ']')
		return false;
	memcpy(inner, name + 1, length - 2);
	inner[length - 2] = '\0';
	if (strncasecmp(inner, "IPv6:", 5) == 0)
		return inet_pton(AF_INET6, inner + 5, address) == 1;
	return inet_pton(AF_INET, inner, address) == 1;
}

/* RFC 5321 Domain with at least one dot; octets above ASCII pass, for U-labels. */
static bool
is_dotted_name(const char *name)
{
	size_t label = 0;
	bool dotted = false;

	if (strlen(name) > 255)
		return false;
	for (const char *p = name;; p++) {
		if (*p == '.' || *p == '\0') {
			if (label == 0 || label > 63 || p[-1] == '-')
				return false;
			if (*p == '\0')
				return dotted;
			dotted = true;
			label = 0;
			continue;
		}
		unsigned char c = (unsigned char)*p;
		if (!isalnum(c) && c < 0x80 && (c != '-' || label == 0))
			return false;
		label++;
	}
}

/* Refuses a bad argument of EHLO or HELO. */
static bool
name_is_fine(struct session *session, const char *name)
{
	if (*name == '\0') {
		session_reply(session, 501, "5.5.4", "a host name is needed");
		return false;
	}
	if (session->server->options.strict && !is_dotted_name(name) && !is_address_literal(name)) {
		session_reply(session, 504, "5.5.2",
		    "not a fully qualified host name or address literal");
		return false;
	}
	return true;
}

static bool
offers_starttls(const struct session *session)
{
	return session->server->tls.available && session->stream.tls == NULL &&
	    session_offers(session, OPTIONS_STARTTLS);
}

static bool
has_auth(const struct session *session)
{
	return session->server->auth.context != NULL && session_offers(session, OPTIONS_AUTH);
}

static bool
may_auth_here(const struct session *session)
{
	return session->stream.tls != NULL || session->server->options.auth_in_clear;
}

/* The keyword lines of the EHLO reply; HELLO_REPLY_MAX holds them all. */
static void
list_extensions(const struct session *session, struct text_buffer *reply)
{
	static const struct {
		enum options_extension extension;
		const char *line;
	} plain[] = {
		{ OPTIONS_PIPELINING, "\nPIPELINING" },
		{ OPTIONS_8BITMIME, "\n8BITMIME" },
		{ OPTIONS_SMTPUTF8, "\nSMTPUTF8" },
		{ OPTIONS_DSN, "\nDSN" },
		{ OPTIONS_ENHANCEDSTATUSCODES, "\nENHANCEDSTATUSCODES" },
		{ OPTIONS_CHUNKING, "\nCHUNKING" },
	};
	char size[40];

	for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
		if (session_offers(session, plain[i].extension))
			(void)text_append_string(reply, plain[i].line);
	if (session_offers(session, OPTIONS_SIZE)) {
		snprintf(size, sizeof size, "\nSIZE %llu",
		    (unsigned long long)session->server->options.size);
		(void)text_append_string(reply, size);
	}
	if (offers_starttls(session))
		(void)text_append_string(reply, "\nSTARTTLS");
	if (has_auth(session) && may_auth_here(session)) {
		(void)text_append_string(reply, "\nAUTH ");
		(void)text_append_string(reply, session->server->auth.mechanisms);
	}
}

void
hello_ehlo(struct session *session, char *arguments)
{
	struct text_buffer reply = { .cap = HELLO_REPLY_MAX };

	if (!name_is_fine(session, arguments))
		return;
	session_reset(session);
	session->greeted = session->extended = true;
	session->may_pipeline = session_offers(session, OPTIONS_PIPELINING);
	(void)text_append_string(&reply, "mail.example.test");
	list_extensions(session, &reply);
	session_reply(session, 250, NULL, text_string(&reply));
	text_free(&reply);
}

void
hello_helo(struct session *session, char *arguments)
{
	if (!name_is_fine(session, arguments))
		return;
	session_reset(session);
	session->greeted = true;
	session->extended = session->may_pipeline = false;
	session_reply(session, 250, NULL, "mail.example.test");
}

bool
hello_handshake(struct session *session)
{
	struct record *record = &session->server->record;
	char client[256];
	int r = stream_start_tls(&session->stream, &session->server->tls);

	if (r < 0) {
		record_note(record, session->number, "TLS handshake failed: %s", gnutls_strerror(r));
		session->over = true;
		session->end = SESSION_DROP;
		return false;
	}
	record_note(record, session->number, "TLS %s established",
	    tls_version(session->stream.tls));
	if (tls_describe_client(session->stream.tls, client, sizeof client))
		record_note(record, session->number, "client certificate %s", client);
	return true;
}

void
hello_starttls(struct session *session, char *arguments)
{
	if (*arguments != '\0') {
		session_reply(session, 501, "5.5.4", "STARTTLS takes no argument");
		return;
	}
	if (!offers_starttls(session)) {
		if (session->stream.tls != NULL)
			session_reply(session, 503, "5.5.1", "TLS is already on");
		else
			session_reply(session, 502, "5.5.1", "STARTTLS is not offered");
		return;
	}
	if (session->server->options.strict && stream_has_input(&session->stream)) {
		session_refuse(session, 554, "5.5.0", "commands sent ahead across STARTTLS");
		return;
	}
	session_reply(session, 220, "2.0.0", "go ahead");
	session_reset(session);
	session->greeted = session->extended = session->may_pipeline = false;
	session->mechanism = NULL;
	(void)hello_handshake(session);
}

/* One round: 334 out, a line in.  False when the exchange is over, with its reply given. */
static bool
ask_client(struct session *session, const char *challenge, char **response)
{
	struct record *record = &session->server->record;
	size_t length = 0;

	stream_put(&session->stream, "334 ", 4);
	stream_put(&session->stream, challenge, strlen(challenge));
	stream_put(&session->stream, "\r\n", 2);
	record_line(record, session->number, 'S', "334 (hidden)", *challenge != '\0' ? 12 : 4);
	enum stream_line result = stream_read_line(&session->stream, session->line,
	    sizeof session->line, &length);
	if (result == STREAM_LINE_CLOSED) {
		session->over = true;
		return false;
	}
	if (result == STREAM_LINE_TOO_LONG) {
		session_reply(session, 500, "5.5.6", "line too long");
		return false;
	}
	while (length > 0 && strchr("\r\n", session->line[length - 1]) != NULL)
		session->line[--length] = '\0';
	*response = session->line;
	if (strcmp(session->line, "*") == 0) {
		record_line(record, session->number, 'C', "*", 1);
		session_reply(session, 501, "5.7.0", "cancelled");
		return false;
	}
	record_line(record, session->number, 'C', "(hidden)", 8);
	return true;
}

/* The rounds up to the reply that ends them; response is the initial one or NULL. */
static void
hold_exchange(struct session *session, struct auth_exchange *exchange, char *response)
{
	for (;;) {
		char *challenge = NULL;
		enum auth_result result = auth_step(exchange, response, &challenge);
		bool more = false;
		switch (result) {
		case AUTH_MORE:
			more = ask_client(session, challenge != NULL ? challenge : "", &response);
			gsasl_free(challenge);
			break;
		case AUTH_DONE:
			session->mechanism = exchange->mechanism;
			session_reply(session, 235, "2.7.0", "authenticated");
			break;
		case AUTH_DENIED:
			session_reply(session, 535, "5.7.8", "credentials invalid");
			break;
		case AUTH_MALFORMED:
			session_reply(session, 501, "5.5.2", "not a valid response");
			break;
		}
		if (!more)
			return;
	}
}

void
hello_auth(struct session *session, char *arguments)
{
	struct auth_exchange exchange;
	char *initial = strchr(arguments, ' ');

	if (!has_auth(session)) {
		session_reply(session, 502, "5.5.1", "AUTH is not offered");
		return;
	}
	if (!may_auth_here(session)) {
		session_reply(session, 538, "5.7.11", "encryption is needed first");
		return;
	}
	if (!session->extended || session->mechanism != NULL || session->in_transaction) {
		session_reply(session, 503, "5.5.1", "not now");
		return;
	}
	if (initial != NULL)
		*initial++ = '\0';
	if (initial != NULL && strcmp(initial, "=") == 0)
		*initial = '\0';
	const char *mechanism = auth_find(&session->server->auth, arguments);
	if (mechanism == NULL) {
		session_reply(session, 504, "5.5.4", "mechanism unknown");
		return;
	}
	if (auth_begin(&exchange, &session->server->auth, mechanism, session->stream.tls))
		hold_exchange(session, &exchange, initial);
	else
		session_reply(session, 454, "4.7.0", "the mechanism does not start");
	auth_end(&exchange);
}
