"""sendmail -odi and -v: they wait for the outcome of the first attempt, and exit 0 whatever it is: the message is queued.

-odi says nothing; -v says each outcome on standard error.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

import harness

MESSAGE = b"Subject: hello\n\nhello\n"
BOB = "bob@example.test"
LATER = "later@example.test"
NOSUCH = "nosuch@example.test"
QUICK = {"retry_interval": "1h 2h", "reconnect_interval": "50ms 100ms", "in_doubt_interval": "1h"}
PAUSED = {**QUICK, "reconnect_interval": "1h 1h"}
RULES = ["RCPT~later reply 451 4.7.1 greylisted", "RCPT~nosuch reply 550 5.1.1 no such user"]
SOON = 10 * max(1, float(os.environ.get("POSTBAG_SLOWNESS", "1")))  # far from 30 s

root_only = pytest.mark.skipif(os.getuid() != 0, reason="only root can act as others")
receives = pytest.mark.skipif(
    bool(os.environ.get("POSTBAG_SANITIZE")), reason="a receiver may not make the process that looks for leaks"
)
needs_strace = pytest.mark.skipif(
    not shutil.which("strace") or bool(os.environ.get("POSTBAG_SANITIZE")), reason="needs strace, without the sanitizers"
)


def recipients(server):
    return sorted(recipient for mail in server.messages() for recipient in mail.recipients)


def submit(host, option, *to):
    """Exit 0, nothing on standard output, and what is said."""
    started = time.monotonic()
    done = host.submit(MESSAGE, *(to or [BOB]), options=[option])
    assert done.stdout == b"" and time.monotonic() - started < SOON
    return done.stderr.decode()


def start(host, option, *to, within=(), **arguments):
    command = [*within, host.workplace.program("sendmail"), "-C", str(host.conf), "-i", option, *(to or [BOB])]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        **{**harness.unprivileged(), **arguments},
    )
    process.stdin.write(MESSAGE)
    process.stdin.close()
    process.stdin = None
    return process


def end(host, process):
    """What a sendmail that was started says; it has to exit 0."""
    try:
        said, complaint = process.communicate(timeout=harness.TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        host.fail("sendmail does not end")
    assert process.returncode == 0 and said == b""
    return complaint.decode()


def wait_transcript(host, server, pattern):
    host.wait_for(lambda: re.search(pattern, server.transcript()), what=f"the transcript says {pattern!r}")


def connect(host):
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(host.run / "relayd.sock"))  # waits while the backlog is full
    client.settimeout(harness.TIMEOUT)
    return client


@pytest.fixture
def make_running(make_smarthost, make_host):
    """make_running(RULE...): a host with relayd at work, and its smarthost."""

    def make(*rules, **settings):
        server = make_smarthost(rule=list(rules))
        host = make_host(server, **(settings or QUICK))
        host.start_relayd()
        return host, server

    return make


@pytest.fixture
def stalled(make_running):
    """A host whose smarthost never says a word: sendmail would wait for 30 seconds."""
    host, server = make_running("banner stall")
    return host, server


def start_and_wait(host, server, option):
    process = start(host, option)
    wait_transcript(host, server, "rule: stall at banner")
    return process


# what the smarthost says


def test_delivered(make_running):
    host, server = make_running()
    assert submit(host, "-v") == f"sendmail: <{BOB}>: delivered: 250 2.0.0 accepted as 000001\n"
    assert recipients(server) == [BOB]


def test_odi_waits_until_it_is_delivered_and_says_nothing(make_running):
    host, server = make_running("end/1 delay 500")
    assert submit(host, "-odi") == ""
    assert recipients(server) == [BOB]


def test_deferred(make_running):
    host, _ = make_running(*RULES)
    assert submit(host, "-v", LATER) == f"sendmail: <{LATER}>: deferred: 451 4.7.1 greylisted\n"
    host.wait_mailq("deferred")


def test_bounced(make_running):
    host, server = make_running(*RULES)
    assert submit(host, "-v", NOSUCH) == f"sendmail: <{NOSUCH}>: bounced: 550 5.1.1 no such user\n"
    server.wait_messages()
    assert recipients(server) == ["alice@example.test"]


def test_each_recipient_has_its_outcome(make_running):
    host, _ = make_running(*RULES)
    said = submit(host, "-v", LATER, BOB, NOSUCH).splitlines()
    assert sorted(said) == [
        f"sendmail: <{BOB}>: delivered: 250 2.0.0 accepted as 000001",
        f"sendmail: <{LATER}>: deferred: 451 4.7.1 greylisted",
        f"sendmail: <{NOSUCH}>: bounced: 550 5.1.1 no such user",
    ]


@pytest.mark.parametrize("to", [[LATER], [NOSUCH], [LATER, BOB, NOSUCH]])
def test_odi_says_nothing_of_any_outcome(to, make_running):
    host, server = make_running(*RULES)
    assert submit(host, "-odi", *to) == ""
    assert f"RCPT TO:<{to[-1]}>" in server.transcript()


def test_thousands_of_recipients_have_their_outcomes(make_running):
    """They are more than the buffer of the socket takes at once."""
    host, _ = make_running()
    to = [f"user{number}@example.test" for number in range(3000)]
    said = submit(host, "-v", *to).splitlines()
    assert sorted(said) == sorted(f"sendmail: <{one}>: delivered: 250 2.0.0 accepted as 000001" for one in to)


def test_a_refused_sender_is_held(make_running):
    host, _ = make_running("MAIL reply 553 5.7.1 sender not allowed")
    assert submit(host, "-v") == "sendmail: held: 553 5.7.1 sender not allowed\n"
    host.wait_mailq("held")


def test_in_doubt(make_running):
    host, _ = make_running("end drop")
    said = submit(host, "-v")
    assert said.startswith("sendmail: in doubt: ") and said.count("\n") == 1
    host.wait_mailq("in doubt")


def test_control_characters_of_the_smarthost_reach_no_terminal(make_running):
    host, _ = make_running(r"RCPT raw 451 4.7.1 \x1b]0;title\x07\x9b2Jtry later\r\n")
    said = submit(host, "-v")
    assert "try later" in said and re.fullmatch("[ -~]+\n", said)


@root_only
@receives
def test_a_message_that_relayd_receives_is_watched_all_the_same(make_running):
    """Of a user who cannot write the spool."""
    host, server = make_running()
    said = end(host, start(host, "-v", user=1, group=1))
    assert said == f"sendmail: <{BOB}>: delivered: 250 2.0.0 accepted as 000001\n"
    assert recipients(server) == [BOB]


# when there is no attempt


@pytest.mark.parametrize("option", ["-v", "-odi"])
def test_a_smarthost_that_is_down_ends_the_wait_at_once(option, make_running):
    host, server = make_running(**PAUSED)
    server.stop()
    for _ in range(2):  # it fails, and then it pauses already
        said = submit(host, option)
        if option == "-v":
            assert re.fullmatch(rf"sendmail: waits for smarthost localhost:{server.port}: .*refused.*\n", said)
        else:
            assert said == ""
    assert len(host.queue_files()) == 2


def test_the_second_smarthost_is_waited_for(make_smarthost, make_host):
    first, second = make_smarthost(), make_smarthost()
    first.stop()
    host = make_host([first, second], **PAUSED)
    host.start_relayd()
    assert submit(host, "-v") == f"sendmail: <{BOB}>: delivered: 250 2.0.0 accepted as 000001\n"


def test_no_smarthost_is_configured(make_host):
    host = make_host(None)
    host.start_relayd()
    assert submit(host, "-v") == f"sendmail: waits for no smarthost is configured in {host.conf}\n"
    assert submit(host, "-odi") == "" and len(host.queue_files()) == 2


def test_relayd_is_not_running(smarthost, make_host):
    host = make_host(smarthost)
    assert submit(host, "-v") == "sendmail: relayd does not answer; the message is queued\n"
    assert submit(host, "-odi") == "" and len(host.queue_files()) == 2


def test_relayd_is_killed_meanwhile(stalled):
    host, server = stalled
    processes = [start_and_wait(host, server, option) for option in ["-v", "-odi"]]
    host.wait_queue(2)
    host.kill_relayd()
    assert [end(host, one) for one in processes] == ["sendmail: relayd says no more of it; the message is queued\n", ""]
    assert len(host.queue_files()) == 2


def test_a_message_that_is_removed_meanwhile(stalled):
    host, server = stalled
    process = start_and_wait(host, server, "-v")
    assert host.spoolctl("remove", host.queue_files()[0][:12]).returncode == 0
    assert end(host, process) == "sendmail: removed by the administrator\n"


def test_all_who_wait_hear_that_the_smarthost_has_gone(make_running):
    host, server = make_running("banner stall", **PAUSED)
    processes = [start_and_wait(host, server, "-v") for _ in range(5)]
    host.wait_queue(5)
    server.stop()
    for said in [end(host, one) for one in processes]:
        assert re.fullmatch(rf"sendmail: waits for smarthost localhost:{server.port}: .+\n", said)


# its patience, and the caller's


@needs_strace
def test_patience_ends_after_30_seconds(stalled):
    """poll(2) is told that its time is up; what it was asked for is in the trace."""
    host, _ = stalled
    trace = host.directory / "trace"
    within = ["strace", "-o", str(trace), "-e", "trace=poll", "-e", "inject=poll:retval=0"]
    said = end(host, start(host, "-v", within=within))
    assert said == "sendmail: no outcome within 30 seconds; the message is queued\n"
    [patience] = re.findall(r"POLLIN\}\], 1, (\d+)\)", harness.text(trace))
    assert 29000 < int(patience) <= 30001 and len(host.queue_files()) == 1


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_whoever_does_not_want_to_wait_may_go(sig, stalled):
    host, server = stalled
    process = start_and_wait(host, server, "-v")

    def handles():
        caught = re.search(r"SigCgt:\s+(\w+)", harness.text(f"/proc/{process.pid}/status"))
        return caught and int(caught.group(1), 16) >> (sig - 1) & 1

    host.wait_for(handles, what="sendmail waits")
    process.send_signal(sig)
    assert end(host, process) == "" and len(host.queue_files()) == 1


def test_a_wait_goes_on_after_a_stop(make_running):
    host, server = make_running("end/1 delay 700")
    process = start(host, "-v")
    wait_transcript(host, server, "rule: delay at end")
    process.send_signal(signal.SIGSTOP)
    process.send_signal(signal.SIGCONT)
    assert "delivered" in end(host, process)


@needs_strace
def test_the_watch_is_there_before_the_message(make_running):
    host, _ = make_running()
    trace = host.directory / "trace"
    within = ["strace", "-s", "64", "-o", str(trace), "-e", "trace=connect,linkat,write"]
    assert "delivered" in end(host, start(host, "-v", within=within))
    calls = harness.text(trace)
    asked = re.search(r'connect\(.*relayd\.sock(.*\n)+?write\(\d+, "watch \w{26}\\n', calls)
    assert asked and asked.end() < calls.index("linkat(")


def test_a_watch_is_heard_behind_many_silent_clients(inject, make_running):
    """Each of them costs relayd time, and the message could be delivered before it comes to the last."""
    host, _ = make_running()
    submit(host, "-odi")  # the connection to the smarthost is there
    with inject(host, "accept4:delay_exit=20ms"):
        silent = [connect(host) for _ in range(60)]
        assert "delivered" in submit(host, "-v")
    for client in silent:
        client.close()


def test_a_relayd_that_takes_no_connections_keeps_nobody_from_submitting(make_running):
    host, _ = make_running()
    host.relayd.send_signal(signal.SIGSTOP)
    crowd = []
    try:
        while True:
            client = socket.socket(socket.AF_UNIX)
            client.setblocking(False)
            crowd.append(client)
            client.connect(str(host.run / "relayd.sock"))
    except BlockingIOError:
        pass  # the backlog is full
    assert submit(host, "-v") == "sendmail: relayd does not answer; the message is queued\n"
    for client in crowd:
        client.close()
    host.relayd.send_signal(signal.SIGCONT)
    host.wait_empty()


def test_seventy_at_once(make_running):
    host, server = make_running()
    to = [f"user{number}@example.test" for number in range(70)]
    said = [end(host, process) for process in [start(host, "-v", one) for one in to]]
    assert all(re.search("delivered|relayd says no more of it", one) for one in said)
    assert sum("delivered" in one for one in said) >= 64
    host.wait_empty()
    assert recipients(server) == sorted(to)


def test_a_watcher_that_makes_room_for_others_goes_in_peace(stalled):
    host, server = stalled
    process = start_and_wait(host, server, "-v")
    crowd = [connect(host) for _ in range(200)]
    assert end(host, process) == "sendmail: relayd says no more of it; the message is queued\n"
    for client in crowd:
        client.close()
