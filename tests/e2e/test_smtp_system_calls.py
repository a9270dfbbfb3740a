"""`sendmail -bs` under fault at each of its system calls: what the client was told and what the queue has agree."""

import re
import subprocess

import pytest

import test_system_calls
from harness import unprivileged
from test_system_calls import OURS, whole_messages

pytestmark = test_system_calls.pytestmark

TEXT = b"Subject: fault\r\n\r\n" + b"line\r\n" * 40
BEGIN = b"MAIL FROM:<b@example.test>\r\nRCPT TO:<a@example.test>\r\n"
SESSION = (b"EHLO x\r\n" + BEGIN + b"DATA\r\n" + TEXT + b".\r\n" + BEGIN + b"BDAT %d LAST\r\n" % len(TEXT) + TEXT + b"QUIT\r\n")


def traced(host, *options):
    """The exit code (negative: the signal), and how many messages the client was told to be queued."""
    command = ["strace", "-qq", "-o", host.directory / "trace", *options]
    done = subprocess.run([*command, host.workplace.program("sendmail"), "-C", host.conf, "-bs"], input=SESSION,
                          capture_output=True, timeout=60, **unprivileged())
    return done.returncode, done.stdout.count(b"\r\n250 2.0.0 queued as ")


def calls(host):
    """(name, n) of each call behind the start of main(), n counting from the start of the process."""
    traced(host)  # the first one makes the directories
    assert traced(host) == (0, 2) and whole_messages(host) == 4
    seen, points, started = {}, [], False
    for name, rest in re.findall(r"^(\w+)(\(.*)", (host.directory / "trace").read_text(), re.M):
        seen[name] = seen.get(name, 0) + 1
        started = started or rest.startswith("(0, F_GETFD)")
        if started and name in OURS | {"poll", "rt_sigprocmask"}:
            points.append((name, seen[name]))
    assert len(points) > 40
    return points


def test_killed_at_any_call_nothing_that_was_told_is_lost(make_host):
    host = make_host()
    for name, n in calls(host):
        code, told = traced(host, "-e", f"inject={name}:signal=KILL:when={n}")
        kept = whole_messages(host)
        assert code != 0 and told <= kept <= told + 1, (name, n, told, kept)


def test_told_to_end_at_any_call_client_and_queue_agree(make_host):
    """The signal waits from the commit to the reply."""
    host = make_host()
    for name, n in calls(host):
        code, told = traced(host, "-e", f"inject={name}:signal=TERM:when={n}")
        kept = whole_messages(host)
        assert code == -15 and told == kept, (name, n, code, told, kept)


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_failed_at_any_call_client_and_queue_agree(make_host, error):
    """But for a reply that cannot be written: then the client has to ask again."""
    host = make_host()
    for name, n in calls(host):
        code, told = traced(host, "-e", f"inject={name}:error={error}:when={n}")
        kept = whole_messages(host)
        assert code in (0, 75) and told <= kept <= told + (name in ("write", "poll")), (name, n, code, told, kept)
        assert code == 75 or name not in ("write", "poll") or told == kept, (name, n)


def test_no_reply_before_the_message_is_durable(make_host):
    """In the order of the calls: link, sync, reply."""
    host = make_host()
    assert traced(host, "-s", "2000") == (0, 2)
    trace = (host.directory / "trace").read_text()
    order = re.findall(r'^(linkat|fsync)\(|^(write)\(1, ".*250 2\.0\.0 queued', trace, re.M)
    shown = re.sub("(fsync )+", "fsync ", " ".join(call or reply for call, reply in order))
    assert shown.split()[-6:] == ["linkat", "fsync", "write"] * 2, order
