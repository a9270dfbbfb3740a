"""Power cuts, as root: the spool lies on a loop-mounted file system that is shut down without a flush.

What was acknowledged before the cut must be there afterwards. strace stops the program at a system call, then the file
system is cut (EXT4_IOC_SHUTDOWN and its cousin on xfs), so that every point of a submission is tried.
"""

import ctypes
import fcntl
import os
import re
import shutil
import signal
import struct
import subprocess
import time

import pytest

import harness
from test_system_calls import MESSAGE, calls, pytestmark as no_sanitizer

GOINGDOWN, NO_FLUSH = 0x8004587D, 2
FILE_SYSTEMS = {
    "ext4": ["mkfs.ext4", "-q", "-F"],
    "ext4-nojournal": ["mkfs.ext4", "-q", "-F", "-O", "^has_journal"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
    "btrfs": ["mkfs.btrfs", "-q", "-f"],  # cannot be cut
}


class Disk:
    """A file system in a file, which can lose its power."""

    def __init__(self, workplace, kind):
        self.kind = kind
        directory = workplace.new_directory("disk")
        self.image, self.point = directory / "image", directory / "mounted"
        with open(self.image, "wb") as file:
            file.truncate((48 if kind.startswith("ext4") else 320) << 20)  # the least that they take
        subprocess.run([*FILE_SYSTEMS[kind], self.image], check=True, capture_output=True)
        self.point.mkdir()
        self.mount()
        self.point.chmod(0o755)

    def mount(self):
        subprocess.run(["mount", "-o", "loop", self.image, self.point], check=True)

    def unmount(self, *options):
        # the last file of a killed process may still be on its way to being closed
        assert harness.poll(lambda: subprocess.run(["umount", *options, self.point]).returncode == 0)

    def cut(self):
        """Nothing that was not flushed survives; a file system without journal is copied as it lies there."""
        if self.kind == "ext4-nojournal":
            copy = self.image.with_suffix(".copy")
            subprocess.run(["cp", "--sparse=always", self.image, copy], check=True)
            return copy
        fd = os.open(self.point, os.O_RDONLY)
        fcntl.ioctl(fd, GOINGDOWN, struct.pack("I", NO_FLUSH))
        os.close(fd)
        return None

    def come_back(self, copy):
        self.unmount()
        if copy:
            os.replace(copy, self.image)
            subprocess.run(["fsck.ext4", "-fy", self.image], capture_output=True)
        self.mount()


CLONE_NEWNS = 0x00020000


def can_mount():
    if os.getuid() != 0:
        return False
    return subprocess.run(["losetup", "-f"], capture_output=True).returncode == 0


@pytest.fixture(scope="module", autouse=True)
def mounts_of_our_own():
    """What is mounted here is seen by nobody else: a copy in another test's mount namespace would outlive the cut."""
    assert ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) == 0, os.strerror(ctypes.get_errno())
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


pytestmark = [no_sanitizer, pytest.mark.skipif(not can_mount(), reason="needs root and loop devices")]


@pytest.fixture(params=[kind for kind in FILE_SYSTEMS if kind != "btrfs"])
def disk(request, workplace):
    if not shutil.which(FILE_SYSTEMS[request.param][0]):
        pytest.skip(f"{FILE_SYSTEMS[request.param][0]} is not installed")
    disk = Disk(workplace, request.param)
    yield disk
    disk.unmount("-l")  # a relayd that a failed test left may still be in it


@pytest.fixture
def host(make_host, disk):
    spool = disk.point / "spool"
    spool.mkdir()
    harness.give_away(spool)
    host = make_host(spool_directory=spool)
    host.spool = spool
    host.submit(MESSAGE, "first@example.test")
    os.sync()
    return host


def messages(host):
    """The names that are there after the cut; all of them are whole messages."""
    listing = host.mailq()
    assert "corrupt" not in listing, listing
    return {name[:12] for name in host.queue_files()}, listing


def test_what_was_acknowledged_survives_a_cut_right_after(host, disk):
    for i in range(12):
        host.submit(MESSAGE, f"rcpt{i}@example.test")
        copy = disk.cut()
        disk.come_back(copy)
        names, listing = messages(host)
        assert len(names) == i + 2 and f"<rcpt{i}@example.test>" in listing


def test_cut_at_any_call_leaves_whole_messages_only(host, disk):
    if disk.kind == "ext4-nojournal":
        pytest.skip("its image cannot be taken while the program is stopped in a call")
    for name, n in calls(host):
        command = ["strace", "-qq", "-o", "/dev/null", "-e", f"inject={name}:signal=STOP:when={n}",
                   host.workplace.program("sendmail"), "-C", host.conf, "a@example.test"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, **harness.unprivileged(), start_new_session=True)
        process.stdin.write(MESSAGE)
        process.stdin.close()
        assert harness.poll(lambda: stopped(process.pid) or process.poll() is not None), (name, n)
        disk.cut()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        disk.come_back(None)
        assert "first@example.test" in messages(host)[1], (name, n)


def standing_still(pid):
    """What the kernel says of a child that is stopped; it changes as long as strace lets the child go on."""
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    try:
        status = open(f"/proc/{children[0]}/status").read()
    except (IndexError, OSError):
        return None
    return status if re.search(r"^Name:\s+(?:sendmail|relayd)\nUmask.*\nState:\s+[Tt]", status) else None


def stopped(pid):
    """The traced child has received its SIGSTOP, and not merely reached one of strace's own stops."""
    status = standing_still(pid)
    time.sleep(0.02)
    return status is not None and status == standing_still(pid)


def test_cut_during_delivery_loses_nothing(make_host, workplace, disk, make_smarthost):
    spool = disk.point / "spool"
    spool.mkdir()
    harness.give_away(spool)
    smarthost = make_smarthost(delay=30)  # or all is delivered before the cut
    # what is under way, and what a turn of relayd has not synced, can be sent again
    block = {"connections": 2, "window": 4}
    host = make_host(smarthost, block=block, spool_directory=spool, in_doubt_interval="100ms")
    host.spool = spool
    wanted = set()
    for i in range(80):
        wanted.add(f"rcpt{i}@example.test")
        host.submit(MESSAGE, f"rcpt{i}@example.test")
    for _ in range(3):
        already = len(smarthost.messages())
        host.start_relayd()
        host.wait_for(lambda: len(smarthost.messages()) > already + 5, what="some messages are delivered")
        host.kill_relayd()
        copy = disk.cut()
        disk.come_back(copy)
    host.start_relayd()
    host.wait_empty(60)
    host.stop_relayd()
    got = [m.recipients[0] for m in smarthost.messages()]
    assert set(got) == wanted
    # what the last batches before each cut delivered, and no more, can have been sent twice
    assert len(got) - len(wanted) <= 3 * 20


def test_nothing_is_sent_twice_when_the_cut_comes_after_the_sync(make_host, workplace, disk, make_smarthost):
    spool = disk.point / "spool"
    spool.mkdir()
    harness.give_away(spool)
    smarthost = make_smarthost()
    host = make_host(smarthost, spool_directory=spool)
    host.spool = spool
    host.start_relayd()
    for i in range(20):
        host.submit(MESSAGE, f"rcpt{i}@example.test")
    smarthost.wait_messages(20)
    host.wait_empty(60)
    host.kill_relayd()
    copy = disk.cut()
    disk.come_back(copy)
    host.start_relayd()
    host.submit(MESSAGE, "last@example.test")
    smarthost.wait_messages(21)
    host.wait_empty(60)
    assert len(smarthost.messages()) == 21
