"""A connection that is cut after each octet, in both directions, of a session with three messages: the first goes alone,
the others are under way together. Each message arrives; a second copy is sent only of one that was in doubt."""

import collections
import itertools
import os
import re
import shutil
import socket
import threading

import pytest

import harness

QUICK = {"retry_interval": "10ms 20ms", "reconnect_interval": "1ms 5ms", "in_doubt_interval": "1ms"}
CLEAR = {"user": None, "password": None, "tls_trust_file": None}
MESSAGES = 3


class Cutter:
    """A proxy whose first connection after arm() ends behind a number of octets of one direction."""

    def __init__(self, server):
        self.server = server
        self.limit = None
        self.totals = {}
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.tls_port = self.listener.getsockname()[1]
        self.certs = server.certs
        threading.Thread(target=self.accept, daemon=True).start()

    def __str__(self):
        return f"a proxy of {self.server}"

    def transcript(self):
        return self.server.transcript()

    def arm(self, direction, limit):
        self.limit = {direction: limit}

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            limits, self.limit = self.limit or {}, None
            server = socket.create_connection(("127.0.0.1", self.server.port))
            for side in (client, server):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for direction, source, target in [("to server", client, server), ("to client", server, client)]:
                pump = (direction, source, target, limits.get(direction))
                threading.Thread(target=self.pump, args=pump, daemon=True).start()

    def pump(self, direction, source, target, limit):
        passed = 0
        try:
            while limit is None or passed < limit:
                octets = source.recv(65536 if limit is None else limit - passed)
                if not octets:
                    break
                target.sendall(octets)
                passed += len(octets)
        except OSError:
            pass
        self.totals[direction] = passed
        for side in (source, target):
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()


class Rounds:
    """A host that sends the same messages again and again, each time under new names."""

    def __init__(self, make_smarthost, make_host):
        self.server = make_smarthost(user=None, password=None, cert=None, key=None, no_starttls=True)
        self.proxy = Cutter(self.server)
        self.host = make_host(self.proxy, block={**CLEAR, "tls": "none", "connections": 1}, **QUICK)
        self.queue = self.host.spool / "queue"
        for number in range(MESSAGES):
            self.host.submit(b"Subject: %d\n\nhello\n" % number, f"r{number}@x.example", sender=f"s{number}@x.example")
        self.kept = self.host.directory / "kept"
        shutil.copytree(self.queue, self.kept)
        for file in self.queue.iterdir():
            file.unlink()
        # as of now, in the order in which they are made
        self.names = (f"{min(os.listdir(self.kept))[:4]}{number:08d}{'x' * 14}" for number in itertools.count(1))

    def fill(self):
        for file in sorted(self.kept.iterdir()):
            copy = self.kept.parent / "copy"
            shutil.copy2(file, copy)
            harness.give_away(copy)
            copy.rename(self.queue / next(self.names))

    def run(self):
        """One round; the numbers of the messages that arrived, and of those that were in doubt."""
        self.fill()
        names = [name[:12] for name in self.host.queue_files()]
        logged = len(self.host.log())
        self.host.start_relayd(wait=False)
        self.host.wait_empty()
        self.host.kill_relayd()
        doubts = re.findall(r"(\w+): status=in-doubt", self.host.log()[logged:])
        arrived = []
        for mail in self.server.messages():
            number = int(re.fullmatch(r"s(\d)@x\.example", mail.sender).group(1))
            assert mail.recipients == [f"r{number}@x.example"] and b"Subject: %d\r\n" % number in mail.content
            arrived.append(number)
        for file in self.server.store.iterdir():
            file.unlink()
        return collections.Counter(arrived), collections.Counter(names.index(name) for name in doubts)


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("direction", ["to server", "to client"])
def test_cut_after_each_octet(direction, part, make_smarthost, make_host):
    rounds = Rounds(make_smarthost, make_host)
    assert rounds.run() == ({number: 1 for number in range(MESSAGES)}, {})
    octets = rounds.proxy.totals[direction]
    assert octets > 300
    step = 14 if os.environ.get("POSTBAG_SANITIZE") else 2
    for limit in range(part, octets, step):
        rounds.proxy.arm(direction, limit)
        arrived, doubts = rounds.run()
        for number in range(MESSAGES):
            assert 1 <= arrived[number] <= 1 + doubts[number], (
                f"cut behind octet {limit} of {octets} {direction}: message {number} arrived {arrived[number]} times, "
                f"in doubt {doubts[number]} times"
            )
    rounds.proxy.close()
