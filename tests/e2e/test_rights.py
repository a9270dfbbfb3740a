"""What the set-gid right of an installed sendmail may do, and what it may not."""

import contextlib
import os
import re
import stat
import subprocess

import pytest

from clients import SANITIZERS
from harness import TIMEOUT
from test_sandboxes import ALICE, AS_ALICE, MESSAGE, NO_NEW_PRIVS, SENDMAIL, assert_delivered, host, left_behind, mounts, send
from test_system_calls import pytestmark as no_sanitizer

__all__ = ["host"]

CREATES = re.compile(
    r'(openat\(\d+, "[^"]+", O_\w+.*(O_TMPFILE|O_CREAT\|O_EXCL)|linkat\(|renameat2?\(|unlinkat\()')


def group(host):
    return (host.spool / "queue").stat().st_gid


def trace(host, *options, strace=(), message=MESSAGE):
    """The outcome of alice's sendmail, and (effective group, call) of each of its calls after the loader's."""
    file = host.directory / "trace"
    done = host.execute("root", "strace", "-u", "alice", "-qq", "-o", "/run/private/trace", *strace, SENDMAIL, "-i",
                        *options, "--", "list@localhost", input=message)
    effective, calls = None, []
    for line in file.read_text().splitlines():
        if change := re.match(r"setresgid\((-?\d+), (-?\d+), (-?\d+)\) += 0", line):
            effective = int(change.group(2))
        elif effective is not None:
            calls.append((effective, line))
    return done, calls


@contextlib.contextmanager
def list_alias(host):
    """An alias that includes a file."""
    aliases, include = host.path("/etc/aliases"), host.path("/etc/list")
    before = aliases.read_text()
    aliases.write_text(before + "list: :include:/etc/list\n")
    include.write_text("bob@example.test\n")
    try:
        yield include
    finally:
        aliases.write_text(before)
        include.unlink()


@no_sanitizer
@pytest.mark.parametrize("fault", [None, "linkat:error=EXDEV", "fsync:error=EIO"])
def test_the_right_is_in_force_around_the_calls_that_need_it_only(host, fault):
    with list_alias(host):
        done, calls = trace(host, strace=["-e", f"inject={fault}"] if fault else [])
    raised = [call for effective, call in calls if effective == group(host)]
    assert raised and all(CREATES.match(call) for call in raised), raised
    assert {effective for effective, _ in calls} == {ALICE, group(host)}
    lowered = "\n".join(call for effective, call in calls if effective == ALICE)
    for name in ("/etc/postbag/postbag.conf", "/etc/aliases", "/etc/list", "/etc/passwd"):
        assert f'"{name}", O_RDONLY' in lowered, name
    assert "read(0, " in lowered and "fsync(" in lowered
    if fault and fault.startswith("fsync"):
        assert done.returncode == 75 and "unlinkat(" in "\n".join(raised)
        host.wait_empty()
        host.forget()
    else:
        assert done.returncode == 0, done.stderr
        assert_delivered(host)
        # after the commit it is gone for good
        assert f"setresgid({ALICE}, {ALICE}, {ALICE})" in (host.directory / "trace").read_text()


@no_sanitizer
def test_an_own_configuration_costs_the_right(host):
    host.write("own.conf", host.path("/etc/postbag/postbag.conf").read_bytes(), "alice")
    with list_alias(host):
        done, calls = trace(host, "-C", "/var/lib/alice/own.conf")
    assert done.returncode == 0, done.stderr
    text = (host.directory / "trace").read_text()
    given_up = text.index(f"setresgid({ALICE}, {ALICE}, {ALICE})")
    assert given_up < text.index('openat(AT_FDCWD, "/var/lib/alice/own.conf"')
    assert not re.search(rf"setresgid\(-1, {group(host)}", text)
    # which is why it went through relayd
    assert f"uid={ALICE} from=<alice@example.test>" in host.log()
    assert_delivered(host)


def test_files_of_the_group_stay_closed(host):
    with list_alias(host) as include:
        os.chown(include, 0, group(host))
        include.chmod(0o640)
        done = host.execute("alice", SENDMAIL, "-i", "list@localhost", input=MESSAGE)
        assert done.returncode != 0 and b"Permission denied" in done.stderr, done
        own = host.path("/etc/own.conf")
        own.write_text("spool_directory /nowhere\n")
        os.chown(own, 0, group(host))
        own.chmod(0o640)
        done = host.execute("alice", SENDMAIL, "-C", "/etc/own.conf", "bob@example.test", input=MESSAGE)
        assert done.returncode == 75 and b"Permission denied" in done.stderr, done
        own.unlink()
    assert left_behind(host, ALICE) == []


def test_the_loader_takes_nothing_from_the_environment(host, tmp_path):
    source = tmp_path / "evil.c"
    source.write_text("""
        #include <fcntl.h>
        #include <unistd.h>
        __attribute__((constructor)) static void run(void) { close(open("/tmp/constructed", O_CREAT | O_WRONLY, 0666)); }
        unsigned la_version(unsigned v) { run(); return v; }
    """)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", host.path("/tmp/evil.so"), source], check=True)
    made = host.path("/tmp/constructed")
    for variable in ("LD_PRELOAD=/tmp/evil.so", "LD_AUDIT=/tmp/evil.so"):
        host.call("alice", "env", variable, "/bin/true")
        assert made.exists(), "the test is wrong"
        made.unlink()
        host.call("alice", "env", variable, SENDMAIL, "-i", "bob@example.test", input=MESSAGE)
        assert not made.exists(), variable
    tunables = "GLIBC_TUNABLES=glibc.malloc.mxfast=glibc.malloc.mxfast=" + "A" * 4000
    host.call("alice", "env", tunables, "LD_LIBRARY_PATH=/tmp", SENDMAIL, "-i", "bob@example.test", input=MESSAGE)
    host.path("/tmp/evil.so").unlink()
    host.arrived(3)


def waiting(host, *argv):
    """A program of alice's in there that waits for its standard input; and its pid as we see it."""
    process = subprocess.Popen(host.inside("alice", *argv), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)

    def find():
        child = process.pid
        with contextlib.suppress(OSError, IndexError):
            while open(f"/proc/{child}/comm").read().strip() != os.path.basename(argv[0]):
                child = int(open(f"/proc/{child}/task/{child}/children").read().split()[0])
            return child
        return None

    return process, host.wait_for(find, what=f"{argv[0]} runs")


def test_the_same_user_cannot_look_into_it(host):
    def look(pid):
        """Opening this file asks for the right to trace the process."""
        return subprocess.run(["dd", f"if=/proc/{pid}/mem", "bs=1", "count=0"], user=ALICE, group=ALICE, extra_groups=[],
                              capture_output=True).returncode

    for program, code in ((["/bin/cat"], 0), ([SENDMAIL, "-i", "bob@example.test"], 1)):
        process, pid = waiting(host, *program)
        if program[0] == SENDMAIL:
            # the right waits to be used, and nobody must use it instead
            gids = f"Gid:\t{ALICE}\t{ALICE}\t{group(host)}\t{ALICE}"
            host.wait_for(lambda: gids in open(f"/proc/{pid}/status").read(), what="the right is lowered")
        assert look(pid) == code, program
        process.stdin.write(MESSAGE)
        process.stdin.close()
        assert process.wait(TIMEOUT) == 0
    assert_delivered(host)


def test_messages_of_others_are_out_of_reach(host):
    attempts = {
        "list": 'ls "$q"', "remove": 'rm -f "$q/$n"', "rename": 'mv "$q/$n" "$q/x"',
        "replace": 'echo evil >"$q/evil" && mv -f "$q/evil" "$q/$n"', "write": 'echo evil >>"$q/$n"',
        "change": 'chmod 666 "$q/$n"', "remove the queue": 'mv "$q" "$q-x"',
    }
    if open("/proc/sys/fs/protected_hardlinks").read().strip() != "0":
        attempts["link"] = 'ln "$q/$n" "$q/mine"'
    with host.without_relayd():
        host.call("root", SENDMAIL, "-i", "bob@example.test", input=MESSAGE)
        [name] = host.queue_files()
        before = (host.spool / "queue" / name).read_bytes()
        # alice, and whoever found a hole in the set-gid program
        for who, extra in ((AS_ALICE, {"read": 'cat "$q/$n"'}),
                           (["setpriv", "--reuid=alice", "--regid=postbag", "--clear-groups"], {})):
            for what, script in {**attempts, **extra}.items():
                done = host.execute("root", *who, "env", "q=/var/spool/postbag/queue", f"n={name}", "sh", "-c", script)
                assert done.returncode != 0 and re.search(b"Permission denied|not permitted", done.stderr), (what, done)
                assert (host.spool / "queue" / name).read_bytes() == before
                with contextlib.suppress(FileNotFoundError):
                    (host.spool / "queue" / "evil").unlink()
    assert_delivered(host)


@pytest.mark.parametrize("umask", ["0", "077", "0777"])
def test_owner_and_mode_are_the_same_whatever_the_umask(host, umask):
    for sandbox in (AS_ALICE, [*AS_ALICE, *NO_NEW_PRIVS]):
        done = send(host, [*sandbox, "sh", "-c", f'umask {umask} && exec "$@"', "sh"])
        assert done.returncode == 0, done.stderr
        assert_delivered(host)
        host.forget()
    with host.without_relayd():
        done = send(host, [*AS_ALICE, "sh", "-c", f'umask {umask} && exec "$@"', "sh"])
        assert done.returncode == 0, done.stderr
        [name] = host.queue_files()
        status = (host.spool / "queue" / name).stat()
        assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o440, ALICE, group(host))
    assert_delivered(host)


@pytest.mark.parametrize("how", [[], NO_NEW_PRIVS], ids=["set-gid", "socket"])
def test_limits_of_the_caller_end_in_a_message_or_in_an_error(host, how):
    sent = 0
    message = MESSAGE + b"a line of the body\n" * 8000
    for limit in ("--fsize=0", "--fsize=1", "--fsize=70000", *(f"--nofile={n}" for n in range(4, 9)), "--core=0",
                  "--stack=65536", *([] if SANITIZERS else ["--nproc=1"])):  # whose look for leaks is a process
        done = send(host, [*AS_ALICE, *how, "prlimit", limit], message=message)
        assert done.returncode in (0, 75), (limit, done)
        assert done.returncode == 0 or done.stderr.startswith(b"sendmail: "), done
        if limit.startswith("--fsize"):
            assert done.returncode == 75 and b"File too large" in done.stderr, (limit, done)
        sent += done.returncode == 0
        if done.returncode != 0:
            assert left_behind(host, ALICE) == [], limit
        host.wait_empty()
    assert sent >= 4
    host.arrived(sent)


FULL = "mount -t tmpfs -o {},mode=1730,uid=postbag,gid=postbag tmpfs /var/spool/postbag/queue"
LEFT = mounts("true")[:-2] + ['"$@"; code=$?; ls -A /var/spool/postbag/queue; exit $code', "sh"]


@pytest.mark.parametrize("options, reason", [("size=64k", b"No space left"), ("nr_inodes=1", b"no space for a message")])
def test_a_full_file_system(host, options, reason):
    place = mounts(FULL.format(options))
    done = send(host, [*place, *LEFT, *AS_ALICE], message=MESSAGE + b"a line of the body\n" * 8000)
    assert done.returncode == 75 and done.stdout == b"" and reason in done.stderr, done


@no_sanitizer
@pytest.mark.parametrize("faults", [["linkat:error=ENOSPC"], ["linkat:error=EEXIST", "renameat2:error=EEXIST"]])
def test_a_name_that_cannot_be_given(host, faults):
    done, calls = trace(host, "bob@example.test", strace=[word for fault in faults for word in ("-e", f"inject={fault}")])
    assert done.returncode == 75 and done.stderr.startswith(b"sendmail: cannot name a file in "), done
    assert left_behind(host, ALICE) == []
