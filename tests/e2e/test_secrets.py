"""Where passwords and tokens come from, and what becomes of mail when one is refused."""

import base64
import os
import pathlib
import re

import pytest

import harness

MESSAGE = b"Subject: hello\nMessage-ID: <hello@example.test>\n\nhello\n"
# a pause that no test waits for
PATIENT = {"retry_interval": "100ms 200ms", "reconnect_interval": "50ms 1h"}
BOB = "bob@example.test"
BEARER = ["OAUTHBEARER", "XOAUTH2"]


def send(host):
    host.start_relayd()
    host.submit(MESSAGE, BOB)


def wait_delivered(host, server):
    host.wait_empty()
    [mail] = server.messages()
    return mail


def program(host, text, name="program"):
    """A shell script of the host's, and a file "runs" that gets a line for each run."""
    path = host.directory / name
    path.write_text(f"#!/bin/sh\necho run >>{host.directory}/runs\n{text}\n")
    path.chmod(0o755)
    harness.give_away(path)
    return path


def runs(host):
    return harness.text(host.directory / "runs").count("run")


@pytest.fixture
def make_commanded(make_host):
    """A host whose secret comes from a script."""

    def make(server, what, text, **block):
        host = make_host()
        source = {"password": None, what: f"command:{program(host, text)}", **block}
        host.configure([host.smarthost_block(server, **source)], **PATIENT)
        return host

    return make


# tokens


@pytest.mark.parametrize("mechanism", BEARER)
@pytest.mark.parametrize("length", [40, 2000, 8000])
def test_a_token_of_any_length_logs_in(mechanism, length, make_smarthost, make_host):
    server = make_smarthost(mechanisms=f"PLAIN {mechanism}", password="t" * length)
    host = make_host(server, token=True, **PATIENT)
    host.set_password("t" * length)
    send(host)
    assert wait_delivered(host, server).mechanism == mechanism
    # a command line has at most 512 octets
    assert (f"C: AUTH {mechanism} (hidden)" in server.transcript()) == (length == 40)


@pytest.mark.parametrize("mechanism", BEARER)
def test_a_refused_token_is_acknowledged_and_bounces_nothing(mechanism, make_smarthost, make_host):
    server = make_smarthost(mechanisms=mechanism)
    host = make_host(server, token=True, **PATIENT)
    host.set_password("expired")
    send(host)
    host.wait_mailq("rejects user and token: 535 5.7.8 credentials invalid")
    host.wait_log(mechanism + r": the smarthost says: .*'status':'401'")
    assert server.transcript().count("C: AUTH") == 1 and server.messages() == []
    assert len(host.queue_files()) == 1 and "expired" not in host.log() + host.mailq()


def test_a_token_command_runs_again_once_after_a_refusal(make_smarthost, make_commanded):
    server = make_smarthost(mechanisms="XOAUTH2")
    host = make_commanded(server, "token", f'test $(wc -l <"$(dirname $0)/runs") -gt 1 && echo s3cret || echo old')
    send(host)
    assert wait_delivered(host, server).mechanism == "XOAUTH2"
    assert runs(host) == 2 and re.search("runs its token command again: reason=.*535", host.log())


def test_a_token_command_that_gives_the_same_token_again_runs_twice_and_no_more(make_smarthost, make_commanded):
    server = make_smarthost(mechanisms="XOAUTH2")
    host = make_commanded(server, "token", "echo old")
    send(host)
    host.wait_mailq("rejects user and token: 535")
    host.mailq()
    assert runs(host) == 2 and server.transcript().count("C: AUTH") == 2
    assert re.search("paused=", host.log()) and len(host.queue_files()) == 1


def test_a_token_is_used_for_nothing_else(make_smarthost, make_host):
    server = make_smarthost(mechanisms="PLAIN LOGIN SCRAM-SHA-256")
    host = make_host(server, token=True, **PATIENT)
    send(host)
    host.wait_mailq("no mechanism for user and token: the smarthost offers")
    assert "C: AUTH" not in server.transcript()


# commands


def test_a_password_from_a_command(smarthost, make_commanded):
    host = make_commanded(smarthost, "password", "echo careful >&2; echo s3cret")
    send(host)
    wait_delivered(host, smarthost)
    assert re.search("password command .*/program: careful", host.log()) and "s3cret" not in host.log()


def test_arguments_and_a_pipe(smarthost, make_host):
    host = make_host(smarthost, block={"password": "command:/bin/echo S3CRET | tr A-Z a-z"}, **PATIENT)
    send(host)
    wait_delivered(host, smarthost)


BAD_COMMANDS = {
    "fails": ("exit 3", "exits with status 3"),
    "prints nothing": (":", "prints nothing"),
    "prints without end": ("yes", "prints more than 64K"),
    "prints a little too much and waits": ("head -c 65540 /dev/zero; sleep 9", "prints more than 64K"),
    "is killed": ("kill -KILL $$", "ended by signal 9"),
}


@pytest.mark.parametrize("kind", BAD_COMMANDS)
def test_a_useless_command_bounces_nothing_and_reaches_nobody(kind, smarthost, make_commanded):
    script, words = BAD_COMMANDS[kind]
    host = make_commanded(smarthost, "password", script)
    send(host)
    host.wait_mailq(f"the password command .*/program.* {words}")
    assert runs(host) == 1 and len(host.queue_files()) == 1
    assert smarthost.transcript() == ""


def test_a_command_that_hangs_does_not_outlive_relayd(smarthost, make_commanded):
    host = make_commanded(smarthost, "password", 'echo $$ >"$(dirname $0)/pid"; exec sleep 60')
    send(host)
    pid = host.wait_for(lambda: harness.text(host.directory / "pid").strip(), what="the command runs")
    assert host.stop_relayd() == 0
    assert harness.poll(lambda: harness.text(f"/proc/{pid}/stat").split(") ")[-1][:1] in ("", "Z"))
    assert len(host.queue_files()) == 1


# a changed file ends the pause


def replace(host, path, text):
    new = host.directory / "new"
    new.write_text(text)
    new.chmod(0o600)
    harness.give_away(new)
    new.rename(path)


CHANGES = {
    "written": lambda host: host.set_password("s3cret"),
    "replaced": lambda host: replace(host, host.password, "s3cret"),
}


@pytest.mark.parametrize("token", [False, True])
@pytest.mark.parametrize("how", CHANGES)
def test_a_changed_file_ends_the_pause_without_a_signal(how, token, make_smarthost, make_host):
    server = make_smarthost(mechanisms="PLAIN OAUTHBEARER")
    host = make_host(server, token=token, **PATIENT)
    host.set_password("wrong")
    send(host)
    host.wait_mailq("rejects user and .*535")
    (host.directory / "unrelated").write_text("x")
    CHANGES[how](host)
    wait_delivered(host, server)
    assert "the file with its credential has changed" in host.log()
    assert server.transcript().count("C: AUTH") == 2


def test_a_file_that_appears_ends_the_pause(smarthost, make_host):
    host = make_host(smarthost, **PATIENT)
    host.password.unlink()
    send(host)
    host.wait_mailq("No such file")
    host.set_password("s3cret")
    wait_delivered(host, smarthost)


def test_a_mode_that_is_put_right_ends_the_pause(smarthost, make_host):
    host = make_host(smarthost, **PATIENT)
    host.password.chmod(0o644)
    send(host)
    host.wait_mailq("read by others")
    host.password.chmod(0o600)
    wait_delivered(host, smarthost)


def test_a_file_that_does_not_change_leaves_the_pause_alone(smarthost, make_host):
    host = make_host(smarthost, **PATIENT)
    host.set_password("wrong")
    send(host)
    host.wait_mailq("535")
    for number in range(20):
        (host.directory / f"unrelated{number}").write_text("x")
    host.password.read_text()
    host.mailq()
    assert smarthost.transcript().count("C: AUTH") == 1


# where it must not appear


def test_a_password_stands_in_no_other_file_and_in_no_core(make_smarthost, make_host):
    secret = "correct-horse-battery"
    encoded = [base64.b64encode(text).decode().rstrip("=") for text in (secret.encode(), f"\0{secret}".encode(), f"\0alice\0{secret}".encode())]
    server = make_smarthost(mechanisms="PLAIN", user="alice", password=secret, rule="RCPT/1 reply 550 5.1.1 nobody")
    host = make_host(server, **PATIENT)
    host.set_password(secret)
    send(host)
    host.wait_log("status=bounced")
    host.wait_empty()
    session = int(re.search(r"session=(\d+) connected=", host.log())[1])
    files = [path for path in host.directory.rglob("*") if path.is_file() and path != host.password]
    assert host.logfile in files and any(host.spool in path.parents for path in files)
    for process in (session, host.relayd.pid):
        files += [pathlib.Path(f"/proc/{process}/{name}") for name in ("cmdline", "environ")]
    for path in files:
        content = path.read_bytes().decode("latin-1")
        assert not [text for text in (secret, *encoded) if text in content], path
    assert re.search(r"Max core file size +0 +0 ", pathlib.Path(f"/proc/{session}/limits").read_text())
    assert os.stat(f"/proc/{session}/mem").st_uid == 0  # of a process that leaves no core, whosoever it is
