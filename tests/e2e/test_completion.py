"""What bash offers behind "spoolctl"."""

import shutil
import subprocess

import pytest

import harness

SCRIPT = harness.TREE / "dist/completions/spoolctl.bash"


def offered(host, *words):
    """The completions of the last word, as bash asks for them."""
    done = subprocess.run(
        ["bash", "-c", 'set -u; source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _spoolctl; '
         'printf "%s\\n" "${COMPREPLY[@]}"', "bash", SCRIPT, "spoolctl", *map(str, words)],
        capture_output=True, text=True, cwd="/", timeout=harness.TIMEOUT, check=True,
        env={"PATH": f"{host.workplace.bin}:/usr/bin:/bin"}, **harness.unprivileged())
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_commands_and_queue_ids_are_completed(make_host):
    host = make_host(None)
    for _ in range(2):
        host.submit(b"Subject: hello\n\nhello\n", "bob@example.test")
    ids = sorted(name[:12] for name in host.queue_files())
    assert offered(host, "") == ["-C", "list", "show", "retry", "remove"]
    assert offered(host, "-C", host.conf, "re") == ["retry", "remove"]
    assert offered(host, "-C", str(host.conf)[:-1]) == [str(host.conf)]
    assert sorted(offered(host, "-C", host.conf, "show", "")) == ids
    assert offered(host, "-C", host.conf, "remove", ids[1]) == [ids[1]]
    assert offered(host, "-C", host.conf, "retry", "al") == ["all"]
    assert offered(host, "-C", host.conf, "list", "") == []
