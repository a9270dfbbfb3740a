"""Requests of the control socket: selections (sendmail -qI, -qR, -qS), who sees what, and clients that mean no good."""

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import time

import pytest

import harness

MESSAGE = b"Subject: hello\n\nhello\n"
BOB = "bob@example.test"
LAST = "last@example.test"
PATIENT = {"retry_interval": "1h 2h", "reconnect_interval": "50ms 100ms", "in_doubt_interval": "1h"}
DEFER = "RCPT~later reply 451 4.7.1 greylisted"
NAME = "0" * 26

root_only = pytest.mark.skipif(os.getuid() != 0, reason="only root can act as others")
receives = pytest.mark.skipif(
    bool(os.environ.get("POSTBAG_SANITIZE")), reason="a receiver may not make the process that looks for leaks"
)


def attempts(server, recipient):
    return server.transcript().count(f"C: RCPT TO:<{recipient}>")


def as_user(host, uid, program, *words, **arguments):
    command = [host.workplace.program(program), "-C", str(host.conf), *words]
    return subprocess.run(
        command, capture_output=True, user=uid, group=uid, extra_groups=[], timeout=harness.TIMEOUT, **arguments
    )


def connect(host, octets=b""):
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(host.run / "relayd.sock"))  # waits while the backlog is full
    client.settimeout(harness.TIMEOUT)
    client.sendall(octets)
    return client


def answer(client):
    """All that comes until relayd closes."""
    said = b""
    with client, contextlib.suppress(ConnectionResetError):
        while part := client.recv(65536):
            said += part
    return said


def ask(host, octets):
    return answer(connect(host, octets))


def put_file(path, data):
    temporary = path.parent.parent / "new"
    temporary.write_bytes(data)
    harness.give_away(temporary)
    temporary.chmod(0o440)
    temporary.rename(path)


def wait_attempt(host, server, recipient, count):
    host.wait_for(lambda: attempts(server, recipient) >= count, what=f"attempt {count} of {recipient}")


def send_last(host, server):
    """Behind all that is due."""
    host.submit(MESSAGE, LAST)
    host.wait_for(lambda: any(LAST in mail.recipients for mail in server.messages()), what="the last message arrives")


# selections

WAITING = {
    "Later-One@Example.test": "carol@example.test",
    '"later blank"@example.test': "alice@example.test",
    "later!x@example.test": "Alice.B@example.test",
    "later-ü@example.test": "dave@example.test",
}
ALL = set(WAITING)
ONE, BLANK, MARK, UMLAUT = WAITING
SELECTIONS = {
    "R": ("-qRone@EXAMPLE", {ONE}),
    "R not": ("-q!RONE", ALL - {ONE}),
    "R of all": ("-qRlater", ALL),
    "S": ("-qSALICE", {BLANK, MARK}),
    "S not": ("-q!Salice", {ONE, UMLAUT}),
    "blank": ("-qRr bl", {BLANK}),
    "mark": ("-qR!X", {MARK}),
    "not a mark": ("-q!R!x", ALL - {MARK}),
    "non-ASCII": ("-qR-ü@", {UMLAUT}),
    "not 200 octets": ("-q!R" + "x" * 200, ALL),
}


@pytest.fixture
def selectable(make_smarthost, make_host):
    """A host with deferred messages, and a file that is no message."""
    server = make_smarthost(rule=DEFER.replace("~later", "~ater"))
    host = make_host(server, **PATIENT)
    host.start_relayd()
    for recipient, sender in WAITING.items():
        host.submit(MESSAGE, recipient, sender=sender)
    put_file(host.spool / "queue" / NAME, b"garbage")
    host.wait_for(lambda: host.mailq().count("  deferred  ") == len(WAITING), what="all are deferred")
    host.wait_mailq("  corrupt  ")
    return host, server


def check_due(host, server, due):
    """These are tried once more, and the others are not."""
    for recipient in due:
        wait_attempt(host, server, recipient, 2)
    send_last(host, server)
    assert {one for one in WAITING if attempts(server, one) == 2} == due
    assert {one for one in WAITING if attempts(server, one) == 1} == ALL - due


@pytest.mark.parametrize("relayd", ["up", "down"])
@pytest.mark.parametrize("which", SELECTIONS)
def test_a_selection_makes_due_what_it_says(which, relayd, selectable):
    host, server = selectable
    option, due = SELECTIONS[which]
    if relayd == "down":
        host.stop_relayd()
    done = host.sendmail(option)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    if relayd == "down":
        host.start_relayd()
    check_due(host, server, due)


@pytest.mark.parametrize("negated", ["", "!"])
def test_a_selection_by_queue_id(negated, selectable):
    host, server = selectable
    listing = host.mailq()
    queue_id = re.search(r"^(\w{12}) .*\n.*<Later-One@", listing, re.MULTILINE).group(1)
    assert host.sendmail(f"-q{negated}I{queue_id}").returncode == 0
    check_due(host, server, ALL - {ONE} if negated else {ONE})


@pytest.mark.parametrize("relayd", ["up", "down"])
@pytest.mark.parametrize("option", ["-qR" + "x" * 200, "-qInothing", "-qSnobody"])
def test_a_selection_that_means_nothing(option, relayd, selectable):
    host, server = selectable
    if relayd == "down":
        host.stop_relayd()
    assert host.sendmail(option).returncode == 0
    if relayd == "down":
        host.start_relayd()
    send_last(host, server)
    assert all(attempts(server, one) == 1 for one in WAITING)


@pytest.mark.parametrize("option", ["-qR", "-qR" + "x" * 201, "-q!", "-q!x", "-qRa\nremove b", "-q!I"])
def test_a_selection_that_makes_no_sense(option, make_host):
    done = make_host(None).sendmail(option)
    assert done.returncode == 64 and done.stderr.startswith(b"sendmail: option -q")


@pytest.mark.parametrize("relayd", ["up", "down"])
@pytest.mark.parametrize("option", ["-q", "-qRx", "-q!Sx", "-qIx"])
def test_a_flush_of_an_empty_queue(option, relayd, make_host):
    host = make_host(None)
    host.submit(MESSAGE, BOB)  # makes the directories
    os.unlink(host.spool / "queue" / host.queue_files()[0])
    if relayd == "up":
        host.start_relayd()
    assert host.sendmail(option).returncode == 0


@root_only
@pytest.mark.parametrize("option", ["-q", "-q!Rx"])
def test_a_user_without_relayd_is_told_why_not(option, selectable):
    host, _ = selectable
    host.stop_relayd()
    done = as_user(host, 1, "sendmail", option)
    assert done.returncode == 77 and b"relayd is not running" in done.stderr


@root_only
def test_root_without_relayd_leaves_no_file_of_its_own(selectable):
    host, server = selectable
    host.stop_relayd()
    command = [host.workplace.program("sendmail"), "-C", str(host.conf), "-qRlater-one"]
    assert subprocess.run(command, timeout=harness.TIMEOUT).returncode == 0
    assert {path.stat().st_uid for path in (host.spool / "state").iterdir()} == {harness.NOBODY}
    host.start_relayd()
    check_due(host, server, {ONE})


@root_only
@pytest.mark.parametrize("option", ["-q", "-qRlater"])
def test_a_user_may_flush_once_in_a_while(option, selectable):
    host, server = selectable
    host.configure([host.smarthost_block(server)], **{**PATIENT, "reconnect_interval": "1h 1h"})
    host.reload()
    host.wait_log("configuration read")
    assert as_user(host, 1, "sendmail", option).returncode == 0
    wait_attempt(host, server, MARK, 2)
    for _ in range(3):
        done = as_user(host, 1, "sendmail", option)
        assert (done.returncode, done.stderr) == (0, b"")
    send_last(host, server)
    assert all(attempts(server, one) == 2 for one in WAITING)
    assert host.sendmail(option).returncode == 0  # relayd's own user may at any time
    wait_attempt(host, server, MARK, 3)


@root_only
def test_only_the_administrator_selects_what_is_in_doubt(make_smarthost, make_host):
    server = make_smarthost(rule=[DEFER, "end/1 drop"])
    host = make_host(server, **PATIENT)
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    host.wait_mailq("  in doubt  ")
    host.submit(MESSAGE, "later@example.test")
    host.wait_mailq("  deferred  ")
    assert as_user(host, 1, "sendmail", "-qR@example").returncode == 0
    wait_attempt(host, server, "later@example.test", 2)
    send_last(host, server)
    assert attempts(server, BOB) == 1
    assert host.sendmail("-qR@example").returncode == 0
    wait_attempt(host, server, BOB, 2)


def crc32c(data):
    check = 0xFFFFFFFF
    for octet in data:
        check = CRC_TABLE[(check ^ octet) & 255] ^ check >> 8
    return check ^ 0xFFFFFFFF


def crc_row(value):
    for _ in range(8):
        value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value


CRC_TABLE = [crc_row(value) for value in range(256)]


def test_a_selection_among_ten_thousand_holds_up_nobody(make_smarthost, make_host):
    """9,900 messages are deferred and stay so, 100 are meant."""
    server = make_smarthost(rule=DEFER)
    host = make_host(server, **PATIENT)
    queue = host.spool / "queue"
    texts = {}
    for recipient in ["hay@example.test", "needle@example.test"]:
        host.submit(MESSAGE, recipient)
        [name] = host.queue_files()
        texts[recipient] = (queue / name).read_bytes()
        (queue / name).unlink()
    now, chance, journal = time.time_ns() // 1000, random.Random(1), []
    for number in range(10000):
        name = "0" + "".join(chance.choices("0123456789abcdefghijklmnopqrstuvwxyz", k=25))
        put_file(queue / name, texts["needle@example.test" if number % 100 == 0 else "hay@example.test"])
        line = f"{now} {name} * deferred 1 0 3600000 451 451 4.7.1 later".encode()
        journal.append(b"%08x %s\n" % (crc32c(line), line))
    put_file(host.spool / "state" / "journal", b"".join(journal))
    (host.spool / "state" / "journal").chmod(0o600)
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    server.wait_messages(1)
    for number in range(4):
        assert host.sendmail("-qRneedle" if number == 0 else "-qSnobody-at-all").returncode == 0
        host.submit(MESSAGE, BOB)
    server.wait_messages(105)
    send_last(host, server)
    found = [mail.recipients[0] for mail in server.messages()]
    assert found.count("needle@example.test") == 100 and found.count(BOB) == 5 and "hay@example.test" not in found


# who sees what


@pytest.fixture
def make_shared(make_smarthost, make_host):
    """make_shared(VISIBILITY): messages of relayd's own user and of user 1, and a file that is none."""

    def make(visibility):
        server = make_smarthost(rule=DEFER)
        host = make_host(server, mailq_visibility=visibility, **PATIENT)
        host.start_relayd()
        host.submit(MESSAGE, "later-own@example.test")
        done = as_user(host, 1, "sendmail", "later-other@example.test", input=MESSAGE, cwd="/")
        assert done.returncode == 0, done.stderr
        put_file(host.spool / "queue" / NAME, b"garbage")
        host.wait_for(lambda: host.mailq().count("  deferred  ") == 2, what="both are deferred")
        host.wait_mailq("  corrupt  ")
        return host

    return make


def seen(host, uid):
    """What both commands show to uid."""
    listings = {as_user(host, uid, *words).stdout.decode() for words in [["sendmail", "-bp"], ["spoolctl", "list"]]}
    assert len(listings) == 1
    return listings.pop()


@root_only
@receives
def test_users_see_their_own_messages(make_shared):
    host = make_shared("own")
    shown = seen(host, 1)
    assert "later-other@" in shown and "later-own@" not in shown and "corrupt" not in shown
    assert shown.endswith("-- 1 Kbytes in 1 Request.\n")
    assert seen(host, 2) == "Mail queue is empty\n"
    for uid in [0, harness.NOBODY]:
        shown = seen(host, uid)
        assert "later-other@" in shown and "later-own@" in shown and "corrupt" in shown and "in 3 Requests." in shown


@root_only
@receives
@pytest.mark.parametrize("visibility", ["all", None])
def test_users_see_all_messages(visibility, make_shared):
    host = make_shared(visibility)
    for uid in [0, 1, 2, harness.NOBODY]:
        shown = seen(host, uid)
        assert "later-other@" in shown and "later-own@" in shown and "corrupt" in shown and "in 3 Requests." in shown


@root_only
@receives
def test_who_sees_what_changes_with_a_reload(make_shared):
    host = make_shared("all")
    host.conf.write_text(host.conf.read_text().replace("mailq_visibility all", "mailq_visibility own"))
    host.reload()
    host.wait_log("configuration read")
    assert seen(host, 2) == "Mail queue is empty\n"


# clients that mean no good


@pytest.fixture
def idle(smarthost, make_host):
    host = make_host(smarthost, **PATIENT)
    host.start_relayd()
    return host


def busy_seconds(pid):
    fields = harness.text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def check_idle(host):
    """relayd serves, delivers, and does nothing while nothing happens."""
    assert ask(host, b"list\n") == b"ok\nMail queue is empty\nend\n"
    host.submit(MESSAGE, LAST)
    host.wait_empty()
    before = busy_seconds(host.relayd.pid)
    time.sleep(1)
    assert busy_seconds(host.relayd.pid) - before < 0.1


MALFORMED = {
    "select": b"select\n",
    "select nothing": b"select \n",
    "no kind": b"select x\n",
    "no text": b"select R\n",
    "empty text": b"select R \n",
    "unknown kind": b"select Q x\n",
    "a small kind": b"select r x\n",
    "no blank": b"select Rx\n",
    "mark alone": b"select !\n",
    "two marks": b"select !!R x\n",
    "watch": b"watch\n",
    "watch nothing": b"watch \n",
    "watch an ID": b"watch 0123456789ab\n",
    "watch too much": b"watch " + b"0" * 27 + b"\n",
    "watch a path": b"watch ../../etc/passwd/00000000\n",
    "watch capitals": b"watch " + b"A" * 26 + b"\n",
    "watch two": b"watch " + NAME.encode() + b" x\n",
    "a NUL": b"select R x\0y\n",
    "a NUL behind a verb": b"list\0\n",
    "no verb": b"\n",
    "a carriage return": b"list\r\n",
    "a capital verb": b"LIST\n",
    "256 octets without end": b"select R " + b"x" * 247,
    "too long by one": b"select R " + b"x" * 247 + b"\n",
    "much too long": b"x" * 4096,
}


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_no_request_is_refused_in_words(what, idle):
    assert re.fullmatch(rb"error 64 [ -~]+\n", ask(idle, MALFORMED[what]))


def test_a_request_may_have_256_octets(idle):
    request = b"select R " + b"x" * 246 + b"\n"
    assert len(request) == 256 and ask(idle, request) == b"ok\nend\n"


def test_a_request_may_come_in_single_octets(idle):
    client = connect(idle)
    for octet in b"list\n":
        client.send(bytes([octet]))
        time.sleep(0.01)  # relayd sees each by itself
    assert answer(client) == b"ok\nMail queue is empty\nend\n"


def test_what_follows_a_request_is_not_answered(idle):
    assert ask(idle, b"list\nretry all\nlist\n" * 20) == b"ok\nMail queue is empty\nend\n"
    check_idle(idle)


@pytest.mark.parametrize("octets", [b"", b"l", b"list", b"watch " + NAME.encode() + b"\n"])
def test_clients_that_close_their_half(octets, idle):
    """Who has not asked gets no answer, and who waits for an outcome stays no longer."""
    clients = [connect(idle, octets) for _ in range(20)]
    for client in clients:
        client.shutdown(socket.SHUT_WR)
    assert {answer(client) for client in clients} == {b"ok\n" if octets.endswith(b"\n") else b""}
    check_idle(idle)


def test_an_answer_reaches_a_client_that_has_closed_its_half(idle):
    client = connect(idle, b"list\n")
    client.shutdown(socket.SHUT_WR)
    assert answer(client) == b"ok\nMail queue is empty\nend\n"


@pytest.mark.parametrize("octets", [b"", b"lis", b"watch " + NAME.encode() + b"\n"])
def test_the_newest_of_200_clients_is_served(octets, idle):
    clients = [connect(idle, octets) for _ in range(200)]
    check_idle(idle)
    for client in clients:
        client.close()
    check_idle(idle)


def test_a_watcher_that_says_more_is_closed(idle):
    client = connect(idle, b"watch " + NAME.encode() + b"\n")
    assert client.recv(3) == b"ok\n"
    client.send(b"list\n")
    assert answer(client) == b""
    check_idle(idle)


def test_a_watcher_that_comes_with_more_is_closed(idle):
    assert ask(idle, b"watch " + NAME.encode() + b"\nlist\n") == b"ok\n"
    check_idle(idle)


def test_watchers_that_never_read_hold_up_nobody(make_smarthost, make_host):
    server = make_smarthost(rule="banner/1 delay 500")
    host = make_host(server, **PATIENT)
    host.start_relayd()
    host.submit(MESSAGE, *[f"user{number}@example.test" for number in range(5000)])
    [name] = host.queue_files()
    watchers = [connect(host, f"watch {name}\n".encode()) for _ in range(10)]
    host.wait_empty()
    check_idle(host)
    said = [answer(watcher) for watcher in watchers]
    assert len(set(said)) == 1 and said[0].startswith(b"ok\n<user0@example.test>: delivered: ")
    assert not said[0].endswith(b"\nend\n")  # it was too much, and that can be seen
    check_idle(host)


def test_all_who_watch_the_same_message_are_told(make_smarthost, make_host):
    server = make_smarthost(rule="RCPT/1 delay 500")
    host = make_host(server, **PATIENT)
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    [name] = host.queue_files()
    watchers = [connect(host, f"watch {name}\n".encode()) for _ in range(30)]
    others = [connect(host, b"watch " + NAME.encode() + b"\n") for _ in range(10)]
    assert {answer(one) for one in watchers} == {b"ok\n<bob@example.test>: delivered: 250 2.0.0 accepted as 000001\nend\n"}
    assert {one.recv(100) for one in others} == {b"ok\n"}
    check_idle(host)


def test_all_who_watch_the_same_message_hear_that_it_waits(make_host):
    host = make_host(None)
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    host.submit(MESSAGE, LAST)
    names = host.queue_files()
    host.relayd.send_signal(signal.SIGSTOP)
    watchers = [connect(host, f"watch {name}\n".encode()) for name in names * 20]
    host.relayd.send_signal(signal.SIGCONT)
    assert {answer(one) for one in watchers} == {
        f"ok\nwaits for no smarthost is configured in {host.conf}\nend\n".encode()
    }


def test_the_socket_appears_only_when_it_answers(make_host):
    """Also in place of one that a killed relayd has left."""
    host = make_host(None)
    path = host.run / "relayd.sock"
    for _ in range(10):
        host.start_relayd(wait=False)
        host.wait_for(path.exists, what="the socket is there")
        assert ask(host, b"list\n") == b"ok\nMail queue is empty\nend\n"
        assert path.stat().st_mode & 0o777 == 0o666 and [one.name for one in host.run.iterdir()] == ["relayd.sock"]
        host.kill_relayd()
