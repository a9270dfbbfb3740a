"""A long queue: what it costs in memory, and that it is taken in, delivered and given back."""

import os
import pathlib
import shutil
import sys
import tempfile

import pytest

import harness

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
import backlog  # noqa: E402

COUNT = 100_000
OCTETS_A_MESSAGE = 64
IDLE = 500 << 10

pytestmark = [
    pytest.mark.skipif(bool(os.environ.get("POSTBAG_SANITIZE")), reason="the sanitizers have memory of their own"),
    pytest.mark.skipif(shutil.disk_usage("/dev/shm").free < COUNT * 10_000, reason="needs room in /dev/shm"),
]


@pytest.fixture
def point():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="postbag-backlog-", dir="/dev/shm"))
    directory.chmod(0o755)
    harness.give_away(directory)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def new_host(workplace, point):
    hosts = []

    def make(name):
        hosts.append(backlog.new_host(workplace, point, name))
        return hosts[-1]

    yield make
    for host in hosts:
        host.close()


@pytest.mark.parametrize("how", [[], ["deferred"]], ids=["new", "deferred"])
def test_a_long_queue_is_cheap_and_the_oldest_goes_first(how, new_host, make_smarthost):
    empty, host, server = new_host("empty"), new_host("long"), make_smarthost()
    backlog.fill(host, COUNT, *how)
    oldest = host.queue_files()[:1000]
    assert (backlog.memory(host) - backlog.memory(empty)) / COUNT <= OCTETS_A_MESSAGE
    deliveries, _ = backlog.delivering(host, server, connections=1)
    deliveries.wait(100)
    host.stop_relayd()
    assert "journal:" not in host.log()
    left = set(host.queue_files())
    delivered = COUNT - len(left)
    # nothing younger than what one connection could have in hand when it stopped
    assert delivered >= 100 and sum(name in left for name in oldest[:delivered]) <= 64


def test_the_memory_of_a_long_queue_comes_back(new_host, make_smarthost):
    host, server = new_host("long"), make_smarthost()
    backlog.fill(host, COUNT)
    host.configure([], **host.settings)
    host.start_relayd()
    pid = host.relayd.pid
    assert backlog.private_memory(pid) > COUNT * 40
    shutil.rmtree(host.spool / "queue", ignore_errors=True)  # the directory stays open, and is empty
    host.configure([host.smarthost_block(server)], **host.settings)
    host.reload()
    host.wait_for(lambda: backlog.private_memory(pid) < IDLE, what="relayd is as small as before")
