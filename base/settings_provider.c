/*
 * What is known of providers of smarthosts, as data: a block that names one gets
 * these values for whatever it does not set itself.
 *
 * Figures of providers change.  Here stand only those that fail when they are
 * ignored; a quota is no setting, since the provider's replies tell when it is
 * used up.
 */
#include <string.h>

#include "base/number.h"
#include "base/settings_parser.h"

struct settings_provider {
	const char *name;
	const char *uri; /* NULL: it is another one for each account */
	const char *auth;
	const char *user;                 /* the login name, if all accounts have the same */
	uint64_t connections;             /* 0: the default */
	uint64_t idle_timeout;            /* 0: the default */
	uint64_t messages_per_connection; /* 0: the default */
	bool own_address;                 /* takes mail from the account's address only */
};

/* clang-format off */
static const struct settings_provider providers[] = {
	{ "fastmail",   "smtps://smtp.fastmail.com",     "PLAIN LOGIN", NULL,     0, 0, 0, true },
	{ "gmail",      "smtps://smtp.gmail.com",        "PLAIN LOGIN", NULL,     0, 0, 0, true },
	{ "gmx",        "smtps://mail.gmx.net",          "PLAIN LOGIN", NULL,     0, 0, 0, true },
	{ "icloud",     "smtp://smtp.mail.me.com",       "PLAIN LOGIN", NULL,     0, 0, 0, true },
	{ "mailgun",    "smtps://smtp.mailgun.org",      "PLAIN LOGIN", NULL,     0, 0, 0, false },
	{ "mailgun-eu", "smtps://smtp.eu.mailgun.org",   "PLAIN LOGIN", NULL,     0, 0, 0, false },
	{ "office365",  "smtp://smtp.office365.com",     "LOGIN",       NULL,     3, 0, 0, true },
	{ "postmark",   "smtp://smtp.postmarkapp.com",   "PLAIN",       NULL,     2, 0, 0, false },
	{ "sendgrid",   "smtps://smtp.sendgrid.net",     "PLAIN LOGIN", "apikey", 0, 0, 100, false },
	{ "ses",        NULL,                            "PLAIN LOGIN", NULL,     0, 5 * USEC_PER_SEC, 0, false },
	{ "web.de",     "smtp://smtp.web.de",            "PLAIN LOGIN", NULL,     0, 0, 0, true },
	{ "yahoo",      "smtps://smtp.mail.yahoo.com",   "PLAIN LOGIN", NULL,     0, 0, 0, true },
	{ "zoho",       "smtps://smtp.zoho.com",         "PLAIN LOGIN", NULL,     0, 0, 0, true },
	{ "zoho-eu",    "smtps://smtp.zoho.eu",          "PLAIN LOGIN", NULL,     0, 0, 0, true },
	{ "zoho-in",    "smtps://smtp.zoho.in",          "PLAIN LOGIN", NULL,     0, 0, 0, true },
};
/* clang-format on */

#define PROVIDERS (sizeof(providers) / sizeof(providers[0]))

static void
provider_find(struct parser *p, const char *name)
{
	struct buf b = BUF_INIT(CONF_LINE_MAX + 1000);

	for (size_t i = 0; i < PROVIDERS; i++)
		if (strcmp(providers[i].name, name) == 0) {
			p->provider = &providers[i];
			return;
		}
	buf_addf(&b, "the provider \"%s\" is none of:", name);
	for (size_t i = 0; i < PROVIDERS; i++)
		buf_addf(&b, " %s", providers[i].name);
	settings_fail(p, buf_string(&b));
	buf_free(&b);
}

void
settings_set_provider(struct parser *p)
{
	if (p->provider != NULL)
		settings_fail(p, "the smarthost line names a provider already");
	else
		provider_find(p, p->line.value);
}

const char *
settings_provider_uri(struct parser *p, const char *name)
{
	provider_find(p, name);
	if (p->provider != NULL && p->provider->uri == NULL)
		settings_fail(p,
		    "this provider has no host that is the same for all; write smtp://HOST here "
		    "and the setting provider below");
	return p->provider == NULL ? NULL : p->provider->uri;
}

void
settings_apply_provider(struct parser *p)
{
	const struct settings_provider *from = p->provider;
	struct settings_smarthost *h = p->smarthost;

	if (from == NULL)
		return;
	/* what it prefers for a password; a token has mechanisms of its own */
	if (h->auth == NULL && h->password != NULL)
		settings_set_string(p, &h->auth, from->auth);
	if (h->user == NULL && h->password != NULL && from->user != NULL)
		settings_set_string(p, &h->user, from->user);
	if (from->connections != 0 && !settings_is_set(p, "connections"))
		h->connections = from->connections;
	if (from->idle_timeout != 0 && !settings_is_set(p, "idle_timeout"))
		h->idle_timeout = from->idle_timeout;
	if (from->messages_per_connection != 0 && !settings_is_set(p, "messages_per_connection"))
		h->messages_per_connection = from->messages_per_connection;
	if (!from->own_address)
		return;
	if (h->from == NULL && h->user != NULL && settings_is_address(h->user))
		settings_set_string(p, &h->from, h->user);
	if (h->from == NULL)
		settings_fail(p,
		    "this provider takes mail from the account's own address only, and user is "
		    "no address; set from");
	else if (!settings_is_set(p, "rewrite_from"))
		h->rewrite_from = true;
}
