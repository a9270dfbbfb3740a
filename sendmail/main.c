/*
 * sendmail: puts a message durably into the spool; exit 0 means that it is there.
 * Also mailq and newaliases, by name or by option.
 *
 * The environment is a caller's and is not trusted: all of it goes, but for a time
 * zone that names no file elsewhere.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/settings.h"
#include "sendmail/options.h"
#include "sendmail/smtp_server.h"
#include "sendmail/submit.h"
#include "sendmail/verify.h"
#include "spool/control.h"
#include "spool/request.h"

#define TZ_MAX 64

/* A time zone by name or rule, never a path of its own. */
static bool
is_time_zone(const char *tz)
{
	size_t n = strlen(tz);

	/* "" is UTC, and a colon may stand before a name */
	if (n >= TZ_MAX || tz[*tz == ':'] == '/' || strstr(tz, "..") != NULL)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)tz[i]) && strchr("/_+-,.<>:", tz[i]) == NULL)
			return false;
	return true;
}

static void
environment_clear(void)
{
	const char *tz = getenv("TZ");
	bool keep = tz != NULL && is_time_zone(tz);
	char kept[TZ_MAX] = "";

	if (keep)
		snprintf(kept, sizeof(kept), "%s", tz);
	clearenv();
	if (keep)
		setenv("TZ", kept, 1);
}

static int
request(const struct settings *s, const char *line, const char *what)
{
	struct buf error = BUF_INIT(0);
	int code = request_run(s, line, STDOUT_FILENO, &error);

	if (code != 0)
		fprintf(stderr, "%s: %s\n", what, buf_string(&error));
	buf_free(&error);
	return code;
}

static int
flush(const struct settings *s, const struct options *o)
{
	char line[CONTROL_REQUEST_MAX];

	if (o->recipient_count > 0)
		fputs("sendmail: warning: with -q nothing is read or sent; the words without an "
		      "option are ignored\n",
		    stderr);
	/* without relayd the queue goes out when it starts */
	if (o->select == 0)
		return request(s, "retry all", "sendmail");
	snprintf(line, sizeof(line), "select %s%c %s", o->select_negated ? "!" : "", o->select,
	    o->select_text);
	return request(s, line, "sendmail");
}

static int
version(void)
{
	puts("postbag " POSTBAG_VERSION);
	return 0;
}

static int
note(const char *what)
{
	fprintf(stderr, "sendmail: %s\n", what);
	return 0;
}

static int
check(const char *path, bool good)
{
	if (good)
		printf("%s: no errors\n", path);
	return good ? 0 : EX_CONFIG;
}

/* A broken file must not stop a host from queueing; but whoever names a file of his
 * own with -C does not mean the host's spool. */
static int
deliver(const struct settings *s, const struct options *o, bool good)
{
	int code;

	if (!good && o->config != NULL && strcmp(s->spool_directory, SPOOLDIR) == 0) {
		fprintf(stderr,
		    "sendmail: nothing is queued: the file that -C names does not say where "
		    "its spool is\n");
		return o->mode == MODE_SMTP ? smtp_server_refuse("no spool is configured")
					    : EX_TEMPFAIL;
	}
	if (o->mode == MODE_SMTP)
		return smtp_server_run(s, o);
	code = submit(s, o);
	if (!good && code == 0)
		fputs(
		    "sendmail: warning: the message is queued all the same; relayd needs a correct "
		    "file to send it\n",
		    stderr);
	return code;
}

static int
with_settings(const struct options *o)
{
	const char *path = o->config != NULL ? o->config : SYSCONFDIR "/postbag/postbag.conf";
	struct settings s;
	struct buf errors = BUF_INIT(0);
	bool good = settings_read(&s, path, &errors) == 0;
	int code;

	if (!good)
		fprintf(stderr, "%s", buf_string(&errors));
	if (s.incomplete) {
		fputs("sendmail: out of memory; nothing is done\n", stderr);
		settings_free(&s);
		buf_free(&errors);
		return EX_TEMPFAIL;
	}
	switch (o->mode) {
	case MODE_LIST:
		code = request(&s, "list", "mailq");
		break;
	case MODE_FLUSH:
		code = flush(&s, o);
		break;
	case MODE_ALIASES:
		code = newaliases_run(&s);
		break;
	case MODE_VERIFY:
		code = verify_run(&s, o);
		break;
	case MODE_CHECK:
		code = check(path, good);
		break;
	default:
		code = deliver(&s, o, good);
		break;
	}
	settings_free(&s);
	buf_free(&errors);
	return code;
}

int
main(int argc, char **argv)
{
	struct rights rights;
	struct options o;

	if (rights_init(&rights) < 0 || file_fill_standard() < 0) {
		fprintf(
		    stderr, "sendmail: cannot start, so nothing is queued: %s\n", strerror(errno));
		return EX_TEMPFAIL;
	}
	environment_clear();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a write fails with EFBIG instead */
	signal(SIGXCPU, SIG_IGN); /* only the hard limit ends a submission half-way */
	if (options_parse(&o, argc, argv) < 0) {
		fprintf(stderr, "sendmail: %s\n", o.error);
		return EX_USAGE;
	}
	/* a caller's own configuration has no business with the host's spool */
	if (o.config != NULL || (o.mode != MODE_DELIVER && o.mode != MODE_SMTP))
		rights_drop(&rights);
	o.rights = &rights;
	if (access("/dev/log", W_OK) == 0)
		log_to_syslog(*o.log_tag != '\0' ? o.log_tag : "sendmail");
	else
		log_to_stderr("sendmail");
	/* an SMTP client waits for 220 */
	if (o.show_version && o.mode != MODE_VERSION && o.mode != MODE_SMTP)
		version();
	switch (o.mode) {
	case MODE_VERSION:
		return version();
	case MODE_HELP:
		fputs(options_usage, stdout);
		return 0;
	case MODE_NOTE:
		return note(o.note);
	case MODE_DELIVER:
		/* of other agents it is a command about the queue; with recipients it is
		 * a message, and that must not be lost */
		if (o.quarantine && o.recipient_count == 0 && !o.from_header)
			return note("there is no quarantine; spoolctl acts on single messages");
		return with_settings(&o);
	default:
		return with_settings(&o);
	}
}
