"""sendmail under fault at each of its system calls: killed there, or failed there.

strace injects the fault at the n-th call of a name, so the calls of one good run are counted first. What counts is the
promise: exit 0 means that the message is in the queue, whole; anything else that it is not, and that nothing is left.
"""

import os
import re
import subprocess

import pytest

from harness import unprivileged

pytestmark = pytest.mark.skipif(
    bool(os.environ.get("POSTBAG_SANITIZE")), reason="the sanitizers do not work under ptrace"
)

MESSAGE = b"Subject: fault\n\n" + b"line\n" * 40
# What a submission does; the rest of a trace is the loader's and the C library's.
OURS = {
    "openat", "open", "read", "write", "pwrite64", "lseek", "fchmod", "linkat", "fsync", "fdatasync", "renameat2",
    "fstatfs", "newfstatat", "fstat", "getrandom", "close", "socket", "connect", "unlinkat", "flock", "faccessat2",
}


def traced(host, *options):
    """Runs sendmail under strace; returns its exit code (negative: the signal) and what it printed."""
    command = ["strace", "-qq", "-o", host.directory / "trace", *options]
    done = subprocess.run(
        [*command, host.workplace.program("sendmail"), "-C", host.conf, "a@example.test"],
        input=MESSAGE, capture_output=True, timeout=60, **unprivileged())
    return done.returncode, done.stderr.decode(errors="replace")


def calls(host):
    """(name, n) of each call behind the start of main(), n counting from the start of the process."""
    host.submit(MESSAGE, "a@example.test")  # the first one makes the directories
    assert traced(host)[0] == 0
    seen, points, started = {}, [], False
    for line in (host.directory / "trace").read_text().splitlines():
        name = re.match(r"(\w+)\(", line)
        if not name:
            continue
        name = name.group(1)
        seen[name] = seen.get(name, 0) + 1
        started = started or line.startswith("fcntl(0, F_GETFD)")
        if started and name in OURS:
            points.append((name, seen[name]))
    for left in host.queue_files():
        os.unlink(host.spool / "queue" / left)
    assert len(points) > 20
    return points


def whole_messages(host):
    """The number of messages; every one of them is whole, and there is nothing else."""
    names = os.listdir(host.spool / "queue")
    listing = host.mailq()
    assert "corrupt" not in listing and "empty)" not in listing, listing
    assert listing.count("<a@example.test>") == len(names), (names, listing)
    for name in names:
        assert b"line\r\n" * 40 in (host.spool / "queue" / name).read_bytes()
        os.unlink(host.spool / "queue" / name)
    return len(names)


def test_killed_at_any_call_it_leaves_a_whole_message_or_nothing(make_host):
    host = make_host()
    for name, n in calls(host):
        code, _ = traced(host, "-e", f"inject={name}:signal=KILL:when={n}")
        assert code != 0, (name, n)
        assert whole_messages(host) in (0, 1), (name, n)


@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EROFS", "EMFILE"])
def test_failed_at_any_call_exit_code_and_queue_agree(make_host, error):
    host = make_host()
    for name, n in calls(host):
        code, said = traced(host, "-e", f"inject={name}:error={error}:when={n}")
        kept = whole_messages(host)
        assert (code == 0) == (kept == 1), (name, n, code, kept, said)
        if code != 0:
            assert code == 75 and "sendmail: " in said, (name, n, code, said)


@pytest.mark.parametrize("call", ["write", "fsync", "linkat", "openat", "read"])
def test_failed_from_a_call_on_it_says_so(make_host, call):
    host = make_host()
    for name, n in calls(host):
        if name == call:
            code, said = traced(host, "-e", f"inject={name}:error=EIO:when={n}+")
            assert (code == 0) == (whole_messages(host) == 1), (name, n, code, said)


def test_interrupted_calls_are_repeated(make_host):
    host = make_host()
    for name in ("read", "write"):
        for when in [n for point, n in calls(host) if point == name]:
            code, said = traced(host, "-e", f"inject={name}:error=EINTR:when={when}")
            assert code == 0 and whole_messages(host) == 1, (name, when, said)
