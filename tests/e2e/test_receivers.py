"""relayd's receivers: what they take from the control socket, what they refuse, and what happens when one side dies.

The client is this file, which speaks the protocol of spool/control.h, or sendmail of a user to whom the queue is closed.
"""

import contextlib
import os
import re
import socket
import subprocess
import time

import pytest

from harness import NOBODY, TIMEOUT, poll, unprivileged
from test_system_calls import pytestmark as no_sanitizer

ANN, BEN = 54331, 54332
CONTENT = b"Subject: hello\r\n\r\n" + b"a line\r\n" * 40
ENVELOPE = b"uid 0\ntime 1763912345123456\nsender <ann@example.test>\nrecipient <bob@example.test>\n"
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
DAY = 86400

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can be several users")


# a message file


def crc32c_table():
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        yield value


CRC32C = list(crc32c_table())


def crc32c(octets):
    crc = 0xFFFFFFFF
    for octet in octets:
        crc = crc >> 8 ^ CRC32C[(crc ^ octet) & 0xFF]
    return crc ^ 0xFFFFFFFF


def make_head(rest, length, longest=0, crc=0, flags=b"--------", version=b"1"):
    checked = b"length %020d\nlongest %010d\nflags %s\n" % (length, longest, flags)
    return b"postbag-message %s\ncrc32c %08x\n%s" % (version, crc32c(rest + checked) ^ crc, checked)


def make_file(envelope=ENVELOPE, content=CONTENT, length=None, **head):
    rest = envelope + b"\n" + content
    longest = max(map(len, content.split(b"\r\n")))
    return make_head(rest, len(content) if length is None else length, longest, **head) + rest


GOOD = make_file()
HEAD = len(make_head(b"", 0))


def make_name(age=0):
    number, name = int((time.time() - age) * 1000000), ""
    while number:
        number, digit = divmod(number, 36)
        name = DIGITS[digit] + name
    return name.rjust(10, "0") + "".join(DIGITS[octet % 36] for octet in os.urandom(16))


# a client


@contextlib.contextmanager
def connection(host, request, uid=ANN):
    """A connection of that user, with its request; the kernel remembers who made it."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(2 * TIMEOUT)
        os.seteuid(uid)
        try:
            client.connect(str(host.run / "relayd.sock"))
        finally:
            os.seteuid(0)
        say(client, request)
        yield client


def say(client, octets):
    """relayd may have answered and gone before it has all of it."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        client.sendall(octets)


def answer(client):
    octets = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(65536):
            octets += piece
    return octets


def request(name, length):
    return f"submit {name} {length}\n".encode()


def submit(host, octets=GOOD, length=None, name=None, uid=ANN):
    """The answer to a file that comes as one piece, and then nothing."""
    with connection(host, request(name or make_name(), len(octets) if length is None else length) + octets, uid) as client:
        client.shutdown(socket.SHUT_WR)
        return answer(client)


def sendmail(host, uid, *options, within=(), **popen):
    """sendmail of a user who may not enter the queue."""
    return subprocess.Popen(
        [*within, host.workplace.program("sendmail"), "-C", host.conf, *options, "bob@example.test"],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/", user=uid, group=uid, extra_groups=[], **popen)


def say_message(process):
    try:
        process.stdin.write(b"Subject: hello\n\nhello\n")
        process.stdin.close()
    except BrokenPipeError:
        pass  # it is killed before it reads
    process.stdin = None


def entries(host):
    return os.listdir(host.spool / "queue")


def clear(host):
    for name in entries(host):
        (host.spool / "queue" / name).unlink()


def children(host):
    return open(f"/proc/{host.relayd.pid}/task/{host.relayd.pid}/children").read().split()


def receivers(host):
    """The processes of relayd that are receivers."""
    return [pid for pid in children(host) if b"\0receive\0" in open(f"/proc/{pid}/cmdline", "rb").read()]


def private_memory(host):
    return sum(int(line.split()[1]) for line in open(f"/proc/{host.relayd.pid}/smaps_rollup") if "Private" in line)


@pytest.fixture
def host(make_host):
    host = make_host(None)
    host.start_relayd()
    return host


def queued(host):
    """The only message in the queue, octet for octet."""
    [name] = entries(host)
    return (host.spool / "queue" / name).read_bytes()


# what is taken, and what is not


def test_a_good_file_is_queued_under_its_name_with_the_uid_of_the_kernel(host):
    name = make_name()
    assert submit(host, make_file(ENVELOPE.replace(b"uid 0", b"uid 4711")), name=name, uid=BEN) == b"ok\nend\n"
    assert entries(host) == [name]
    status = (host.spool / "queue" / name).stat()
    assert (status.st_mode & 0o7777, status.st_uid) == (0o440, NOBODY)
    octets = queued(host)
    envelope, _, content = octets[HEAD:].partition(b"\n\n")
    assert b"uid %d\n" % BEN in envelope + b"\n" and b"4711" not in envelope
    assert content == CONTENT
    made = float(re.search(rb"time (\d+)", envelope).group(1)) / 1000000
    assert abs(made - time.time()) < 600
    # what was written anew is whole: relayd knows it, and so do its check value and ours
    host.wait_mailq(f"(?s){name[:12]}.*<bob@example.test>")
    assert octets == make_file(envelope + b"\n")
    assert f"uid={BEN} from=<ann@example.test> size={len(CONTENT)} recipients=1" in host.log()


def test_all_at_once_or_octet_by_octet(host):
    with connection(host, b"") as client:
        for octet in request(make_name(), len(GOOD)) + GOOD:
            client.sendall(bytes([octet]))
        assert answer(client) == b"ok\nend\n"
    assert queued(host).endswith(CONTENT)


def test_large_files(host):
    content = CONTENT + b"0123456789abcdef\r\n" * 4096
    many = ENVELOPE + b"".join(b"recipient <r%d@example.test>\n" % i for i in range(4096))
    assert submit(host, make_file(many, content)) == b"ok\nend\n"
    octets = queued(host)
    assert octets.endswith(b"\n\n" + content) and octets.count(b"recipient <") == 4097


def refused_files():
    """what is wrong with it: (octets, announced length, pattern of the answer)"""
    end = len(GOOD)
    points = {0: "nothing", 5: "in the magic line", HEAD - 1: "in the head", HEAD: "after the head",
              HEAD + 20: "in the envelope", end - len(CONTENT) - 1: "before the empty line",
              end - len(CONTENT): "before the content", end - 9: "in the content", end - 1: "before the last octet"}
    for point, where in points.items():
        yield f"broken off: {where}", (GOOD[:point], end, b"error 75 .*did not come to its end")
        yield f"short: {where}", (GOOD[:point], point, b"error 65 the message file is malformed")
    yield "longer than announced", (GOOD + b"more\r\n", end - 6, b"error 65 .*size")
    yield "longer than it states", (GOOD + b"more\r\n", end + 6, b"error 65 .*size")
    for length in ("-1", "", "0x10", "1 2", "1e3", " 1", "99999999999999999999", "9" * 100, str(1 << 63)):
        yield f"length {length!r}", (GOOD, length, b"error 65 .*not a number")
    yield "a terabyte", (make_file(length=1 << 40), (1 << 40) + end - len(CONTENT), b"error 75 no space")
    wrap = (1 << 64) - 1
    yield "a length that wraps round", (make_file(length=wrap), end - len(CONTENT) - 1, b"error 65 ")
    yield "a wrong check value", (make_file(crc=1), end, b"error 65 .*check value")
    yield "a later format", (make_file(version=b"2"), end, b"error 65 .*first lines")
    yield "upper case in the head", (GOOD.replace(b"crc32c", b"CRC32C", 1), end, b"error 65 .*first lines")

    def whole(**parts):
        octets = make_file(**parts)
        return octets, len(octets), b"error 65 the message file is malformed"

    yield "bare LF", whole(content=CONTENT + b"bare\nLF\r\n")
    yield "LF at the start", whole(content=b"\n" + CONTENT)
    yield "no last line end", whole(content=CONTENT + b"end")
    yield "CR at the end", whole(content=CONTENT + b"end\r")
    yield "LF at the end", whole(content=CONTENT + b"end\n")
    yield "no content", whole(content=b"")
    yield "no recipients", whole(envelope=re.sub(b"recipient.*\n", b"", ENVELOPE))
    yield "no sender", whole(envelope=re.sub(b"sender.*\n", b"", ENVELOPE))
    yield "two senders", whole(envelope=ENVELOPE + b"sender <x@example.test>\n")
    yield "an unknown line", whole(envelope=ENVELOPE + b"colour blue\n")
    for octet in (b"\0", b"\r", b"\x1b", b"\x7f", b" ", b">", b"<"):
        yield f"{octet!r} in an address", whole(envelope=ENVELOPE.replace(b"bob", b"b" + octet + b"b"))
    yield "an address too long", whole(envelope=ENVELOPE.replace(b"bob", b"b" * 300))
    yield "too many recipients", whole(envelope=ENVELOPE + b"recipient <r@example.test>\n" * 65537)
    yield "an envelope too large", (make_head(b"", 10) + b"x" * (9 << 20), 10 << 20, b"error 65 .*does not end")


def test_malformed_files_are_refused_and_leave_nothing(host):
    files = dict(refused_files())
    for turn in range(2):
        for what, (octets, length, pattern) in files.items():
            said = submit(host, octets, length)
            assert re.fullmatch(pattern + rb"[ -~]*\n", said), (what, said)
            assert entries(host) == [], what
        if turn == 0:
            memory = private_memory(host)
    assert host.is_running() and private_memory(host) <= memory + 64
    host.wait_for(lambda: not receivers(host), what="the receivers have ended")
    assert submit(host) == b"ok\nend\n"


def test_a_name_that_is_none_or_lies_about_its_age(host):
    for name in ("x", "../" + "a" * 23, "a" * 25 + "/", "/etc/passwd", "A" * 26, "." + "a" * 26, "a" * 200, "%n%s"):
        assert submit(host, name=name) == b"error 65 the message file is malformed: its name\n", name
    for name in (make_name(-DAY), make_name(2 * DAY), "0" * 26, "z" * 26):
        assert submit(host, name=name) == b"error 75 the name of the message is not of today\n", name
    assert entries(host) == []


def test_a_name_that_is_taken_already(host):
    name = make_name()
    assert submit(host, name=name) == b"ok\nend\n"
    before = queued(host)
    assert re.fullmatch(rb"error 75 [ -~]*File exists\n", submit(host, name=name, uid=BEN))
    assert queued(host) == before


@pytest.mark.parametrize("line", [b"submit\n", b"submit \n", b"submit x\n", b"\n", b"x" * 300 + b"\n", b"submit\0x 1\n"])
def test_requests_that_are_none(host, line):
    with connection(host, line) as client:
        assert not answer(client).startswith(b"ok")
    assert host.is_running() and entries(host) == []


def test_settings_hold_for_receivers(make_host):
    host = make_host(None, max_message_size="1K")
    host.start_relayd()
    assert submit(host) == b"ok\nend\n"
    clear(host)
    said = submit(host, make_file(content=CONTENT * 4))
    assert said == b"error 65 the message is larger than max_message_size (1024 octets)\n"
    host.stop_relayd()
    host.configure([], spool_reserve="1000000G")
    host.start_relayd()
    assert re.fullmatch(rb"error 75 no space for a message in [ -~]*\n", submit(host))
    with sendmail(host, ANN) as process:
        say_message(process)
        assert process.wait(TIMEOUT) == 75
        assert process.stderr.read().startswith(b"sendmail: no space for a message in ")
    assert entries(host) == []


# who gets a place


def half(host, uid=ANN):
    return connection(host, request(make_name(), len(GOOD)) + GOOD[:-10], uid)


def is_busy(client):
    """Has relayd answered that, at once?"""
    client.setblocking(False)
    try:
        return client.recv(100) == b"busy\n"
    except BlockingIOError:
        return False
    finally:
        client.setblocking(True)


def test_one_user_gets_a_quarter_of_the_places(make_host, smarthost):
    host = make_host(smarthost)
    host.start_relayd()
    with contextlib.ExitStack() as stack:
        clients = []
        for count in range(1, 65):
            clients.append(stack.enter_context(half(host)))
            if count <= 16:
                host.wait_for(lambda: len(receivers(host)) == count, what=f"{count} receivers")
        host.wait_for(lambda: len(clients) == 16 or [clients.remove(c) for c in clients[16:] if is_busy(c)] and False,
                      what="all but 16 are told that relayd is busy")
        assert len(receivers(host)) == 16
        # others, and delivery, do not suffer
        assert submit(host, uid=BEN) == b"ok\nend\n"
        host.submit(b"Subject: hello\n\nhello\n", "ben@example.test")
        smarthost.wait_messages(2)
        # the user's own sendmail waits for a place
        with sendmail(host, ANN) as process:
            say_message(process)
            time.sleep(0.5)
            assert process.poll() is None
            clients.pop().close()
            assert process.wait(TIMEOUT) == 0
        for client in clients:
            client.sendall(GOOD[-10:])
            assert answer(client) == b"ok\nend\n"
    smarthost.wait_messages(3 + 15)
    host.wait_empty()


def test_a_crowd_of_submitters_all_get_in(host):
    crowd = [sendmail(host, ANN) for _ in range(100)]
    for process in crowd:
        say_message(process)
    said = [process.communicate(timeout=3 * TIMEOUT)[1] for process in crowd]
    assert [(process.returncode, err) for process, err in zip(crowd, said) if process.returncode != 0] == []
    assert len(entries(host)) == 100


def test_connections_that_say_nothing_do_not_keep_others_out(host):
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connection(host, b"")) for _ in range(100)]
        assert submit(host, uid=BEN) == b"ok\nend\n"
        # who had to go may have been a submitter that was about to speak: it tries again
        assert answer(silent[0]) == b"busy\n"


def test_silence_ends_a_receiver_and_patience_ends_a_submitter(host):
    """The one slow test: both are 30 s, by constants."""
    start = time.monotonic()
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(half(host, BEN))
        busy = [stack.enter_context(half(host)) for _ in range(16)]
        host.wait_for(lambda: len(receivers(host)) == 17, what="17 receivers")
        process = stack.enter_context(sendmail(host, ANN))
        say_message(process)
        time.sleep(15)
        for client in busy:
            client.sendall(GOOD[-10:-9])
        assert answer(silent) == b"error 75 the message did not come to its end\n"
        assert 29 < time.monotonic() - start < 40
        assert process.wait(TIMEOUT) == 75
        assert process.stderr.read() == b"sendmail: relayd does not take the message: it is busy with others\n"
        assert entries(host) == [] and len(receivers(host)) == 16
        for client in busy:
            client.sendall(GOOD[-9:])
            assert answer(client) == b"ok\nend\n"


# one side dies


def test_a_client_that_goes_in_the_middle_leaves_nothing(host):
    for end in range(1, len(GOOD), 97):
        with connection(host, request(make_name(), len(GOOD)) + GOOD[:end]):
            pass
    host.wait_for(lambda: not receivers(host), what="the receivers have ended")
    assert entries(host) == [] and host.is_running()


def test_relayd_stops_and_the_message_arrives_all_the_same(host):
    name = make_name()
    with connection(host, request(name, len(GOOD)) + GOOD[:-10]) as client:
        host.wait_for(lambda: receivers(host), what="a receiver")
        assert host.stop_relayd() == 0
        client.sendall(GOOD[-10:])
        assert answer(client) == b"ok\nend\n"
    assert entries(host) == [name]
    host.start_relayd()
    host.wait_mailq(f"(?s){name[:12]}.*<bob@example.test>")


class Receiver:
    """A receiver on its own, under strace: what relayd passes on is a socket and a directory."""

    def __init__(self, make_host):
        self.host = make_host(None)
        self.host.submit(b"Subject: hello\n\nhello\n", "bob@example.test")  # makes the directories
        clear(self.host)

    def run(self, *options):
        """The answer to a good file."""
        ours, its = socket.socketpair()
        queue, name = self.host.spool / "queue", make_name()
        command = ["sh", "-c", 'exec 3<"$0" && exec "$@"', queue, "strace", "-qq", "-o", self.host.directory / "trace",
                   *options, self.host.workplace.program("relayd"), "receive", name, str(len(GOOD)), "4711", "0", "1",
                   self.host.spool, "-d"]
        with ours, open(self.host.logfile, "ab") as log:
            process = subprocess.Popen(command, stdin=its, stdout=log, stderr=log, cwd="/", **unprivileged())
            its.close()
            ours.settimeout(TIMEOUT)
            say(ours, GOOD)
            said = answer(ours)
        self.code = process.wait(TIMEOUT)
        return said

    def calls(self):
        """(name, n) of each call behind the start of main(), n counting from the start of the process."""
        assert self.run() == b"ok\nend\n" and self.kept() == 1
        seen, points, started = {}, [], False
        for line in (self.host.directory / "trace").read_text().splitlines():
            name = re.match(r"(\w+)\(", line)
            if name and name.group(1) not in ("exit_group", "rt_sigaction", "rt_sigprocmask", "brk", "mmap", "munmap"):
                seen[name.group(1)] = seen.get(name.group(1), 0) + 1
                started = started or "PR_SET_NO_NEW_PRIVS" in line
                if started:
                    points.append((name.group(1), seen[name.group(1)]))
        assert {"linkat", "fsync", "fchmod", "read", "write"} <= {name for name, _ in points}
        return points

    def kept(self):
        """The number of messages, 0 or 1; one is whole, and nothing else is there."""
        names = entries(self.host)
        for name in names:
            octets = queued(self.host)
            assert octets == make_file(octets[HEAD:].partition(b"\n\n")[0] + b"\n") and name[0] != "."
        clear(self.host)
        return len(names)


@no_sanitizer
def test_a_receiver_killed_at_any_call(make_host):
    receiver = Receiver(make_host)
    for name, n in receiver.calls():
        said = receiver.run("-e", f"inject={name}:signal=KILL:when={n}")
        kept = receiver.kept()
        assert receiver.code == -9 or receiver.code == 137, (name, n, receiver.code)
        # the answer is its last call: whoever got it is right, and it may come too late
        assert kept == 1 if said else kept in (0, 1), (name, n, said)


@no_sanitizer
@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EOPNOTSUPP"])
def test_a_receiver_that_fails_at_any_call(make_host, error):
    receiver, taken = Receiver(make_host), []
    points = receiver.calls()
    for name, n in points:
        said = receiver.run("-e", f"inject={name}:error={error}:when={n}")
        kept = receiver.kept()
        if said.startswith(b"ok"):
            assert kept == 1, (name, n)
            taken.append((name, n))
        elif said:
            assert re.fullmatch(rb"error 75 [ -~]+\n", said) and kept == 0, (name, n, said)
        else:
            assert name in ("read", "write"), (name, n)  # the socket itself
    if error == "EOPNOTSUPP":
        # as on a file system without O_TMPFILE, and on one that cannot link what it made
        assert ("linkat", 1) in taken
        assert [point for point in points if point[0] == "openat" and point in taken]


@no_sanitizer
def test_a_submitter_killed_at_any_call(host):
    trace = host.directory / "trace"

    trace.touch()
    os.chown(trace, ANN, ANN)

    def run(*options):
        with sendmail(host, ANN, within=["strace", "-qq", "-o", trace, *options]) as p:
            say_message(p)
            return p.wait(TIMEOUT)

    assert run() == 0 and len(entries(host)) == 1
    clear(host)
    seen, points = {}, []
    started = False
    for line in trace.read_text().splitlines():
        if name := re.match(r"(\w+)\(", line):
            name = name.group(1)
            seen[name] = seen.get(name, 0) + 1
            started = started or name == "connect" or "O_TMPFILE" in line
            if started and name != "exit_group":
                points.append((name, seen[name]))
    assert {"connect", "write", "read", "lseek"} <= {name for name, _ in points}
    for name, n in points:
        assert run("-e", f"inject={name}:signal=KILL:when={n}") != 0, (name, n)
        host.mailq()  # is answered when the connection before it has its receiver
        host.wait_for(lambda: not children(host), what="the receiver has ended")
        names = entries(host)
        assert len(names) <= 1 and not any(one[0] == "." for one in names), (name, n)
        assert all(queued(host).endswith(b"\r\n\r\nhello\r\n") for _ in names), (name, n)
        clear(host)
