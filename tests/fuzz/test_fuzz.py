"""A few seconds of each fuzzer, beginning with its corpus, and each time in the same order;
`make fuzz` runs them for long, and each time in another."""

import os
import pathlib
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent
FUZZERS = [source.stem for source in sorted(HERE.glob("fuzz_*.c"))]


@pytest.mark.parametrize("name", FUZZERS)
@pytest.mark.skipif(bool(os.environ.get("POSTBAG_SANITIZE")), reason="the fuzzers have their own sanitizers, and ran before")
def test_fuzzer_finds_nothing(name, tmp_path):
    program = HERE.parents[1] / "build/fuzz" / name
    done = subprocess.run(
        [program, "-seed=1", "-max_total_time=5", "-timeout=10", f"-artifact_prefix={tmp_path}/", tmp_path,
         HERE / "corpus" / name.removeprefix("fuzz_")],
        capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, timeout=120)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "stat::number_of_executed_units" in done.stderr or "DONE" in done.stderr
