/*
 * A filter: the message on standard input, converted, on standard output.  The argument
 * is "header" or "all".  65: it cannot be done, and standard error says why.
 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/file.h"
#include "relayd/session/convert.h"

static int
output_add(void *context, const char *data, size_t len)
{
	return buf_append(context, data, len);
}

int
main(int argc, char **argv)
{
	struct buf input = BUF_INIT(256 << 20), output = BUF_INIT(256 << 20);
	struct convert c = { .write = output_add, .context = &output };
	int code = EX_OK;

	if (argc != 2 || file_read_all(STDIN_FILENO, &input) < 0)
		return EX_USAGE;
	c.scope = strcmp(argv[1], "all") == 0 ? CONVERT_ALL : CONVERT_HEADER;
	c.input.head = buf_string(&input);
	c.input.head_len = input.len;
	switch (convert_run(&c)) {
	case CONVERT_DONE:
		if (file_write(STDOUT_FILENO, buf_string(&output), output.len) < 0)
			code = EX_IOERR;
		break;
	case CONVERT_IMPOSSIBLE:
		fprintf(stderr, "%s\n", c.refusal);
		code = EX_DATAERR;
		break;
	default:
		perror("convert");
		code = EX_TEMPFAIL;
	}
	buf_free(&input);
	buf_free(&output);
	return code;
}
