"""postbag beside its peers, and what the figures become: RESULTS.md, speed.svg, the table of README.md."""

import re

import chart
import harness
import race
import report
import single
from contenders import CONTENDERS, Unavailable

DELAYS = (0, 50, 150)
HERE = harness.TREE / "tests" / "bench"
TABLE = re.compile(r"(?<=<!-- by make bench -->\n).*?(?=<!-- end -->)", re.S)


def measure(workplace, certs, names, smoke, longest):
    """Figures (title → delay → results, or why there are none) and the processor time of a start by title."""
    figures, started = {}, {}
    for name, client in CONTENDERS.items():
        by_delay = figures[client.title] = {}
        try:
            if name not in names:
                raise Unavailable("not part of this run")
            client.prepare()
            started[client.title] = 0 if smoke else race.started(client, workplace, certs)
        except Unavailable as reason:
            by_delay.update(dict.fromkeys(DELAYS, str(reason)))
        for delay in DELAYS:
            if delay not in by_delay:
                by_delay[delay] = one_cell(client, workplace, certs, delay, smoke, longest)
            if name in names:
                print(f"{delay:4} ms " + report.row(client.title, by_delay[delay], started.get(client.title) or 0), flush=True)
    return figures, started


def one_cell(client, workplace, certs, delay, smoke, longest):
    try:
        if smoke:
            return [race.run(client, workplace, certs, delay, 2)]
        return race.repeat(client, workplace, certs, delay, longest)
    except Unavailable as reason:
        return " ".join(str(reason).split())


def write(directory, figures, started, single_lines, longest):
    """RESULTS.md and speed.svg into the directory."""
    lines = ["# Speed", "", "Written by `make bench`. " + report.machine(harness.tempfile.gettempdir()) + ".",
             "Debian's packages: " + report.versions() + ".", "", "## In short", "",
             *report.summary(figures, DELAYS), "", "![the same as a chart](speed.svg)", "", "## What is measured", "",
             report.METHOD.format(longest=longest).rstrip(), "", "## A backlog", *report.tables(figures, DELAYS, started), "",
             "## A single message", "", *single_lines, ""]
    (directory / "RESULTS.md").write_text("\n".join(lines))
    (directory / "speed.svg").write_text(chart.draw(figures, DELAYS))
    return lines


def update_readme(figures):
    """The table between the two marks."""
    file = harness.TREE / "README.md"
    rows = "\n".join(["", *report.summary(figures, DELAYS), "", ""])
    file.write_text(TABLE.sub(lambda _: rows, file.read_text()))


def compare(workplace, certs, names, output, smoke, longest):
    """names: of CONTENDERS. output: the directory for the results; None: they are only printed. longest: seconds a run."""
    names = names or (["postbag", "postbag-1", "flood-20"] if smoke else list(CONTENDERS))
    delay = 50
    cold, warm, took = single.measure(workplace, certs, delay)
    single_lines = single.table(cold, warm, delay, took)
    print("\n".join(["", *single_lines, ""]), flush=True)
    figures, started = measure(workplace, certs, names, smoke, longest)
    print("\n".join(report.tables(figures, DELAYS, started)))
    if output is None:
        return
    write(output, figures, started, single_lines, longest)
    if output == HERE:
        update_readme(figures)
    print(f"\nwritten: {output / 'RESULTS.md'}, {output / 'speed.svg'}")
