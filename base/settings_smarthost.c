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

void
settings_set_password(struct parser *p)
{
	const char *value = p->line.value;

	if (strlen(value) >= PATH_MAX)
		settings_fail(p, "is too long");
	else if (strncmp(value, "file:/", 6) != 0 &&
		 (strncmp(value, "credential:", 11) != 0 || value[11] == '\0' ||
		     !settings_is_name(value + 11)))
		settings_fail(p,
		    "must be file:/PATH or credential:NAME, so that the secret itself stands "
		    "in a file of its own");
	else
		settings_set_string(p, &p->smarthost->password, value);
}

/* What relayd-session can do, so that a name it does not know is found here. */
void
settings_set_auth(struct parser *p)
{
	static const char *const known[] = { "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN" };
	const char *word = p->line.value;
	size_t count = 0;

	while (*word != '\0') {
		size_t n = strcspn(word, " \t"), i = 0;

		while (i < 4 && (strlen(known[i]) != n || strncasecmp(word, known[i], n) != 0))
			i++;
		if (i == 4 || ++count > 4) {
			settings_fail(p,
			    "must name mechanisms out of SCRAM-SHA-256, SCRAM-SHA-1, PLAIN and "
			    "LOGIN, the preferred one first");
			return;
		}
		word += n;
		word += strspn(word, " \t");
	}
	if (count == 0)
		settings_fail(p, "a value is missing");
	else
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

void
settings_set_smarthost(struct parser *p, struct settings_smarthost *h)
{
	char *text = p->line.value, *host, *port;
	char endpoint[300];
	size_t len;

	settings_set_string(p, &h->uri, text);
	if (strncmp(text, "provider:", 9) == 0) {
		const char *uri = settings_provider_uri(p, text + 9);

		if (uri == NULL)
			return;
		snprintf(endpoint, sizeof(endpoint), "%s", uri);
		text = endpoint;
	}
	h->implicit_tls = strncmp(text, "smtps://", 8) == 0;
	if (!h->implicit_tls && strncmp(text, "smtp://", 7) != 0) {
		settings_fail(p,
		    "must be smtp://HOST or smtps://HOST, with :PORT if it is not the usual one, "
		    "or provider:NAME");
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
	len = strlen(host);
	if (len > 1 && host[len - 1] == '.')
		host[len - 1] = '\0';
	settings_set_string(p, &h->host, host);
}

/* What only the whole block shows. */
void
settings_check_smarthost(struct parser *p)
{
	struct settings_smarthost *h = p->smarthost;

	if (h == NULL)
		return;
	p->line = (struct conf_line){ .number = h->line, .name = (char *)(uintptr_t) "smarthost" };
	settings_apply_provider(p);
	if ((h->user == NULL) != (h->password == NULL))
		settings_fail(p, "user and password belong together; one of them is missing");
	else if (h->user != NULL && !h->implicit_tls && h->tls != TLS_REQUIRED && !h->insecure_auth)
		settings_fail(p, "a password without required TLS could be read on the way; set "
				 "\"insecure_auth yes\" if that is meant");
	else if (h->rewrite_from && h->from == NULL)
		settings_fail(p, "rewrite_from needs the address that takes the place of From; "
				 "set from");
	else if (h->implicit_tls && h->tls != TLS_REQUIRED)
		settings_fail(p, "smtps:// is TLS from the first byte; \"tls\" other than required "
				 "contradicts it");
}
