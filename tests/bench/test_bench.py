"""The benchmark works: not how fast anything is, but that what it counts is what happened."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
import compare  # noqa: E402
import contenders  # noqa: E402
import harness  # noqa: E402


def rows(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("| ")]


def test_every_contender_has_a_row_at_every_delay_and_bars_in_the_chart(tmp_path):
    done = subprocess.run([sys.executable, "-B", HERE / "bench.py", "--smoke", "--output", tmp_path],
                          capture_output=True, text=True, env={**os.environ, "POSTBAG_BUILD": str(harness.BUILD)})
    assert done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / "RESULTS.md").read_text()
    for delay in compare.DELAYS:
        section = re.search(rf"^### {delay} ms.*?(?=^##)", text, re.M | re.S)[0]
        measured = {row[0]: row[1:] for row in rows(section)[1:]}
        assert set(measured) == {client.title for client in contenders.CONTENDERS.values()}
        rate, _, backlog, connections, trips, _ = measured["postbag, 1 connection"]
        assert float(rate.replace(",", "")) > 0 and backlog == "1 × 2" and connections == "1" and float(trips) > 1
        assert measured["Postfix"][0] == "–" and "not part of this run" in measured["Postfix"][1]
    chart = ElementTree.parse(tmp_path / "speed.svg").getroot()
    bars = [rect for rect in chart.iter("{http://www.w3.org/2000/svg}rect") if rect.get("height") != "14"]
    assert len(bars) == 3 * len(compare.DELAYS)
    assert "postbag, 1 connection" in [label.text for label in chart.iter("{http://www.w3.org/2000/svg}text")]


def send_apart(connection, pieces):
    """Each goes its own way. Nothing depends on that: what is counted must be the same."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for piece in pieces:
        connection.sendall(piece)
        time.sleep(0.01)


class Delayed:
    """A server that greets, and answers every line with one, behind a line of 1 ms."""

    def __init__(self, program, log):
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.serve, daemon=True).start()
        self.log = log
        with open(log, "ab") as output:
            self.proxy = subprocess.Popen([program, str(self.listener.getsockname()[1]), "1"], stdout=output)
        self.port = int(harness.poll(lambda: re.match(r"port (\d+)\n", log.read_text()))[1])

    def serve(self):
        connection, _ = self.listener.accept()
        with connection, connection.makefile("rb") as file:
            connection.sendall(b"hello\n")
            for line in file:
                send_apart(connection, [line[:1], line[1:]])

    def converse(self, pieces):
        """Sends the pieces, one after the other; waits for the answer whenever one ends a line."""
        with socket.create_connection(("127.0.0.1", self.port)) as client, client.makefile("rb") as file:
            assert file.readline() == b"hello\n"
            for piece in pieces:
                send_apart(client, [piece])
                if piece.endswith(b"\n"):
                    assert file.readline().endswith(piece)

    def round_trips(self):
        """Connections and round trips, as it counted them."""
        self.proxy.send_signal(signal.SIGTERM)
        self.proxy.wait(harness.TIMEOUT)
        return re.search(r"connections (\d+), round trips (\d+)", self.log.read_text()).groups()


@pytest.fixture
def delayed(tmp_path):
    server = Delayed(harness.BUILD / "tests/delay", tmp_path / "log")
    yield server
    server.proxy.kill()
    server.proxy.wait()


def test_a_line_counts_what_a_client_waits_for(delayed):
    delayed.converse([b"again\n"] * 5)
    assert delayed.round_trips() == ("1", "7")  # to open, the greeting, and five answers


def test_a_line_does_not_count_what_a_client_sends_without_waiting(delayed):
    delayed.converse([b"a", b"b", b"c", b"d\n"])
    assert delayed.round_trips() == ("1", "3")


BURN = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
if os.fork() == 0:
    while time.process_time() < 0.5:
        pass
    os._exit(0)
time.sleep(60)
"""


def test_usage_counts_a_process_whose_parent_ignores_its_end(tmp_path):
    file = tmp_path / "usage"
    burning = subprocess.Popen([harness.BUILD / "tests/usage", file, sys.executable, "-c", BURN])

    def grandchildren():
        child = contenders.child_of(burning.pid)
        return (child, contenders.child_of(child)) if child else (None, None)

    harness.poll(lambda: grandchildren()[1], interval=0.001)
    harness.poll(lambda: not grandchildren()[1])
    burning.send_signal(signal.SIGTERM)
    burning.wait(harness.TIMEOUT)
    if not file.read_text():
        pytest.skip("the kernel lets nobody count processor time here")
    assert 0.5 <= int(file.read_text()) / 1e6 < harness.TIMEOUT
