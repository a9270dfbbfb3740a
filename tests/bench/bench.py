"""make bench: what one submission costs beside a floor, how fast a queue drains, what an idle relayd needs,
and what a long queue costs.

Each figure is a median with its quartiles over runs in one go on this machine; they are for reading, not for passing.
"""

import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/e2e"))
import backlog  # noqa: E402
import harness  # noqa: E402

MESSAGE = b"Subject: bench\r\nTo: a@example.test\r\n\r\n" + b"x" * 70 + b"\n" + (b"y" * 70 + b"\n") * 27


def spread(values, unit, scale=1.0, digits=0):
    low, mid, high = (v * scale for v in statistics.quantiles(values, n=4))
    return f"{mid:.{digits}f} {unit} (quartiles {low:.{digits}f} to {high:.{digits}f}, {len(values)} runs)"


def submission(host, runs):
    """sendmail and the floor in turn, so that both see the same machine."""
    directory = host.directory / "floor"
    directory.mkdir()
    harness.give_away(directory)
    message = host.directory / "message"
    message.write_bytes(MESSAGE)
    program = host.workplace.program
    done = subprocess.run(
        [program("pairs"), str(runs), message, program("sendmail"), "-C", host.conf, "a@example.test",
         "--", program("floor"), directory],
        capture_output=True, text=True, check=True, **harness.unprivileged())
    pairs = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
    print(f"one submission, sendmail:   {spread([a for a, _ in pairs], 'us')}")
    print(f"one submission, the floor:  {spread([b for _, b in pairs], 'us')}")
    print(f"                    ratio:  {spread([a / b for a, b in pairs], 'times', 1, 2)}")


def startup(host, runs):
    """What sendmail costs beyond a program that does nothing, where a sync costs nothing: a spool in memory."""
    host.configure([], spool_directory=(spool := pathlib.Path(tempfile.mkdtemp(dir="/dev/shm"))))
    harness.give_away(spool)
    message = host.directory / "message"
    program = host.workplace.program
    try:
        for name, command in [
            ("its start alone (-bV)", ["-bV"]),
            ("a whole submission", ["-C", host.conf, "a@example.test"]),
        ]:
            done = subprocess.run(
                [program("pairs"), str(runs), message, program("sendmail"), *command, "--", program("empty")],
                capture_output=True, text=True, check=True, **harness.unprivileged())
            pairs = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
            print(f"beyond an empty program, {name}:  {spread([a - b for a, b in pairs], 'us')}")
    finally:
        shutil.rmtree(spool)


def drain(workplace, certs, count, runs, **block):
    rates = []
    for _ in range(runs):
        smarthost = harness.Smarthost(workplace, certs, store=None, transcript=None)
        host = harness.Host(workplace)
        host.configure([host.smarthost_block(smarthost, "smtp", None, **block)])
        for _ in range(count):
            host.submit(MESSAGE, "a@example.test")
        start = time.perf_counter()
        host.start_relayd(wait=False)
        while host.queue_files():
            time.sleep(0.005)
        rates.append(count / (time.perf_counter() - start))
        host.close()
        smarthost.stop()
    setting = " ".join(f"{k} {v}" for k, v in block.items()) or "defaults"
    print(f"queue of {count}, {setting}:  {spread(rates, 'messages/s')}")


def private_memory(pid):
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(n) for n in re.findall(r"^Private_(?:Clean|Dirty): +(\d+)", rollup, re.M))


def wakeups(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return sum(int(n) for n in re.findall(r"ctxt_switches:\s+(\d+)", status))


def idle(workplace, certs, seconds):
    smarthost = harness.Smarthost(workplace, certs)
    host = harness.Host(workplace)
    host.configure([host.smarthost_block(smarthost, "smtp", None, idle_timeout="100ms")])
    host.start_relayd()
    host.submit(MESSAGE, "a@example.test")
    smarthost.wait_messages(1)
    time.sleep(1)
    pid = host.relayd.pid
    before = wakeups(pid)
    time.sleep(seconds)
    children = subprocess.run(["pgrep", "-cP", str(pid)], capture_output=True, text=True).stdout.strip()
    print(f"relayd, idle for {seconds} s:  {private_memory(pid)} kB private, "
          f"{wakeups(pid) - before} wake-ups, {children} children")
    host.close()
    smarthost.stop()


def main():
    quick = "--quick" in sys.argv
    workplace = harness.Workplace()
    certs = workplace.make_certs()
    try:
        host = harness.Host(workplace)
        host.configure([])
        submission(host, 20 if quick else 500)
        startup(host, 20 if quick else 1000)
        host.close()
        count, runs = (100, 2) if quick else (1000, 7)
        drain(workplace, certs, count, runs)
        drain(workplace, certs, count, runs, connections=1)
        idle(workplace, certs, 2 if quick else 60)
        backlog.run(workplace, certs, int(os.environ.get("BACKLOG", 20_000 if quick else 1_000_000)), 1 if quick else 5)
    finally:
        workplace.remove()


main()
