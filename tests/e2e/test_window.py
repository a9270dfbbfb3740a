"""Several messages under way on one connection: few round trips, and never one message with another's envelope."""

import re
import socket
import struct

import pytest

import harness

MESSAGE = b"Subject: hello\n\nhello %d\n"
QUICK = {"retry_interval": "100ms 200ms", "reconnect_interval": "50ms 100ms", "in_doubt_interval": "200ms"}
CLEAR = {"tls": "none", "user": None, "password": None, "tls_trust_file": None, "connections": 1}


def submit(host, count, recipient="user%d@example.test"):
    for number in range(count):
        host.submit(MESSAGE % number, recipient % number, sender=f"sender{number}@example.test")


def numbers(server):
    """The number of each message that arrived, which its sender, its recipient and its content must agree about."""
    found = []
    for mail in server.messages():
        if mail.sender == "":
            continue
        number = int(re.fullmatch(r"sender(\d+)@example\.test", mail.sender).group(1))
        assert mail.recipients == [f"user{number}@example.test"] and mail.content.endswith(b"hello %d\r\n" % number)
        found.append(number)
    return sorted(found)


def round_trips(server):
    [(messages, trips)] = re.findall(r"closed: \d+ commands, (\d+) messages, (\d+) round trips", server.transcript())
    return int(trips) / int(messages)


@pytest.mark.parametrize("window, fewest, most", [(1, 1.9, 2.2), (32, 0, 0.3)])
def test_round_trips_of_a_message(window, fewest, most, make_smarthost, make_host):
    server = make_smarthost(delay=5)
    host = make_host(server, block={"connections": 1, "window": window})
    submit(host, 200)
    host.start_relayd()
    host.wait_empty()
    host.stop_relayd()
    assert numbers(server) == list(range(200))
    assert fewest <= round_trips(server) <= most


@pytest.mark.parametrize("missing", ["CHUNKING", "PIPELINING"])
def test_without_chunks_each_message_waits_for_the_one_before(missing, make_smarthost, make_host):
    server = make_smarthost(without=missing)
    host = make_host(server, block={"connections": 1})
    submit(host, 20)
    host.start_relayd()
    host.wait_empty()
    host.stop_relayd()
    assert numbers(server) == list(range(20)) and round_trips(server) >= 2 and "BDAT" not in server.transcript()


@pytest.mark.parametrize("where", ["MAIL", "RCPT", "end"])
@pytest.mark.parametrize("code", ["451 4.3.0 later", "550 5.1.1 never"])
def test_what_is_refused_in_between_changes_nothing_for_the_others(where, code, make_smarthost, make_host):
    server = make_smarthost(rule=f"{where}/10-14 reply {code}")
    host = make_host(server, block={"connections": 1, "on_sender_refused": "bounce"}, **QUICK)
    submit(host, 40)
    host.start_relayd()
    host.wait_empty()
    refused = 5 if code[0] == "5" else 0
    assert len(numbers(server)) == len(set(numbers(server))) == 40 - refused


@pytest.mark.parametrize("fault", ["drop", "reset", "reply 421 4.3.2 going down"])
@pytest.mark.parametrize("where", ["RSET/20", "MAIL/20", "RCPT/20", "BDAT/20", "end/20"])
def test_a_connection_that_ends_among_many_loses_nothing(where, fault, make_smarthost, make_host):
    server = make_smarthost(rule=f"{where} {fault}")
    host = make_host(server, block={"connections": 1}, **QUICK)
    submit(host, 60)
    host.start_relayd()
    host.wait_empty()
    assert set(numbers(server)) == set(range(60))
    # what had no reply is sent again, and nothing else: here nothing is accepted without one
    assert len(numbers(server)) == 60


def test_a_reply_that_is_lost_costs_one_copy_of_one_message(make_smarthost, make_host):
    server = make_smarthost(rule="end/20 accept-then-drop")
    host = make_host(server, block={"connections": 1}, **QUICK)
    submit(host, 60)
    host.start_relayd()
    host.wait_empty()
    assert set(numbers(server)) == set(range(60)) and len(numbers(server)) == 61


def test_a_large_message_and_many_recipients_go_their_own_way(make_smarthost, make_host):
    server = make_smarthost()
    host = make_host(server, block={"connections": 1})
    submit(host, 5)
    host.submit(b"Subject: large\n\n" + b"x" * 70 + b"\n" * (1 << 21), "large@example.test")
    host.submit(b"Subject: many\n\n", *(f"many{number}@example.test" for number in range(150)))
    submit(host, 5)
    host.start_relayd()
    host.wait_empty()
    assert len(server.messages()) == 12


class ResetBehindReplies:
    """Accepts chunks; once, it keeps the replies to many messages back, sends all at once, and resets the connection."""

    def __init__(self, first, last):
        self.first, self.last, self.kept = first, last, []

    def __call__(self, peer):
        replies = [b"220 ready\r\n"]
        mail = False
        while True:
            if not self.first <= len(self.kept) < self.last:
                peer.connection.sendall(b"".join(replies))
                replies = []
            if len(self.kept) == self.last and self.first < self.last:
                self.first = self.last
                peer.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            line = peer.line().upper()
            if line == b"QUIT":
                return
            if line.startswith(b"EHLO"):
                replies.append(b"250-ready\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
            elif line.startswith(b"BDAT"):
                content = peer.file.read(int(line.split()[1]))
                replies.append(b"250 accepted\r\n" if mail else b"503 5.5.1 MAIL first\r\n")
                self.kept += [content] if mail else []
                mail = False
                if len(self.kept) == self.first:
                    peer.connection.sendall(b"".join(replies))
                    replies = []
            else:
                mail = line.startswith((b"MAIL", b"RCPT"))
                replies.append(b"250 fine\r\n")


@pytest.mark.parametrize("attempt", range(3))
def test_replies_before_a_reset_belong_to_the_messages_that_they_are_about(attempt, certs, make_host):
    script = ResetBehindReplies(40, 70)
    server = harness.ScriptedServer(certs, script)
    try:
        host = make_host(server, block=CLEAR, **QUICK)
        submit(host, 130)
        host.start_relayd()
        host.wait_empty()
    finally:
        server.close()
    assert {int(content.split()[-1]) for content in script.kept} == set(range(130))


class Chunks:
    """The command of a server that offers chunks; `discards` says whether it can do without one that it refuses."""

    def __init__(self, discards):
        self.discards, self.mail, self.accepted, self.ran = discards, False, 0, []

    def __call__(self, peer, line):
        if line.startswith(b"EHLO"):
            peer.send(b"250-ready\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
        elif line.startswith(b"BDAT") and not self.mail:
            if self.discards:
                peer.file.read(int(line.split()[1]))
            peer.send(b"503 5.5.1 MAIL first\r\n")
        elif line.startswith(b"BDAT"):
            peer.file.read(int(line.split()[1]))
            self.mail, self.accepted = False, self.accepted + 1
            peer.send(b"250 accepted\r\n")
        elif line == b"DATA":
            peer.send(b"354 go on\r\n")
            while peer.line() != b".":
                pass
            self.mail, self.accepted = False, self.accepted + 1
            peer.send(b"250 accepted\r\n")
        else:
            if line.startswith((b"MAIL", b"RSET")):
                self.mail = line.startswith(b"MAIL")
            if line == b"NOOP":
                self.ran.append(line)
            peer.send(b"250 fine\r\n")


def converse(peer, command):
    peer.send(b"220 ready\r\n")
    while (line := peer.line().upper()) != b"QUIT":
        command(peer, line)


def ten_delivered(command, certs, make_host):
    """Ten messages go to a server that answers so."""
    server = harness.ScriptedServer(certs, lambda peer: converse(peer, command))
    try:
        host = make_host(server, block=CLEAR, **QUICK)
        submit(host, 10)
        host.start_relayd()
        host.wait_empty()
        return host, server, server.transcript()
    finally:
        server.close()


@pytest.mark.parametrize("discards", [True, False])
def test_chunks_are_for_servers_that_discard_a_refused_one(discards, certs, make_host):
    command = Chunks(discards)
    host, server, transcript = ten_delivered(command, certs, make_host)
    assert command.accepted == 10 and ("b'DATA" in transcript) != discards
    # asked once; whoever runs the chunk is found out by that, costs one connection, and no pause
    assert transcript.count("b'BDAT 6 LAST") == 1 and len(command.ran) == (0 if discards else 1)
    assert server.connections == (1 if discards else 2) and "paused=" not in host.log()


def test_after_three_breaks_messages_go_one_by_one(make_smarthost, make_host):
    # a connection that takes two messages and breaks when more are under way
    server = make_smarthost(rule=[f"end/{number} drop" for number in range(3, 40, 4)])
    host = make_host(server, block={"connections": 1}, **QUICK)
    submit(host, 60)
    host.start_relayd()
    host.wait_empty()
    assert set(numbers(server)) == set(range(60))
    assert len(re.findall("one message at a time", host.log())) == 1


# servers that cannot do what they offer


def loses_what_is_ahead(peer):
    """Offers PIPELINING, and forgets what has come behind a command by the time it answers it."""
    peer.send(b"220 ready\r\n")
    while line := peer.connection.recv(65536).split(b"\r\n")[0].upper():
        if line.startswith(b"EHLO"):
            peer.send(b"250-ready\r\n250 PIPELINING\r\n")
        elif line == b"DATA":
            peer.send(b"354 go on\r\n")
            content = b""
            while not content.endswith(b"\r\n.\r\n"):
                content += peer.connection.recv(65536)
            peer.server.say(peer.number, "message", content)
            peer.send(b"250 accepted\r\n")
        else:
            peer.server.say(peer.number, "command", line)
            peer.send(b"250 fine\r\n")


def ends_at_a_chunk(peer):
    """Discards a chunk that it refuses, but cannot take one with content."""
    peer.send(b"220 ready\r\n")
    mail = False
    while (line := peer.line().upper()) != b"QUIT":
        if line.startswith(b"EHLO"):
            peer.send(b"250-ready\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
        elif line.startswith(b"BDAT"):
            if mail:
                return
            peer.file.read(int(line.split()[1]))
            peer.send(b"503 5.5.1 MAIL first\r\n")
        elif line == b"DATA":
            peer.send(b"354 go on\r\n")
            while peer.line() != b".":
                pass
            peer.server.say(peer.number, "message", b"")
            peer.send(b"250 accepted\r\n")
        else:
            mail = line.startswith((b"MAIL", b"RCPT"))
            peer.send(b"250 fine\r\n")


@pytest.mark.parametrize("script, then", [(loses_what_is_ahead, "command"), (ends_at_a_chunk, "message")])
def test_a_server_that_cannot_do_what_it_offers_gets_less(script, then, certs, make_host):
    server = harness.ScriptedServer(certs, script)
    try:
        host = make_host(server, block={**CLEAR, "command_timeout": "1s"}, **QUICK)
        submit(host, 5)
        host.start_relayd()
        host.wait_empty()
        transcript = server.transcript()
    finally:
        server.close()
    assert transcript.count(" message: ") == 5
    assert len(re.findall(f"cannot do what it offers: from now on one {then} at a time", host.log())) == 1


def test_the_limit_of_recipients_is_learned(make_smarthost, make_host):
    server = make_smarthost(rule="RCPT/51-120 reply 452 4.5.3 too many recipients")
    host = make_host(server, block={"connections": 1}, **QUICK)
    wanted = sorted(f"user{number}@example.test" for number in range(120))
    host.start_relayd()
    for _ in range(2):
        host.submit(MESSAGE, *wanted)
        host.wait_empty()
    # the first message meets the limit, the next transactions keep to it
    assert [len(mail.recipients) for mail in server.messages()] == [50, 50, 20, 50, 50, 20]
    assert server.transcript().count("452 4.5.3") == 70


@pytest.mark.parametrize("code", ["452 4.5.3", "552 5.5.3"])
@pytest.mark.parametrize("missing", [None, "CHUNKING"])
def test_too_many_recipients_that_are_refused_at_the_end_are_halved(missing, code, make_smarthost, make_host):
    server = make_smarthost(rule=f"end/1-2 reply {code} too many recipients", without=missing)
    host = make_host(server, block={"connections": 1}, **QUICK)
    wanted = sorted(f"user{number}@example.test" for number in range(40))
    host.submit(MESSAGE, *wanted)
    host.start_relayd()
    host.wait_empty()
    mails = server.messages()
    assert [len(mail.recipients) for mail in mails] == [10, 10, 10, 10]
    assert sorted(address for mail in mails for address in mail.recipients) == wanted


def test_one_recipient_that_is_too_many_waits(make_smarthost, make_host):
    server = make_smarthost(rule="end reply 452 4.5.3 too many recipients")
    host = make_host(server, block={"connections": 1}, **{**QUICK, "retry_interval": "1h 1h"})
    host.submit(MESSAGE, "bob@example.test", "carol@example.test")
    host.start_relayd()
    host.wait_mailq("  deferred  ")
    assert server.transcript().count("452 4.5.3") == 3


class TooManyThenThrottle:
    """To the first message: recipients 2 and 3 are too many; when they come again, 2 is too fast, and 3 is accepted."""

    def __init__(self):
        self.mails, self.delivered, self.behind = 0, [], []

    def __call__(self, peer):
        peer.send(b"220 ready\r\n")
        recipients = []
        while (line := peer.line()) != b"QUIT":
            number = int(line[9:10]) if line.startswith(b"RCPT") else 0
            if line.startswith(b"EHLO"):
                peer.send(b"250-ready\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
            elif line.startswith(b"BDAT"):
                peer.file.read(int(line.split()[1]))
                self.delivered += recipients
                peer.send(b"250 accepted\r\n" if recipients else b"503 5.5.1 RCPT first\r\n")
                recipients = []
            elif line == b"DATA":
                # what follows before the replies to RCPT and DATA would be content
                self.behind.append(peer.file.readline())
                return
            elif self.mails == 1 and number in (2, 3):
                peer.send(b"452 4.3.1 too many recipients\r\n")
            elif self.mails == 2 and number == 2:
                peer.send(b"451 4.7.500 slow down\r\n")
            elif self.mails != 2 or number == 0:
                self.mails += line.startswith(b"MAIL")
                recipients = recipients + [number] if number else []
                peer.send(b"250 fine\r\n")


def test_behind_a_throttle_in_a_further_transaction_nothing_is_said(certs, make_host):
    script = TooManyThenThrottle()
    server = harness.ScriptedServer(certs, script)
    try:
        host = make_host(server, block=CLEAR, **QUICK)
        host.submit(MESSAGE % 0, "1@example.test", "2@example.test", "3@example.test")
        host.submit(MESSAGE % 1, "4@example.test")
        host.start_relayd()
        host.wait_empty()
    finally:
        server.close()
    assert script.behind == [b""] and sorted(script.delivered) == [1, 2, 3, 4]


def test_a_recipient_without_outcome_does_not_fail_with_the_others(make_smarthost, make_host):
    server = make_smarthost(rule=["RCPT~one reply 550 5.1.1 never", "RCPT/1~two reply 452 4.4.5 slow down"])
    host = make_host(server, block={"connections": 1}, **QUICK)
    host.submit(MESSAGE % 0, "one@example.test", "two@example.test", sender="<>")
    host.start_relayd()
    host.wait_log("status=failed")
    assert [mail.recipients for mail in server.messages()] == [["two@example.test"]]


def test_a_server_that_ends_the_question_pauses(make_smarthost, make_host):
    server = make_smarthost(rule="RSET reply 421 4.3.2 not now")
    host = make_host(server, block={"connections": 1}, **{**QUICK, "reconnect_interval": "1h 1h"})
    submit(host, 1)
    host.start_relayd()
    host.wait_log("paused=.*not now")
    assert server.transcript().count("ESMTP") == 1


def test_a_server_that_is_another_one_each_time_gets_its_mail(certs, make_host):
    class Pool(Chunks):
        def __call__(self, peer, line):
            if line.startswith(b"EHLO"):
                peer.send(b"250-ready\r\n250-PIPELINING\r\n250-X-%d\r\n250 CHUNKING\r\n" % peer.number)
            else:
                super().__call__(peer, line)

    command = Pool(False)
    ten_delivered(command, certs, make_host)
    assert command.accepted == 10


def test_words_out_of_turn_cost_a_connection_and_no_pause(certs, make_host):
    accepted = []

    def script(peer):
        def command(peer, line):
            if line.startswith(b"EHLO"):
                peer.send(b"250-ready\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
            elif line.startswith(b"BDAT"):
                content = peer.file.read(int(line.split()[1]))
                chunk = content in (b"", b"NOOP\r\n")
                accepted.extend([] if chunk else [content])
                peer.send(b"503 5.5.1 MAIL first\r\n" if chunk else b"250 accepted\r\n421 4.4.2 enough\r\n")
                while not chunk:
                    peer.line()
            else:
                peer.send(b"250 fine\r\n")

        converse(peer, command)

    server = harness.ScriptedServer(certs, script)
    try:
        host = make_host(server, block=CLEAR, **QUICK)
        host.start_relayd()
        for _ in range(3):
            submit(host, 1)
            host.wait_empty()
    finally:
        server.close()
    assert len(accepted) == 3 and "paused=" not in host.log()


@pytest.mark.parametrize(
    "fault, reason", [("drop", "the smarthost closed the connection"), ("stall", "no answer within 1s")]
)
def test_a_reply_that_does_not_come_is_named(fault, reason, make_smarthost, make_host):
    server = make_smarthost(rule=f"RSET/4 {fault}")
    host = make_host(server, block={"connections": 1, "command_timeout": "1s"}, **{**QUICK, "reconnect_interval": "1h 1h"})
    submit(host, 1)
    host.start_relayd()
    host.wait_empty()
    submit(host, 1)
    host.wait_log("paused=")
    assert f'reason="{reason}"' in host.log()


@pytest.mark.parametrize("missing, lines", [(None, 1), ("CHUNKING", 1), (None, 40000)])
def test_a_message_that_cannot_be_read_waits(missing, lines, make_smarthost, make_host, inject):
    server = make_smarthost(without=missing)
    host = make_host(server, block={"connections": 1}, **{**QUICK, "retry_interval": "1h 1h"})
    host.start_relayd()
    submit(host, 1)
    host.wait_empty()
    children = harness.text(f"/proc/{host.relayd.pid}/task/{host.relayd.pid}/children")
    with inject(host, "pread64:error=EIO", pid=int(children)):
        host.submit(b"Subject: hello\n\n" + (b"x" * 70 + b"\n") * lines, "bob@example.test")
        host.wait_mailq("cannot be read now")
    assert host.log().count("status=") == 2 and len(server.messages()) == 1
    host.spoolctl("retry", "all")
    host.wait_empty()
    assert len(server.messages()) == 2
