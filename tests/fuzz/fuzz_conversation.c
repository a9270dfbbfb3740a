/*
 * Any octets as all that a server says: from the banner over the login to three
 * messages.  It says one reply to each command and to each end of content, so that
 * the conversation gets as far as the replies let it.
 *
 * What must hold: a recipient counts as delivered only if the server had a whole
 * content, the right one, for it; and when a message is said to be complete, what
 * became of each recipient is known.
 */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>

#include "base/crc32c.h"
#include "base/log.h"
#include "relayd/session/transaction.h"
#include "spool/format.h"

#define RECIPIENTS 3
#define CONTENT "Subject: x\r\n\r\n.\r\n..\r\nhello\r\n"
#define STUFFED "Subject: x\r\n\r\n..\r\n...\r\nhello\r\n"

struct server {
	int fd;
	const char *says;
	size_t left;
	struct buf line, content;
	bool in_content;
	unsigned whole; /* contents that came with their end */
};

static void
nothing(void *context, enum log_level level, const char *line)
{
	(void)context;
	(void)level;
	(void)line;
}

/* Says the next reply: lines up to one that is not continued.  True if it asks for content. */
static bool
server_reply(struct server *s)
{
	const char *start = s->says;
	bool more = true;

	while (more && s->left > 0) {
		const char *lf = memchr(s->says, '\n', s->left);
		size_t n = lf == NULL ? s->left : (size_t)(lf - s->says) + 1;

		more = n > 4 && s->says[3] == '-';
		s->says += n;
		s->left -= n;
	}
	for (const char *at = start; at < s->says;) {
		ssize_t n = send(s->fd, at, (size_t)(s->says - at), MSG_NOSIGNAL);

		if (n < 0)
			break;
		at += n;
	}
	if (s->left == 0)
		shutdown(s->fd, SHUT_WR);
	return s->says - start >= 3 && memcmp(start, "354", 3) == 0;
}

static void
server_take(struct server *s)
{
	const char *line = buf_string(&s->line);

	if (!s->in_content) {
		s->in_content = server_reply(s) && strcmp(line, "DATA\r\n") == 0;
	} else if (strcmp(line, ".\r\n") == 0) {
		s->whole += strcmp(buf_string(&s->content), STUFFED) == 0;
		buf_reset(&s->content);
		s->in_content = false;
		server_reply(s);
	} else {
		buf_add_string(&s->content, line);
	}
	buf_reset(&s->line);
}

static void *
server_run(void *context)
{
	struct server *s = context;
	char chunk[4096];
	ssize_t n;

	server_reply(s);
	while ((n = recv(s->fd, chunk, sizeof(chunk), 0)) > 0)
		for (ssize_t i = 0; i < n; i++) {
			buf_add_char(&s->line, chunk[i]);
			if (chunk[i] == '\n')
				server_take(s);
		}
	close(s->fd);
	return NULL;
}

/* A spool file with RECIPIENTS recipients. */
static int
message_make(void)
{
	static const char rest[] = "uid 1000\ntime 1795454828413519\nsender <a@x.example>\n"
				   "recipient <b@y.example>\nrecipient <c@y.example>\n"
				   "recipient <d@y.example>\n\n" CONTENT;
	struct format_head h = { .length = sizeof(CONTENT) - 1, .longest = 10 };
	char file[FORMAT_HEAD_LEN + sizeof(rest)];

	h.crc = crc32c(0, rest, sizeof(rest) - 1);
	format_head_write(&h, file);
	memcpy(file + FORMAT_HEAD_LEN, rest, sizeof(rest) - 1);
	return memory_file(file, sizeof(file) - 1);
}

/* True if the conversation can go on; *delivered counts messages that some recipient got. */
static bool
message_send(struct conversation *c, unsigned *delivered)
{
	static const uint8_t finished[RECIPIENTS / 8 + 1] = { 2 };
	struct transaction t;
	struct message m;
	enum ipc_end end;
	bool some = false, goes_on;

	CHECK(message_open_fd(&m, message_make()) == MESSAGE_OK);
	CHECK(m.envelope.recipient_count == RECIPIENTS);
	CHECK(transaction_init(&t, c, &m, finished) == 0);
	end = transaction_run(&t);
	CHECK(end == END_COMPLETE || end == END_UNSENT || end == END_DOUBT);
	CHECK(end == END_COMPLETE || t.broken);
	for (size_t i = 0; i < RECIPIENTS; i++) {
		const struct outcome *o = &t.outcomes[i];

		CHECK(o->wanted == (i != 1) && (o->wanted || !o->known));
		CHECK(end != END_COMPLETE || o->known == o->wanted);
		CHECK(!o->known || o->value != OUTCOME_DELIVERED || o->code / 100 == 2);
		CHECK(!o->known || o->value != OUTCOME_REFUSED || o->code / 100 == 5);
		some |= o->known && o->value == OUTCOME_DELIVERED;
	}
	CHECK(end != END_UNSENT || !some);
	*delivered += some;
	goes_on = !t.broken;
	transaction_fini(&t);
	message_close(&m);
	return goes_on;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ipc_settings settings = { .hostname = "host.example",
		.tls = TLS_NONE,
		.insecure_auth = 1,
		.command_timeout = 5000000 };
	static char password[] = "secret";
	static const struct buf secret = { .data = password, .len = 6, .size = sizeof(password) };
	struct conversation c = { .settings = &settings, .host = "mail.example" };
	struct server s = { .line = BUF_INIT(1 << 20), .content = BUF_INIT(1 << 20) };
	char ready[400];
	int fds[2];
	unsigned delivered = 0;
	pthread_t thread;

	if (size == 0)
		return 0;
	log_to_sink(nothing, NULL);
	snprintf(settings.user, sizeof(settings.user), "%s", data[0] % 2 == 0 ? "" : "joe");
	c.auth = (struct auth){ .user = settings.user,
		.host = c.host,
		.secret = &secret,
		.means = { .wanted = data[0] % 2 == 0 ? "" : "CRAM-MD5 DIGEST-MD5 PLAIN LOGIN",
		    .in_clear = true,
		    .password = data[0] % 2 != 0 } };
	CHECK(auth_init(&c.auth) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	CHECK(fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0);
	s.fd = fds[1];
	s.says = (const char *)data + 1;
	s.left = size - 1;
	stream_init(&c.stream, fds[0], -1);
	CHECK(pthread_create(&thread, NULL, server_run, &s) == 0);
	if (conversation_open(&c, ready, sizeof(ready)) == 0)
		for (int i = 0; i < 3 && message_send(&c, &delivered); i++)
			;
	CHECK(memchr(c.problem, '\0', sizeof(c.problem)) != NULL);
	if (c.problem[0] == '\0')
		conversation_quit(&c);
	stream_close(&c.stream);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(delivered <= s.whole);
	auth_fini(&c.auth);
	reply_free(&c.reply);
	buf_free(&s.line);
	buf_free(&s.content);
	return 0;
}
