"""The cmocka programs: each of their tests is a test here, by its own name."""

import os
import pathlib
import re
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("POSTBAG_BUILD", HERE.parents[1] / "build"))
TESTS = [(source.stem, name)
         for source in sorted(HERE.glob("test_*.c"))
         for name in re.findall(r"^static void\n(\w+)\(void \*\*state\)\n\{", source.read_text(), re.M)]
results = {}


def outcome_of(program):
    """Runs a program once; {test: "ok" or what it printed}."""
    if program not in results:
        done = subprocess.run(
            [BUILD / "tests/unit" / program], capture_output=True, text=True, errors="replace", timeout=300,
            env={**os.environ, "CMOCKA_MESSAGE_OUTPUT": "TAP"}, stdin=subprocess.DEVNULL)
        lines = re.findall(r"^(not ok|ok) \d+ (# SKIP|-) (\w+)", done.stdout, re.M)
        results[program] = {name: "skipped" if mark == "# SKIP" else verdict for verdict, mark, name in lines}
        results[program][None] = done.stdout + done.stderr
    return results[program]


def is_test(program, name):
    return re.search(rf"\b{name}\b", (HERE / f"{program}.c").read_text().split("\nmain(void)")[-1])


@pytest.mark.parametrize("program, name", [t for t in TESTS if is_test(*t)], ids=lambda v: v)
def test_unit(program, name):
    outcome = outcome_of(program)
    if outcome.get(name) == "skipped":
        pytest.skip(f"{name} needs root")
    if outcome.get(name) != "ok":
        pytest.fail(outcome[None][-6000:], pytrace=False)
