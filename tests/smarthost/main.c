/*
 * smarthost: a scripted SMTP server for demonstrations, end-to-end tests, fault tests and
 * benchmarks.  The main thread accepts connections and handles signals; every connection has a
 * thread of its own.  All signals are blocked everywhere and read from a signalfd, so no handler
 * exists and no system call is interrupted.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "server.h"
#include "session.h"

enum { MAIN_LEAVE_MS = 300, MAIN_BACKLOG = 1024 };

void
server_stop(struct server *server)
{
	const uint64_t one = 1;

	atomic_store(&server->stopping, true);
	while (write(server->stop_event, &one, sizeof one) == -1 && errno == EINTR)
		;
}

static void *
run_connection(void *argument)
{
	struct session *session = argument;
	struct server *server = session->server;
	struct session **link = &server->sessions;

	session_run(session);
	pthread_mutex_lock(&server->lock);
	while (*link != session)
		link = &(*link)->next;
	*link = session->next;
	pthread_mutex_unlock(&server->lock);
	session_free(session);
	pthread_mutex_lock(&server->lock);
	server->live--;
	pthread_cond_signal(&server->gone);
	pthread_mutex_unlock(&server->lock);
	return NULL;
}

static void
start_connection(struct server *server, int fd)
{
	const int on = 1;
	pthread_t thread;
	unsigned number = (unsigned)atomic_fetch_add(&server->record.connections, 1) + 1;
	struct session *session = session_new(server, fd, number);

	if (session == NULL) {
		close(fd);
		return;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	pthread_mutex_lock(&server->lock);
	if (pthread_create(&thread, NULL, run_connection, session) == 0) {
		pthread_detach(thread);
		session->next = server->sessions;
		server->sessions = session;
		server->live++;
		session = NULL;
	}
	pthread_mutex_unlock(&server->lock);
	if (session != NULL)
		session_free(session);
}

static void
accept_connection(struct server *server, int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd != -1)
		start_connection(server, fd);
	else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
		stream_sleep(10);
}

/* Waits until no connection is left, at most that long. */
static bool
wait_for_connections(struct server *server, unsigned milliseconds)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += (long)milliseconds * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&server->lock);
	while (server->live > 0 && r == 0)
		r = pthread_cond_timedwait(&server->gone, &server->lock, &until);
	bool none = server->live == 0;
	pthread_mutex_unlock(&server->lock);
	return none;
}

/* Ends all connections; false when a thread is still busy. */
static bool
end_connections(struct server *server, bool patient)
{
	atomic_store(&server->stopping, true);
	if (patient && wait_for_connections(server, MAIN_LEAVE_MS))
		return true;
	pthread_mutex_lock(&server->lock);
	for (struct session *session = server->sessions; session != NULL; session = session->next)
		shutdown(session->stream.fd, SHUT_RDWR);
	pthread_mutex_unlock(&server->lock);
	return wait_for_connections(server, MAIN_LEAVE_MS);
}

static void
reload_rules(struct server *server)
{
	char why[512];

	if (server->options.rules_file == NULL)
		return;
	if (!rules_load(&server->rules, server->options.rules_file, why, sizeof why))
		fprintf(stderr, "smarthost: %s: the old rules stay\n", why);
}

/* False: it is time to end. */
static bool
handle_signal(struct server *server, int signals)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof info) != (ssize_t)sizeof info)
		return true;
	switch (info.ssi_signo) {
	case SIGHUP:
		reload_rules(server);
		return true;
	case SIGUSR1:
		record_write_totals(&server->record);
		return true;
	default:
		return false;
	}
}

/* Runs until a signal or --exit-after; tells whether clients may finish what they do. */
static bool
serve(struct server *server, int listener, int signals)
{
	struct pollfd polls[] = {
		{ .fd = signals, .events = POLLIN },
		{ .fd = server->stop_event, .events = POLLIN },
		{ .fd = listener, .events = POLLIN },
	};

	for (;;) {
		if (poll(polls, 3, -1) == -1)
			continue;
		if (polls[0].revents != 0 && !handle_signal(server, signals))
			return false;
		if (polls[1].revents != 0)
			return true;
		if (polls[2].revents != 0)
			accept_connection(server, listener);
	}
}

/* A listening socket, or -1 having said why. */
static int
listen_at(const char *address, const char *port)
{
	const struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
		.ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *found = NULL;
	const int on = 1;
	int fd = -1;
	int r = getaddrinfo(address, port, &hints, &found);

	if (r != 0) {
		fprintf(stderr, "smarthost: --bind %s: %s\n", address, gai_strerror(r));
		return -1;
	}
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == -1 ||
	    bind(fd, found->ai_addr, found->ai_addrlen) == -1 || listen(fd, MAIN_BACKLOG) == -1) {
		fprintf(stderr, "smarthost: cannot listen on %s port %s: %s\n", address, port,
		    strerror(errno));
		if (fd != -1)
			close(fd);
		fd = -1;
	}
	freeaddrinfo(found);
	return fd;
}

static bool
write_port_file(const char *path, const char *port)
{
	struct text_buffer draft = { .cap = 4096 };
	bool good = text_append_string(&draft, path) && text_append_string(&draft, ".new");
	FILE *file = good ? fopen(text_string(&draft), "we") : NULL;

	good = file != NULL && fprintf(file, "%s\n", port) > 0;
	if (file != NULL && fclose(file) != 0)
		good = false;
	good = good && rename(text_string(&draft), path) == 0;
	if (!good)
		fprintf(stderr, "smarthost: cannot write \"%s\": %s\n", path, strerror(errno));
	text_free(&draft);
	return good;
}

/* Tells the world where it listens. */
static bool
announce(const struct options *options, int listener)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof address;
	char host[64];
	char port[8];

	if (getsockname(listener, (struct sockaddr *)&address, &length) == -1 ||
	    getnameinfo((struct sockaddr *)&address, length, host, sizeof host, port, sizeof port,
	    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
		fprintf(stderr, "smarthost: cannot find out the port\n");
		return false;
	}
	if (options->port_file != NULL && !write_port_file(options->port_file, port))
		return false;
	printf(strchr(host, ':') != NULL ? "listening on [%s]:%s\n" : "listening on %s:%s\n", host,
	    port);
	fflush(stdout);
	return true;
}

/* False, having said why. */
static bool
open_server(struct server *server)
{
	const struct options *options = &server->options;
	char why[512];

	if ((options->certificate != NULL && !tls_load(&server->tls, options->certificate,
	    options->key, options->client_ca, options->priority, why, sizeof why)) ||
	    (options->ocsp != NULL &&
	    !tls_load_status(&server->tls, options->ocsp, why, sizeof why))) {
		fprintf(stderr, "smarthost: %s\n", why);
		return false;
	}
	if (!auth_open(&server->auth, options->user, options->password, options->mechanisms, why,
	    sizeof why)) {
		fprintf(stderr, "smarthost: %s\n", why);
		return false;
	}
	if (options->rules_file != NULL &&
	    !rules_load(&server->rules, options->rules_file, why, sizeof why)) {
		fprintf(stderr, "smarthost: %s\n", why);
		return false;
	}
	if (record_open(&server->record, options->transcript) == -1) {
		fprintf(stderr, "smarthost: cannot open \"%s\": %s\n", options->transcript,
		    strerror(errno));
		return false;
	}
	if (store_open(&server->store, options->store) == -1) {
		fprintf(stderr, "smarthost: cannot open directory \"%s\": %s\n", options->store,
		    strerror(errno));
		return false;
	}
	server->stop_event = eventfd(0, EFD_CLOEXEC);
	return server->stop_event != -1;
}

static int
block_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void
close_server(struct server *server)
{
	store_close(&server->store);
	record_close(&server->record);
	auth_close(&server->auth);
	tls_unload(&server->tls);
	rules_free(&server->rules);
}

int
main(int argc, char **argv)
{
	static struct server server = {
		.record.fd = -1,
		.store.dir = -1,
		.stop_event = -1,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.gone = PTHREAD_COND_INITIALIZER,
	};

	rules_init(&server.rules);
	enum options_result parsed = options_parse(&server.options, &server.rules, argc, argv);
	if (parsed != OPTIONS_RUN) {
		rules_free(&server.rules);
		return parsed == OPTIONS_HELP ? 0 : 2;
	}
	int signals = block_signals();
	if (signals == -1 || !open_server(&server))
		return 1;
	int listener = listen_at(server.options.bind, server.options.port);
	if (listener == -1 || !announce(&server.options, listener))
		return 1;
	bool patient = serve(&server, listener, signals);
	close(listener);
	bool quiet = end_connections(&server, patient);
	int status = 0;
	if (server.options.stats != NULL &&
	    record_write_stats(&server.record, server.options.stats) == -1) {
		fprintf(stderr, "smarthost: cannot write \"%s\": %s\n", server.options.stats,
		    strerror(errno));
		status = 1;
	}
	if (!quiet)
		_exit(status); /* a thread still uses what close_server() would free */
	close_server(&server);
	return status;
}
