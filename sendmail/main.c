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
#include "base/settings.h"
#include "sendmail/options.h"
#include "sendmail/submit.h"
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

/* This version has no use for set-id rights: whoever installs it with some must not
 * lend them to every caller. */
static int
privilege_drop(void)
{
	uid_t uid = getuid();
	gid_t gid = getgid();

	if (geteuid() == uid && getegid() == gid)
		return 0;
	return setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0 ? -1 : 0;
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
flush(const struct settings *s)
{
	/* without relayd the queue goes out when it starts */
	return request(s, "retry all", "sendmail");
}

static int
version(void)
{
	puts("postbag " POSTBAG_VERSION);
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
		return EX_TEMPFAIL;
	}
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
	switch (o->mode) {
	case MODE_LIST:
		code = request(&s, "list", "mailq");
		break;
	case MODE_FLUSH:
		code = flush(&s);
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
	struct options o;

	if (privilege_drop() < 0 || file_fill_standard() < 0)
		return EX_TEMPFAIL;
	environment_clear();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a write fails with EFBIG instead */
	if (options_parse(&o, argc, argv) < 0) {
		fprintf(stderr, "sendmail: %s\n", o.error);
		return EX_USAGE;
	}
	switch (o.mode) {
	case MODE_VERSION:
		return version();
	case MODE_HELP:
		fputs(options_usage, stdout);
		return 0;
	case MODE_ALIASES:
		fputs("newaliases: this version has no aliases; nothing to do\n", stderr);
		return 0;
	case MODE_NOTE:
		fprintf(stderr, "sendmail: %s\n", o.note);
		return 0;
	case MODE_REFUSED:
		fprintf(stderr, "sendmail: %s\n", o.note);
		return EX_USAGE;
	default:
		return with_settings(&o);
	}
}
