"""What a long queue costs: memory, the first delivery after a start, the rate of delivery and of submission beside a short one.

The spool lies on an ext4 of its own where that can be mounted, so that a million files come and go quickly; else in memory.
"""

import contextlib
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import tempfile
import time

import harness
from line import Line

SHORT = 1000
ROUND_TRIP = 50  # milliseconds
ORDINARY = {0: 10_000, ROUND_TRIP: 2000}  # messages of a queue that is not long, by the round trip


@contextlib.contextmanager
def room(count):
    """A directory for a spool of that many files."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="postbag-backlog-"))
    image, point = directory / "image", directory / "mounted"
    directory.chmod(0o755)
    point.mkdir()
    mounted = False
    if os.getuid() == 0 and shutil.which("mkfs.ext4"):
        with open(image, "wb") as file:
            file.truncate(count * 10_000 + (1 << 30))
        subprocess.run(["mkfs.ext4", "-q", "-F", "-N", str(2 * count + 10_000), image], check=True)
        mounted = subprocess.run(["mount", "-o", "loop", image, point], capture_output=True).returncode == 0
    if not mounted:
        shutil.rmtree(directory)
        directory = point = pathlib.Path(tempfile.mkdtemp(prefix="postbag-backlog-", dir="/dev/shm"))
    harness.give_away(point)
    point.chmod(0o755)
    try:
        yield point
    finally:
        if mounted:
            subprocess.run(["umount", point], check=True)
        shutil.rmtree(directory)


def new_host(workplace, point, name, **settings):
    host = harness.Host(workplace)
    host.spool = point / name
    host.spool.mkdir(mode=0o711)
    harness.give_away(host.spool)
    host.settings = {"spool_directory": host.spool, "spool_reserve": "1K", **settings}
    host.configure([], **host.settings)
    return host


def fill(host, count, *how):
    subprocess.run([host.workplace.program("fill"), host.spool, str(count), *how], check=True, **harness.unprivileged())
    os.sync()  # as sendmail does: the blocks of a file that was never written are given back for nothing


def private_memory(pid):
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * sum(int(n) for n in re.findall(r"^Private_(?:Clean|Dirty): +(\d+)", rollup, re.M))


def memory(host):
    """Private octets of a relayd that has taken in the whole queue, and has nowhere to send it."""
    host.configure([], **host.settings)
    host.start_relayd(wait=False)
    host.wait_log(r"started: \d+ messages", 300)
    octets = private_memory(host.relayd.pid)
    host.stop_relayd()
    return octets


class Deliveries:
    """Counts deliveries in relayd's log, as they come."""

    def __init__(self, host):
        host.logfile.touch()
        self.log = open(host.logfile, "rb")
        self.log.seek(0, os.SEEK_END)
        self.rest, self.count, self.last, self.pause = b"", 0, None, 0.0

    def look(self):
        lines = (self.rest + self.log.read()).split(b"\n")
        self.rest = lines.pop()
        new = sum(b" status=delivered " in line for line in lines)
        now = time.perf_counter()
        if new:
            if self.last is not None:
                self.pause = max(self.pause, now - self.last)
            self.last = now
        self.count += new

    def wait(self, count, timeout=300):
        """Until there are that many; the time it took."""
        start = time.perf_counter()
        while self.count < count:
            assert time.perf_counter() - start < timeout, f"{self.count} deliveries instead of {count}"
            time.sleep(0.001)
            self.look()
        return time.perf_counter() - start


def delivering(host, smarthost, **block):
    """Starts relayd; returns the deliveries and when the first came."""
    host.configure([host.smarthost_block(smarthost, **block)], **host.settings)
    deliveries = Deliveries(host)
    host.start_relayd(wait=False)
    return deliveries, deliveries.wait(1)


def rate(deliveries, count):
    before = deliveries.count
    seconds = deliveries.wait(before + count)
    return (deliveries.count - before) / seconds


def submissions(long, short, runs):
    """Medians of sendmail's time in microseconds, in turn, so that both see the same machine."""
    message = long.directory / "message"
    message.write_bytes(b"Subject: bench\n\ntext\n")
    program = long.workplace.program
    done = subprocess.run(
        [program("pairs"), str(runs), message, program("sendmail"), "-C", long.conf, "a@example.test",
         "--", program("sendmail"), "-C", short.conf, "a@example.test"],
        capture_output=True, text=True, check=True, **harness.unprivileged())
    pairs = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
    return tuple(statistics.median(column) for column in zip(*pairs))


def one_start(long, smarthost, name):
    deliveries, first = delivering(long, smarthost)
    print(f"{name}: first delivery after {first:.2f} s")
    return deliveries


def rates(long, short, smarthost, runs, ordinary):
    both = [], []
    for _ in range(runs):
        for host, into in ((long, both[0]), (short, both[1])):
            if host is short:
                fill(short, ordinary)
            deliveries, _ = delivering(host, smarthost)
            into.append(rate(deliveries, ordinary * 9 // 10))
            if host is short:
                host.wait_empty()
            host.stop_relayd()
    return tuple(map(statistics.median, both))


def run(workplace, certs, count, runs=5):
    smarthost = harness.Smarthost(workplace, certs, store=None, transcript=None)
    line = Line(workplace, certs, ROUND_TRIP, count)
    with room(count) as point:
        empty, short = new_host(workplace, point, "empty"), new_host(workplace, point, "short")
        floor = memory(empty)
        print(f"relayd without messages: {floor // 1024} kB private")
        for how in ([], ["deferred"]):
            name = " ".join([f"{count} messages", *how])
            long = new_host(workplace, point, "long" + "".join(how))
            start = time.perf_counter()
            fill(long, count, *how)
            print(f"{name}: made in {time.perf_counter() - start:.0f} s")
            print(f"{name}: {(memory(long) - floor) / count:.1f} octets a message")
            for _ in range(3):
                one_start(long, smarthost, name)
                long.stop_relayd()
            for trip, to in ((0, smarthost), (ROUND_TRIP, line)):
                ordinary = min(ORDINARY[trip], count // 20)
                here, there = rates(long, short, to, runs, ordinary)
                print(f"{name}: {here:.0f} messages/s at {trip} ms, beside {there:.0f} from a queue of {ordinary}: "
                      f"{here / there:.2f}")
            here, there = submissions(long, short, 200)
            print(f"{name}: sendmail takes {here:.0f} us, beside {there:.0f}: {here / there:.2f}")
            deliveries = one_start(long, smarthost, name)
            rate(deliveries, SHORT)
            deliveries.pause = 0.0
            assert long.sendmail("-q").returncode == 0
            rate(deliveries, 5 * SHORT)
            print(f"{name}: longest pause of delivery during sendmail -q: {1000 * deliveries.pause:.0f} ms")
            start = time.perf_counter()
            listing = long.command("sendmail", "-bp", timeout=900).stdout
            print(f"{name}: mailq prints {listing.count(b'a@example.test>') } lines in {time.perf_counter() - start:.0f} s; "
                  f"{listing[-60:].decode().splitlines()[-1]}")
            long.stop_relayd()
            shutil.rmtree(long.spool)
    line.close()
    smarthost.stop()
