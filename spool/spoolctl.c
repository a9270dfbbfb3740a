/*
 * spoolctl: looks into the queue and acts on single messages.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/settings.h"
#include "spool/control.h"
#include "spool/name.h"
#include "spool/request.h"

static const char usage[] = "usage: spoolctl [-C FILE] list\n"
			    "       spoolctl [-C FILE] show ID\n"
			    "       spoolctl [-C FILE] retry ID | all\n"
			    "       spoolctl [-C FILE] remove ID\n"
			    "mailq(1) and \"spoolctl list\" show the IDs.\n";

/* The request line for the words of the command; -1 if they make none. */
static int
request_make(int argc, char **argv, char *request, size_t size)
{
	static const char *const with_id[] = { "show", "retry", "remove" };

	if (argc == 1 && strcmp(argv[0], "list") == 0) {
		snprintf(request, size, "list");
		return 0;
	}
	for (size_t i = 0; argc == 2 && i < 3; i++) {
		if (strcmp(argv[0], with_id[i]) != 0)
			continue;
		if (!name_is_prefix(argv[1])) {
			fputs("spoolctl: an ID has 12 (or all 26) of the characters 0-9 and a-z\n",
			    stderr);
			return -1;
		}
		snprintf(request, size, "%s %s", argv[0], argv[1]);
		return 0;
	}
	fputs(usage, stderr);
	return -1;
}

int
main(int argc, char **argv)
{
	const char *path = SYSCONFDIR "/postbag/postbag.conf";
	char request[CONTROL_REQUEST_MAX];
	struct settings settings;
	struct buf errors = BUF_INIT(0), error = BUF_INIT(0);
	int c, code;

	while ((c = getopt(argc, argv, "+C:h")) != -1) {
		if (c == 'C') {
			path = optarg;
		} else {
			fputs(usage, c == 'h' ? stdout : stderr);
			return c == 'h' ? 0 : EX_USAGE;
		}
	}
	if (request_make(argc - optind, argv + optind, request, sizeof(request)) < 0)
		return EX_USAGE;
	signal(SIGPIPE, SIG_IGN);
	if (settings_read(&settings, path, &errors) < 0)
		fprintf(stderr, "%s", buf_string(&errors));
	code = request_run(&settings, request, STDOUT_FILENO, &error);
	if (code != 0)
		fprintf(stderr, "spoolctl: %s\n", buf_string(&error));
	settings_free(&settings);
	buf_free(&errors);
	buf_free(&error);
	return code;
}
