/*
 * The settings of postbag.conf(5), read and checked, with their defaults.
 *
 * All programs read the same file and all check all of it, so that an error is
 * found by whoever looks first; each uses the settings that concern it.
 */
#ifndef BASE_SETTINGS_H
#define BASE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* A duration that is never over: "never", "forever"; a number without limit. */
#define SETTINGS_NEVER UINT64_MAX

enum settings_tls { TLS_REQUIRED, TLS_OPPORTUNISTIC, TLS_NONE };
enum settings_tls_version { TLS_VERSION_1_2, TLS_VERSION_1_3 };
enum settings_refused { REFUSED_HOLD, REFUSED_BOUNCE };
enum settings_visibility { VISIBILITY_ALL, VISIBILITY_OWN };

#define SETTINGS_SMARTHOSTS_MAX 64
#define SETTINGS_PINS_MAX 8
#define SETTINGS_PIN_SIZE 32 /* octets of a SHA-256 */

/* A word of "for". */
struct settings_pattern {
	bool recipient; /* it is about the recipient, not about the sender */
	char *text;     /* an address, "@DOMAIN", "@.DOMAIN", "*" or "<>" */
};

/* One smarthost block.  Strings are owned by the struct; NULL if not set.
 * Durations are in microseconds. */
struct settings_smarthost {
	unsigned line;
	char *uri;  /* as written, for log and mailq */
	char *host; /* name or address, without brackets and trailing dot */
	uint64_t port;
	bool implicit_tls; /* smtps:// */
	bool srv;          /* host is a domain, whose SRV records name host, port and TLS */
	char *user;
	char *password; /* "file:PATH", "credential:NAME" or "command:PROGRAM ARGUMENTS" */
	char *token;    /* as above; not with a password */
	char *auth;     /* mechanisms in order of preference, separated by blanks */
	char *tls_trust_file;
	uint8_t tls_pins[SETTINGS_PINS_MAX][SETTINGS_PIN_SIZE];
	size_t tls_pin_count;
	int tls_min_version; /* enum settings_tls_version */
	char *tls_cert_file; /* of our own */
	char *tls_key_file;
	char *from; /* envelope sender, and From with rewrite_from: an address */
	bool rewrite_from;
	int tls;               /* enum settings_tls */
	int on_sender_refused; /* enum settings_refused */
	bool insecure_auth;
	struct settings_pattern *patterns; /* whose mail it carries; none: all mail */
	size_t pattern_count;
	uint64_t connections;
	uint64_t messages_per_connection; /* may be SETTINGS_NEVER */
	uint64_t rate, rate_unit;         /* messages in that many microseconds; 0: unlimited */
	uint64_t window;
	uint64_t idle_timeout;
	uint64_t connect_timeout;
	uint64_t command_timeout;
};

/* "map LOCAL ADDRESS" */
struct settings_map {
	char *local;   /* a local part */
	char *address; /* what takes its place, local-part@domain */
};

struct settings {
	bool incomplete; /* memory ran out: some values are missing, and nothing may be done */
	char *path;      /* the file that was read, or would have been */
	char *spool_directory;
	char *runtime_directory;
	char *user;
	char *domain;        /* NULL: see host_domain() */
	char *hostname;      /* NULL: see host_name() */
	char *aliases;       /* a path */
	bool aliases_set;    /* it stands in the file, so the file must be there */
	char *local_mail_to; /* an address, or NULL */
	char **local_domains;
	size_t local_domain_count;
	struct settings_map *maps;
	size_t map_count;
	bool ignore_dots;
	int mailq_visibility; /* enum settings_visibility */
	uint64_t retry_first, retry_max;
	uint64_t reconnect_first, reconnect_max;
	bool reconnect_set; /* reconnect_interval stands in the file */
	uint64_t in_doubt_interval;
	uint64_t queue_lifetime;
	uint64_t delay_warning, keep_failed; /* may be SETTINGS_NEVER */
	uint64_t max_message_size;           /* octets, 0: unlimited */
	uint64_t spool_reserve;              /* octets, 0: min(5 %, 64M) */
	struct settings_smarthost *smarthosts;
	size_t smarthost_count;
};

/*
 * Reads the file at path.  Returns 0 if all is well; else -1, and errors holds
 * one line "FILE:LINE: NAME: what, and what to do" for each error.  Unless it is
 * incomplete, *s is valid in both cases: what could not be read has its default, so
 * that sendmail can queue with a broken file.
 */
int settings_read(struct settings *s, const char *path, struct buf *errors);
void settings_free(struct settings *s);

/* "HOST:PORT", "[ADDRESS]:PORT" or "srv:DOMAIN", as log and mailq name a smarthost. */
void settings_smarthost_name(const struct settings_smarthost *h, struct buf *b);

#endif
