/*
 * delay PORT MILLISECONDS: a long line to the server on PORT of this host.
 *
 * Listens on a free port of 127.0.0.1, says which, and carries every connection to the
 * server so that a round trip takes MILLISECONDS: what comes in from either side goes
 * out half of that later, in order, however much it is.  A connection needs a round trip
 * of its own to open, so the server hears of it one and a half later.  There is no limit
 * to the bandwidth and no slow start; TCP acknowledgements are those of the loopback.
 *
 * SIGUSR1: "connections N, round trips N, first at SECONDS" (CLOCK_MONOTONIC).  Round
 * trips are counted as causes: what the server says has one more behind it than the last
 * thing from the client that had reached it by then; what the client says has as many as
 * the last that had reached the client.  The longest such chain of a connection is what
 * it would have to wait for on any line.  Opening it is the first.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 65536, EVENTS = 64 };

/* What came in at once; length 0: the end. */
struct chunk {
	struct chunk *next;
	long long due;
	unsigned long long trips; /* behind it */
	size_t length, sent;
	char bytes[];
};

/* One of the two ends: what is under way to it. */
struct end {
	int fd;
	bool closed;              /* nothing comes from it any more */
	bool finished;            /* nothing goes to it any more */
	unsigned long long trips; /* behind the last thing that reached it */
	struct chunk *head, **tail;
};

struct connection {
	struct connection *next;
	long long connect_at; /* 0: it is connected */
	bool broken;
	struct end client, server;
};

struct line {
	int epoll, listener, signals;
	in_port_t port;
	long long half; /* nanoseconds */
	long long now;  /* when we last looked: of one moment, so that nothing falls due between two
			   looks */
	struct connection *connections;
	unsigned long long count, trips; /* trips: of connections that are gone */
	long long first;
};

static char scratch[CHUNK];

static void
fail(const char *what)
{
	fprintf(stderr, "delay: %s: %s\n", what, strerror(errno));
	exit(1);
}

static long long
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void
watch(const struct line *line, int fd, struct connection *connection)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.ptr = connection,
	};
	const int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (epoll_ctl(line->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		fail("epoll_ctl");
}

static void
begin(struct line *line)
{
	struct connection *connection;
	int fd = accept4(line->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if ((connection = calloc(1, sizeof(*connection))) == NULL)
		fail("calloc");
	connection->connect_at = (line->now = now()) + 3 * line->half;
	if (line->count++ == 0)
		line->first = line->now;
	connection->client = (struct end){ .fd = fd, .trips = 1, .tail = &connection->client.head };
	connection->server = (struct end){ .fd = -1, .trips = 2, .tail = &connection->server.head };
	connection->next = line->connections;
	line->connections = connection;
	watch(line, fd, connection);
}

static void
connect_server(struct line *line, struct connection *connection)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = line->port,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	connection->connect_at = 0;
	connection->server.fd = fd;
	/* to a queue of this host: it does not block */
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		connection->broken = true;
		return;
	}
	watch(line, fd, connection);
}

/* All that there is to read: under way to the other end. */
static void
take(const struct line *line, struct connection *connection, struct end *from, struct end *to)
{
	while (from->fd >= 0 && !from->closed) {
		ssize_t n = recv(from->fd, scratch, sizeof(scratch), MSG_DONTWAIT);
		struct chunk *chunk;

		if (n < 0) {
			connection->broken = errno != EAGAIN && errno != EINTR;
			return;
		}
		if ((chunk = malloc(sizeof(*chunk) + (size_t)n)) == NULL)
			fail("malloc");
		*chunk = (struct chunk){
			.due = line->now + line->half,
			.trips = from == &connection->client ? from->trips + 1 : from->trips,
			.length = (size_t)n,
		};
		memcpy(chunk->bytes, scratch, (size_t)n);
		*to->tail = chunk;
		to->tail = &chunk->next;
		from->closed = n == 0;
	}
}

/* All that is due. */
static void
give(const struct line *line, struct connection *connection, struct end *to)
{
	struct chunk *chunk;

	while (to->fd >= 0 && (chunk = to->head) != NULL && chunk->due <= line->now) {
		ssize_t n = chunk->length == 0
				? shutdown(to->fd, SHUT_WR)
				: send(to->fd, chunk->bytes + chunk->sent,
				      chunk->length - chunk->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0) {
			connection->broken = errno != EAGAIN;
			return;
		}
		if (chunk->length > 0 && chunk->trips > to->trips)
			to->trips = chunk->trips;
		chunk->sent += (size_t)n;
		to->finished = chunk->length == 0;
		if (chunk->sent < chunk->length)
			return;
		if ((to->head = chunk->next) == NULL)
			to->tail = &to->head;
		free(chunk);
	}
}

static void
forget(struct end *end)
{
	struct chunk *next;

	for (struct chunk *chunk = end->head; chunk != NULL; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
	if (end->fd >= 0)
		close(end->fd);
}

/* False when it is over. */
static bool
carry(struct line *line, struct connection *connection)
{
	if (connection->connect_at != 0 && connection->connect_at <= line->now)
		connect_server(line, connection);
	take(line, connection, &connection->client, &connection->server);
	take(line, connection, &connection->server, &connection->client);
	give(line, connection, &connection->server);
	give(line, connection, &connection->client);
	return !connection->broken && !(connection->client.finished && connection->server.finished);
}

/* When the next thing is due; 0: nothing is. */
static long long
carry_all(struct line *line)
{
	struct connection **link = &line->connections;
	long long next = 0;

	line->now = now();
	while (*link != NULL) {
		struct connection *connection = *link;
		const struct end *ends[] = { &connection->client, &connection->server };

		if (!carry(line, connection)) {
			line->trips += connection->client.trips;
			forget(&connection->client);
			forget(&connection->server);
			*link = connection->next;
			free(connection);
			continue;
		}
		for (int i = 0; i < 2; i++) {
			long long due = ends[i]->fd < 0         ? connection->connect_at
					: ends[i]->head != NULL ? ends[i]->head->due
								: 0;

			/* what is due already waits for room, of which epoll tells */
			if (due > line->now && (next == 0 || due < next))
				next = due;
		}
		link = &connection->next;
	}
	return next;
}

/* False: it is time to end. */
static bool
answer(struct line *line)
{
	struct signalfd_siginfo signal;
	unsigned long long trips = line->trips;

	if (read(line->signals, &signal, sizeof(signal)) != sizeof(signal))
		return true;
	for (const struct connection *c = line->connections; c != NULL; c = c->next)
		trips += c->client.trips;
	printf("connections %llu, round trips %llu, first at %lld.%09lld\n", line->count, trips,
	    line->first / 1000000000, line->first % 1000000000);
	return signal.ssi_signo == SIGUSR1;
}

static void
serve(struct line *line)
{
	struct epoll_event events[EVENTS];

	for (;;) {
		long long due = carry_all(line), wait = due - now();
		struct timespec timeout = { wait / 1000000000, wait % 1000000000 };
		int n;

		if (wait < 0)
			timeout = (struct timespec){ 0 };
		n = epoll_pwait2(line->epoll, events, EVENTS, due == 0 ? NULL : &timeout, NULL);
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == &line->listener)
				begin(line);
			else if (events[i].data.ptr == &line->signals && !answer(line))
				return;
		}
	}
}

static void
listen_somewhere(struct line *line)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);

	line->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (line->listener < 0 ||
	    bind(line->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(line->listener, SOMAXCONN) < 0 ||
	    getsockname(line->listener, (struct sockaddr *)&address, &size) < 0)
		fail("cannot listen");
	printf("port %d\n", ntohs(address.sin_port));
}

int
main(int argc, char **argv)
{
	struct line line = { .epoll = epoll_create1(EPOLL_CLOEXEC) };
	struct epoll_event event = { .events = EPOLLIN };
	sigset_t set;

	if (argc != 3)
		return 64;
	setvbuf(stdout, NULL, _IOLBF, 0);
	line.port = htons((in_port_t)strtoul(argv[1], NULL, 10));
	line.half = (long long)(strtod(argv[2], NULL) * 1e6 / 2);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if ((line.signals = signalfd(-1, &set, SFD_CLOEXEC)) < 0)
		fail("signalfd");
	listen_somewhere(&line);
	event.data.ptr = &line.listener;
	epoll_ctl(line.epoll, EPOLL_CTL_ADD, line.listener, &event);
	event.data.ptr = &line.signals;
	epoll_ctl(line.epoll, EPOLL_CTL_ADD, line.signals, &event);
	serve(&line);
	return 0;
}
