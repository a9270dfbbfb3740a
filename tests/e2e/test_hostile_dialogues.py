"""Servers that speak SMTP and yet do what no server should, in one connection or in each: nothing is lost or sent twice."""

import os
import re
import socket
import struct
import threading

import pytest

import harness

MESSAGE = b"Subject: hello\n\nhello\n"
LARGE = MESSAGE + (b"x" * 900 + b"\n") * 20_000  # more than the buffers of two sockets
QUICK = {"retry_interval": "50ms 100ms", "reconnect_interval": "20ms 50ms", "in_doubt_interval": "100ms"}
SHORT_WAIT = f"{int(500 * float(os.environ.get('POSTBAG_SLOWNESS', '1')))}ms"
CLEAR = {"user": None, "password": None, "tls": "none"}
BOB = "bob@example.test"


class Server:
    """Good answers, but for what bad(server, peer, verb, line) answers itself: it returns True then. accepted counts messages."""

    def __init__(self, bad=lambda *_: False, offers=()):
        self.bad, self.offers, self.accepted = bad, offers, []

    def __call__(self, peer):
        peer.send(b"220 ready\r\n")
        while True:
            line = peer.line()
            verb = line.split(b" ")[0].upper().decode()
            if self.bad(self, peer, verb, line):
                continue
            if verb == "EHLO":
                peer.send(b"".join(b"250-%s\r\n" % word for word in [b"ready", *self.offers]) + b"250 HELP\r\n")
            elif verb == "DATA":
                peer.send(b"354 go on\r\n")
                self.content(peer)
            elif verb == "QUIT":
                peer.send(b"221 bye\r\n")
                return
            else:
                peer.send(b"250 fine\r\n")

    def content(self, peer):
        while peer.line() != b".":
            pass
        self.accepted.append(peer.number)
        peer.send(b"250 taken\r\n")


@pytest.fixture
def run(certs, make_host):
    """run(server, ...): a message is on its way to a Server."""
    servers = []

    def run(script, message=MESSAGE, scheme="smtp", block=None, **settings):
        servers.append(harness.ScriptedServer(certs, script))
        host = make_host(servers[-1], scheme, block={**CLEAR, **(block or {})}, **{**QUICK, **settings})
        host.start_relayd()
        host.submit(message, BOB)
        return host

    yield run
    for server in servers:
        server.close()


def wait_closed(peer):
    while peer.connection.recv(65536):
        pass
    raise EOFError


# replies that are not one for each command


def instead(verb, octets, then=None):
    """The first connection gets these in place of the reply to a command; then is called with the peer."""

    def bad(server, peer, got, line):
        if peer.number > 1 or got != verb:
            return False
        peer.send(octets)
        if then:
            then(peer)
        return True

    return bad


COUNTS = {
    "one less, for MAIL": instead("MAIL", b""),
    "one less, for RCPT": instead("RCPT", b""),
    "one less, for DATA": instead("DATA", b"", wait_closed),
    "one more, for EHLO": instead("EHLO", b"250-ready\r\n250 PIPELINING\r\n250 fine\r\n"),
    "one more, for MAIL": instead("MAIL", b"250 fine\r\n250 fine\r\n"),
    "one more, for RCPT": instead("RCPT", b"250 fine\r\n250 fine\r\n"),
    "354 twice": instead("DATA", b"354 go on\r\n354 go on\r\n", wait_closed),
    "354 and at once a yes": instead("DATA", b"354 go on\r\n250 taken\r\n", wait_closed),
    "354 and at once a no": instead("DATA", b"354 go on\r\n451 not now\r\n", wait_closed),
    "a yes in place of 354": instead("DATA", b"250 taken\r\n", wait_closed),
    "354 to RCPT": instead("RCPT", b"354 go on\r\n"),
    "many more": instead("RCPT", b"250 fine\r\n" * 1000),
}


@pytest.mark.parametrize("offers", [(), (b"PIPELINING",)], ids=["lockstep", "pipelining"])
@pytest.mark.parametrize("count", COUNTS)
def test_replies_that_are_too_few_or_too_many(count, offers, run):
    server = Server(COUNTS[count], offers)
    host = run(server, block={"command_timeout": SHORT_WAIT})
    host.wait_empty()
    assert server.accepted == [2] and "status=bounced" not in host.log()


def test_a_reply_behind_the_last_one_is_not_one_for_the_next_message(run):
    """The connection waits for more to do, and the server has said yes to what was not yet asked."""

    def bad(server, peer, verb, line):
        if peer.number == 1 and verb == "DATA":
            peer.send(b"354 go on\r\n")
            server.content(peer)
            peer.send(b"250 fine\r\n" * 5)
        return peer.number == 1 and verb == "DATA"

    server = Server(bad)
    host = run(server)
    host.wait_empty()
    host.submit(MESSAGE, BOB)
    host.wait_empty()
    assert server.accepted == [1, 2]


# connections that break


def reset(peer):
    peer.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.file.close()
    peer.connection.close()
    raise EOFError


def test_a_reset_after_each_kilobyte_of_the_content(run):
    kilobytes = 20

    def bad(server, peer, verb, line):
        if verb == "DATA" and peer.number <= kilobytes:
            peer.send(b"354 go on\r\n")
            peer.file.read(1024 * peer.number)
            reset(peer)
        return False

    server = Server(bad)
    host = run(server, MESSAGE + b"0123456789abcde\n" * (64 * (kilobytes + 2)))
    host.wait_empty()
    assert server.accepted == [kilobytes + 1] and "status=bounced" not in host.log()


def test_a_server_that_closes_behind_each_mail_costs_one_bounce_at_the_end(run):
    def bad(server, peer, verb, line):
        if verb == "MAIL" and b"<>" not in line:
            raise EOFError
        return False

    server = Server(bad)
    host = run(server, queue_lifetime="2s")
    host.wait_empty()
    assert len(server.accepted) == 1 and host.log().count("status=bounced") == 1


def test_a_server_that_does_not_answer_quit(run):
    ended = []

    def bad(server, peer, verb, line):
        if verb == "QUIT":
            try:
                peer.line()
            except EOFError:
                ended.append(peer.number)
                raise
        return False

    server = Server(bad)
    host = run(server, block={"idle_timeout": "0s"})
    host.wait_empty()
    host.wait_for(lambda: ended == [1], what="the connection is closed")
    assert server.accepted == [1] and "paused=" not in host.log()


def test_an_answer_that_comes_late_is_waited_for(make_smarthost, make_host):
    server = make_smarthost(rule="end delay 3000")
    host = make_host(server, block={"command_timeout": "20s"}, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    host.wait_for(lambda: "rule: delay at end" in server.transcript(), what="the content is there")
    assert len(host.queue_files()) == 1
    host.wait_empty()
    assert len(server.messages()) == 1 and "in-doubt" not in host.log()


# servers that do not read


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "TLS"])
@pytest.mark.parametrize("what, words", [("is silent", "no answer within"), ("talks", "replies without end")])
def test_a_server_that_takes_no_more_of_the_content(what, words, tls, run):
    released = threading.Event()

    def bad(server, peer, verb, line):
        if verb != "DATA" or peer.number > 1:
            return False
        peer.send(b"354 go on\r\n")
        while what == "talks":
            peer.connection.sendall(b"250-still here\r\n" * 1000)
        released.wait(harness.TIMEOUT)
        raise EOFError

    server = Server(bad)

    def script(peer):
        if tls:
            peer.start_tls()
        server(peer)

    block = {"command_timeout": SHORT_WAIT, **({"tls": "required"} if tls else {})}
    host = run(script, LARGE, "smtps" if tls else "smtp", block)
    host.wait_log(f"paused=.*{words}")
    host.wait_empty()
    released.set()
    assert len(server.accepted) == 1 and not re.search("in-doubt|bounced", host.log())


# servers that do not know EHLO


def knows_only_helo(code):
    def bad(server, peer, verb, line):
        if verb == "EHLO":
            peer.send(b"%d what?\r\n" % code)
        elif verb == "HELO":
            peer.send(b"250-hello\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 10\r\n")  # offers do not count here
        return verb in ("EHLO", "HELO")

    return bad


@pytest.mark.parametrize("tls", ["none", "opportunistic"])
@pytest.mark.parametrize("code", [500, 502])
def test_helo_where_neither_tls_nor_a_login_is_needed(code, tls, run):
    server = Server(knows_only_helo(code))
    host = run(server, block={"tls": tls})
    host.wait_empty()
    assert server.accepted == [1] and "SIZE=" not in host.transcripts[-1].transcript()


NO_HELO = {
    "TLS": (502, {"tls": "required"}),
    "a login": (502, {"user": "alice", "password": "command:/bin/echo s3cret", "insecure_auth": "yes"}),
    "refused": (550, {}),
    "refused for now": (450, {}),
}


@pytest.mark.parametrize("why", NO_HELO)
def test_no_helo(why, run):
    code, block = NO_HELO[why]
    host = run(Server(knows_only_helo(code)), block=block)
    host.wait_log(f"paused=.*EHLO: {code}")
    assert "C: b'HELO" not in host.transcripts[-1].transcript() and len(host.queue_files()) == 1
