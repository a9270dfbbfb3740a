/*
 * Any octets as an SMTP session, against a spool in memory: never more messages than
 * ends of content, as many files as replies that say "queued", and the same replies
 * whatever the pieces are in which the octets arrive.
 */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/log.h"
#include "sendmail/smtp_server.h"
#include "spool/name.h"

#define REPLIES_MAX (16 << 20)

static char directory[] = "/dev/shm/postbag-fuzz-XXXXXX";

static void
directory_remove(void)
{
	static const char *const names[] = { "queue", "state", "aliases", "" };
	char path[sizeof(directory) + 16];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		remove(path);
	}
}

static void
nothing(void *context, enum log_level level, const char *line)
{
	(void)context;
	(void)level;
	(void)line;
}

static void
directory_make(void)
{
	static const char text[] = "team: a@y.example, b@y.example\nbad: |/bin/false\n"
				   "loop: loop\nroot: team\n";
	char path[sizeof(directory) + 16];
	int fd;

	CHECK(mkdtemp(directory) != NULL && atexit(directory_remove) == 0);
	snprintf(path, sizeof(path), "%s/aliases", directory);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	log_to_sink(nothing, NULL);
}

/* Removes the messages and says how many there were. */
static size_t
queue_empty(void)
{
	char path[sizeof(directory) + 16];
	size_t n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/queue", directory);
	dir = opendir(path);
	if (dir == NULL)
		return 0;
	for (struct dirent *d; (d = readdir(dir)) != NULL;) {
		if (d->d_name[0] == '.')
			continue;
		CHECK(name_is_valid(d->d_name));
		CHECK(unlinkat(dirfd(dir), d->d_name, 0) == 0);
		n++;
	}
	closedir(dir);
	return n;
}

/* Makes the queue IDs in the replies equal, and says how many there are. */
static size_t
ids_hide(struct buf *replies)
{
	static const char mark[] = "\n250 2.0.0 queued as ";
	char *s = replies->data;
	size_t n = 0;

	while (s != NULL && (s = strstr(s, mark)) != NULL) {
		s += strlen(mark);
		memset(s, 'x', QUEUE_ID_LEN);
		n++;
	}
	return n;
}

/* The whole conversation: its replies, and how many messages it left. */
static size_t
converse(int in, struct buf *replies)
{
	static char name[64];
	const struct passwd *pw = getpwuid(geteuid());
	char aliases[sizeof(directory) + 16];
	struct settings settings = { .spool_directory = directory,
		.runtime_directory = directory,
		.user = name,
		.aliases = aliases,
		.max_message_size = 2000,
		.spool_reserve = 1 };
	struct identity identity = { .uid = 1000,
		.user = "joe",
		.full_name = "Joe",
		.hostname = "host.example",
		.domain = "dom.example" };
	struct smtp_setup setup = { .settings = &settings,
		.identity = &identity,
		.in = in,
		.out = memfd_create("replies", MFD_CLOEXEC),
		.timeout = 5000000 };
	size_t accepted;
	int code;

	snprintf(name, sizeof(name), "%s", pw == NULL ? "root" : pw->pw_name);
	snprintf(aliases, sizeof(aliases), "%s/aliases", directory);
	CHECK(setup.out >= 0);
	code = smtp_serve(&setup);
	CHECK(code == 0 || code == 75);
	CHECK(lseek(setup.out, 0, SEEK_SET) == 0 && file_read_all(setup.out, replies) == 0);
	CHECK(strncmp(buf_string(replies), "220 ", 4) == 0);
	close(setup.out);
	close(in);
	accepted = queue_empty();
	CHECK(ids_hide(replies) == accepted);
	return accepted;
}

/* Places in which content may end: a lone dot, and LAST. */
static size_t
ends_count(const char *s, size_t size)
{
	const char *first = memchr(s, '\n', size);
	bool crlf = first != NULL && first > s && first[-1] == '\r';
	size_t n = 0;

	for (size_t i = 0; i < size; i++) {
		size_t left = size - i;

		if (crlf)
			n += left >= 5 && memcmp(s + i, "\r\n.\r\n", 5) == 0;
		else
			n += (left >= 3 && memcmp(s + i, "\n.\n", 3) == 0) ||
			     (left >= 4 && memcmp(s + i, "\n.\r\n", 4) == 0);
		n += left >= 4 && strncasecmp(s + i, "LAST", 4) == 0;
	}
	return n;
}

/* Every reply is a line that a client can read. */
static void
check_replies(const struct buf *replies)
{
	const char *s = buf_string(replies), *end = s + replies->len;

	CHECK(strlen(s) == replies->len);
	while (s < end) {
		const char *lf = strchr(s, '\n');

		CHECK(lf != NULL && lf - s >= 5 && lf - s < 512 && lf[-1] == '\r');
		CHECK(s[0] >= '2' && s[0] <= '5' && (s[3] == ' ' || s[3] == '-'));
		s = lf + 1;
	}
}

/* The input as up to 100 packets, each of which is a read of its own. */
static int
packets(const uint8_t *data, size_t size)
{
	size_t piece = size > 0 ? 1U + data[0] % 16 : 1;
	int fds[2], room = 1 << 20;

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) == 0);
	CHECK(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) == 0);
	if (piece < size / 100)
		piece = size / 100;
	for (size_t at = 0; at < size; at += piece) {
		size_t n = size - at < piece ? size - at : piece;

		CHECK(send(fds[1], data + at, n, 0) == (ssize_t)n);
	}
	close(fds[1]);
	return fds[0];
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = BUF_INIT(REPLIES_MAX), pieces = BUF_INIT(REPLIES_MAX);
	size_t accepted;

	if (access(directory, F_OK) < 0)
		directory_make();
	accepted = converse(memory_file(data, size), &whole);
	CHECK(accepted <= ends_count((const char *)data, size));
	check_replies(&whole);
	CHECK(converse(packets(data, size), &pieces) == accepted);
	CHECK(whole.len == pieces.len && memcmp(whole.data, pieces.data, whole.len) == 0);
	buf_free(&whole);
	buf_free(&pieces);
	return 0;
}
