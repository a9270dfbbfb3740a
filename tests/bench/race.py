"""Clients side by side: how fast a backlog goes out, what that takes, how often it waits for the line."""

import contextlib
import dataclasses
import os
import time

import harness
from contenders import Unavailable
from line import Line

BACKLOGS = (20, 100, 300, 1000)
QUICK = 3  # seconds below which a run is repeated more often


@dataclasses.dataclass
class Result:
    count: int
    seconds: float      # from the first connection to the last acceptance
    connections: int
    trips: float        # round trips a message, see delay.c
    cpu: float          # milliseconds a message; None where nobody can tell
    accepted: int       # more than count: some were sent twice

    @property
    def rate(self):
        return self.count / self.seconds


def patience(count, milliseconds):
    """Seconds. The slowest known client needs 14 round trips and a tenth of a second for a message."""
    return 60 + count * (0.2 + 0.03 * milliseconds)


@contextlib.contextmanager
def filled(client, workplace, certs, milliseconds, count):
    """The line on which the client, with its backlog, waits for its start. Raises Unavailable. Ends both."""
    line = Line(workplace, certs, milliseconds, max(count, 1))
    try:
        client.fill(workplace, line, count)
        os.sync()
        yield line
    finally:
        client.end()
        line.close()


def run(client, workplace, certs, milliseconds, count):
    """One backlog. Raises Unavailable when the client does not deliver it."""
    with filled(client, workplace, certs, milliseconds, count) as line:
        client.start()
        if not line.wait(patience(count, milliseconds), client.is_alive):
            raise Unavailable(f"{line.accepted()} of {count} messages arrived: {client.complaint()}")
        harness.poll(lambda: client.waiting() == 0, 30)
        connections, trips, first = line.totals()
        cpu = client.stop()
        return Result(count, line.marked() - first, connections, trips / count,
                      None if cpu is None else cpu * 1000 / count, line.accepted())


def started(client, workplace, certs):
    """Seconds of processor time that the client takes with nothing to do."""
    with filled(client, workplace, certs, 0, 0):
        client.start()
        time.sleep(1)
        return client.stop()


def repeat(client, workplace, certs, milliseconds, longest):
    """Runs with the largest backlog that does not take longer than that many seconds: three, or five quick ones."""
    before = Result(0, 0.0, 0, 0.0, None, 0)
    for count, more in zip(BACKLOGS, [*BACKLOGS[1:], None]):
        first = run(client, workplace, certs, milliseconds, count)
        # connections are opened once, so only what the last messages took counts for more of them
        expected = first.seconds + (first.seconds - before.seconds) / (count - before.count) * ((more or count) - count)
        if more is None or (expected > longest and first.seconds > longest / 3):
            break
        before = first
    runs = 5 if first.seconds < QUICK else 3
    return [first] + [run(client, workplace, certs, milliseconds, count) for _ in range(runs - 1)]
