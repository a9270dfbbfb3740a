"""Faults of system calls, injected with strace, which is attached when relayd is up."""

import contextlib
import subprocess

import pytest

import harness


@contextlib.contextmanager
def attached_strace(host, *faults, pid=None, options=()):
    said = host.directory / "strace"
    options = [*options, *(option for fault in faults for option in ("-e", f"inject={fault}"))]
    calls = ",".join(fault.partition(":")[0] for fault in faults)
    command = ["strace", "-p", str(pid or host.relayd.pid), "-o", host.directory / "trace", "-e", f"trace={calls}", *options]
    with open(said, "wb") as log:
        strace = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        host.wait_for(lambda: "attached" in harness.text(said) or strace.poll() is not None, what="strace has begun")
        if strace.poll() is not None:
            pytest.skip(f"strace cannot attach: {harness.text(said).strip()}")
        yield
    finally:
        harness.stop_process(strace)
