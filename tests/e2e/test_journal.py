"""The journal that is written anew while relayd works: whatever ends it, one whole journal is there, and it says the same."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest

import harness
from test_control import crc32c
from test_power_cut import FILE_SYSTEMS, Disk, can_mount, mounts_of_our_own, stopped  # noqa: F401

MESSAGE = b"Subject: hello\n\nhello\n"
WAITING = 40
PATIENT = {"retry_interval": "1h 2h", "reconnect_interval": "50ms 100ms", "in_doubt_interval": "200ms"}
REWRITTEN = {"openat", "fallocate", "pwrite64", "fdatasync", "fsync", "renameat", "close", "pread64"}

pytestmark = [
    pytest.mark.skipif(bool(os.environ.get("POSTBAG_SANITIZE")), reason="the sanitizers do not work under ptrace"),
    pytest.mark.skipif(os.getuid() != 0 or not shutil.which("strace"), reason="needs strace, and root"),
]


def line(name, event, time_=None, attempts=0, pause=0, code=0, text=""):
    rest = f"{time_ or time.time_ns() // 1000} {name} * {event} {attempts} 0 {pause} {code} {text}".encode()
    return b"%08x %s\n" % (crc32c(rest), rest)


def reason(number):
    return f"451 4.7.1 reason {number} of many"


def write_journal(host, names, dead=6 << 20):
    """All names are deferred for an hour, each for a reason of its own; the rest is of messages that are long gone."""
    gone = line("0" * 26, "done")
    journal = host.spool / "state/journal"
    lines = [line(name, "deferred", None, 3, 3_600_000, 451, reason(i)) for i, name in enumerate(names)]
    journal.write_bytes(gone * (dead // len(gone)) + b"".join(lines))
    journal.chmod(0o600)
    harness.give_away(journal)


def fill(host, count=WAITING):
    """Messages that wait, and a journal that is worth rewriting."""
    host.submit(MESSAGE, "first@example.test")
    queue = host.spool / "queue"
    [first] = host.queue_files()
    for number in range(1, count):
        name = f"{first[:9]}{number:017d}"
        shutil.copyfile(queue / first, queue / name)
        harness.give_away(queue / name)
        (queue / name).chmod(0o440)
    write_journal(host, names := host.queue_files())
    return names


def size(host):
    path = host.spool / "state/journal"
    return path.stat().st_size if path.exists() else 0


def is_rewritten(host):
    return size(host) < 1 << 20


def assert_all_wait(host, names):
    """mailq shows each of them, deferred, with its own reason."""
    listing = host.mailq()
    assert listing.count("  deferred  ") == len(names), listing
    for number in range(len(names)):
        assert reason(number) in listing, (number, listing)


def traced_relayd(host):
    """The process id below strace; None when it has ended."""
    pids = harness.text(f"/proc/{host.relayd.pid}/task/{host.relayd.pid}/children").split()
    return int(pids[0]) if pids else None


def end_traced(host, sig):
    if pid := traced_relayd(host):
        os.kill(pid, sig)
    host.relayd.wait(harness.TIMEOUT)


@contextlib.contextmanager
def traced(host, *options):
    """relayd from its start on under strace."""
    trace = host.directory / "trace"
    trace.unlink(missing_ok=True)
    wrap = ["strace", "-qq", "-o", trace, *(["-u", "nobody"] if os.getuid() == 0 else []), *options]
    host.directory.chmod(0o755)
    host.logfile.write_text("")
    host.start_relayd(wait=False, within=wrap)
    try:
        yield trace
    finally:
        if host.is_running():
            end_traced(host, signal.SIGTERM)


def rewrite_calls(host, names):
    """(name, n) of each call of a rewrite, n counting from the start of relayd."""
    with traced(host) as trace:
        host.wait_for(lambda: is_rewritten(host), what="the journal is rewritten")
        host.wait_for(lambda: 'renameat(' in harness.text(trace), what="the trace says so")
    seen, points, started, ended = {}, [], False, False
    for row in harness.text(trace).splitlines():
        name = re.match(r"(\w+)\(", row)
        if not name or ended:
            continue
        name = name.group(1)
        seen[name] = seen.get(name, 0) + 1
        started = started or ('"journal.new"' in row and "O_TRUNC" in row)
        if started and name in REWRITTEN:
            points.append((name, seen[name]))
        ended = started and "renameat" in [point for point, _ in points] and name == "fsync" and points[-2][0] != "fsync"
    assert len(points) > 8, points
    # of calls that come again and again, the first ones say it all
    return [point for k, point in enumerate(points) if sum(p[0] == point[0] for p in points[:k]) < 4]


def test_killed_at_any_call_of_a_rewrite_it_leaves_a_whole_journal(make_host):
    host = make_host(**PATIENT)
    names = fill(host)
    for call, n in rewrite_calls(host, names):
        write_journal(host, names)
        with traced(host, "-e", f"inject={call}:signal=KILL:when={n}"):
            host.wait_for(lambda: not host.is_running(), what=f"relayd is killed at {call} {n}")
        assert_all_wait(host, names)
        host.start_relayd()
        assert_all_wait(host, names)
        host.wait_for(lambda: is_rewritten(host), what=f"the journal is rewritten, though it was killed at {call} {n}")
        host.stop_relayd()
        assert not (host.spool / "state/journal.new").exists()
        assert_all_wait(host, names)


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_failed_at_any_call_of_a_rewrite_the_journal_says_the_same(make_host, error):
    host = make_host(**PATIENT)
    names = fill(host)
    for call, n in rewrite_calls(host, names):
        if call == "pread64":
            continue
        write_journal(host, names)
        with traced(host, "-e", f"inject={call}:error={error}:when={n}"):
            host.wait_log("started: ")
            host.wait_for(lambda: is_rewritten(host) or "the old one stays" in host.log(), what=f"{call} {n} failed")
            assert_all_wait(host, names)
        assert_all_wait(host, names)


def test_a_line_that_cannot_be_read_any_more_costs_its_reason_only(make_host):
    host = make_host(**PATIENT)
    names = fill(host)
    first = min(n for call, n in rewrite_calls(host, names) if call == "pread64")
    write_journal(host, names)
    with traced(host, "-e", f"inject=pread64:error=EIO:when={first}+"):
        host.wait_for(lambda: is_rewritten(host), what="the journal is rewritten")
    listing = host.mailq()
    assert listing.count("  deferred  ") == len(names) and "reason 1 " not in listing


def test_what_happens_during_a_rewrite_is_in_the_new_journal(make_smarthost, make_host):
    """Reading each old line takes it a while here, so that there is a during."""
    server = make_smarthost(rule=["RCPT~first reply 451 4.7.1 not yet", "RCPT~later reply 451 4.7.1 later"])
    host = make_host(server, block={"connections": 1}, **PATIENT)
    names = fill(host, 4500)
    again, others = names[::450], [names[1], names[-2]]
    with traced(host, "-e", "inject=pread64:delay_enter=1000") as trace:
        host.wait_for(lambda: harness.text(trace).count("pread64(") > 500, what="the rewrite has begun")
        asked = [threading.Thread(target=host.spoolctl, args=("retry", name)) for name in again]
        for thread in asked:
            thread.start()
        for number in range(20):
            host.submit(MESSAGE, f"{'later' if number % 2 else 'now'}{number}@example.test")
        for thread in asked:
            thread.join()
        host.wait_for(lambda: is_rewritten(host), 60, what="the journal is rewritten")
        host.wait_for(lambda: host.log().count("status=deferred") == 20, what="all were tried")
        end_traced(host, signal.SIGKILL)
    lines = {row.split()[2]: row for row in harness.text(host.spool / "state/journal").splitlines()}
    assert all("deferred 4 " in lines[name] and "not yet" in lines[name] for name in again)
    assert all("deferred 3 " in lines[name] and reason(names.index(name)) in lines[name] for name in others)
    listing = host.mailq()
    assert listing.count("4.7.1 not yet") == len(again)
    assert all(re.search(rf"<later{number}@.*\n *reason  451 .*later", listing) for number in range(1, 20, 2))
    assert len(host.queue_files()) == len(names) + 10
    host.start_relayd()
    host.submit(MESSAGE, "last@example.test")
    server.wait_messages(11)
    assert sorted(m.recipients[0] for m in server.messages()) == sorted(
        ["last@example.test", *(f"now{number}@example.test" for number in range(0, 20, 2))])


@pytest.fixture
def disk(request, workplace):
    if not can_mount() or not shutil.which(FILE_SYSTEMS[request.param][0]):
        pytest.skip(f"cannot mount {request.param}")
    disk = Disk(workplace, request.param)
    yield disk
    disk.unmount("-l")


@pytest.fixture
def disk_host(make_host, disk):
    spool = disk.point / "spool"
    spool.mkdir(mode=0o711)
    harness.give_away(spool)

    def make(server=None, **settings):
        host = make_host(server, spool_directory=spool, **settings)
        host.spool = spool
        return host

    return make


class Filler:
    """Takes all space, and goes on taking what becomes free."""

    def __init__(self, point):
        self.path = point / "filler"
        self.end = threading.Event()
        self.full = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        with open(self.path, "wb", buffering=0) as file:
            octets = 1 << 20
            while not self.end.is_set():
                try:
                    file.write(b"x" * octets)
                except OSError:
                    self.full.set()
                    octets = max(octets // 2, 512)

    def __enter__(self):
        self.thread.start()
        assert self.full.wait(harness.TIMEOUT)
        return self

    def __exit__(self, *_):
        self.end.set()
        self.thread.join()


@pytest.mark.parametrize("disk", ["ext4", "xfs", "btrfs"], indirect=True)
def test_a_full_disk_does_not_stop_delivery(disk, disk_host, make_smarthost):
    """Without space of its own, the journal would need more than the block that its end lies in."""
    server = make_smarthost()
    host = disk_host(server)
    wanted = {f"rcpt{number}@example.test" for number in range(150)}
    server.stop()
    host.start_relayd()
    for recipient in wanted:
        host.submit(MESSAGE, recipient)
    with Filler(disk.point):
        assert host.sendmail("-i", "more@example.test", input=MESSAGE).returncode == 75
        server.start()
        host.wait_empty(60)
    assert "journal:" not in host.log()
    assert sorted(m.recipients[0] for m in server.messages()) == sorted(wanted)


@pytest.mark.parametrize("disk", ["ext4", "xfs"], indirect=True)
def test_power_cut_during_a_rewrite_leaves_a_whole_journal(disk, disk_host):
    host = disk_host(**PATIENT)
    names = fill(host)
    points = [point for point in rewrite_calls(host, names) if point[0] in ("fdatasync", "fsync", "renameat")]
    for call, n in points:
        write_journal(host, names)
        os.sync()
        with traced(host, "-e", f"inject={call}:signal=STOP:when={n}"):
            host.wait_for(lambda: stopped(host.relayd.pid), what=f"relayd is stopped at {call} {n}")
            disk.cut()
            end_traced(host, signal.SIGKILL)
        disk.come_back(None)
        assert_all_wait(host, names)
