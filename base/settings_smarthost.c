/*
 * The settings of a smarthost that are more than one value of one type.
 */
#include <arpa/inet.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/number.h"
#include "base/settings_parser.h"

/* Where a secret is. */
static void
set_source(struct parser *p, char **place)
{
	const char *value = p->line.value;
	bool named = strncmp(value, "credential:", 11) == 0 && value[11] != '\0' &&
		     settings_is_name(value + 11);

	if (strlen(value) >= PATH_MAX)
		settings_fail(p, "is too long");
	else if (strncmp(value, "file:/", 6) != 0 && strncmp(value, "command:/", 9) != 0 && !named)
		settings_fail(p, "must be file:/PATH, credential:NAME or command:/PROGRAM "
				 "ARGUMENTS, so that the "
				 "secret itself does not stand in this file");
	else
		settings_set_string(p, place, value);
}

void
settings_set_password(struct parser *p)
{
	set_source(p, &p->smarthost->password);
}

void
settings_set_token(struct parser *p)
{
	set_source(p, &p->smarthost->token);
}

enum credential { PASSWORD, TOKEN, CERTIFICATE };

/* What relayd-session can do, so that a name it does not know is found here; and what each needs.
 */
static const struct {
	const char *name;
	enum credential credential;
} mechanisms[] = {
	{ "EXTERNAL", CERTIFICATE },
	{ "SCRAM-SHA-256-PLUS", PASSWORD },
	{ "SCRAM-SHA-256", PASSWORD },
	{ "SCRAM-SHA-1-PLUS", PASSWORD },
	{ "SCRAM-SHA-1", PASSWORD },
	{ "OAUTHBEARER", TOKEN },
	{ "XOAUTH2", TOKEN },
	{ "PLAIN", PASSWORD },
	{ "LOGIN", PASSWORD },
	{ "CRAM-MD5", PASSWORD },
	{ "DIGEST-MD5", PASSWORD },
};
#define MECHANISMS (sizeof(mechanisms) / sizeof(mechanisms[0]))

/* The place in the table of the first word of *list, MECHANISMS if it has none; *list moves
 * behind it. */
static size_t
mechanism_take(const char **list)
{
	const char *word = *list;
	size_t n = strcspn(word, " \t"), i = 0;

	while (i < MECHANISMS &&
	       (strlen(mechanisms[i].name) != n || strncasecmp(word, mechanisms[i].name, n) != 0))
		i++;
	*list = word + n + strspn(word + n, " \t");
	return i;
}

void
settings_set_auth(struct parser *p)
{
	const char *list = p->line.value;
	unsigned seen = 0;

	if (*list == '\0') {
		settings_fail(p, "a value is missing");
		return;
	}
	while (*list != '\0') {
		size_t i = mechanism_take(&list);

		if (i == MECHANISMS || (seen >> i & 1) != 0) {
			settings_fail(p,
			    "must name mechanisms, each once, the preferred one first, out of: "
			    "EXTERNAL SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS "
			    "SCRAM-SHA-1 OAUTHBEARER XOAUTH2 PLAIN LOGIN CRAM-MD5 DIGEST-MD5");
			return;
		}
		seen |= 1U << i;
	}
	settings_set_string(p, &p->smarthost->auth, p->line.value);
}

static bool
is_address_literal(const char *s)
{
	unsigned char address[16];

	return inet_pton(AF_INET6, s, address) == 1 || inet_pton(AF_INET, s, address) == 1;
}

/* HOST, ADDRESS or [ADDRESS], with an optional :PORT.  Cuts text. */
static bool
host_and_port(char *text, char **host, char **port)
{
	bool bracketed = *text == '[';
	char *end;

	*host = text;
	if (bracketed) {
		*host = text + 1;
		end = strchr(text, ']');
		if (end == NULL)
			return false;
		*end++ = '\0';
	} else {
		end = text + strcspn(text, ":/?#@ ");
	}
	*port = NULL;
	if (*end == ':') {
		*end++ = '\0';
		*port = end;
	} else if (*end != '\0') {
		return false;
	}
	return **host != '\0' && strlen(*host) <= 255 &&
	       (bracketed ? is_address_literal(*host) : settings_is_name(*host));
}

/* Without the dot at its end, which no certificate has. */
static void
host_set(struct parser *p, struct settings_smarthost *h, char *host)
{
	size_t len = strlen(host);

	if (len > 1 && host[len - 1] == '.')
		host[len - 1] = '\0';
	settings_set_string(p, &h->host, host);
}

static void
set_domain(struct parser *p, struct settings_smarthost *h, char *text)
{
	char *domain, *port;

	h->srv = true;
	if (!host_and_port(text, &domain, &port) || port != NULL || is_address_literal(domain))
		settings_fail(p, "behind srv: stands a domain and nothing else; its SRV records "
				 "have the host and the port");
	else
		host_set(p, h, domain);
}

void
settings_set_smarthost(struct parser *p, struct settings_smarthost *h)
{
	char *text = p->line.value, *host, *port;
	char endpoint[300];

	settings_set_string(p, &h->uri, text);
	if (strncmp(text, "provider:", 9) == 0) {
		const char *uri = settings_provider_uri(p, text + 9);

		if (uri == NULL)
			return;
		snprintf(endpoint, sizeof(endpoint), "%s", uri);
		text = endpoint;
	}
	if (strncmp(text, "srv:", 4) == 0) {
		set_domain(p, h, text + 4);
		return;
	}
	h->implicit_tls = strncmp(text, "smtps://", 8) == 0;
	if (!h->implicit_tls && strncmp(text, "smtp://", 7) != 0) {
		settings_fail(p,
		    "must be smtp://HOST or smtps://HOST, with :PORT if it is not the usual one, "
		    "srv:DOMAIN or provider:NAME");
		return;
	}
	h->port = h->implicit_tls ? 465 : 587;
	if (!host_and_port(text + (h->implicit_tls ? 8 : 7), &host, &port)) {
		settings_fail(p, "the host is missing or has characters that no host name has");
		return;
	}
	if (port != NULL && number_parse(port, 1, 65535, &h->port) < 0) {
		settings_fail(p, "the port must be a number from 1 to 65535");
		return;
	}
	host_set(p, h, host);
}

/* Does `auth` name something that we have a credential for? */
static bool
is_auth_possible(const struct settings_smarthost *h)
{
	const bool have[] = {
		[PASSWORD] = h->password != NULL,
		[TOKEN] = h->token != NULL,
		[CERTIFICATE] = h->tls_cert_file != NULL,
	};
	const char *list = h->auth;

	while (list != NULL && *list != '\0') {
		size_t i = mechanism_take(&list);

		if (have[mechanisms[i].credential])
			return true;
	}
	return list == NULL;
}

static const char *
login_error(const struct settings_smarthost *h)
{
	bool certificate = h->tls_cert_file != NULL;
	bool secret = h->password != NULL || h->token != NULL;

	if (certificate != (h->tls_key_file != NULL))
		return "tls_cert_file and tls_key_file belong together; one of them is missing";
	if (certificate && h->tls == TLS_NONE)
		return "a client certificate needs TLS; remove \"tls none\" or tls_cert_file";
	if (h->password != NULL && h->token != NULL)
		return "password and token are two ways to log in; remove one of them";
	if (h->user == NULL ? secret : !secret && !certificate)
		return "user and password, or user and token, belong together; one of them is "
		       "missing";
	if (!is_auth_possible(h))
		return "auth names no mechanism for which there is a password, a token or, for "
		       "EXTERNAL, tls_cert_file";
	if (secret && !h->implicit_tls && h->tls != TLS_REQUIRED && !h->insecure_auth)
		return "a password or token without required TLS could be read on the way; set "
		       "\"insecure_auth yes\" if that is meant";
	return NULL;
}

/* What only the whole block shows. */
void
settings_check_smarthost(struct parser *p)
{
	struct settings_smarthost *h = p->smarthost;
	const char *error;

	if (h == NULL)
		return;
	p->line = (struct conf_line){ .number = h->line, .name = (char *)(uintptr_t) "smarthost" };
	settings_apply_provider(p);
	error = login_error(h);
	if (error != NULL)
		settings_fail(p, error);
	else if (h->rewrite_from && h->from == NULL)
		settings_fail(p, "rewrite_from needs the address that takes the place of From; "
				 "set from");
	else if (h->tls_pin_count > 0 && h->tls != TLS_REQUIRED)
		settings_fail(p, "tls_pin means nothing unless TLS is required; remove \"tls\" or "
				 "tls_pin");
	else if (h->implicit_tls && h->tls != TLS_REQUIRED)
		settings_fail(p, "smtps:// is TLS from the first byte; \"tls\" other than required "
				 "contradicts it");
}
