/*
 * base/settings: what a file says, and what is wrong with it, by line.
 */
#include "tests/unit/unit.h"

#include "base/number.h"
#include "base/settings.h"

#define SMARTHOST "smarthost smtp://mail.example.org\n"
/* 32 octets with the values 0 to 31 */
#define HEX62 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e"
#define HEX64 HEX62 "1f"
#define BASE64 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

static char path[64];

/* Reads a text as a file; the errors are to be freed. */
static struct buf
errors_of(struct settings *s, const char *text, size_t len)
{
	struct buf errors = BUF_INIT(0);
	int fd = memory_file(text, len), r;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = settings_read(s, path, &errors);
	close(fd);
	assert_int_equal(r<0, errors.len> 0);
	return errors;
}

static void
good(struct settings *s, const char *text)
{
	struct buf errors = errors_of(s, text, strlen(text));

	if (errors.len > 0)
		fail_msg("%s", errors.data);
	buf_free(&errors);
}

static void
defaults_are_those_of_the_manual(void **state)
{
	struct settings s;
	const struct settings_smarthost *h;

	(void)state;
	good(&s, SMARTHOST);
	assert_string_equal(s.spool_directory, "/var/spool/postbag");
	assert_string_equal(s.runtime_directory, "/run/postbag");
	assert_string_equal(s.user, "postbag");
	assert_null(s.domain);
	assert_null(s.hostname);
	assert_int_equal(s.retry_first, USEC_PER_MIN);
	assert_int_equal(s.retry_max, 4 * USEC_PER_HOUR);
	assert_int_equal(s.reconnect_first, USEC_PER_SEC);
	assert_int_equal(s.reconnect_max, 5 * USEC_PER_MIN);
	assert_false(s.reconnect_set);
	assert_int_equal(s.in_doubt_interval, 15 * USEC_PER_MIN);
	assert_int_equal(s.queue_lifetime, 5 * USEC_PER_DAY);
	assert_true(s.delay_warning == SETTINGS_NEVER && s.keep_failed == SETTINGS_NEVER);
	assert_int_equal(s.max_message_size, 0);
	assert_int_equal(s.smarthost_count, 1);
	h = &s.smarthosts[0];
	assert_string_equal(h->host, "mail.example.org");
	assert_int_equal(h->port, 587);
	assert_false(h->implicit_tls);
	assert_int_equal(h->tls, TLS_REQUIRED);
	assert_int_equal(h->on_sender_refused, REFUSED_HOLD);
	assert_int_equal(h->connections, 4);
	assert_int_equal(h->idle_timeout, 30 * USEC_PER_SEC);
	assert_null(h->password);
	settings_free(&s);
}

static void
a_duration_may_be_without_end(void **state)
{
	struct settings s;

	(void)state;
	good(&s, "delay_warning 4h\nkeep_failed 30d\n");
	assert_int_equal(s.delay_warning, 4 * USEC_PER_HOUR);
	assert_int_equal(s.keep_failed, 30 * USEC_PER_DAY);
	settings_free(&s);
	good(&s, "delay_warning never\nkeep_failed forever\n");
	assert_true(s.delay_warning == SETTINGS_NEVER && s.keep_failed == SETTINGS_NEVER);
	settings_free(&s);
}

static void
values_are_taken(void **state)
{
	struct settings s;

	(void)state;
	good(&s, "spool_directory /s\nruntime_directory /r\nuser u\ndomain d.x\nhostname h.x\n"
		 "retry_interval 2m 3h\nreconnect_interval 2s 2s\nin_doubt_interval 1m\n"
		 "queue_lifetime 1d\nmax_message_size 10M\nspool_reserve 1G\n"
		 "smarthost smtps://a.x\n user web1@x\n password file:/p\n auth PLAIN LOGIN\n"
		 " tls_trust_file /t\n connections 1\n on_sender_refused bounce\n"
		 "smarthost smtp://b.x:25\n tls none\n insecure_auth yes\n user u\n password "
		 "credential:c\n");
	assert_string_equal(s.spool_directory, "/s");
	assert_string_equal(s.domain, "d.x");
	assert_int_equal(s.retry_max, 3 * USEC_PER_HOUR);
	assert_true(s.reconnect_set);
	assert_int_equal(s.spool_reserve, 1 << 30);
	assert_int_equal(s.smarthost_count, 2);
	assert_true(s.smarthosts[0].implicit_tls);
	assert_int_equal(s.smarthosts[0].port, 465);
	assert_string_equal(s.smarthosts[0].user, "web1@x");
	assert_string_equal(s.smarthosts[0].auth, "PLAIN LOGIN");
	assert_int_equal(s.smarthosts[0].on_sender_refused, REFUSED_BOUNCE);
	assert_int_equal(s.smarthosts[1].port, 25);
	assert_int_equal(s.smarthosts[1].tls, TLS_NONE);
	assert_int_equal(s.smarthosts[1].on_sender_refused, REFUSED_HOLD);
	assert_string_equal(s.smarthosts[1].password, "credential:c");
	settings_free(&s);
}

static void
settings_about_addresses_are_taken(void **state)
{
	struct settings s;

	(void)state;
	good(&s, SMARTHOST);
	assert_string_equal(s.aliases, "/etc/aliases");
	assert_false(s.aliases_set);
	assert_null(s.local_mail_to);
	assert_int_equal(s.mailq_visibility, VISIBILITY_ALL);
	settings_free(&s);
	good(&s, "aliases /etc/aliases\nlocal_mail_to ops@example.org\nignore_dots yes\n"
		 "local_domains a.x  b.x\nlocal_domains c.x\nmailq_visibility own\n"
		 "map root web1@example.org\nmap joe \tj@x\n"
		 "smarthost smtp://a.x\n from web1@example.org\n rewrite_from yes\n");
	assert_true(s.aliases_set);
	assert_string_equal(s.local_mail_to, "ops@example.org");
	assert_true(s.ignore_dots);
	assert_int_equal(s.local_domain_count, 3);
	assert_string_equal(s.local_domains[1], "b.x");
	assert_string_equal(s.local_domains[2], "c.x");
	assert_int_equal(s.mailq_visibility, VISIBILITY_OWN);
	assert_int_equal(s.map_count, 2);
	assert_string_equal(s.maps[0].local, "root");
	assert_string_equal(s.maps[0].address, "web1@example.org");
	assert_string_equal(s.maps[1].address, "j@x");
	assert_string_equal(s.smarthosts[0].from, "web1@example.org");
	assert_true(s.smarthosts[0].rewrite_from);
	settings_free(&s);
}

static void
what_a_smarthost_carries_and_how_much_is_taken(void **state)
{
	struct settings s;
	const struct settings_smarthost *h;

	(void)state;
	good(&s, SMARTHOST "for a@b.x  from:@c.x to:@.d.x\nfor <> * to:e@\303\244.x\nrate 30/m\n"
			   "messages_per_connection 10\n" SMARTHOST);
	h = &s.smarthosts[0];
	assert_int_equal(h->pattern_count, 6);
	assert_string_equal(h->patterns[0].text, "a@b.x");
	assert_false(h->patterns[0].recipient);
	assert_string_equal(h->patterns[1].text, "@c.x");
	assert_false(h->patterns[1].recipient);
	assert_string_equal(h->patterns[2].text, "@.d.x");
	assert_true(h->patterns[2].recipient);
	assert_string_equal(h->patterns[3].text, "<>");
	assert_string_equal(h->patterns[5].text, "e@\303\244.x");
	assert_int_equal(h->rate, 30);
	assert_true(h->rate_unit == USEC_PER_MIN);
	assert_int_equal(h->messages_per_connection, 10);
	h = &s.smarthosts[1];
	assert_int_equal(h->pattern_count, 0);
	assert_int_equal(h->rate, 0);
	assert_true(h->messages_per_connection == SETTINGS_NEVER);
	settings_free(&s);
}

static void
there_may_be_64_smarthosts(void **state)
{
	struct settings s;
	struct buf text = BUF_INIT(10000), errors;

	(void)state;
	for (int i = 0; i < SETTINGS_SMARTHOSTS_MAX; i++)
		buf_add_string(&text, SMARTHOST);
	good(&s, buf_string(&text));
	settings_free(&s);
	buf_add_string(&text, SMARTHOST);
	errors = errors_of(&s, buf_string(&text), text.len);
	assert_non_null(strstr(buf_string(&errors), ":65: smarthost: there may be 64 smarthosts"));
	buf_free(&errors);
	buf_free(&text);
	settings_free(&s);
}

static void
a_provider_gives_what_the_block_does_not_set(void **state)
{
	struct settings s;
	struct settings_smarthost *h;

	(void)state;
	good(&s, "smarthost provider:gmail\n user a@gmail.example\n password file:/p\n"
		 "smarthost provider:office365\n user a@x\n password file:/p\n from b@x\n"
		 " rewrite_from no\n auth PLAIN\n connections 4\n"
		 "smarthost smtp://email.a.x:2587\n provider ses\n user u\n password file:/p\n"
		 "smarthost provider:sendgrid\n password file:/p\n idle_timeout 30s\n"
		 "smarthost smtp://plain.x\n");
	h = s.smarthosts;
	assert_string_equal(h[0].host, "smtp.gmail.com");
	assert_int_equal(h[0].port, 465);
	assert_true(h[0].implicit_tls);
	assert_string_equal(h[0].auth, "PLAIN LOGIN");
	assert_string_equal(h[0].from, "a@gmail.example");
	assert_true(h[0].rewrite_from);
	assert_int_equal(h[0].connections, 4);
	assert_string_equal(h[1].host, "smtp.office365.com");
	assert_int_equal(h[1].port, 587);
	assert_false(h[1].implicit_tls);
	assert_string_equal(h[1].auth, "PLAIN");
	assert_string_equal(h[1].from, "b@x");
	assert_false(h[1].rewrite_from);
	assert_int_equal(h[1].connections, 4);
	assert_string_equal(h[2].host, "email.a.x");
	assert_int_equal(h[2].port, 2587);
	assert_string_equal(h[2].auth, "PLAIN LOGIN");
	assert_int_equal(h[2].idle_timeout, 5 * USEC_PER_SEC);
	assert_null(h[2].from);
	assert_string_equal(h[3].user, "apikey");
	assert_int_equal(h[3].idle_timeout, 30 * USEC_PER_SEC);
	assert_null(h[4].auth);
	assert_int_equal(h[4].idle_timeout, 30 * USEC_PER_SEC);
	settings_free(&s);
	good(&s, "smarthost provider:office365\n user a@x\n password file:/p\n");
	assert_int_equal(s.smarthosts[0].connections, 3);
	settings_free(&s);
}

static void
each_provider_of_the_manual_is_known(void **state)
{
	static const char *const names[] = { "fastmail", "gmail", "gmx", "icloud", "mailgun",
		"mailgun-eu", "office365", "postmark", "sendgrid", "web.de", "yahoo", "zoho",
		"zoho-eu", "zoho-in" };

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		struct settings s;
		char text[200];

		snprintf(text, sizeof(text),
		    "smarthost provider:%s\n user web1@example.org\n password file:/p\n", names[i]);
		good(&s, text);
		assert_non_null(strchr(s.smarthosts[0].host, '.'));
		assert_non_null(s.smarthosts[0].auth);
		settings_free(&s);
	}
}

static const struct {
	const char *text, *error; /* behind the file */
} mistakes[] = {
	{ "nonsense x\n", ":1: nonsense: unknown" },
	{ "\n\n  nonsense x\n", ":3: nonsense: " },
	{ "domain a\ndomain b\n", ":2: domain: stands twice" },
	{ SMARTHOST "user a\nuser b\npassword file:/x\n", ":3: user: stands twice" },
	{ SMARTHOST "domain x\n", ":2: domain: is a host-wide setting" },
	{ "connections 5\n", ":1: connections: belongs to a smarthost" },
	{ "domain\n", ":1: domain: a value is missing" },
	{ "domain a/b\n", ":1: domain: " },
	{ "spool_directory relative\n", ":1: spool_directory: must be an absolute path" },
	{ "retry_interval 1m\n", ":1: retry_interval: " },
	{ "retry_interval 4h 1m\n", ":1: retry_interval: " },
	{ "retry_interval 1m 4h 5h\n", ":1: retry_interval: " },
	{ "retry_interval 0s 4h\n", ":1: retry_interval: " },
	{ "queue_lifetime 5\n", ":1: queue_lifetime: " },
	{ "delay_warning forever\n", ":1: delay_warning: " },
	{ "delay_warning 4\n", ":1: delay_warning: \"4\" is no duration such as 30s (an "
			       "integer and ms, s, m, h, "
			       "d or w), nor "
			       "\"never\"" },
	{ "keep_failed never\n", ":1: keep_failed: " },
	{ "keep_failed 0s\n", ":1: keep_failed: \"0s\" is out of range, nor \"forever\"" },
	{ "queue_lifetime 0s\n", ":1: queue_lifetime: " },
	{ "queue_lifetime 99999999999999w\n", ":1: queue_lifetime: " },
	{ "max_message_size 5T\n", ":1: max_message_size: " },
	{ "max_message_size -1\n", ":1: max_message_size: " },
	{ "in_doubt_interval 2d\n", ":1: in_doubt_interval: " },
	{ SMARTHOST "connections 0\n", ":2: connections: " },
	{ SMARTHOST "connections 101\n", ":2: connections: " },
	{ SMARTHOST "insecure_auth maybe\n", ":2: insecure_auth: must be yes or no" },
	{ SMARTHOST "tls some\n", ":2: tls: \"some\" is none of" },
	{ SMARTHOST "tls REQUIRED\n", ":2: tls: " },
	{ SMARTHOST "password secret\n", ":2: password: " },
	{ SMARTHOST "password file:x\n", ":2: password: " },
	{ SMARTHOST "password credential:\n", ":2: password: " },
	{ SMARTHOST "password credential:../x\n", ":2: password: " },
	{ SMARTHOST "user a\n", ":1: smarthost: user and password" },
	{ SMARTHOST "password file:/x\n" SMARTHOST, ":1: smarthost: user and password" },
	{ SMARTHOST "user a\npassword file:/x\ntls none\n",
	    ":1: smarthost: a password or token without" },
	{ SMARTHOST "user a\npassword file:/x\ntls opportunistic\n",
	    ":1: smarthost: a password or token without" },
	{ "smarthost smtps://a.x\ntls none\n", ":1: smarthost: smtps" },
	{ "smarthost mail.example.org\n", ":1: smarthost: must be smtp://" },
	{ "smarthost\n", ":1: smarthost: " },
	{ "smarthost smtp://\n", ":1: smarthost: the host" },
	{ "smarthost smtp://:25\n", ":1: smarthost: the host" },
	{ "smarthost smtp://a b\n", ":1: smarthost: the host" },
	{ "smarthost smtp://u@a\n", ":1: smarthost: the host" },
	{ "smarthost smtp://a/\n", ":1: smarthost: the host" },
	{ "smarthost smtp://[::1\n", ":1: smarthost: the host" },
	{ "smarthost smtp://a:0\n", ":1: smarthost: the port" },
	{ "smarthost smtp://a:65536\n", ":1: smarthost: the port" },
	{ "smarthost smtp://a:\n", ":1: smarthost: the port" },
	{ "smarthost smtp://a:25x\n", ":1: smarthost: the port" },
	{ SMARTHOST "for\n", ":2: for: a pattern is missing" },
	{ SMARTHOST "for @a.x b\n", ":2: for: must be patterns such as" },
	{ SMARTHOST "for to:<>\n", ":2: for: must be patterns" },
	{ SMARTHOST "for @\n", ":2: for: must be patterns" },
	{ SMARTHOST "for @..x\n", ":2: for: must be patterns" },
	{ SMARTHOST "for a@b@c\n", ":2: for: must be patterns" },
	{ SMARTHOST "for cc:@a.x\n", ":2: for: must be patterns" },
	{ SMARTHOST "rate 30\n", ":2: rate: must be a number of messages" },
	{ SMARTHOST "rate 0/m\n", ":2: rate: must be" },
	{ SMARTHOST "rate 1/w\n", ":2: rate: must be" },
	{ SMARTHOST "rate 1000001/d\n", ":2: rate: must be" },
	{ SMARTHOST "rate /d\n", ":2: rate: must be" },
	{ SMARTHOST "messages_per_connection 0\n", ":2: messages_per_connection: \"0\" is out of" },
	{ SMARTHOST "messages_per_connection many\n",
	    ":2: messages_per_connection: \"many\" is no number, nor \"unlimited\"" },
	{ "for @a.x\n", ":1: for: belongs to a smarthost" },
	{ SMARTHOST "provider\n", ":2: provider: the provider \"\" is none of: fastmail" },
	{ SMARTHOST "provider hotmale\n", ":2: provider: the provider \"hotmale\"" },
	{ SMARTHOST "provider ses\nprovider ses\n", ":3: provider: stands twice" },
	{ "provider ses\n", ":1: provider: belongs to a smarthost" },
	{ "smarthost provider:x\n", ":1: smarthost: the provider \"x\" is none of" },
	{ "smarthost provider:ses\n", ":1: smarthost: this provider has no host" },
	{ "smarthost provider:mailgun\nprovider ses\n",
	    ":2: provider: the smarthost line names a provider" },
	{ "smarthost provider:gmx\nuser 4711\npassword file:/p\n",
	    ":1: smarthost: this provider takes mail" },
	{ SMARTHOST "auth FOO\n", ":2: auth: must name" },
	{ SMARTHOST "auth\n", ":2: auth: a value is missing" },
	{ SMARTHOST "auth PLAIN,LOGIN\n", ":2: auth: must name" },
	{ SMARTHOST "auth PLAIN PLAIN\n", ":2: auth: must name mechanisms, each once" },
	{ SMARTHOST "user a\ntoken file:/x\nauth PLAIN\n",
	    ":1: smarthost: auth names no mechanism" },
	{ SMARTHOST "user a\ntoken file:/x\npassword file:/y\n",
	    ":1: smarthost: password and token are two" },
	{ SMARTHOST "token file:/x\n", ":1: smarthost: user and password, or user and" },
	{ SMARTHOST "user a\ntoken file:/x\ntls none\n",
	    ":1: smarthost: a password or token without" },
	{ SMARTHOST "token secret\n", ":2: token: must be file:/PATH" },
	{ SMARTHOST "token command:secret-tool\n", ":2: token: must be file:/PATH" },
	{ SMARTHOST "password command:\n", ":2: password: must be file:/PATH" },
	{ SMARTHOST "auth PLAIN\n", ":1: smarthost: auth names no mechanism" },
	{ SMARTHOST "user a\npassword file:/x\nauth EXTERNAL\n",
	    ":1: smarthost: auth names no mechanism" },
	{ SMARTHOST "tls_cert_file /c\ntls_key_file /k\nuser a\nauth PLAIN\n",
	    ":1: smarthost: auth names no mechanism" },
	{ SMARTHOST "tls_pin\n", ":2: tls_pin: a value is missing" },
	{ SMARTHOST "tls_pin " HEX64 "0\n", ":2: tls_pin: must be the SHA-256" },
	{ SMARTHOST "tls_pin " HEX64 "00\n", ":2: tls_pin: must be the SHA-256" },
	{ SMARTHOST "tls_pin " HEX64 ":\n", ":2: tls_pin: must be the SHA-256" },
	{ SMARTHOST "tls_pin " HEX62 "\n", ":2: tls_pin: must be the SHA-256" },
	{ SMARTHOST "tls_pin " HEX62 "0g\n", ":2: tls_pin: must be the SHA-256" },
	{ SMARTHOST "tls_pin sha256//" HEX64 "\n", ":2: tls_pin: must be the SHA-256" },
	{ SMARTHOST "tls_pin " BASE64 "=\n", ":2: tls_pin: must be the SHA-256" },
	{ SMARTHOST "tls_pin AAAA\n", ":2: tls_pin: must be the SHA-256" },
	{ SMARTHOST "tls_pin AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=\n", /* bits too many */
	    ":2: tls_pin: must be the SHA-256" },
	{ SMARTHOST "tls_pin " HEX64 " " HEX64 " " HEX64 " " HEX64 " " HEX64 " " HEX64 " " HEX64
		    " " HEX64 " " HEX64 "\n",
	    ":2: tls_pin: must not have more than 8" },
	{ SMARTHOST "tls opportunistic\ntls_pin " HEX64 "\n",
	    ":1: smarthost: tls_pin means nothing" },
	{ SMARTHOST "tls_min_version 1.1\n", ":2: tls_min_version: \"1.1\" is none of" },
	{ SMARTHOST "tls_cert_file /c\n", ":1: smarthost: tls_cert_file and tls_key_file" },
	{ SMARTHOST "tls_key_file /k\n", ":1: smarthost: tls_cert_file and tls_key_file" },
	{ SMARTHOST "tls_cert_file c\n", ":2: tls_cert_file: must be an absolute path" },
	{ SMARTHOST "tls_cert_file /c\ntls_key_file /k\ntls none\n",
	    ":1: smarthost: a client certificate needs TLS" },
	{ "local_mail_to root\n", ":1: local_mail_to: must be an address" },
	{ "local_mail_to a@x b@y\n", ":1: local_mail_to: must be an address" },
	{ "local_mail_to <a@x>\n", ":1: local_mail_to: must be an address" },
	{ "local_domains\n", ":1: local_domains: a domain is missing" },
	{ "local_domains a.x b/c\n", ":1: local_domains: must be domains" },
	{ "map root\n", ":1: map: must be a local user and an address" },
	{ "map root@x a@x\n", ":1: map: must be" },
	{ "map root a@x b@x\n", ":1: map: must be" },
	{ "map root a@x\nmap ROOT b@x\n", ":2: map: this user is mapped already" },
	{ "mailq_visibility none\n", ":1: mailq_visibility: " },
	{ "from a@x\n", ":1: from: belongs to a smarthost" },
	{ SMARTHOST "from a\n", ":2: from: must be an address" },
	{ SMARTHOST "rewrite_from yes\n", ":1: smarthost: rewrite_from needs" },
	{ SMARTHOST "window 0\n", ":2: window: " },
	{ SMARTHOST "window 101\n", ":2: window: " },
	{ "domain \"a\n", ":1: the closing quote" },
	{ "a\x01 b\n", ":1: the line contains a control" },
};

static void
each_error_names_file_line_and_setting(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(mistakes); i++) {
		struct settings s;
		struct buf errors = errors_of(&s, mistakes[i].text, strlen(mistakes[i].text));
		char wanted[200];

		snprintf(wanted, sizeof(wanted), "%s%s", path, mistakes[i].error);
		if (strncmp(buf_string(&errors), wanted, strlen(wanted)) != 0)
			fail_msg("%s\ngives %s", mistakes[i].text, buf_string(&errors));
		if (strchr(errors.data, '\n') != errors.data + errors.len - 1)
			fail_msg(
			    "%s\ngives more than one error: %s", mistakes[i].text, errors.data);
		buf_free(&errors);
		settings_free(&s);
	}
}

/* Each stands in host names and addresses nowhere, or is no address. */
static void
a_host_is_a_name_or_an_address(void **state)
{
	static const char *const bad[] = { "smtp://[]", "smtp://[a b]", "smtp://[mail.example.org]",
		"smtp://[:::]", "smtp://[2001:db8::1%eth0 ]", "smtp://a\tb", "smtp://a<b>",
		"smtp://a\"b", "smtp://a,b", "smtp://a\\b", "srv:", "srv://a.x", "srv:a.x:587",
		"srv:a.x/", "srv:192.0.2.1", "srv:[2001:db8::1]", "srv:2001:db8::1", "srv:a,b",
		"SRV:a.x" };
	size_t accepted = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct settings s;
		struct buf errors;
		char text[100];

		snprintf(text, sizeof(text), "smarthost %s\n", bad[i]);
		errors = errors_of(&s, text, strlen(text));
		if (errors.len == 0) {
			print_error("accepted: %s\n", bad[i]);
			accepted++;
		}
		buf_free(&errors);
		settings_free(&s);
	}
	assert_int_equal(accepted, 0);
}

static void
all_errors_are_told_and_the_rest_is_used(void **state)
{
	static const char text[] =
	    "domain good.example\nnonsense x\nuser bad/name\nqueue_lifetime 1d\n";
	struct settings s;
	struct buf errors = errors_of(&s, text, strlen(text));

	(void)state;
	assert_non_null(strstr(errors.data, ":2: nonsense"));
	assert_non_null(strstr(errors.data, ":3: user"));
	assert_string_equal(s.domain, "good.example");
	assert_string_equal(s.user, "postbag");
	assert_int_equal(s.queue_lifetime, USEC_PER_DAY);
	buf_free(&errors);
	settings_free(&s);
}

static void
a_file_that_cannot_be_read_leaves_defaults(void **state)
{
	struct settings s;
	struct buf errors = BUF_INIT(0);

	(void)state;
	assert_int_equal(settings_read(&s, "/nowhere/postbag.conf", &errors), -1);
	assert_non_null(strstr(errors.data, "/nowhere/postbag.conf"));
	assert_non_null(strstr(errors.data, "No such file"));
	assert_string_equal(s.spool_directory, "/var/spool/postbag");
	assert_int_equal(s.retry_first, USEC_PER_MIN);
	buf_free(&errors);
	settings_free(&s);
	errors = errors_of(&s, "a\0b", 3);
	assert_non_null(strstr(errors.data, "NUL"));
	buf_free(&errors);
	settings_free(&s);
}

static void
hosts_are_understood_in_every_form(void **state)
{
	static const struct {
		const char *uri, *host, *name;
	} rows[] = {
		{ "smtp://a.x", "a.x", "a.x:587" },
		{ "smtp://a.x.", "a.x", "a.x:587" },
		{ "smtps://a.x", "a.x", "a.x:465" },
		{ "smtp://192.0.2.1:25", "192.0.2.1", "192.0.2.1:25" },
		{ "smtp://[2001:db8::1]", "2001:db8::1", "[2001:db8::1]:587" },
		{ "smtp://[2001:db8::1]:25", "2001:db8::1", "[2001:db8::1]:25" },
		{ "smtps://[192.0.2.1]", "192.0.2.1", "192.0.2.1:465" },
		{ "srv:a.x", "a.x", "srv:a.x" },
		{ "srv:a.x.", "a.x", "srv:a.x" },
		{ "srv:b\xc3\xbc.x", "b\xc3\xbc.x", "srv:b\xc3\xbc.x" },
		{ "smtp://b\xc3\xbc"
		  "cher.x",
		    "b\xc3\xbc"
		    "cher.x",
		    "b\xc3\xbc"
		    "cher.x:587" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct settings s;
		struct buf name = BUF_INIT(100);
		char text[100];

		snprintf(text, sizeof(text), "smarthost %s\n", rows[i].uri);
		good(&s, text);
		assert_string_equal(s.smarthosts[0].host, rows[i].host);
		assert_string_equal(s.smarthosts[0].uri, rows[i].uri);
		settings_smarthost_name(&s.smarthosts[0], &name);
		assert_string_equal(buf_string(&name), rows[i].name);
		buf_free(&name);
		settings_free(&s);
	}
}

static void
crlf_and_byte_order_marks_do_not_matter(void **state)
{
	struct settings s;

	(void)state;
	good(&s, "\xef\xbb\xbf# from another system\r\ndomain d.x\r\n\r\n"
		 "smarthost smtp://a.x\r\n\tconnections 2\r\n");
	assert_string_equal(s.domain, "d.x");
	assert_string_equal(s.smarthosts[0].host, "a.x");
	assert_int_equal(s.smarthosts[0].connections, 2);
	settings_free(&s);
}

static void
a_line_of_a_megabyte_is_an_error_of_that_line(void **state)
{
	enum { SIZE = 1 << 20 };
	char *text = malloc(SIZE);
	struct settings s;
	struct buf errors;

	(void)state;
	memset(text, 'x', SIZE);
	memcpy(text, "domain d.x\n", 11);
	errors = errors_of(&s, text, SIZE);
	assert_non_null(strstr(errors.data, ":2: the line is longer"));
	assert_string_equal(s.domain, "d.x");
	buf_free(&errors);
	settings_free(&s);
	free(text);
}

static void
errors_without_end_are_capped(void **state)
{
	struct buf text = BUF_INIT(1 << 20), errors;
	struct settings s;

	(void)state;
	while (text.len < 900000)
		buf_add_string(&text, "nonsense\n");
	errors = errors_of(&s, text.data, text.len);
	assert_true(errors.len < 100000);
	buf_free(&errors);
	buf_free(&text);
	settings_free(&s);
}

static void
settings_about_the_login_and_tls_are_taken(void **state)
{
	struct settings s;
	const struct settings_smarthost *h;

	(void)state;
	good(&s, SMARTHOST "user a\ntoken command:/bin/t --for a\nauth xoauth2 EXTERNAL\n"
			   "tls_cert_file /c\ntls_key_file /k\ntls_min_version 1.3\n"
			   "smarthost smtp://b.x\nuser b\npassword \"command:/bin/p 'a b' # c\"\n"
			   "smarthost smtp://c.x\ntls_cert_file /c\ntls_key_file /k\n");
	h = s.smarthosts;
	assert_string_equal(h[0].token, "command:/bin/t --for a");
	assert_null(h[0].password);
	assert_string_equal(h[0].auth, "xoauth2 EXTERNAL");
	assert_string_equal(h[0].tls_cert_file, "/c");
	assert_string_equal(h[0].tls_key_file, "/k");
	assert_int_equal(h[0].tls_min_version, TLS_VERSION_1_3);
	assert_string_equal(h[1].password, "command:/bin/p 'a b' # c");
	assert_null(h[1].token);
	assert_int_equal(h[1].tls_min_version, TLS_VERSION_1_2);
	assert_int_equal(h[1].tls_pin_count, 0);
	assert_null(h[2].user);
	settings_free(&s);
}

/* One key, in all the ways in which it is written. */
static void
a_pin_is_understood_in_every_form(void **state)
{
	static const char *const forms[] = {
		HEX64,
		"000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F",
		"00:01:02:03:04:05:06:07:08:09:0a:0b:0c:0d:0e:0f:10:11:12:13:14:15:16:17:18:19:1a:"
		"1b:1c:1d:1e:1f",
		BASE64,
		"sha256//" BASE64,
		BASE64 "\t " HEX64,
	};

	(void)state;
	for (size_t i = 0; i < COUNT(forms); i++) {
		struct settings s;
		char text[400];

		snprintf(text, sizeof(text), SMARTHOST "tls_pin %s\n", forms[i]);
		good(&s, text);
		assert_int_equal(s.smarthosts[0].tls_pin_count, i == COUNT(forms) - 1 ? 2 : 1);
		for (size_t n = 0; n < SETTINGS_PIN_SIZE; n++)
			assert_int_equal(s.smarthosts[0].tls_pins[0][n], n);
		settings_free(&s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_those_of_the_manual),
		cmocka_unit_test(a_duration_may_be_without_end),
		cmocka_unit_test(values_are_taken),
		cmocka_unit_test(settings_about_addresses_are_taken),
		cmocka_unit_test(what_a_smarthost_carries_and_how_much_is_taken),
		cmocka_unit_test(there_may_be_64_smarthosts),
		cmocka_unit_test(a_provider_gives_what_the_block_does_not_set),
		cmocka_unit_test(each_provider_of_the_manual_is_known),
		cmocka_unit_test(each_error_names_file_line_and_setting),
		cmocka_unit_test(a_host_is_a_name_or_an_address),
		cmocka_unit_test(all_errors_are_told_and_the_rest_is_used),
		cmocka_unit_test(a_file_that_cannot_be_read_leaves_defaults),
		cmocka_unit_test(settings_about_the_login_and_tls_are_taken),
		cmocka_unit_test(a_pin_is_understood_in_every_form),
		cmocka_unit_test(hosts_are_understood_in_every_form),
		cmocka_unit_test(crlf_and_byte_order_marks_do_not_matter),
		cmocka_unit_test(a_line_of_a_megabyte_is_an_error_of_that_line),
		cmocka_unit_test(errors_without_end_are_capped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
