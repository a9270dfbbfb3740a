"""What a hostile or broken caller hands over with a message: words, environment, descriptors, limits.

Whatever it is, the program ends by itself: with 0 and one whole message in the queue, or with 64, 65 or 75 and none. What
only a set-group-ID program has to fear (LD_PRELOAD, LD_AUDIT, GLIBC_TUNABLES: B01, B02) is tested where one is installed.
"""

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time

import pytest

import harness
from test_sendmail import BOB, MESSAGE, as_root, body, header, left_behind, queued, recipients, sendmail

SANITIZED = bool(os.environ.get("POSTBAG_SANITIZE"))
LONG = 70_000
CONTROLS = "a\r\nBcc: x@y.example\r\n\r\n\x1b]0;pwn\x07\x7f\u009b\u202e%n%s"


@pytest.fixture
def host(make_host):
    return make_host()


def assert_whole_or_not_at_all(host, done):
    """Returns the exit code."""
    assert done.returncode in (0, 64, 65, 75), (done.returncode, done.stderr)
    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", done.stderr), done.stderr
    assert not re.search("[\u0080-\u009f\u202e]", done.stderr.decode(errors="replace")), done.stderr
    assert len(done.stderr) < 8192
    if done.returncode == 0:
        _, content = queued(host, done)
        assert b"\r\nSubject: hello\r\n" in content and body(content) == b"hello\r\n"
        assert not re.search(rb"(?im)^bcc|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", header(content))
        assert max(map(len, header(content).split(b"\r\n"))) <= 998
    else:
        assert done.stderr.splitlines()[-1].startswith(b"sendmail: "), done.stderr
        assert left_behind(host) == []
    return done.returncode


# words

# What a monstrous value of each option comes to.
VALUES = {"-A": 0, "-B": 0, "-b": 64, "-C": 75, "-D": 0, "-d": 0, "-E": 0, "-e": 64, "-F": 0, "-f": 65, "-h": 64, "-J": 0,
          "-L": 0, "-M": 0, "-N": 64, "-O": 0, "-OErrorMode=": 64, "-OIgnoreDots=": 0, "-o": 0, "-oA": 0, "-od": 64, "-oe": 64,
          "-or": 64, "-oi": 0, "-oQ": 64, "-p": 0, "-Q": 0, "-qI": 64, "-qR": 64, "-q!S": 64, "-R": 64, "-r": 65, "-S": 0,
          "-T": 0, "-V": 64, "-X": 64, "-z": 0, "--": 64}  # fmt: skip


@pytest.mark.parametrize("option", VALUES)
def test_a26_a_value_of_70000_octets(option, host):
    assert assert_whole_or_not_at_all(host, sendmail(host, option + "x" * LONG, BOB)) == VALUES[option]


@pytest.mark.parametrize("option", VALUES)
def test_a08_a25_control_characters_in_a_value(option, host):
    assert assert_whole_or_not_at_all(host, sendmail(host, option + CONTROLS, BOB)) == VALUES[option]


@pytest.mark.parametrize("value", ["x" * LONG, CONTROLS], ids=["long", "controls"])
def test_a_monstrous_recipient(value, host):
    assert assert_whole_or_not_at_all(host, sendmail(host, "--", value, BOB)) == 65


@pytest.mark.parametrize("value", ["x" * LONG, CONTROLS], ids=["long", "controls"])
def test_a_monstrous_word_is_shown_without_harm_by_verify(value, host):
    done = sendmail(host, "-bv", "--", value)
    assert done.returncode == 2 and len(done.stderr) < 2 * LONG and not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", done.stderr)


def test_ten_thousand_options(host):
    _, content = queued(host, sendmail(host, *["-i", "-F", "x", "-N", "never"] * 2000, BOB))
    assert body(content) == b"hello\r\n"


# execve(2) as Python does not let one call it: with any words, and any variables
EXECVE = """
import ctypes, json, os, sys
path, argv, environment = json.loads(sys.argv[1])
def array(words):
    words = [word.encode() * count for word, count in words]
    return (ctypes.c_char_p * (len(words) + 1))(*words, None)
ctypes.CDLL(None).execve(path.encode(), array(argv), array(environment))
os._exit(127)
"""


def execve(host, argv, environment=(), **popen):
    """Words and variables are pairs of a text and how often it is repeated within the one word."""
    call = json.dumps([host.workplace.program("sendmail"), argv, environment])
    return subprocess.run([sys.executable, "-c", EXECVE, call], capture_output=True, timeout=harness.TIMEOUT, cwd="/",
                          **{"input": MESSAGE, **harness.unprivileged(), **popen})  # fmt: skip


def words(host, *more):
    return [[word, 1] for word in ("sendmail", "-C", str(host.conf), *more, BOB)]


def test_a16_no_words_at_all_not_even_a_name(host):
    done = execve(host, [])
    assert done.returncode == 64 and done.stderr.splitlines()[-1].startswith(b"sendmail: ")


def test_a17_a_name_of_conversions(host):
    done = execve(host, [["%n", 4096], *words(host)[1:]])
    assert assert_whole_or_not_at_all(host, done) == 0


LOG = """
import os, socket, subprocess, sys
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/dev"], check=True)
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind("/dev/log")
os.chmod("/dev/log", 0o666)
log.settimeout(20)
subprocess.run(sys.argv[2:], executable=sys.argv[1], input=b"hello\\n", user=65534, group=65534, extra_groups=[], check=True)
sys.stdout.buffer.write(log.recv(65536))
"""


@as_root()
@pytest.mark.parametrize(("name", "options", "tag"), [
    pytest.param("sendmail", [], "sendmail", id="plain"),
    pytest.param("%n" * 4096, [], "sendmail", id="A17"),
    pytest.param("sendmail", ["-L", "t\n<0>fake"], "t0fake", id="A25"),
    pytest.param("sendmail", ["-L", "%n%s"], "ns", id="A25 conversions"),
    pytest.param("sendmail", ["-L", "x" * LONG], "x" * 32, id="A25 long"),
])  # fmt: skip
def test_the_tag_of_a_log_line(name, options, tag, host):
    command = ["unshare", "-m", sys.executable, "-c", LOG, host.workplace.program("sendmail"), name, "-C", str(host.conf)]
    done = subprocess.run([*command, *options, BOB], capture_output=True, timeout=harness.TIMEOUT)
    assert re.fullmatch(rf"<22>[ -~]* {tag}(\[\d+\])?: \w{{12}}: status=accepted [ -~]*", done.stdout.decode()), done


# environment


ENVIRONMENTS = {
    "B10 without a sign": [["NAME", 1], ["", 1], ["=", 1], ["=x", 1], ["%n%s", 1]],
    "B10 twice": [["TZ=UTC", 1], ["TZ=:/etc/shadow", 1], ["POSIXLY_CORRECT=1", 1], ["POSIXLY_CORRECT=2", 1], ["PATH=", 1]],
    "B10 1.5 MB": [["X=", 1], *[["x", 125_000]] * 12],
    "B10 eight thousand": [["A=1", 1]] * 8_000,
    "B04 TZ of 64 kB": [["TZ=UTC", 21_000]],
    "B04 TZ of bytes": [["TZ=\u00ff\u0001", 1]],
}


@pytest.mark.parametrize("what", ENVIRONMENTS)
def test_a_hostile_environment(what, host):
    assert assert_whole_or_not_at_all(host, execve(host, words(host), ENVIRONMENTS[what])) == 0
    (name,) = host.queue_files()
    assert re.search(rb"\r\nDate: \w{3}, .* \+0000\r\n", (host.spool / "queue" / name).read_bytes())


@pytest.mark.parametrize("zone", ["UTC", ":UTC", "Europe/Berlin", "CET-1CEST,M3.5.0,M10.5.0/3", "<+0330>-3:30", "", "Nowhere/Nowhere"])
def test_b04_a_time_zone_is_the_callers(zone, host):
    _, content = queued(host, sendmail(host, BOB, env={"TZ": zone}))
    offset = re.search(rb"\r\nDate: \w{3}, \d\d? \w{3} \d{4} \d\d:\d\d:\d\d ([+-]\d{4})\r\n", content)[1].decode()
    assert offset in {"CET-1CEST,M3.5.0,M10.5.0/3": ["+0100", "+0200"], "<+0330>-3:30": ["+0330"],
                      "Europe/Berlin": ["+0100", "+0200", "+0000"]}.get(zone, ["+0000"])  # fmt: skip


@pytest.mark.skipif(SANITIZED, reason="the sanitizers do not work under ptrace")
@pytest.mark.parametrize("environment", [{"TZ": ":/etc/shadow"}, {"TZ": "../../etc/shadow"}, {"HOSTALIASES": "/etc/shadow"},
                                         {"RES_OPTIONS": "debug", "LOCALDOMAIN": "evil.example", "TZDIR": "/etc"}], ids=str)
def test_b04_b05_no_file_of_the_environment_is_opened_and_no_name_server_asked(environment, host, workplace):
    trace = workplace.new_directory("trace") / "trace"
    trace.touch()
    harness.give_away(trace)
    done = subprocess.run(["strace", "-f", "-qq", "-o", trace, "-e", "trace=openat,open,connect,socket,execve,fork,vfork,clone,clone3",
                           host.workplace.program("sendmail"), "-C", host.conf, BOB], input=MESSAGE, capture_output=True,
                          timeout=harness.TIMEOUT, env=environment, **harness.unprivileged())  # fmt: skip
    calls = trace.read_text()
    assert done.returncode == 0 and "postbag.conf" in calls and len(host.queue_files()) == 1
    assert "shadow" not in calls and "AF_INET" not in calls and "resolv.conf" not in calls
    assert len(re.findall(r"\b(execve|v?fork|clone3?)\(", calls)) == 1  # strace's own


@pytest.mark.parametrize("option", ["-oem", "-oew", "-oee", "-oep"])
def test_b08_no_dead_letter_is_written(option, host, workplace):
    home = workplace.new_directory("home")
    target = workplace.new_directory("target")
    for directory in (home, target):
        harness.give_away(directory)
    (home / "dead.letter").symlink_to(target / "file")
    done = sendmail(host, option, BOB, "a@b@c", env={"HOME": str(home), "DEAD": str(home / "dead.letter")})
    assert done.returncode == 65 and os.listdir(home) == ["dead.letter"] and os.listdir(target) == []


# descriptors and places


@pytest.mark.parametrize("closed", [[0], [0, 1], [0, 2], [0, 1, 2]])
def test_a_closed_standard_input_is_no_message(closed, host):
    def close():
        for fd in closed:
            os.close(fd)

    done = sendmail(host, BOB, stdin=None, preexec_fn=close)
    assert done.returncode == 75 and left_behind(host) == []
    assert 2 in closed or b"standard input" in done.stderr


@pytest.mark.skipif(SANITIZED, reason="the sanitizers do not work under ptrace")
@pytest.mark.parametrize("closed", [[1], [2], [1, 2]])
def test_no_file_takes_the_place_of_a_closed_descriptor(closed, host, workplace):
    """What is printed would land in the first file that is opened: the message."""
    trace = workplace.new_directory("trace") / "trace"
    trace.touch()
    harness.give_away(trace)

    def close():
        for fd in closed:
            os.close(fd)

    queued(host, subprocess.run(["strace", "-qq", "-o", trace, "-e", "trace=openat,open", host.workplace.program("sendmail"),
                                 "-C", host.conf, BOB], input=MESSAGE, timeout=harness.TIMEOUT, preexec_fn=close,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **harness.unprivileged()))  # fmt: skip
    taken = re.findall(r'"([^"]*)".* = ([012])$', trace.read_text(), re.M)
    assert [file for file in taken if ".so" not in file[0]] == [("/dev/null", str(fd)) for fd in closed]  # but the loader's


def test_output_and_errors_in_one_file(host, workplace):
    path = workplace.new_directory("output") / "file"
    with open(path, "wb") as both:
        done = sendmail(host, BOB, capture_output=False, stdout=both, stderr=both)
        assert done.returncode == 0
        done = sendmail(host, "-bv", BOB, "a@b@c", capture_output=False, stdout=both, stderr=both)
    text = path.read_text()
    assert done.returncode == 2 and f"{BOB}: {BOB}\n" in text and "sendmail: a@b@c: " in text and len(left_behind(host)) == 1


def test_input_and_output_in_one_socket(host):
    ours, theirs = socket.socketpair()
    ours.sendall(MESSAGE)
    ours.shutdown(socket.SHUT_WR)
    done = sendmail(host, BOB, stdin=theirs, stdout=theirs, stderr=theirs, capture_output=False)
    theirs.close()
    _, content = queued(host, done)
    assert body(content) == b"hello\r\n" and ours.recv(100) == b""
    ours.close()


@as_root()
def test_b14_a_working_directory_that_cannot_be_read(host, workplace):
    directory = workplace.new_directory("closed")
    directory.chmod(0)
    queued(host, sendmail(host, BOB, cwd=directory))


@as_root()
@pytest.mark.skipif(SANITIZED, reason="the sanitizers need /proc")
@pytest.mark.parametrize("places", [["/proc"], ["/dev"], ["/etc"], ["/proc", "/dev", "/etc", "/var", "/run"]], ids=str)
def test_a_root_that_lacks_the_usual_places(places, host):
    mounts = " && ".join(f"mount -t tmpfs tmpfs {place}" for place in places)
    setpriv = "setpriv --reuid=65534 --regid=65534 --clear-groups"
    done = subprocess.run(["unshare", "-m", "sh", "-c", f'{mounts} && exec {setpriv} "$@"', "sh", host.workplace.program("sendmail"),
                           "-C", str(host.conf), BOB], input=MESSAGE, capture_output=True, timeout=harness.TIMEOUT)  # fmt: skip
    assert assert_whole_or_not_at_all(host, done) == 0


# limits


@pytest.mark.parametrize(("limit", "value"), [
    pytest.param(resource.RLIMIT_CPU, 1, id="M05"),
    pytest.param(resource.RLIMIT_CORE, 0, id="M07 none"),
    pytest.param(resource.RLIMIT_CORE, resource.RLIM_INFINITY, id="M07 unlimited"),
    pytest.param(resource.RLIMIT_MEMLOCK, 0, id="M08"),
    pytest.param(resource.RLIMIT_SIGPENDING, 0, id="signals"),
    pytest.param(resource.RLIMIT_MSGQUEUE, 0, id="message queues"),
    pytest.param(resource.RLIMIT_RTTIME, 1, id="real time"),
    pytest.param(resource.RLIMIT_STACK, 256 << 10, id="stack"),
])  # fmt: skip
def test_a_limit_that_does_no_harm(limit, value, host):
    done = sendmail(host, BOB, preexec_fn=lambda: resource.setrlimit(limit, (value, value)))
    assert assert_whole_or_not_at_all(host, done) == 0


@pytest.mark.parametrize("number", [
    pytest.param(signal.SIGXCPU, id="M05"), pytest.param(signal.SIGXFSZ, id="M01"), signal.SIGPIPE])  # fmt: skip
def test_the_signal_of_a_soft_limit_ends_no_submission(number, host):
    process = subprocess.Popen([host.workplace.program("sendmail"), "-C", host.conf, BOB], stdin=subprocess.PIPE,
                               stderr=subprocess.PIPE, **harness.unprivileged())  # fmt: skip
    status = f"/proc/{process.pid}/status"
    ignored = 1 << (number - 1)
    host.wait_for(lambda: int(re.search(r"SigIgn:\s*(\w+)", harness.text(status))[1], 16) & ignored, what="it is set up")
    process.send_signal(number)
    _, errors = process.communicate(MESSAGE, timeout=harness.TIMEOUT)
    done = subprocess.CompletedProcess(process.args, process.returncode, b"", errors)
    assert assert_whole_or_not_at_all(host, done) == 0


def test_m02_three_descriptors_are_too_few_even_to_start(host):
    done = sendmail(host, BOB, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3)))
    assert done.returncode == 127 and b"shared libraries" in done.stderr and left_behind(host) == []  # the loader's


@pytest.mark.skipif(SANITIZED, reason="the sanitizers need all of the address space")
@pytest.mark.parametrize("limit", [resource.RLIMIT_AS, resource.RLIMIT_DATA], ids=["address space", "data"])
def test_memory_that_does_not_suffice_is_no_crash_and_no_other_message(limit, make_host, workplace):
    """From the least that the loader can work with, in small steps."""
    aliases = workplace.new_directory("aliases") / "aliases"
    aliases.write_text("".join(f"user{number}: a{number}@x.example\n" for number in range(4000)) + "team: c@x.example\n")
    host = make_host(aliases=aliases)

    def run(octets, *arguments, **popen):
        return sendmail(host, *arguments, preexec_fn=lambda: resource.setrlimit(limit, (octets, octets)), **popen)

    least = next(octets for octets in range(64 << 10, 64 << 20, 32 << 10) if run(octets, "--version").returncode == 0)
    codes = []
    for octets in [*range(least, least + (1 << 20), 32 << 10), least + (4 << 20), least + (16 << 20)]:
        done = run(octets, "team", input=MESSAGE)
        codes.append(assert_whole_or_not_at_all(host, done))
        if done.returncode == 0:
            assert recipients(queued(host, done)[0]) == ["c@x.example"]
            os.unlink(host.spool / "queue" / left_behind(host)[0])
    assert set(codes) == {0, 75} and codes[-1] == 0


@pytest.mark.parametrize("octets", [0, 1, 128, 4096, 8192])
def test_m01_a_limit_on_files_lets_a_message_through_or_not(octets, host):
    """On either side of its size."""
    done = sendmail(host, BOB, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (octets, octets)))
    assert assert_whole_or_not_at_all(host, done) == (0 if octets >= 4096 else 75)
    assert done.returncode == 0 or b"File too large" in done.stderr


# the socket of relayd, which takes a message file from anybody


def crc32c(octets):
    crc = 0xFFFFFFFF
    for octet in octets:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def submit_file(host, content):
    """The answer to a message file with this content, which is in order otherwise."""
    digits, now, name = "0123456789abcdefghijklmnopqrstuvwxyz", time.time_ns() // 1000, ""
    for _ in range(10):
        now, digit = divmod(now, 36)
        name = digits[digit] + name
    checked = b"length %020d\nlongest %010d\nflags --------\n" % (len(content), 0)
    rest = b"uid 0\ntime 1763912345123456\nsender <ann@example.test>\nrecipient <bob@example.test>\n\n" + content
    octets = b"postbag-message 1\ncrc32c %08x\n%s%s" % (crc32c(rest + checked), checked, rest)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(harness.TIMEOUT)
        client.connect(str(host.run / "relayd.sock"))
        client.sendall(b"submit %s%s %d\n%s" % (name.encode(), b"a" * 16, len(octets), octets))
        return client.makefile().read()


def test_no_message_file_hides_commands_behind_a_cr(make_host):
    host = make_host(None)
    host.start_relayd()
    for end in [b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n.\n", b"\r\r\n"]:
        answer = submit_file(host, b"Subject: x\r\n\r\none" + end + b"MAIL FROM:<evil@example.test>\r\n")
        assert answer == "error 65 the message file is malformed: a line does not end in CRLF\n"
    assert left_behind(host) == []
    assert submit_file(host, b"Subject: x\r\n\r\none\r\n.\r\ntwo\r\n") == "ok\nend\n"
