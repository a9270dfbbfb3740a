/*
 * relayd/session/stream: deadlines, whatever arrives meanwhile.
 */
#include "tests/unit/unit.h"

#include <sys/socket.h>

#include "relayd/session/stream.h"

#define ANONYMOUS "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+ANON-ECDH"

/* Both ends of a TLS connection, its handshake done. */
struct pair {
	gnutls_anon_server_credentials_t server_credentials;
	gnutls_anon_client_credentials_t client_credentials;
	gnutls_session_t server;
	struct stream stream;
	int other;
};

static int
pair_open(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));
	gnutls_session_t client;
	int fds[2], ours = GNUTLS_E_AGAIN, theirs = GNUTLS_E_AGAIN;

	assert_non_null(p);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	gnutls_anon_allocate_server_credentials(&p->server_credentials);
	gnutls_anon_allocate_client_credentials(&p->client_credentials);
	assert_int_equal(gnutls_init(&p->server, GNUTLS_SERVER | GNUTLS_NONBLOCK), 0);
	assert_int_equal(gnutls_init(&client, GNUTLS_CLIENT | GNUTLS_NONBLOCK), 0);
	assert_int_equal(gnutls_priority_set_direct(p->server, ANONYMOUS, NULL), 0);
	assert_int_equal(gnutls_priority_set_direct(client, ANONYMOUS, NULL), 0);
	gnutls_credentials_set(p->server, GNUTLS_CRD_ANON, p->server_credentials);
	gnutls_credentials_set(client, GNUTLS_CRD_ANON, p->client_credentials);
	gnutls_transport_set_int(p->server, fds[1]);
	gnutls_transport_set_int(client, fds[0]);
	while (ours == GNUTLS_E_AGAIN || theirs == GNUTLS_E_AGAIN) {
		if (ours == GNUTLS_E_AGAIN)
			ours = gnutls_handshake(client);
		if (theirs == GNUTLS_E_AGAIN)
			theirs = gnutls_handshake(p->server);
	}
	assert_int_equal(ours, 0);
	assert_int_equal(theirs, 0);
	stream_init(&p->stream, fds[0], -1);
	p->stream.tls = client;
	p->other = fds[1];
	*state = p;
	return 0;
}

static int
pair_close(void **state)
{
	struct pair *p = *state;

	stream_close(&p->stream);
	gnutls_deinit(p->server);
	gnutls_anon_free_server_credentials(p->server_credentials);
	gnutls_anon_free_client_credentials(p->client_credentials);
	close(p->other);
	free(p);
	return 0;
}

static void
what_tls_keeps_to_itself_does_not_prolong_a_wait(void **state)
{
	struct pair *p = *state;
	char *line, octet;
	size_t len;

	for (int i = 0; i < 50; i++)
		assert_int_equal(gnutls_rehandshake(p->server), 0);
	stream_timeout(&p->stream, 0);
	assert_int_equal(stream_read_line(&p->stream, &line, &len), -1);
	assert_int_equal(p->stream.error, STREAM_TIMEOUT);
	/* not after all of them: there could be more without end */
	assert_int_equal(recv(p->stream.fd, &octet, 1, MSG_PEEK), 1);
}

static void
what_has_arrived_is_read_although_it_is_late(void **state)
{
	struct pair *p = *state;
	char *line;
	size_t len;

	assert_int_equal(gnutls_record_send(p->server, "250 fine\r\n", 10), 10);
	stream_timeout(&p->stream, 0);
	assert_int_equal(stream_read_line(&p->stream, &line, &len), 0);
	assert_string_equal(line, "250 fine");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    what_tls_keeps_to_itself_does_not_prolong_a_wait, pair_open, pair_close),
		cmocka_unit_test_setup_teardown(
		    what_has_arrived_is_read_although_it_is_late, pair_open, pair_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
