"""make bench: what one submission costs beside a floor, what an idle relayd needs, how fast a queue drains beside its peers,
and what a long queue costs.

Each figure is a median with its quartiles over runs in one go on this machine; they are for reading, not for passing.

bench.py [--smoke] [--only NAME,...] [--longest SECONDS] [--output DIRECTORY]
  --smoke   as little as shows that it works: few messages, one run, nothing is downloaded
  --only    these contenders (see contenders.py)
  --longest what a run may take; a backlog that takes longer is made smaller (30)
  --output  where RESULTS.md and speed.svg go; by default beside this file, and with --smoke or --only nowhere
"""

import argparse
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/e2e"))
import backlog  # noqa: E402
import compare  # noqa: E402
import harness  # noqa: E402
from contenders import MESSAGE  # noqa: E402


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
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--only", type=lambda names: names.split(","))
    parser.add_argument("--longest", type=int, default=30)
    parser.add_argument("--output", type=pathlib.Path)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and what was started ends with us
    output = options.output or (None if options.smoke or options.only else compare.HERE)
    workplace = harness.Workplace()
    certs = workplace.make_certs()
    try:
        if not options.only:
            host = harness.Host(workplace)
            host.configure([])
            submission(host, 20 if options.smoke else 500)
            startup(host, 20 if options.smoke else 1000)
            host.close()
            idle(workplace, certs, 2 if options.smoke else 60)
        compare.compare(workplace, certs, options.only, output, options.smoke, options.longest)
        if not options.only and not options.smoke and (count := int(os.environ.get("BACKLOG", 1_000_000))) > 0:
            backlog.run(workplace, certs, count)
    finally:
        workplace.remove()


main()
