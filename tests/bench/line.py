"""What the clients of the comparison talk to: the test smarthost, behind a line with a round trip of its own."""

import re
import signal
import subprocess
import time

import harness


class Line:
    """A proxy that delays (delay.c says how, and what it counts) in front of a new smarthost that only counts.

    MESSAGE is the file that the smarthost's clock is read for: mark, when that many messages had been accepted.
    """

    def __init__(self, workplace, certs, milliseconds, mark):
        self.directory = workplace.new_directory("line")
        self.certs, self.mark = certs, mark
        self.smarthost = harness.Smarthost(workplace, certs, store=None, transcript=None, mechanisms="PLAIN LOGIN",
                                           mark=mark, stats=None)
        self.log = self.directory / "log"
        with open(self.log, "ab") as log:
            self.proxy = subprocess.Popen([workplace.program("delay"), str(self.smarthost.port), str(milliseconds)],
                                          stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        found = harness.poll(lambda: re.search(r"^port (\d+)$", harness.text(self.log), re.M))
        self.port = self.tls_port = int(found[1])

    def __str__(self):
        return f"line to {self.smarthost}"

    def transcript(self):
        return harness.text(self.log)

    def totals(self):
        """Connections and round trips so far, and when the first connection began."""
        before = self.log.stat().st_size
        self.proxy.send_signal(signal.SIGUSR1)
        harness.poll(lambda: self.log.stat().st_size > before, interval=0.002)
        connections, trips, first = re.findall(
            r"^connections (\d+), round trips (\d+), first at (\d+\.\d+)$", harness.text(self.log), re.M)[-1]
        return int(connections), int(trips), float(first)

    def marked(self):
        """When the last message was accepted; None before."""
        found = re.search(r"^message \d+ accepted at (\d+\.\d+)$", harness.text(self.smarthost.directory / "log"), re.M)
        return float(found[1]) if found else None

    def accepted(self):
        """How many messages the smarthost has accepted."""
        log = self.smarthost.directory / "log"
        before = log.stat().st_size
        self.smarthost.process.send_signal(signal.SIGUSR1)
        harness.poll(lambda: log.stat().st_size > before, interval=0.002)
        return int(re.findall(r"commands, (\d+) messages", harness.text(log))[-1])

    def wait(self, patience, is_alive):
        """Until the last message was accepted; False when the client ends before, or it takes too long."""
        end = time.monotonic() + patience
        while not self.marked():
            if time.monotonic() > end or not is_alive():
                return self.marked() is not None
            time.sleep(0.01)
        return True

    def close(self):
        harness.stop_process(self.proxy)
        self.smarthost.stop()
