"""What holds for all tests: how a run is summed up."""

import pytest


def outcome(stats):
    def count(*categories):
        return sum(len(stats.get(category, [])) for category in categories)

    line = f"{count('passed', 'xpassed')} passed, {count('failed', 'error')} failed"
    skipped = count("skipped", "xfailed")
    return line + (f", {skipped} skipped" if skipped else "")


def pytest_configure(config):
    if "s" not in config.option.reportchars:
        config.option.reportchars += "s"  # a skipped test says why


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter):
    """The last line of all is "N passed, N failed", with ", N skipped" if there are any: in place of pytest's own."""
    terminalreporter.summary_stats = lambda: terminalreporter.write_line(outcome(terminalreporter.stats))
