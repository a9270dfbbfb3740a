"""The figures as Markdown: the tables of RESULTS.md, and the small one that README.md shows."""

import gzip
import os
import pathlib
import platform
import re
import statistics
import subprocess

METHOD = """\
A backlog of messages of 2 KB lies in the queue of each client before anything may deliver it; 1,000, or 300, 100
or 20 where more would take longer than {longest} seconds. Time runs from the client's first connection to the last message that
the smarthost accepts, by its clock. The line delays both directions by half a round trip, without limit of
bandwidth and without slow start; the acknowledgements of TCP are those of the loopback, so waiting for one costs less
than it would on a real line. Everybody sends to the same test smarthost, which only counts: STARTTLS, TLS 1.3, AUTH
PLAIN or LOGIN, PIPELINING, CHUNKING. The smaller the backlog, the more of its time goes into opening connections. dma does not look at the certificate; the other mail programs verify it.

- *quartiles*: of messages/s over the runs; of three runs the slowest and the fastest.
- *connections*: opened during the run.
- *round trips a message*: counted on the line, as causes: what the server says has one more behind it than the last
  thing from the client that had reached it; what the client says has as many as the last that had reached the client.
  The longest such chain of each connection, opening and closing included, summed up over all connections and divided
  by the messages. At 0 ms it counts changes of direction.
- *CPU*: user and system time of all processes of the client, beyond what it takes to start and stop with an empty
  queue, for each message. Smarthost and line are not in it.
- A client without a queue (msmtp) delivers what it is called with; dma runs a process for each message, all at once.
- The bare client is no mail program: it has no queue, verifies nothing and only sends, MAIL, RCPT and BDAT together.
  It shows what line and smarthost can carry.

Client, line and smarthost share the processors of one machine; without delay that is the limit of most figures.
"""

UNPACKED = pathlib.Path(os.environ.get("SERVERS", f"/var/tmp/postbag-test-servers-{os.getuid()}"))


def quartiles(values):
    """Lower quartile, median, upper quartile; of one value three times the same."""
    return tuple(statistics.quantiles(values, n=4)) if len(values) > 1 else (values[0],) * 3


def number(value):
    """Three digits that say something, in plain notation."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def row(title, results, started):
    """results: of one client at one delay, or the reason that there are none."""
    if isinstance(results, str):
        return f"| {title} | – | not available: {results.replace('|', '/')} |  |  |  |  |"
    low, middle, high = quartiles([one.rate for one in results])
    used = [one.cpu - started * 1000 / one.count for one in results if one.cpu is not None]
    cpu = number(max(0.0, statistics.median(used))) if used else "?"
    twice = max(one.accepted - one.count for one in results)
    note = f", {twice} of them twice" if twice > 0 else ""
    return (f"| {title} | {number(middle)} | {number(low)} to {number(high)} | {len(results)} × {results[0].count:,}{note} "
            f"| {statistics.median(one.connections for one in results):.0f} "
            f"| {number(statistics.median(one.trips for one in results))} | {cpu} |")


def tables(figures, delays, started):
    """figures: title → delay → results."""
    for delay in delays:
        yield from ["", f"### {delay} ms a round trip", "",
                    "| client | messages/s | quartiles | backlog | connections | round trips a message | CPU ms a message |",
                    "|---|---:|---|---|---:|---:|---:|"]
        for title, by_delay in figures.items():
            yield row(title, by_delay[delay], started.get(title) or 0)


def summary(figures, delays):
    """The median alone: what README.md shows."""
    yield "| messages/s | " + " | ".join(f"{delay} ms" for delay in delays) + " |"
    yield "|---|" + "---:|" * len(delays)
    for title, by_delay in figures.items():
        if not all(isinstance(results, str) for results in by_delay.values()):
            cells = ("–" if isinstance(r, str) else number(quartiles([one.rate for one in r])[1]) for r in by_delay.values())
            yield f"| {title} | " + " | ".join(cells) + " |"


def version(script, package):
    """Of a package that setup.sh has unpacked: Debian's changelog says so."""
    for file in (UNPACKED / script / "usr/share/doc" / package).glob("changelog.Debian*.gz"):
        found = re.match(r"\S+ \(([^)]+)\)", gzip.decompress(file.read_bytes()).decode(errors="replace"))
        return found[1] if found else "?"
    return "?"


def machine(directory):
    """What the figures depend on."""
    model = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    kind = subprocess.run(["df", "--output=fstype", directory], capture_output=True, text=True).stdout.split()[-1]
    return (f"{os.cpu_count()} processors ({model[1] if model else platform.machine()}), Linux {platform.release().partition('-')[0]}, "
            f"queues on {kind}")


def versions():
    """Of everything that was unpacked."""
    packages = [("postfix", "postfix"), ("exim", "exim4-daemon-heavy"), ("nullmailer", "nullmailer"), ("dma", "dma"),
                ("msmtp", "msmtp"), ("opensmtpd", "opensmtpd")]
    return ", ".join(f"{script} {version(script, package)}" for script, package in packages)
