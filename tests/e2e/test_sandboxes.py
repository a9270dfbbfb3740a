"""Where sendmail may not create in queue/ by itself: sandboxes, containers, services with a dynamic user.

In each of them an ordinary user's mail is delivered as it is, through relayd's socket; without relayd it is refused, and
nothing is left.
"""

import os
import re
import subprocess

import pytest

from harness import TIMEOUT

SENDMAIL = "/usr/sbin/sendmail"
ALICE, STRANGER = 61011, 54321
AS_ALICE = ["setpriv", "--reuid=alice", "--regid=alice", "--init-groups"]
AS_STRANGER = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"]
AS_MEMBER = ["setpriv", "--reuid=alice", "--regid=alice", "--groups=postbag"]
NO_NEW_PRIVS = ["setpriv", "--no-new-privs"]
MESSAGE = (
    b"Date: Mon, 23 Nov 2026 19:00:00 +0000\nFrom: alice@example.test\nTo: bob@example.test\n"
    b"Message-ID: <sandbox@example.test>\nSubject: hello\n\n.\n..\nhello  \t\n\nFrom here\n"
)

READ_ONLY = "mount --rbind /var /var && mount -o remount,bind,ro /var && mount -o remount,bind,ro /var/spool"
ALL_READ_ONLY = "for m in / /usr /etc /var/lib /var/spool /tmp /run; do mount -o remount,bind,ro $m || exit; done"

# What systemd does for RestrictAddressFamilies=AF_UNIX, or for =none; FAMILY is the one that stays, or 0.
SECCOMP = """
import ctypes, os, struct, sys
family, nr = int(sys.argv[1]), {"x86_64": 41, "aarch64": 198}[os.uname().machine]
LOAD, JUMP_EQUAL, RETURN, ALLOW, EAFNOSUPPORT = 0x20, 0x15, 0x06, 0x7fff0000, 0x50000 | 97
code = [(LOAD, 0, 0, 0), (JUMP_EQUAL, 0, 3, nr), (LOAD, 0, 0, 16), (JUMP_EQUAL, 1, 0, family),
        (RETURN, 0, 0, EAFNOSUPPORT), (RETURN, 0, 0, ALLOW)]
octets = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in code))
class Program(ctypes.Structure):
    _fields_ = [("count", ctypes.c_ushort), ("code", ctypes.c_void_p)]
program = Program(len(code), ctypes.addressof(octets))
assert ctypes.CDLL(None, use_errno=True).prctl(22, 2, ctypes.byref(program), 0, 0) == 0, os.strerror(ctypes.get_errno())
os.execvp(sys.argv[2], sys.argv[2:])
"""


def mounts(script):
    """A further mount namespace."""
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script + ' && exec "$@"', "sh"]


def families(family):
    return ["/usr/bin/python3", "-c", SECCOMP, str(family)]


DIRECT = {
    "set-gid": (AS_ALICE, ALICE),
    "only-unix-sockets": ([*families(1), *AS_ALICE], ALICE),
    # set-gid suffices for a uid without name, too
    "unknown-uid": (AS_STRANGER, STRANGER),
    "member-of-the-group": ([*AS_MEMBER, *NO_NEW_PRIVS], ALICE),
    "root": ([], 0),
    "root-no-new-privs": (NO_NEW_PRIVS, 0),
}
REMOTE = {
    "no-new-privs": ([*AS_ALICE, *NO_NEW_PRIVS], ALICE),
    "user-namespace": ([*AS_ALICE, "unshare", "--user"], ALICE),
    "user-namespace-root": ([*AS_ALICE, "unshare", "--user", "--map-root-user"], ALICE),
    "user-namespace-self": ([*AS_ALICE, "unshare", "--user", "--map-user=61011", "--map-group=61011"], ALICE),
    "member-in-user-namespace": ([*AS_MEMBER, "unshare", "--user"], ALICE),
    "nosuid": ([*mounts("mount --bind /usr/local/sbin /usr/local/sbin && mount -o remount,bind,nosuid /usr/local/sbin"),
                *AS_ALICE], ALICE),
    "read-only-var": ([*mounts(READ_ONLY), *AS_ALICE], ALICE),
    "read-only-var-and-tmp": ([*mounts(READ_ONLY + " && mount -o remount,bind,ro /tmp"), *AS_ALICE], ALICE),
    "read-only-var-with-tmp": ([*mounts(READ_ONLY + " && mount -t tmpfs -o mode=1777 tmpfs /var/tmp"), *AS_ALICE], ALICE),
    "read-only-for-root": (mounts(READ_ONLY), 0),
    "no-spool": ([*mounts("mount -t tmpfs tmpfs /var/spool"), *AS_ALICE], ALICE),
    "dynamic-user": ([*mounts(ALL_READ_ONLY), *AS_STRANGER, *NO_NEW_PRIVS], STRANGER),
    "only-unix-sockets-no-new-privs": ([*families(1), *AS_ALICE, *NO_NEW_PRIVS], ALICE),
}


@pytest.fixture
def host(installation):
    if subprocess.run(["unshare", "--user", "true"]).returncode != 0:
        pytest.skip("user namespaces are not allowed here")
    installation.forget()
    yield installation
    for left in os.listdir(installation.spool / "queue"):  # of a test that failed; the next one starts anew
        (installation.spool / "queue" / left).unlink()


def send(host, sandbox, *options, message=MESSAGE):
    return host.execute("root", *sandbox, SENDMAIL, "-i", *options, "--", "bob@example.test", input=message)


def left_behind(host, uid):
    """What the user owns where sendmail may have written."""
    assert os.listdir(host.spool / "queue") == []
    return [entry.path for place in ("/tmp", "/var/tmp") for entry in os.scandir(host.path(place))
            if entry.stat(follow_symlinks=False).st_uid == uid and uid != 0]


def without_trace(mail):
    """The message less the field that sendmail puts on top."""
    return re.sub(rb"\AReceived: .*\r\n(?:[ \t].*\r\n)*", b"", mail.content)


def crlf(octets):
    return octets.replace(b"\n", b"\r\n")


def assert_delivered(host, message=MESSAGE):
    [mail] = host.arrived()
    assert without_trace(mail) == crlf(message)
    assert mail.recipients == ["bob@example.test"]
    return mail


@pytest.mark.parametrize("name", [*DIRECT, *REMOTE])
def test_mail_is_delivered_as_it_is_and_the_uid_is_the_submitters(host, name):
    sandbox, uid = {**DIRECT, **REMOTE}[name]
    before = len(host.log())
    done = send(host, sandbox)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert_delivered(host)
    accepted = re.findall(r"status=accepted uid=(\d+)", host.log()[before:])
    # relayd logs what it has taken; what sendmail queued itself is in the log of the system
    assert accepted == ([str(uid)] if name in REMOTE else [])
    assert left_behind(host, uid) == []


@pytest.mark.skipif(not os.path.isdir("/run/systemd/system") or os.getuid() != 0,
                    reason="systemd-run needs root, and systemd as process 1")
def test_a_transient_service_with_a_dynamic_user(make_host, smarthost):
    host = make_host(smarthost)
    host.start_relayd()
    properties = ["DynamicUser=yes", "NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes",
                  "RestrictAddressFamilies=AF_UNIX", "CapabilityBoundingSet=",
                  # /tmp is its own
                  f"BindReadOnlyPaths={host.workplace.directory}"]
    command = ["systemd-run", "--quiet", "--pipe", "--wait", "--collect", *(f"--property={one}" for one in properties),
               host.workplace.program("sendmail"), "-C", str(host.conf), "-i", "bob@example.test"]
    done = subprocess.run(command, input=MESSAGE, capture_output=True, timeout=TIMEOUT)
    assert (done.returncode, done.stderr) == (0, b"")
    [mail] = smarthost.wait_messages(1)
    assert without_trace(mail) == crlf(MESSAGE)
    uid = int(re.search(r"status=accepted uid=(\d+)", host.log()).group(1))
    assert 61184 <= uid <= 65519  # those that systemd gives away


@pytest.mark.parametrize("name", DIRECT)
def test_without_relayd_a_set_gid_program_queues(host, name):
    sandbox, uid = DIRECT[name]
    with host.without_relayd():
        done = send(host, sandbox)
        assert (done.returncode, done.stderr) == (0, b"")
        [queued] = host.queue_files()
        status = (host.spool / "queue" / queued).stat()
        assert f"\nuid {uid}\n".encode() in (host.spool / "queue" / queued).read_bytes()
        assert (status.st_uid, status.st_gid) == (uid, (host.spool / "queue").stat().st_gid)
    assert_delivered(host)


def test_without_relayd_and_without_the_right_nothing_is_taken(host):
    with host.without_relayd():
        for name, (sandbox, uid) in REMOTE.items():
            done = send(host, sandbox)
            assert done.returncode == 75, name
            assert re.fullmatch(
                rb"sendmail: cannot [a-z ]+ /var/spool/postbag[a-z/]*: [A-Z][A-Za-z -]+; and relayd, which takes "
                rb"messages where that is so, does not answer at /run/postbag/relayd.sock: No such file or directory\n",
                done.stderr), (name, done.stderr)
            assert left_behind(host, uid) == [], name


def test_neither_the_right_nor_a_socket(host):
    done = send(host, [*families(0), *AS_ALICE, *NO_NEW_PRIVS])
    assert done.returncode == 75
    assert b"queue: Permission denied; and relayd" in done.stderr
    assert b": Address family not supported by protocol\n" in done.stderr
    assert left_behind(host, ALICE) == []
