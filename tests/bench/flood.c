/*
 * flood PORT COUNT WINDOW USER PASSWORD < MESSAGE
 *
 * What the line and the test smarthost can carry: a client that does nothing but send, one
 * connection, STARTTLS, AUTH PLAIN, then COUNT times MAIL, RCPT, BDAT with the same message
 * (CRLF), at most WINDOW of them unanswered.  No queue, no certificate is looked at, every
 * reply but 2xx ends it.  No client that keeps its promises can be faster.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { REPLIES = 3 }; /* to a message */

static struct {
	int fd;
	gnutls_session_t tls;
	char in[65536];
	size_t length;
} line;

static void
fail(const char *what)
{
	fprintf(stderr, "flood: %s\n", what);
	exit(1);
}

static void
put(const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t n = line.tls != NULL ? gnutls_record_send(line.tls, bytes, length)
					     : send(line.fd, bytes, length, MSG_NOSIGNAL);

		if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED)
			continue;
		if (n <= 0)
			fail("cannot write");
		bytes += n;
		length -= (size_t)n;
	}
}

/* Waits for so many replies at least; returns how many came. */
static unsigned long
await(unsigned long replies)
{
	unsigned long found = 0;

	while (found < replies) {
		char *start = line.in, *end;
		ssize_t n = line.tls != NULL ? gnutls_record_recv(line.tls, line.in + line.length,
						   sizeof(line.in) - line.length)
					     : recv(line.fd, line.in + line.length,
						   sizeof(line.in) - line.length, 0);

		if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED)
			continue;
		if (n <= 0)
			fail("the server is gone");
		line.length += (size_t)n;
		while (
		    (end = memchr(start, '\n', line.length - (size_t)(start - line.in))) != NULL) {
			if (*start != '2')
				fail("refused");
			found += start[3] == ' ';
			start = end + 1;
		}
		line.length -= (size_t)(start - line.in);
		memmove(line.in, start, line.length);
	}
	return found;
}

static void
converse(const char *command)
{
	put(command, strlen(command));
	put("\r\n", 2);
	await(1);
}

static void
start_tls(void)
{
	gnutls_certificate_credentials_t none;
	int r;

	converse("STARTTLS");
	if (gnutls_certificate_allocate_credentials(&none) < 0 ||
	    gnutls_init(&line.tls, GNUTLS_CLIENT) < 0 ||
	    gnutls_set_default_priority(line.tls) < 0 ||
	    gnutls_credentials_set(line.tls, GNUTLS_CRD_CERTIFICATE, none) < 0)
		fail("no TLS");
	gnutls_transport_set_int(line.tls, line.fd);
	while ((r = gnutls_handshake(line.tls)) < 0)
		if (gnutls_error_is_fatal(r))
			fail(gnutls_strerror(r));
}

static void
authenticate(const char *user, const char *password)
{
	gnutls_datum_t plain, encoded;
	char text[512];
	int n = snprintf(text, sizeof(text), "%c%s%c%s", 0, user, 0, password);

	plain = (gnutls_datum_t){ (unsigned char *)text, (unsigned)n };
	if (gnutls_base64_encode2(&plain, &encoded) < 0)
		fail("no base64");
	put("AUTH PLAIN ", 11);
	put((char *)encoded.data, encoded.size);
	converse("");
}

/* One transaction, as it goes over the line; returns its length. */
static size_t
compose(char *buffer, size_t size)
{
	static char message[1 << 20];
	size_t length = fread(message, 1, sizeof(message), stdin);
	int n = snprintf(buffer, size,
	    "MAIL FROM:<alice@example.test>\r\n"
	    "RCPT TO:<a@example.test>\r\nBDAT %zu LAST\r\n",
	    length);

	if (length == 0 || (size_t)n + length > size)
		fail("no message");
	memcpy(buffer + n, message, length);
	return (size_t)n + length;
}

int
main(int argc, char **argv)
{
	static char transaction[(1 << 20) + 512];
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const int on = 1;
	unsigned long count, window, sent = 0, replies = 0;

	if (argc != 6)
		return 64;
	address.sin_port = htons((in_port_t)strtoul(argv[1], NULL, 10));
	count = strtoul(argv[2], NULL, 10);
	window = strtoul(argv[3], NULL, 10);
	size_t length = compose(transaction, sizeof(transaction));
	line.fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(line.fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		fail(strerror(errno));
	setsockopt(line.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	await(1);
	converse("EHLO host.example.test");
	start_tls();
	converse("EHLO host.example.test");
	authenticate(argv[4], argv[5]);
	while (replies < count * REPLIES) {
		if (sent < count && sent < replies / REPLIES + window) {
			put(transaction, length);
			sent++;
		} else {
			replies += await(1);
		}
	}
	converse("QUIT");
	return 0;
}
