"""The system calls that dist/systemd/relayd.service leaves to relayd and its sessions, against those that they make."""

import os
import re
import shutil
import subprocess

import pytest

import harness
import test_receivers

UNIT = harness.TREE / "dist/systemd/relayd.service"
MESSAGE = b"Subject: hello\n\nhello\n"


def calls_of_set(name, listing):
    """Names of a filter set such as @system-service, with those of the sets in it."""
    words = listing[name]
    return set().union(*(calls_of_set(word, listing) if word.startswith("@") else {word} for word in words))


def allowed_calls():
    out = subprocess.run(["systemd-analyze", "syscall-filter"], capture_output=True, text=True, check=True).stdout
    listing, words = {}, None
    for line in out.splitlines():
        if line.startswith("@"):
            words = listing.setdefault(line.strip(), [])
        elif line.startswith("    ") and not line.strip().startswith("#"):
            words.append(line.strip())
        elif line.strip() and not line.startswith(" "):
            break  # what the kernel has beyond the sets
    allowed = set()
    for word in " ".join(re.findall(r"^SystemCallFilter=(.*)$", UNIT.read_text(), re.M)).split():
        allowed |= calls_of_set(word, listing) if word.startswith("@") else {word}
    return allowed


def test_the_unit_allows_every_call_of_relayd_and_its_sessions(make_smarthost, make_host, workplace):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    if os.environ.get("POSTBAG_SANITIZE"):
        pytest.skip("sanitizers make calls of their own")
    server = make_smarthost(rule="RCPT~later reply 451 4.7.1 greylisted")
    host = make_host(server)
    trace = host.directory / "trace"
    become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.getuid() == 0 else []
    host.start_relayd(within=["strace", "-f", "-qq", "-o", str(trace), *become])
    host.submit(MESSAGE, "bob@example.test")
    server.wait_messages()
    host.wait_empty()
    host.submit(MESSAGE, "later@example.test")
    host.wait_log("status=deferred")
    host.mailq()
    assert host.spoolctl("remove", host.queue_files()[0][:12]).returncode == 0
    host.wait_empty()
    if os.getuid() == 0:
        assert test_receivers.submit(host) == b"ok\nend\n"
        server.wait_messages(2)
        host.wait_empty()
    relayd = int(trace.read_text().split()[0])
    os.kill(relayd, 1)
    host.wait_log("configuration read")
    os.kill(relayd, 15)
    assert host.relayd.wait(harness.TIMEOUT) == 0
    lines = trace.read_text().splitlines()
    # what comes before relayd's own start is setpriv's
    start = next(i for i, line in enumerate(lines) if re.search(r'execve\("[^"]*/relayd"', line))
    made = {m[1] for line in lines[start:] if (m := re.match(r"\d+ +(\w+)\(", line))}
    assert {"execve", "seccomp", "fdatasync", "inotify_add_watch"} <= made  # the trace has seen both kinds of process
    assert "linkat" in made or os.getuid() != 0  # and a receiver
    assert made - allowed_calls() == set()
