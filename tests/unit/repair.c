/*
 * A filter: the message on standard input, repaired, on standard output.  The argument
 * is a directory for the spool.  65: it cannot be done, and standard error says why.
 */
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/file.h"
#include "tests/unit/repair_run.h"

int
main(int argc, char **argv)
{
	struct envelope e = { .sender = (char[]){ "" } };
	struct buf input = BUF_INIT(256 << 20);
	struct spool spool;
	struct repaired r;
	char *content, *out;
	size_t len;
	int code = 0;

	if (argc != 2 || spool_open(&spool, argv[1], "root", 1) < 0 ||
	    file_read_all(STDIN_FILENO, &input) < 0)
		return EX_USAGE;
	content = lines_canonical(buf_string(&input), input.len, &len);
	if (repaired_begin(&r, &spool, &e, content, len) < 0) {
		fprintf(stderr, "%s\n", spool.problem);
		code = EX_TEMPFAIL;
	} else if (r.result == REPAIR_IMPOSSIBLE) {
		fprintf(stderr, "%s\n", r.problem);
		code = EX_DATAERR;
	} else {
		out = repaired_content(&r, &len);
		if (file_write(STDOUT_FILENO, out, len) < 0)
			code = EX_IOERR;
		free(out);
	}
	repaired_end(&r);
	free(content);
	buf_free(&input);
	spool_close(&spool);
	return code;
}
