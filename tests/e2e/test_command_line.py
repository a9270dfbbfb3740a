"""The command line of sendmail, option by option: what callers of other sendmails write, and what comes of it here.

A row has one or more spellings that mean the same, " | " between them, each cut into words as a shell does. A row says
whether it sends a message, answers without one, or is refused; in the last two cases standard input is not touched.
"""

import array
import dataclasses
import fcntl
import os
import re
import shlex
import subprocess
import termios

import pytest

import harness

BOB = "bob@example.test"
MESSAGE = "Subject: hello\n\nhello\n"
WITH_DOT = "Subject: hello\n\none\n.\ntwo\n"
TO_TEAM = "To: team\nCc: Carol <carol@x.example>, root\n\nhello\n"
ALIASES = "team: carol@example.test, dave@example.test\n"
RELAYED = "Received: from a.example by b.example; Mon, 1 Jan 2001 00:00:00 +0000\n"
DAEMON = "relayd is the daemon"
VERSION = r"\Apostbag \d+\.\d+\S*\n"


@dataclasses.dataclass
class Row:
    spelling: str
    code: int = 0
    to: str = BOB  # further words of the command line
    stdin: str = MESSAGE
    reads: bool = False  # the message
    stdout: str = r"\A\Z"  # a pattern
    stderr: str | None = ""  # a part of it; "": nothing; None: anything
    sender: str | None = None
    recipients: tuple | None = None  # of the message in the queue, with their parameters; None: there is none
    envelope: tuple = ()  # further lines of it
    header: str = ""  # a pattern
    body: str = "hello\n"
    name: str | None = None  # that the program is called by
    aliases: str | None = ALIASES
    settings: dict = dataclasses.field(default_factory=dict)
    environment: dict = dataclasses.field(default_factory=dict)


def sends(spelling, recipients=(f"<{BOB}>",), **expected):
    return Row(spelling, reads=True, recipients=recipients, **expected)


def answers(spelling, **expected):
    return Row(spelling, **{"to": "", **expected})


def refused(spelling, stderr, code=64, **expected):
    return Row(spelling, code=code, stderr=stderr, **expected)


def rejected(spelling, stderr, code=65, **expected):
    """Because of what stands in the message."""
    return Row(spelling, code=code, stderr=stderr, reads=True, **expected)


TABLE = [
    sends(""),
    refused("", "no recipients: name them as arguments, or give -t", to=""),
    sends("-Am | -Ac | -A c"),
    sends("-B8BITMIME | -B 8BITMIME | -B8bitmime | -B7BIT | -B 7bit | -BBINARYMIME | -B BinaryMime"),
    sends("-B9BIT | -B ''", stderr="option -B: unknown body type ignored"),
    sends("-ba | -b a"),
    answers("-bC | -b C", stdout=r"\A/\S+/postbag\.conf: no errors\n\Z"),
    answers("-bC", code=78, stderr="frobnicate: unknown setting", settings={"frobnicate": "yes"}),
    answers("-bd | -bD | -b d | -bd -q30m | -q30m -bd | -bD -q", stderr=DAEMON),
    answers("-bh", stderr="there is no host status"),
    answers("-bH", stderr="there is no host status to purge"),
    answers("-bi | -b i | -I | -bi -v", stdout=r": 1 aliases, no errors\n\Z"),
    answers("-bi | -I", stderr="file:1: bad: there is no target", aliases="bad:\n", code=78),
    answers("-bi", stdout="there is no such file|no errors", aliases=None),
    sends("-bm | -b m | -bp -bm"),
    answers("-bP", stderr="mailq lists and counts the queue"),
    answers("-bp | -b p | -bp -v | -bp -q | -q -bp | -bp -qRx", stdout=r"\AMail queue is empty\n\Z"),
    Row("-bs | -b s | -bs -i", to="", stdin="QUIT\r\n", reads=True, stdout=r"\A220 [^\r\n]*\r\n221 [^\r\n]*\r\n\Z"),
    answers("-bt | -b t", stderr="there are no rules to test"),
    answers("-bv | -b v", to="team", stdout=r"\Ateam: carol@example\.test, dave@example\.test\n\Z"),
    answers("-bv -n | -nbv", to="team", stdout=r"\Ateam: team@example\.test\n\Z"),
    answers("-bv", to="a@b@c team", code=2, stdout=r"\Ateam: carol@", stderr="sendmail: a@b@c: "),
    answers("-bv", to="team", code=1, stderr="sendmail: team: ", settings={"aliases": "/nonexistent/aliases"}),
    refused("-bv", "no addresses to verify", to=""),
    answers("-bl", stderr=DAEMON),
    sends("-bq | -b q"),
    answers("-bV | -b V", stdout=VERSION),
    refused("-bz | -b z | -bpp | -b ''", "option -b: unknown mode"),
    refused("-C/nonexistent | -C /nonexistent", "/nonexistent", code=75),
    sends("-c"),
    sends("-D/nonexistent/x | -D /nonexistent/x"),
    sends("-d | -d0-99.127 | -d99.100"),
    answers("-d0.1 | -d0.1 -d", stdout=VERSION),
    answers("-d0.1 -bt | -bt -d0.1", stdout=VERSION, stderr="there are no rules to test"),
    answers("-d0.1 -bv", to="team", stdout=VERSION + "team: carol@"),
    sends("-d0.1", stdout=VERSION),
    sends("-E | -Ex | -J | -Jx"),
    sends("-em | -e p | -eq | -e w | -ee"),
    refused("-ez | -e x | -e ''", "option -oe: must be"),
    refused("-eq | -e q", "", code=65, to="a@b@c"),
    sends("'-FOps Team' | -F 'Ops Team' | -tF 'Ops Team'", header=r"From: Ops Team <\S+@example\.test>\r\n"),
    sends("-F 'Ops, \"Team\"'", header=r'From: "Ops, \\"Team\\"" <\S+@example\.test>\r\n'),
    sends("-F ''", header=r"From: <\S+@example\.test>\r\n"),
    sends("-fa@x.example | -f a@x.example | -f '<a@x.example>' | -f 'A <a@x.example>' | -f b@x.example -f a@x.example",
          sender="a@x.example", header=r"From: \w+ <a@x\.example>\r\n"),
    sends("-f '' | -f '<>' | '-f<>'", sender="", header=r"From: \w+ <\w+@example\.test>\r\n"),
    sends("-froot | -f root", sender="root@example.test"),
    refused("-f a@b@c | -fa@b@c", "sender", code=65),
    sends("-G"),
    sends("-h5 | -h 5 | -h100 | -h 0"),
    sends("-h 99", stdin=RELAYED + MESSAGE),
    sends("", stdin=RELAYED * 100 + MESSAGE),
    rejected("-h 101 | -h101 | -h1000", "5.4.6"),
    rejected("-h 100", "the message has passed 101 servers", stdin=RELAYED + MESSAGE),
    rejected("", "the message has passed 101 servers", stdin=RELAYED * 101 + MESSAGE),
    refused("-h many | -h-1 | -h '' | -h 1001", "option -h: must be a number"),
    sends("", stdin=WITH_DOT, body="one\n", stderr="a line with a single dot ended the message"),
    sends("-oifalse | -OIgnoreDots=false | -i -oiF", stdin=WITH_DOT, body="one\n", stderr="-i prevents that"),
    sends("-i | -oi | -o i | -oitrue | -oiT | -OIgnoreDots | -O IgnoreDots=true | -O ignoredots=Yes | -oifalse -i",
          stdin=WITH_DOT, body="one\n.\ntwo\n"),
    sends("-Ltag | -L tag | -L ''"),
    sends("-Mid | -M id | -MrX"),
    sends("-m | -om | -o m"),
    sends("-Nnever | -N never | -N NEVER", recipients=(f"<{BOB}> NOTIFY=NEVER",)),
    sends("-N success,failure,delay | -N delay,Success,FAILURE", recipients=(f"<{BOB}> NOTIFY=SUCCESS,FAILURE,DELAY",)),
    sends("-N failure -t", stdin=f"To: c@x.example\n{MESSAGE}",
          recipients=(f"<{BOB}> NOTIFY=FAILURE", "<c@x.example> NOTIFY=FAILURE")),
    refused("-N maybe | -N never,delay | -N '' | -N success,", "option -N: "),
    sends("", to="team", recipients=("<carol@example.test>", "<dave@example.test>")),
    sends("-n | -in", to="team", recipients=("<team@example.test>",)),
    sends("-OSmtpUtf8 | -O SMTPUTF8=true | -O RequireTLS=true | -O LogLevel=14 | -O Timeout.queuereturn=1d | -O ''",
          envelope=("flags --------",)),
    sends("-ODeliveryMode=b | -O DeliveryMode=queue | -O 'deliverymode = d'"),
    refused("-ODeliveryMode=x | -ODeliveryMode | -odx | -od | -o dx", "option -od: must be"),
    sends("-OErrorMode=m | -O ErrorMode=print | -O errormode=q"),
    refused("-OErrorMode=x | -oez | -oe | -o ez", "option -oe: must be"),
    refused("-OQueueDirectory=/tmp | -O QueueDirectory=/tmp | -Oqueuedirectory=/tmp", "postbag.conf"),
    sends("-oA/nonexistent | -o A/nonexistent | -oo | -oT1h | -o7 | -o8 | -oM1 | -oX9 | -oP/nonexistent | -o ''"),
    sends("-odb | -odq | -odd | -o db | -odbackground"),
    sends("-odi | -odf | -o di", stdout="", stderr=None),
    sends("-oem | -oep | -oeq | -oew | -oee | -o em | -oemail"),
    refused("-oem | -oep | -oew | -oee", "a@b@c", code=65, to="a@b@c"),
    refused("-oeq | -OErrorMode=q", "", code=65, to="a@b@c"),
    sends("-or0s | -o r0s | -or1h | -or30"),
    refused("-orx | -or-1s | -or", "option -or: must be a duration"),
    refused("-oQ/tmp | -o Q/tmp", "postbag.conf"),
    sends("-pESMTP | -p ESMTP | -pESMTP:host.example", header=r"\twith ESMTP id \w{12};"),
    sends("-p 'E\r\nBcc: x@y'", header=r"\twith EBcc id \w{12};"),
    sends("-p '' | -p ' '", header=r"\tid \w{12};"),
    sends("-Q | -Qreason | -Q -t"),
    answers("-Q | -Qreason", stderr="there is no quarantine"),
    answers("-q | -q30m | -q1h -v | -qf | -qp | -qGgroup | -qL | -qff | -q0 | -vq | -bm -q"),
    answers("-q", to=BOB, stderr="ignored"),
    answers("-q -f", to="a@x.example"),
    answers("-qQ | -qQx | -q!Qx", stderr="there is no quarantine"),
    refused("-qI | -qR | -qS | -q!R | '-qRa\nb'", "must be followed by a text"),
    refused("-q! | -q!x", "option -q!: must be followed by I, R or S"),
    sends("-Rfull | -R full | -R FULL", envelope=("ret full",)),
    sends("-Rhdrs | -R Hdrs", envelope=("ret hdrs",)),
    refused("-R some | -Rbob@example.test | -R ''", "option -R: must be full or hdrs"),
    sends("-ra@x.example | -r a@x.example | -r '<a@x.example>'", sender="a@x.example"),
    sends("-r ''", sender=""),
    sends("-Shost | -S host:25"),
    sends("-s"),
    sends("-T | -T1h"),
    sends("-t", to="", stdin=TO_TEAM,
          recipients=("<carol@example.test>", "<dave@example.test>", "<carol@x.example>", "<root@example.test>")),
    sends("-t", stdin="To: c@x.example\n\nhello\n", recipients=(f"<{BOB}>", "<c@x.example>")),
    sends("-t", to="", stdin="To: a@x.example\nBcc: secret@x.example\n\nhello\n",
          recipients=("<a@x.example>", "<secret@x.example>"), header=r"(?s)\A(?!.*secret)"),
    rejected("-t", "neither an argument nor a To, Cc or Bcc", code=64, to=""),
    sends("-ti | -it | -tif a@x.example | -itfa@x.example | -tiv | -tivmn", to="", stdin="To: b@x.example\n\nhello\n.\ntwo\n",
          body="hello\n.\ntwo\n", recipients=("<b@x.example>",), stdout="", stderr=None),
    sends("-tls-on-connect"),
    sends("-U", envelope=("flags --------",)),
    sends("-U", to="zoë@x.example", recipients=("<zoë@x.example>",), envelope=("flags -U------",)),
    sends("-VQQ+2B31 | -V QQ+2B31", envelope=("envid QQ+2B31",)),
    refused(f"-V '' | -V a=b | -V {'x' * 101} | -V 'e\nid'", "option -V: must be"),
    sends("-v | -vv", stdout="", stderr=None),
    refused("-X/nonexistent/log | -X /nonexistent/log", "no log is written on request of a caller"),
    sends("-x"),
    sends("-zline | -z 'a line'"),
    sends("-- | -t --", to=f"{BOB} -f -oQ/tmp@x.example --", header="Subject",
          recipients=(f"<{BOB}>", "<-f@example.test>", "<-oQ/tmp@x.example>", "<--@example.test>")),
    refused("-", "a recipient that begins with - must stand behind --"),
    answers("--help", stdout=r"\Ausage: sendmail "),
    answers("--version", stdout=VERSION),
    refused("--frobnicate | --from=a@b | ---", "unknown option --"),
    refused("-K | -Z | -tZ | -l | -4 | -k", "invalid option -- '"),
    refused("-\x1b | -\xff", "invalid option -- '?'"),
    # an argument that is not there
    *(refused(f"-{letter} | -i{letter}", f"option requires an argument -- '{letter}'", to="")
      for letter in "ABbCDeFfhLMNOopRrSVXz"),
    # options behind addresses, also where POSIX says that they are none
    sends(f"{BOB} -f a@x.example", to="-i c@x.example", sender="a@x.example", recipients=(f"<{BOB}>", "<c@x.example>")),
    sends(f"{BOB} -f a@x.example", to="c@x.example", sender="a@x.example", recipients=(f"<{BOB}>", "<c@x.example>"),
          environment={"POSIXLY_CORRECT": "1"}),
    # as programs write it
    sends("-FCronDaemon -i -B8BITMIME -oem", to="root", recipients=("<root@example.test>",), header="From: CronDaemon <"),
    sends("-FCronDaemon -odi -oem -or0s", to="root", recipients=("<root@example.test>",), stderr=None),
    sends("-FCronDaemon -i -odi -oem -oi -t -f root | -FCronDaemon -i -odi -oem -oi -t -f '<>'", to="",
          stdin="From: root (Cron Daemon)\nTo: root\n\nhello\n", recipients=("<root@example.test>",), stderr=None),
    sends("-oem -oi -B8BITMIME -f a@x.example -N failure -R hdrs --", sender="a@x.example", envelope=("ret hdrs",),
          recipients=(f"<{BOB}> NOTIFY=FAILURE",)),
    sends("-t -i -fa@x.example | -oi -fa@x.example -t", to="", stdin=f"To: {BOB}\r\nSubject: x\r\n\r\nhello\r\n", sender="a@x.example"),
    sends("-i -B 8BITMIME | -i | -f a@x.example -i | -B 8BITMIME -f a@x.example --"),
    # other names of the program
    sends("", name="sendmail"),
    sends("", name="/usr/lib/send-mail"),
    sends("", name="mailq.new"),
    answers("", name="mailq", stdout=r"\AMail queue is empty\n\Z"),
    answers("-v | -Ac | -q", name="/usr/bin/mailq", stdout=r"\AMail queue is empty\n\Z"),
    answers("", name="newaliases", stdout=r": 1 aliases, no errors\n\Z"),
    answers("", name="/usr/bin/newaliases", stderr="there is no target", aliases="bad:\n", code=78),
    answers("", name="hoststat", stderr="there is no host status"),
    answers("", name="/usr/bin/purgestat", stderr="there is no host status to purge"),
    answers("-bp", name="hoststat", stdout=r"\AMail queue is empty\n\Z"),
    answers(" | -q30m", name="smtpd", stderr=DAEMON),
    sends("-bm", name="mailq"),
]


CASES = [(spelling, row) for row in TABLE for spelling in row.spelling.split(" | ")]


@pytest.fixture
def host_for(make_host):
    def make(row):
        host = make_host()
        aliases = host.directory / "aliases-file"
        if row.aliases is not None:
            aliases.write_text(row.aliases)
        host.configure([], **{"aliases": aliases if row.aliases is not None else None, **row.settings})
        return host

    return make


def unread(descriptor):
    """Octets that wait in a pipe."""
    count = array.array("i", [0])
    fcntl.ioctl(descriptor, termios.FIONREAD, count)
    return count[0]


def run(host, row, spelling):
    """The program with a pipe as input. If it is not to read, the pipe stays open and still has all that was in it."""
    reading, writing = os.pipe()
    os.write(writing, row.stdin.encode())
    if row.reads:
        os.close(writing)
    program = host.workplace.program("sendmail")
    try:
        done = subprocess.run(
            [row.name or program, "-C", str(host.conf), *shlex.split(spelling), *row.to.split()], executable=program,
            stdin=reading, capture_output=True, timeout=harness.TIMEOUT, cwd="/",
            env={"LC_ALL": "C.UTF-8", **row.environment}, **harness.unprivileged())  # fmt: skip
        assert unread(reading) == (0 if row.reads else len(row.stdin.encode())), "what was read of standard input"
    finally:
        os.close(reading)
        if not row.reads:
            os.close(writing)
    return done


def check_queue(host, row):
    if row.recipients is None:
        assert host.queue_files() == []
        return
    (name,) = host.queue_files()
    envelope, _, content = (host.spool / "queue" / name).read_bytes().decode().partition("\n\n")
    lines = envelope.split("\n")
    header, _, body = content.partition("\r\n\r\n")
    assert [line[10:] for line in lines if line.startswith("recipient ")] == list(row.recipients)
    assert [line for line in row.envelope if line not in lines] == []
    if row.sender is not None:
        assert f"sender <{row.sender}>" in lines
    assert re.search(row.header, header + "\r\n"), header
    assert body == row.body.replace("\n", "\r\n")


def case_name(spelling, row):
    return f"{row.name or ''} {spelling} {row.to}".strip()[:60].encode("unicode_escape").decode()


@pytest.mark.parametrize(("spelling", "row"), CASES, ids=[case_name(*case) for case in CASES])
def test_the_command_line(spelling, row, host_for):
    host = host_for(row)
    done = run(host, row, spelling)
    stderr = done.stderr.decode()
    assert done.returncode == row.code, stderr
    assert re.search(row.stdout, done.stdout.decode()), done.stdout
    assert row.stderr is None or (row.stderr in stderr if row.stderr else stderr == ""), stderr
    check_queue(host, row)


def test_the_first_line_of_an_error_is_the_error(make_host):
    """Programs look for these words to see whether -F is known."""
    done = subprocess.run([make_host().workplace.program("sendmail"), "-F"], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=harness.TIMEOUT)
    assert done.returncode == 64 and b"option requires an argument" in done.stderr.splitlines()[0]


@pytest.mark.parametrize("name", ["mailq", "newaliases", "hoststat", "send-mail"])
def test_a_symbolic_link_gives_the_program_its_name(name, host_for):
    host = host_for(Row(""))
    link = host.directory / name
    link.symlink_to(host.workplace.program("sendmail"))
    done = subprocess.run([link, "-C", host.conf], input=b"", capture_output=True, timeout=harness.TIMEOUT,
                          **harness.unprivileged())
    assert {"mailq": b"Mail queue is empty" in done.stdout, "newaliases": b"1 aliases, no errors" in done.stdout,
            "hoststat": b"no host status" in done.stderr, "send-mail": b"no recipients" in done.stderr}[name], done


def test_a_message_that_does_not_come_in_time_is_not_sent(make_host):
    """-or1s is a second for each read."""
    host = make_host()
    reading, writing = os.pipe()
    os.write(writing, MESSAGE.encode())
    done = subprocess.run([host.workplace.program("sendmail"), "-C", host.conf, "-or1s", BOB], stdin=reading,
                          capture_output=True, timeout=harness.TIMEOUT, **harness.unprivileged())
    os.close(reading)
    os.close(writing)
    assert done.returncode == 75 and b"standard input" in done.stderr and host.queue_files() == []


@pytest.mark.parametrize("option", ["-q", "-q30m", "-qf"])
def test_a_flush_sends_what_waits(option, make_smarthost, make_host):
    server = make_smarthost(rule="RCPT/1 reply 451 4.7.1 greylisted")
    host = make_host(server, retry_interval="1h 1h")
    host.start_relayd()
    host.submit(MESSAGE.encode(), BOB)
    host.wait_mailq("451 4.7.1")
    done = host.sendmail(option)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    host.wait_empty()
    assert [mail.recipients for mail in server.messages()] == [[BOB]]
