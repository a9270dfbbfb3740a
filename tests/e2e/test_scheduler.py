"""When relayd sends, and when it had better not: finished messages, expiry, connections, limits, listings, its journal.

That something does not happen is
seen from a later message that would have come behind it.
"""

import contextlib
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

import harness

MESSAGE = b"Subject: hello\n\nhello\n"
BOB = "bob@example.test"
LAST = "last@example.test"
QUICK = {"retry_interval": "100ms 200ms", "reconnect_interval": "50ms 100ms", "in_doubt_interval": "200ms"}
PATIENT = {**QUICK, "retry_interval": "1h 2h"}
CLEAR = {"tls": "none", "user": None, "password": None, "tls_trust_file": None}
ONE = {"connections": 1}
SLOWNESS = max(1, float(os.environ.get("POSTBAG_SLOWNESS", "1")))
STOP_LIMIT = 5 * SLOWNESS
SLICE = 10  # messages that expire before the journal is written
MANY = [f"user{number}@example.test" for number in range(9000)]  # two messages to them make a journal of more than 1 MB
EVENTS = int(harness.text("/proc/sys/fs/inotify/max_queued_events") or 0)

root_only = pytest.mark.skipif(os.getuid() != 0, reason="only root can act as others")


def recipients(server):
    return sorted(recipient for mail in server.messages() for recipient in mail.recipients)


def sessions(host):
    """Process ids of the connections."""
    path = f"/proc/{host.relayd.pid}/task/{host.relayd.pid}/children"
    return [int(pid) for pid in harness.text(path).split()]


def status(pid, name):
    found = re.search(rf"^{name}:\s+(\S+)", harness.text(f"/proc/{pid}/status"), re.MULTILINE)
    return found.group(1) if found else ""


def wait_transcript(host, server, pattern):
    host.wait_for(lambda: re.search(pattern, server.transcript()), what=f"the transcript says {pattern!r}")


def connect(host, octets=b""):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(harness.TIMEOUT)
    client.connect(str(host.run / "relayd.sock"))
    client.sendall(octets)
    return client


@contextlib.contextmanager
def stopped(host):
    """relayd does nothing; what happens in the block, it sees all at once."""
    host.relayd.send_signal(signal.SIGSTOP)
    try:
        host.wait_for(lambda: status(host.relayd.pid, "State") == "T", what="relayd is stopped")
        yield
    finally:
        host.relayd.send_signal(signal.SIGCONT)


def send_last(host, server):
    """One more message, behind all that waits, and what has arrived by then."""
    host.submit(MESSAGE, LAST)
    host.wait_for(lambda: LAST in recipients(server), what="the last message arrives")
    return recipients(server)


def put_message(path, data):
    """As sendmail does: it appears at once and whole."""
    temporary = path.parent.parent / "new"
    temporary.write_bytes(data)
    harness.give_away(temporary)
    temporary.chmod(0o440)
    temporary.rename(path)


@pytest.fixture
def make_scripted(certs):
    servers = []

    def make(command):
        servers.append(harness.ScriptedServer(certs, lambda peer: converse(peer, command)))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


def converse(peer, command):
    """SMTP without much sense; command(peer, line) answers what it likes to and says so."""
    peer.send(b"220 ready\r\n")
    while (line := peer.line().upper()) != b"QUIT":
        if not command(peer, line):
            peer.send(b"250-ready\r\n250-PIPELINING\r\n250 8BITMIME\r\n" if line.startswith(b"EHLO") else b"250 fine\r\n")


def take_content(peer):
    peer.send(b"354 go on\r\n")
    while peer.line() != b".":
        pass


class TakesTen:
    """The command of a server that takes ten recipients a transaction."""

    def __init__(self):
        self.taken, self.delivered = {}, []

    def __call__(self, peer, line):
        if line.startswith(b"MAIL"):
            self.taken[peer.number] = []
        elif line.startswith(b"RCPT") and len(self.taken[peer.number]) == 10:
            peer.send(b"452 4.5.3 too many recipients\r\n")
            return True
        elif line.startswith(b"RCPT"):
            self.taken[peer.number].append(line)
        elif line == b"DATA":
            take_content(peer)
            self.delivered.extend(self.taken[peer.number])
        return False


class ResetsTheFirstThree:
    """The command of a server that answers to content from `answer` on, and resets three connections from `reset` on."""

    def __init__(self):
        self.answer, self.reset = threading.Event(), threading.Event()

    def __call__(self, peer, line):
        if line == b"DATA":
            take_content(peer)
            self.answer.wait(harness.TIMEOUT)
        elif line.startswith(b"MAIL") and self.reset.is_set() and peer.number <= 3:
            peer.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise EOFError
        return False


# clients of the control socket


def test_a_client_evicted_while_it_has_something_to_say_harms_nothing(smarthost, make_host):
    host = make_host(smarthost, **QUICK)
    host.start_relayd()
    clients = [connect(host) for _ in range(65)]
    assert clients[0].recv(8) == b"busy\n"  # the others are as many as there may be
    with stopped(host):
        clients.append(connect(host))  # seen first: it costs the oldest its place
        clients[1].sendall(b"list\n")
    assert "is empty" in host.mailq() and host.is_running()
    for client in clients:
        client.close()


@pytest.fixture
def crowded(make_smarthost, make_host):
    """A host whose listing is larger than any socket takes at once."""
    host = make_host(make_smarthost(rule="banner reply 421 4.3.2 not today"), **QUICK)
    host.start_relayd()
    for _ in range(3):
        host.submit(MESSAGE, *[f"{'u' * 50}{number}@{'d' * 60}.example.test" for number in range(4000)])
    host.wait_for(lambda: host.mailq().count("  <alice@example.test>") == 3, what="all are listed")
    return host


def test_a_listing_that_nobody_reads_does_not_keep_a_new_relayd_from_starting(crowded):
    client = connect(crowded, b"list\n")
    assert client.recv(3) == b"ok\n"
    crowded.kill_relayd()
    crowded.start_relayd()
    assert "another relayd" not in crowded.log() and crowded.is_running()
    client.close()


def test_a_listing_that_nobody_reads_does_not_keep_other_clients_waiting(crowded):
    other = connect(crowded)
    client = connect(crowded, b"list\n")
    assert client.recv(3) == b"ok\n"
    other.sendall(b"retry all\n")
    while other.recv(1000):
        pass  # up to the end, which comes when nobody else holds the connection
    client.close()


@root_only
def test_listings_that_another_user_does_not_read_do_not_keep_root_from_mailq(crowded):
    script = "import socket, sys, time\nall = []\nfor _ in range(16):\n s = socket.socket(socket.AF_UNIX)\n s.connect(sys.argv[1])\n"
    script += " s.sendall(b'list\\n')\n all.append(s)\nfor s in all: s.recv(2)\nprint('connected', flush=True)\ntime.sleep(600)\n"
    command = ["/usr/bin/python3", "-c", script, str(crowded.run / "relayd.sock")]
    other = subprocess.Popen(command, stdout=subprocess.PIPE, user=1, group=1, extra_groups=[])
    try:
        assert other.stdout.readline() == b"connected\n"
        assert crowded.mailq().count("  <alice@example.test>") == 3
    finally:
        harness.stop_process(other)
        other.stdout.close()


# finished messages


@pytest.mark.skipif(not 0 < EVENTS <= 100_000, reason="the limit of inotify is unknown, or too high to be reached in a test")
def test_a_rescan_after_lost_events_sends_nothing_twice(make_smarthost, make_host):
    server = make_smarthost(rule="end/1 delay 700")
    host = make_host(server, block=ONE, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    wait_transcript(host, server, "rule: delay at end")
    with stopped(host):
        [session] = sessions(host)
        before = status(session, "voluntary_ctxt_switches")
        host.wait_for(lambda: status(session, "voluntary_ctxt_switches") != before, what="the session has reported")
        names = [host.spool / "queue" / name for name in ("x", "y")]
        names[0].touch()
        for number in range(EVENTS + 50):
            names[number % 2].rename(names[(number + 1) % 2])
    host.wait_for(lambda: host.queue_files() in (["x"], ["y"]), what="the message is gone")
    assert send_last(host, server) == [BOB, LAST]


def test_a_message_that_cannot_be_removed_is_shown_and_not_sent_again(inject, make_smarthost, make_host):
    server = make_smarthost()
    host = make_host(server, block=ONE, **QUICK)
    host.start_relayd()
    with inject(host, "unlinkat:error=EIO"):
        for _ in range(2):
            host.submit(MESSAGE, *MANY)
        host.wait_for(lambda: len(re.findall("cannot remove .*: Input/output error", host.log())) == 2, what="two stay")
        assert host.mailq().count("  finished  ") == len(host.queue_files()) == 2
    host.stop_relayd()
    host.start_relayd()
    host.wait_empty()
    assert send_last(host, server) == sorted([*MANY, *MANY, LAST])


# expiry


@pytest.fixture
def expiring(inject, make_smarthost, make_host):
    """A host with 200 messages that expire, while each bounce takes its time."""
    host = make_host(make_smarthost(rule="banner reply 421 4.3.2 not today"), queue_lifetime="2s", reconnect_interval="1h 1h")
    host.submit(MESSAGE, BOB)
    [name] = host.queue_files()
    first = host.spool / "queue" / name
    for number in range(199):
        put_message(first.with_name(f"{name[:8]}{number:04}{name[12:]}"), first.read_bytes())
    host.start_relayd()
    with inject(host, "fsync:delay_exit=50000"):
        host.wait_log("status=bounced")
        yield host


def bounced(host):
    return re.findall(r"relayd: (\w+): to=<bob@example.test> status=bounced", host.log())


def bounce_the_rest(host):
    host.start_relayd()
    host.wait_for(lambda: len(set(bounced(host))) == 200, what="all have expired")


def test_expiry_of_many_messages_does_not_delay_a_stop(expiring):
    started = time.monotonic()
    assert expiring.stop_relayd() == 0
    assert time.monotonic() - started < STOP_LIMIT and len(bounced(expiring)) < 200
    bounce_the_rest(expiring)
    assert len(bounced(expiring)) == 200


def test_a_kill_during_expiry_repeats_no_more_than_one_slice_of_bounces(expiring):
    expiring.wait_for(lambda: len(bounced(expiring)) > 2 * SLICE, what="some have expired")
    expiring.kill_relayd()
    before = len(bounced(expiring))
    assert before < 200 and before - harness.text(expiring.spool / "state/journal").count(" bounced ") <= SLICE
    bounce_the_rest(expiring)
    assert len(bounced(expiring)) <= 200 + SLICE


# connections


def test_a_message_that_the_server_stalls_on_does_not_hold_up_another(make_smarthost, make_host):
    server = make_smarthost(rule="end/1 stall")
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    wait_transcript(host, server, "rule: stall at end")
    host.submit(MESSAGE, LAST)
    host.wait_for(lambda: recipients(server) == [LAST], what="the other message arrives")
    host.kill_relayd()  # a stop would wait for the reply


def test_a_server_that_takes_one_connection_gets_all_mail(make_smarthost, make_host):
    only_one = make_smarthost(rule=["banner/2- reply 421 4.7.0 too many connections", "end delay 50"])
    backup = make_smarthost()
    host = make_host([only_one, backup], **QUICK)
    host.start_relayd()
    wanted = [f"user{number:02}@example.test" for number in range(41)]
    host.submit(MESSAGE, wanted[0])
    host.wait_empty()
    for recipient in wanted[1:]:
        host.submit(MESSAGE, recipient)
    host.wait_empty()
    assert recipients(only_one) == wanted and backup.messages() == []
    assert only_one.transcript().count("S: 421 4.7.0") <= 2 and "paused=" not in host.log()


def test_a_daily_limit_holds_although_another_session_succeeds(make_smarthost, make_host):
    server = make_smarthost(rule=["MAIL~limited reply 550 5.4.5 daily limit", "end/1 delay 2000"])
    host = make_host(server, block={"connections": 2}, **{**QUICK, "reconnect_interval": "1h 2h"})
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    wait_transcript(host, server, "rule: delay at end")
    for _ in range(9):  # enough for a second connection
        host.submit(MESSAGE, LAST, sender="limited@example.test")
    host.wait_log("paused=.*daily limit")
    host.wait_for(lambda: recipients(server) == [BOB] and not sessions(host), what="the other session has ended")
    assert server.transcript().count("S: 550 5.4.5") == 1 and "works again" not in host.log()
    assert "daily limit" in host.mailq()
    host.wait_queue(9)


def test_idle_connections_that_were_reset_delay_nothing(make_scripted, make_host):
    command = ResetsTheFirstThree()
    server = make_scripted(command)
    host = make_host(server, block={**CLEAR, "connections": 3}, **PATIENT)
    host.start_relayd()
    for number in range(30):
        host.submit(MESSAGE, f"user{number}@example.test")
    host.wait_for(lambda: server.transcript().count("b'354 go on") == 3, what="three connections are at work")
    command.answer.set()
    host.wait_empty()
    command.reset.set()
    host.submit(MESSAGE, LAST)
    host.wait_empty()
    assert server.connections == 4 and "paused=" not in host.log()


# limits of a transaction


def test_a_server_that_takes_ten_recipients_a_transaction_gets_all_at_once(make_scripted, make_host):
    command = TakesTen()
    host = make_host(make_scripted(command), block=CLEAR, **PATIENT)
    host.start_relayd()
    host.submit(MESSAGE, *MANY[:50])
    host.wait_empty()
    assert len(command.delivered) == len(set(command.delivered)) == 50 and not re.search("status=(bounced|deferred)", host.log())


@pytest.mark.parametrize("reply", ["500 5.5.2 what?", "502 5.5.1 not implemented", "503 5.5.1 bad sequence of commands"])
def test_a_reply_about_the_conversation_bounces_nothing(reply, make_smarthost, make_host):
    server = make_smarthost(rule=f"RCPT/1 reply {reply}")
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    host.wait_empty()
    assert recipients(server) == [BOB] and "status=bounced" not in host.log()


# the journal


def test_a_journal_that_could_not_be_replaced_at_first_keeps_the_reasons(inject, make_smarthost, make_host):
    """relayd tries it again after ten seconds."""
    server = make_smarthost(rule=["RCPT~later1 reply 451 4.7.1 the first", "RCPT~later2 reply 451 4.7.1 the second"])
    host = make_host(server, **PATIENT)
    host.start_relayd()
    for recipient in ["later1@example.test", "later2@example.test"]:
        host.submit(MESSAGE, recipient)
    host.wait_mailq("later1(.*\n)*.*the first(.*\n)*.*later2(.*\n)*.*the second")
    with inject(host, "pwrite64:error=ENOSPC:when=1", "renameat:error=ENOSPC"):
        host.submit(MESSAGE, BOB)
        host.wait_log("cannot be replaced")
    host.wait_log("journal: written anew", harness.TIMEOUT + 10)
    host.wait_mailq("later1.*\n.*the first(.*\n)*.*later2.*\n.*the second")
    host.stop_relayd()
    assert re.search("later1.*\n.*the first(.*\n)*.*later2.*\n.*the second", host.mailq())


def test_a_new_journal_knows_who_was_warned_and_since_when_a_message_has_failed(inject, make_smarthost, make_host):
    server = make_smarthost(rule=["RCPT~later reply 451 4.7.1 greylisted", "RCPT~bad reply 550 5.1.1 no such user"])
    host = make_host(server, delay_warning="1s", **PATIENT)
    host.start_relayd()
    host.submit(MESSAGE, "bad@example.test", sender="<>")
    host.submit(MESSAGE, "later@example.test")
    host.wait_log("status=delayed warning=")
    host.wait_queue(2)

    def lines(event):
        return re.findall(rf"^\w+ (\d+) (\w+) \* {event} ", harness.text(host.spool / "state/journal"), re.MULTILINE)

    failed, [(_, warned)] = lines("failed"), lines("warned")
    with inject(host, "pwrite64:error=ENOSPC:when=1"):
        host.submit(MESSAGE, BOB)
        host.wait_log("journal: written anew")
    assert lines("failed") == failed and [name for _, name in lines("warned")] == [warned]


def test_a_corrupt_message_is_in_the_journal_at_once(smarthost, make_host):
    host = make_host(smarthost, block={"idle_timeout": "1h"}, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    host.wait_empty()
    put_message(host.spool / "queue" / ("0" * 26), b"garbage\n")
    host.wait_log("status=corrupt")
    journal = host.spool / "state/journal"
    host.wait_for(lambda: f"{'0' * 26} * corrupt " in harness.text(journal), what="the journal says it")


def test_a_journal_that_is_in_place_but_not_synced_is_the_journal(inject, make_smarthost, make_host):
    server = make_smarthost(rule="RCPT~later reply 451 4.7.1 greylisted")
    host = make_host(server, block=ONE, **PATIENT)
    host.start_relayd()
    with inject(host, "fsync:error=EIO:when=2"):  # of the queue, before the rename, and of the directory behind it
        for _ in range(2):
            host.submit(MESSAGE, *MANY)
        host.wait_log("journal: .*Input/output error")
    host.submit(MESSAGE, BOB, "later@example.test")
    host.wait_mailq("451 4.7.1 greylisted")
    host.wait_for(lambda: " done " in harness.text(host.spool / "state/journal"), what="the journal says so")
    host.stop_relayd()
    host.start_relayd()
    assert send_last(host, server).count(BOB) == 1


def test_a_connection_that_breaks_keeps_the_reason_of_the_last_deferral(make_smarthost, make_host):
    # where content goes with the commands, the message would be in doubt
    rules = ["RCPT/1 reply 451 4.7.1 greylisted", "MAIL/2- drop"]
    server = make_smarthost(rule=rules, without="CHUNKING")
    host = make_host(server, retry_interval="200ms 200ms", reconnect_interval="100ms 100ms")
    host.start_relayd()
    host.submit(b"Subject: x\n\nx\n", "bob@example.test")
    host.wait_log("paused=")
    host.wait_mailq("451 4.7.1 greylisted")


def test_only_recipients_of_the_transaction_that_was_cut_are_in_doubt(make_smarthost, make_host):
    server = make_smarthost(rule=["RCPT/3-4 reply 452 4.5.3 too many recipients", "end/2 drop"])
    host = make_host(server, in_doubt_interval="1h", reconnect_interval="100ms 100ms")
    host.start_relayd()
    host.submit(b"Subject: x\n\nx\n", *(f"r{i}@example.test" for i in range(4)))
    listing = host.wait_mailq("in doubt")
    assert [f"r{i}@" in listing for i in range(4)] == [False, False, True, True]
    host.kill_relayd()
    host.start_relayd()
    assert "in doubt" in host.mailq() and host.spoolctl("retry", "all").returncode == 0
    host.wait_empty()
    assert sorted(r for m in server.messages() for r in m.recipients) == [f"r{i}@example.test" for i in range(4)]
