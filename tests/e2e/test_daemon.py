"""relayd as a process: stopped, killed, reloaded, asked, attacked; and what lies in its spool that should not."""

import os
import random
import re
import signal
import socket
import subprocess
import time

import pytest

import harness

MESSAGE = b"Subject: hello\nMessage-ID: <hello@example.test>\n\nhello\n"
LARGE = MESSAGE + b"0123456789abcde\n" * (2 << 20)
BOB = "bob@example.test"
QUICK = {"retry_interval": "100ms 200ms", "reconnect_interval": "50ms 100ms", "in_doubt_interval": "200ms"}
DOUBT_STAYS = {**QUICK, "in_doubt_interval": "1h"}
DEFER = "RCPT~later reply 451 4.7.1 greylisted"
STOP_LIMIT = 5 * max(1, float(os.environ.get("POSTBAG_SLOWNESS", "1")))

root_only = pytest.mark.skipif(os.getuid() != 0, reason="only root can act as others and mount file systems")


def recipients(server):
    return sorted(recipient for mail in server.messages() for recipient in mail.recipients)


def sessions(host):
    """Process ids of the connections."""
    path = f"/proc/{host.relayd.pid}/task/{host.relayd.pid}/children"
    return [int(pid) for pid in harness.text(path).split()]


def wait_transcript(host, server, pattern):
    host.wait_for(lambda: re.search(pattern, server.transcript()), what=f"the transcript says {pattern!r}")


def stop_in_time(host):
    started = time.monotonic()
    assert host.stop_relayd() == 0
    assert time.monotonic() - started < STOP_LIMIT


# the end, and a new beginning


@pytest.mark.parametrize("where", ["banner", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA"])
def test_a_stop_before_the_content_leaves_the_message_as_it_was(where, make_smarthost, make_host):
    # where content goes with the commands, none of these is before it
    server = make_smarthost(rule=f"{where}/1 stall", without="CHUNKING")
    host = make_host(server, **DOUBT_STAYS)
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    wait_transcript(host, server, f"rule: stall at {where}")
    stop_in_time(host)
    host.start_relayd()
    host.wait_empty()
    assert recipients(server) == [BOB]


def test_a_stop_in_the_middle_of_the_content_abandons_it(make_smarthost, make_host):
    server = make_smarthost(rule="content/1 stall")
    host = make_host(server, **DOUBT_STAYS)
    host.submit(LARGE, BOB)
    host.start_relayd()
    wait_transcript(host, server, "rule: stall at content")
    stop_in_time(host)
    assert server.messages() == [] and "in doubt" not in host.mailq()
    host.start_relayd()
    host.wait_empty()
    assert recipients(server) == [BOB]


def test_a_stop_behind_the_content_waits_for_the_reply(make_smarthost, make_host):
    server = make_smarthost(rule="end/1 delay 700")
    host = make_host(server, **DOUBT_STAYS)
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    wait_transcript(host, server, "rule: delay at end")
    stop_in_time(host)
    assert recipients(server) == [BOB] and host.queue_files() == []


def test_a_stop_behind_the_content_does_not_wait_for_ever(make_smarthost, make_host):
    server = make_smarthost(rule="end/1 stall")
    host = make_host(server, **DOUBT_STAYS)
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    wait_transcript(host, server, "rule: stall at end")
    stop_in_time(host)
    assert "in doubt" in host.mailq()


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_while_idle_says_quit_and_removes_the_socket(sig, smarthost, make_host):
    host = make_host(smarthost, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    host.wait_empty()
    assert host.stop_relayd(sig) == 0
    assert not (host.run / "relayd.sock").exists() and "relayd: stopped" in host.log()
    wait_transcript(host, smarthost, "C: QUIT")


def test_no_session_outlives_a_killed_relayd(make_smarthost, make_host):
    server = make_smarthost(rule="end/1 stall")
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    wait_transcript(host, server, "rule: stall at end")
    pids = sessions(host)
    host.kill_relayd()
    host.wait_for(lambda: not any(os.path.exists(f"/proc/{pid}/exe") for pid in pids), what="the sessions have ended")


@pytest.mark.parametrize("window", [1, 4])
def test_twenty_kills_lose_nothing(window, make_smarthost, make_host):
    """There is one connection: each kill may cost as many duplicates as messages may be under way on it."""
    server = make_smarthost(delay=3)
    block = {"connections": 1, "window": window}
    host = make_host(server, block=block, **{**QUICK, "in_doubt_interval": "50ms"})
    wanted = [f"user{number}@example.test" for number in range(100)]
    chance = random.Random(20)
    for recipient in wanted[:50]:
        host.submit(MESSAGE, recipient)
    for kill in range(20):
        host.start_relayd()
        for recipient in wanted[50 + 5 * (kill // 2) : 55 + 5 * (kill // 2)] if kill % 2 else []:
            host.submit(MESSAGE, recipient)
        time.sleep(chance.uniform(0, 0.06))  # the moment of the kill is the point
        host.kill_relayd()
    host.start_relayd()
    host.wait_empty()
    arrived = recipients(server)
    assert set(arrived) == set(wanted) and len(arrived) <= len(wanted) + 20 * window


def test_a_second_relayd_is_kept_out(smarthost, make_host):
    host = make_host(smarthost, **QUICK)
    host.start_relayd()
    second = host.command("relayd", "-d")
    assert second.returncode == 75 and b"another relayd" in second.stderr
    host.submit(MESSAGE, BOB)
    host.wait_empty()
    assert (host.run / "relayd.sock").exists() and "is empty" in host.mailq()


def test_a_socket_that_a_killed_relayd_left_is_in_nobodys_way(smarthost, make_host):
    host = make_host(smarthost, **QUICK)
    host.start_relayd()
    host.kill_relayd()
    assert (host.run / "relayd.sock").exists()
    host.submit(MESSAGE, BOB)
    assert "relayd is not running" in host.mailq()
    with open(host.logfile, "ab") as log:
        host.relayd = subprocess.Popen(
            [host.workplace.program("relayd"), "-C", str(host.conf), "-d"], stderr=log, **harness.unprivileged()
        )
    host.wait_empty()
    assert "is empty" in host.mailq()


def test_a_killed_session_leaves_its_message_in_doubt(make_smarthost, make_host):
    server = make_smarthost(rule="end/1 stall")
    host = make_host(server, **{**QUICK, "in_doubt_interval": "1s"})
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    wait_transcript(host, server, "rule: stall at end")
    for pid in sessions(host):
        os.kill(pid, signal.SIGKILL)
    host.wait_log("status=in-doubt")
    host.wait_empty()
    assert recipients(server) == [BOB]


def test_a_session_killed_while_idle_costs_nothing(smarthost, make_host):
    host = make_host(smarthost, **QUICK)
    host.start_relayd()
    for recipient in [BOB, "carol@example.test"]:
        host.submit(MESSAGE, recipient)
        host.wait_empty()
        for pid in sessions(host):
            os.kill(pid, signal.SIGKILL)
    assert recipients(smarthost) == [BOB, "carol@example.test"] and "in-doubt" not in host.log()


# connections


def test_an_idle_connection_is_closed_with_quit(smarthost, make_host):
    host = make_host(smarthost, block={"idle_timeout": "100ms"}, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    wait_transcript(host, smarthost, "C: QUIT")
    host.wait_for(lambda: not sessions(host), what="the session has ended")


def test_a_warm_connection_is_used_again(smarthost, make_host):
    host = make_host(smarthost, **QUICK)
    host.start_relayd()
    for number in range(5):
        host.submit(MESSAGE, f"user{number}@example.test")
        host.wait_empty()
    assert smarthost.transcript().count("C: AUTH") == 1 and len(smarthost.messages()) == 5


def test_a_smarthost_that_restarted_meanwhile_costs_nothing(smarthost, make_host):
    host = make_host(smarthost, **DOUBT_STAYS)
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    host.wait_empty()
    smarthost.stop()
    smarthost.start()
    host.submit(MESSAGE, "carol@example.test")
    host.wait_empty()
    assert recipients(smarthost) == [BOB, "carol@example.test"]


def test_many_messages_use_no_more_connections_than_allowed(make_smarthost, make_host):
    server = make_smarthost(delay=5)
    host = make_host(server, block={"connections": 3}, **QUICK)
    for number in range(60):
        host.submit(MESSAGE, f"user{number}@example.test")
    host.start_relayd()
    seen = []
    host.wait_for(lambda: seen.append(len(sessions(host))) or not host.queue_files(), what="all are delivered")
    assert 1 <= max(seen) <= 3 and len(server.messages()) == 60


# settings


def test_a_reload_of_a_broken_file_keeps_the_old_settings(smarthost, make_host):
    host = make_host(smarthost, **QUICK)
    host.start_relayd()
    good = host.conf.read_text()
    host.conf.write_text(good + "frobnicate yes\n")
    host.reload()
    host.wait_log(r"postbag\.conf:\d+: frobnicate: unknown setting")
    host.wait_log("the old settings stay in force")
    host.submit(MESSAGE, BOB)
    host.wait_empty()
    assert recipients(smarthost) == [BOB]


def test_a_reload_sends_through_the_new_smarthost(make_smarthost, make_host):
    old, new = make_smarthost(), make_smarthost()
    host = make_host(old, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    host.wait_empty()
    host.configure([host.smarthost_block(new)], **QUICK)
    host.reload()
    host.wait_log("configuration read")
    host.submit(MESSAGE, "carol@example.test")
    host.wait_empty()
    assert recipients(old) == [BOB] and recipients(new) == ["carol@example.test"]


def test_a_reload_in_the_middle_of_a_message_does_not_send_it_twice(make_smarthost, make_host):
    server = make_smarthost(rule="end/1 delay 300")
    host = make_host(server, **DOUBT_STAYS)
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    wait_transcript(host, server, "rule: delay at end")
    for _ in range(5):
        host.reload()
    host.wait_empty()
    assert recipients(server) == [BOB]


@pytest.mark.parametrize("user", ["root", "no-such-user-here"])
@root_only
def test_root_refuses_a_user_that_it_cannot_become(user, make_host):
    host = make_host(None, user=user)
    for directory in [host.spool, host.run]:
        os.chown(directory, 0, 0)
    command = [host.workplace.program("relayd"), "-C", str(host.conf), "-d"]
    done = subprocess.run(command, capture_output=True, timeout=harness.TIMEOUT)
    assert done.returncode == 78 and b"user" in done.stderr


@root_only
def test_relayd_started_by_root_becomes_its_user(smarthost, make_host):
    """With relayd-session in the place where it would be installed, in a mount namespace of its own."""
    host = make_host(smarthost, user="nobody", **QUICK)
    os.chown(host.spool, 0, 0)
    os.chown(host.run, 0, 0)
    session = host.workplace.program("relayd-session")
    install = f"mount -t tmpfs tmpfs /usr/local && mkdir -p /usr/local/libexec/postbag && cp {session} /usr/local/libexec/postbag"
    relayd = host.start_relayd(within=["unshare", "-m", "sh", "-c", f'{install} && exec "$@"', "sh"])
    status = harness.text(f"/proc/{relayd.pid}/status")
    assert re.search(rf"Uid:\s+({harness.NOBODY}\s+){{4}}", status) and re.search(rf"Gid:\s+({harness.NOGROUP}\s+){{4}}", status)
    assert re.search(r"CapEff:\s+0+\n", status) and re.search(rf"Groups:\s+({harness.NOGROUP} ?)?\n", status)
    host.submit(MESSAGE, BOB)
    host.wait_empty()
    modes = [(os.stat(host.spool / sub).st_uid, oct(os.stat(host.spool / sub).st_mode & 0o7777)) for sub in ["queue", "state"]]
    assert modes == [(harness.NOBODY, "0o1730"), (harness.NOBODY, "0o700")]


def start_as_root(host, umask=0o022):
    """relayd with another user's spool, until it ends or says that it has started."""
    os.chown(host.spool, 0, 0)
    relayd = host.start_relayd(wait=False, within=["sh", "-c", f'umask {umask:o}; exec "$@"', "sh"])
    host.wait_for(lambda: not host.is_running() or "started" in host.log(), what="relayd has started or ended")
    return relayd


@root_only
def test_a_directory_of_others_is_not_given_away_for_the_socket(make_host):
    """With "runtime_directory /run" all of /run would become the daemon's."""
    host = make_host(None, user="nobody")
    os.chown(host.run, 0, 0)
    (host.run / "others").mkdir()
    assert start_as_root(host).wait(harness.TIMEOUT) == 78
    assert re.search(f"runtime_directory {host.run} is root's, and others keep something in it", host.log())
    assert os.stat(host.run).st_uid == 0


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
@root_only
def test_all_users_come_to_the_socket_whatever_the_umask_of_root(umask, make_host):
    host = make_host(None, user="nobody")
    host.run.rmdir()
    start_as_root(host, umask)
    status = os.stat(host.run)
    assert (status.st_uid, oct(status.st_mode & 0o7777)) == (harness.NOBODY, "0o755")
    assert oct(os.stat(host.run / "relayd.sock").st_mode & 0o777) == "0o666"


# what does not belong into queue/


@pytest.fixture
def spoilt(make_smarthost, make_host):
    """A host with one message in its queue, its file, and its smarthost; relayd does not run."""
    server = make_smarthost()
    host = make_host(server, **QUICK)
    host.submit(MESSAGE, BOB)
    return host, host.spool / "queue" / host.queue_files()[0], server


def write_message(path, data):
    """As sendmail does: it appears at once and whole."""
    temporary = path.parent.parent / "new"
    temporary.write_bytes(data)
    harness.give_away(temporary)
    temporary.chmod(0o440)
    temporary.rename(path)


def truncated(length):
    return lambda path, data: write_message(path, data[:length])


def replaced(old, new):
    def spoil(path, data):
        assert old in data
        write_message(path, data.replace(old, new, 1))

    return spoil


def make_sparse(path, data):
    write_message(path, data)
    path.chmod(0o640)
    os.truncate(path, 1 << 40)


def make_socket(path, data):
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(path.parent)
        listener.bind(path.name)
        os.chdir("/")


def make_instead(make):
    def spoil(path, data):
        path.unlink()
        make(path)

    return spoil


NO_MESSAGES = {
    "one octet": truncated(1),
    "a part of the magic line": truncated(10),
    "a part of the fixed lines": truncated(60),
    "no envelope": truncated(110),
    "a part of the envelope": truncated(150),
    "no content": lambda path, data: write_message(path, data[: data.index(b"\n\n") + 2]),
    "the last octet missing": truncated(-1),
    "garbage behind it": lambda path, data: write_message(path, data + b"x"),
    "a changed octet in the content": replaced(b"\r\nhello\r\n", b"\r\njello\r\n"),
    "a changed octet in the envelope": replaced(b"recipient <bob", b"recipient <rob"),
    "another length": replaced(b"length 0", b"length 1"),
    "garbage": lambda path, data: write_message(path, os.urandom(5000)),
    "zeros": lambda path, data: write_message(path, bytes(len(data))),
    "a line too many in the envelope": replaced(b"\nrecipient", b"\nfrobnicate yes\nrecipient"),
    "a line break in an address": replaced(b"<bob@", b"<bob\r\nRCPT TO:<x>@"),
    "two senders": replaced(b"\nrecipient", b"\nsender <x@y.example>\nrecipient"),
    "a second name": lambda path, data: os.link(path, path.parent.parent / "second"),
    "a terabyte of nothing": make_sparse,
    "a mode that keeps us out": lambda path, data: path.chmod(0),
    "a FIFO": make_instead(os.mkfifo),
    "a directory": make_instead(os.mkdir),
    "a symbolic link": make_instead(lambda path: path.symlink_to("/etc/passwd")),
    "a dangling symbolic link": make_instead(lambda path: path.symlink_to("nowhere")),
    "a device": make_instead(lambda path: os.mknod(path, 0o20444, os.makedev(1, 5)) if os.getuid() == 0 else path.mkdir()),
    "a socket": make_socket,
}


@pytest.mark.parametrize("what", NO_MESSAGES)
def test_a_file_that_is_no_message_is_reported_once_and_kept(what, spoilt):
    host, path, server = spoilt
    NO_MESSAGES[what](path, path.read_bytes())
    host.start_relayd()
    host.submit(MESSAGE, "carol@example.test")
    host.wait_for(lambda: host.queue_files() == [path.name], what="the other message is delivered")
    host.wait_mailq(f"{path.name[:12]} .*  corrupt  ")
    host.kill_relayd()
    host.start_relayd()
    assert re.search("  corrupt  ", host.mailq()) and host.log().count(f"{path.name[:12]}: status=corrupt") == 1
    assert host.queue_files() == [path.name] and recipients(server) == ["carol@example.test"]


def test_a_file_that_is_no_message_and_appears_while_relayd_runs(make_smarthost, make_host):
    server = make_smarthost()
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    host.wait_empty()
    write_message(host.spool / "queue" / ("0" * 26), b"garbage")
    host.submit(MESSAGE, "carol@example.test")
    server.wait_messages(2)
    host.wait_mailq("000000000000 .*  corrupt  ")
    assert host.spoolctl("remove", "000000000000").returncode == 0
    host.wait_empty()


def test_an_empty_file_is_removed(spoilt):
    host, path, server = spoilt
    write_message(path, b"")
    host.start_relayd()
    host.wait_empty()
    assert "an empty file" in host.log() and server.messages() == []


def test_a_file_of_a_newer_version_is_held(spoilt):
    host, path, server = spoilt
    write_message(path, path.read_bytes().replace(b"postbag-message 1\n", b"postbag-message 2\n"))
    host.start_relayd()
    host.wait_mailq(f"{path.name[:12]} .*  held  .*newer version")
    host.submit(MESSAGE, "carol@example.test")
    host.wait_for(lambda: host.queue_files() == [path.name], what="the other message is delivered")
    assert recipients(server) == ["carol@example.test"]


def test_names_that_no_message_has_are_left_alone(spoilt):
    host, path, server = spoilt
    data = path.read_bytes()
    odd = [b"x", b"x" * 255, b"0" * 25, b"0" * 27, b"A" * 26, b"\xff" * 26, b"0" * 25 + b"\n", b"." + b"0" * 26, b"0" * 12 + b" " * 14, b"-rf"]
    for name in odd:
        write_message(path.parent / os.fsdecode(name), data)
    host.start_relayd()
    for name in odd:
        (path.parent / os.fsdecode(name)).rename(path.parent / os.fsdecode(name))
    host.wait_for(lambda: not path.exists(), what="the one good name is delivered")
    assert recipients(server) == [BOB] and sorted(map(os.fsencode, os.listdir(path.parent))) == sorted(odd)
    assert "is empty" in host.mailq()


def test_a_message_that_vanishes_before_its_turn_is_forgotten(make_smarthost, make_host):
    server = make_smarthost(rule=DEFER)
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "later@example.test")
    host.wait_mailq("451 4.7.1")
    os.unlink(host.spool / "queue" / host.queue_files()[0])
    host.wait_mailq("is empty")
    host.submit(MESSAGE, BOB)
    host.wait_empty()


def test_a_message_that_is_damaged_while_it_waits_is_not_sent(make_smarthost, make_host):
    server = make_smarthost(rule="RCPT/1 reply 451 4.7.1 greylisted")
    host = make_host(server, **{**QUICK, "retry_interval": "1h 1h"})
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    host.wait_mailq("451 4.7.1")
    path = host.spool / "queue" / host.queue_files()[0]
    replaced(b"\r\nhello\r\n", b"\r\njello\r\n")(path, path.read_bytes())
    host.spoolctl("retry", "all")
    host.wait_mailq("  corrupt  ")
    assert server.messages() == []


def test_a_large_message_that_is_damaged_is_not_sent(make_smarthost, make_host):
    server = make_smarthost()
    host = make_host(server, **QUICK)
    host.submit(MESSAGE + b"0123456789abcde\n" * 200_000, BOB)
    path = host.spool / "queue" / host.queue_files()[0]
    data = path.read_bytes()
    write_message(path, data[:-3] + b"X\r\n")
    host.start_relayd()
    host.wait_mailq("  corrupt  ")
    assert server.messages() == [] and len(host.queue_files()) == 1


# the journal


def with_history(make_smarthost, make_host):
    """A host whose journal knows of three deferred messages, each with one recipient that is done; stopped."""
    server = make_smarthost(rule="RCPT/1-3~later reply 451 4.7.1 greylisted")
    host = make_host(server, **{**QUICK, "retry_interval": "1h 1h"})
    host.start_relayd()
    for number in range(3):
        host.submit(MESSAGE, f"done{number}@example.test", f"later{number}@example.test")
    host.wait_for(lambda: host.mailq().count("  deferred  ") == 3, what="three are deferred")
    host.kill_relayd()
    return host, server, host.spool / "state" / "journal"


def flush(host):
    host.start_relayd()
    host.spoolctl("retry", "all")
    host.wait_empty()


DONE = [f"done{number}@example.test" for number in range(3)]
LATER = [f"later{number}@example.test" for number in range(3)]
TAILS = {
    "half a line": b"12345678 17954548582",
    "a line with a wrong check value": b"00000000 1795454858274384 hofokpc7x7siqrg64kbh6fsa7r * doubt 0 0 0 0 \n",
    "garbage": b"\xff\0\x80garbage\n\n\n" * 1000,
    "zeros": bytes(5000),
    "a long line": b"x" * 300_000,
    "lines of another kind": b"frobnicate\n" * 100,
}


@pytest.mark.parametrize("tail", TAILS)
def test_a_damaged_end_of_the_journal_costs_nothing(tail, make_smarthost, make_host):
    host, server, journal = with_history(make_smarthost, make_host)
    journal.write_bytes(journal.read_bytes() + TAILS[tail])
    flush(host)
    assert recipients(server) == sorted(DONE + LATER)


@pytest.mark.parametrize("tail", ["half a line", "zeros"])
def test_what_is_written_behind_a_damaged_end_counts(tail, make_smarthost, make_host):
    host, server, journal = with_history(make_smarthost, make_host)
    journal.write_bytes(journal.read_bytes() + TAILS[tail])
    flush(host)
    host.submit(MESSAGE, "done3@example.test")
    host.wait_empty()
    host.kill_relayd()
    host.start_relayd()
    assert "is empty" in host.mailq() and recipients(server) == sorted([*DONE, *LATER, "done3@example.test"])


def test_each_damaged_line_of_the_journal_costs_at_most_its_own_duplicate(make_smarthost, make_host):
    host, server, journal = with_history(make_smarthost, make_host)
    lines = journal.read_bytes().split(b"\n")
    spoilt = next(number for number, line in enumerate(lines) if b" done " in line)
    lines[spoilt] = lines[spoilt].replace(b" done ", b" dane ")
    journal.write_bytes(b"\n".join(lines))
    flush(host)
    arrived = recipients(server)
    assert set(arrived) == set(DONE + LATER) and len(arrived) == 7
    assert "damaged line" in host.log()


def test_without_a_journal_all_is_sent_again(make_smarthost, make_host):
    host, server, journal = with_history(make_smarthost, make_host)
    journal.unlink()
    flush(host)
    assert recipients(server) == sorted(DONE + DONE + LATER)


def test_a_journal_that_cannot_be_opened_stops_relayd_at_once(make_smarthost, make_host):
    host, _, journal = with_history(make_smarthost, make_host)
    journal.unlink()
    journal.mkdir()
    host.start_relayd(wait=False)
    assert host.relayd.wait(harness.TIMEOUT) == 75 and "state/journal" in host.log()


@root_only
def test_a_full_disk_under_the_journal_loses_and_repeats_nothing(make_smarthost, make_host):
    """Delivery may stop, visibly, and goes on when there is room again."""
    server = make_smarthost()
    host = make_host(server, **QUICK)
    host.submit(MESSAGE, BOB)  # makes state/
    state = host.spool / "state"
    mount = f"mount -t tmpfs -o size=256k,mode=700,uid={harness.NOBODY} tmpfs {state}"
    script = f'{mount} && exec setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"'
    relayd = host.start_relayd(within=["unshare", "-m", "sh", "-c", script, "sh"])
    host.wait_empty()
    filling = f"/proc/{relayd.pid}/root{state}/filling"
    with pytest.raises(OSError), open(filling, "wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))
    wanted = sorted(f"user{number}@example.test" for number in range(60))
    for recipient in wanted:
        host.submit(MESSAGE, recipient)
    host.wait_for(lambda: not host.queue_files() or "journal" in host.mailq(), what="all is delivered, or mailq says why not")
    os.unlink(filling)
    host.wait_empty(timeout=harness.TIMEOUT + 15)
    assert recipients(server) == sorted([BOB, *wanted])


# looking and acting


@pytest.fixture(params=["up", "down"])
def waiting(request, make_smarthost, make_host):
    """A host with a deferred message, with relayd running and not."""
    host = make_host(make_smarthost(rule=DEFER), **{**QUICK, "retry_interval": "1h 1h"})
    host.start_relayd()
    host.submit(MESSAGE, "later@example.test")
    host.wait_mailq("451 4.7.1 greylisted")
    if request.param == "down":
        host.stop_relayd()
    return host


def test_mailq_and_spoolctl_show_what_waits_and_why(waiting):
    queue_id = waiting.queue_files()[0][:12]
    for listing in [waiting.mailq(), waiting.spoolctl("list").stdout.decode(), waiting.spoolctl("show", queue_id).stdout.decode()]:
        assert queue_id in listing and "later@example.test" in listing and "451 4.7.1 greylisted" in listing
        assert "alice@example.test" in listing and "deferred" in listing


def test_show_has_the_content_and_no_control_characters(waiting):
    waiting.submit(b"Subject: \x1b]0;pwned\x07 \xc2\x9b31m\n\n\x1b[2Jbody\x08\xff\n", "later@example.test")
    waiting.wait_queue(2)
    shown = waiting.spoolctl("show", waiting.queue_files()[1][:12])
    assert shown.returncode == 0 and b"body" in shown.stdout and b"pwned" in shown.stdout
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown.stdout.decode())


def test_remove(waiting):
    assert waiting.spoolctl("remove", waiting.queue_files()[0][:12]).returncode == 0
    waiting.wait_empty()
    assert "is empty" in waiting.mailq()
    if not waiting.is_running():
        waiting.start_relayd()
    assert "is empty" in waiting.mailq()


@pytest.mark.parametrize("which", ["ID", "whole name", "all"])
def test_retry(which, waiting):
    [server] = waiting.transcripts
    name = waiting.queue_files()[0]
    done = waiting.spoolctl("retry", {"ID": name[:12], "whole name": name, "all": "all"}[which])
    assert done.returncode == 0, done.stderr
    if not waiting.is_running():
        waiting.start_relayd()
    waiting.wait_for(lambda: server.transcript().count("C: RCPT") == 2, what="it is tried again")


@pytest.mark.parametrize("verb", ["show", "retry", "remove"])
def test_an_unknown_id(verb, waiting):
    done = waiting.spoolctl(verb, "0" * 12)
    assert done.returncode == 65 and b"there is no message 000000000000" in done.stderr
    assert len(waiting.queue_files()) == 1


@pytest.mark.parametrize("words", [["show"], ["frobnicate"], [], ["list", "all"], ["remove", "../x"], ["remove", "A" * 12],
                                   ["remove", "0" * 27], ["show", ""], ["remove", "x", "y"], ["retry", "a\nremove b"]])  # fmt: skip
def test_a_request_that_makes_no_sense(words, waiting):
    done = waiting.spoolctl(*words)
    assert done.returncode == 64 and done.stderr and len(waiting.queue_files()) == 1


@pytest.mark.parametrize("prefix", [1, 6, 11])
def test_a_part_of_an_id_is_no_id(prefix, waiting):
    done = waiting.spoolctl("remove", waiting.queue_files()[0][:prefix])
    assert done.returncode in (64, 65) and len(waiting.queue_files()) == 1


@pytest.mark.parametrize("verb", ["show", "retry", "remove"])
def test_an_id_that_two_messages_share_is_refused_and_both_are_named(verb, waiting):
    [name] = waiting.queue_files()
    twin = name[:12] + "0" * 14
    queue = waiting.spool / "queue"
    write_message(queue / twin, (queue / name).read_bytes())
    waiting.wait_mailq(f"{name[:12]}(.*\n)*.*{name[:12]}")
    done = waiting.spoolctl(verb, name[:12])
    said = done.stdout + done.stderr
    assert done.returncode == 65 and name.encode() in said and twin.encode() in said
    assert len(waiting.queue_files()) == 2
    assert waiting.spoolctl("remove", twin).returncode == 0
    waiting.wait_for(lambda: waiting.queue_files() == [name], what="only the twin is gone")


@root_only
def test_what_another_user_may_do(waiting):
    def as_other(*words):
        command = [waiting.workplace.program("spoolctl"), "-C", str(waiting.conf), *words]
        return subprocess.run(command, capture_output=True, user=1, group=1, extra_groups=[], timeout=harness.TIMEOUT)

    queue_id = waiting.queue_files()[0][:12]
    running = waiting.is_running()
    assert as_other("list").returncode == (0 if running else 77)
    for words in [["show", queue_id], ["retry", queue_id], ["remove", queue_id]]:
        done = as_other(*words)
        assert done.returncode == 77 and done.stderr.startswith(b"spoolctl: ")
    assert as_other("retry", "all").returncode == (0 if running else 77) and len(waiting.queue_files()) == 1


def test_a_message_that_is_being_sent_is_not_removed(make_smarthost, make_host):
    server = make_smarthost(rule="end/1 stall")
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    wait_transcript(host, server, "rule: stall at end")
    done = host.spoolctl("remove", host.queue_files()[0][:12])
    assert done.returncode == 75 and b"being sent" in done.stderr and len(host.queue_files()) == 1


# hostile clients of the control socket


def connect(host, octets=b""):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(harness.TIMEOUT)
    client.connect(str(host.run / "relayd.sock"))
    try:
        client.sendall(octets)
    except OSError:
        pass  # it need not listen to the end
    return client


CLIENTS = {
    "silence": b"",
    "half a request": b"lis",
    "a line of 1 MB": b"x" * (1 << 20),
    "an unknown request": b"frobnicate\n",
    "NUL": b"list\0\n",
    "binary": bytes(range(256)) * 4,
    "a request without argument": b"remove\n",
    "an argument with dots": b"remove ../../etc/passwd\n",
    "many requests": b"list\n" * 1000,
    "a list that is never read": b"list\n",
}


@pytest.mark.parametrize("what", CLIENTS)
def test_a_hostile_client_delays_nothing(what, smarthost, make_host):
    host = make_host(smarthost, **QUICK)
    host.start_relayd()
    clients = [connect(host, CLIENTS[what]) for _ in range(100)]
    host.submit(MESSAGE, BOB)
    host.wait_empty()
    for client in clients:
        client.close()
    assert recipients(smarthost) == [BOB]
    host.wait_mailq("is empty")
    stop_in_time(host)


@root_only
def test_silent_clients_of_another_user_do_not_keep_the_administrator_out(smarthost, make_host):
    host = make_host(smarthost, **QUICK)
    host.start_relayd()
    script = "import socket, sys, time\nall = []\nfor _ in range(200):\n s = socket.socket(socket.AF_UNIX)\n s.connect(sys.argv[1])\n"
    script += " all.append(s)\nprint('connected', flush=True)\ntime.sleep(600)\n"
    command = ["/usr/bin/python3", "-c", script, str(host.run / "relayd.sock")]
    other = subprocess.Popen(command, stdout=subprocess.PIPE, user=1, group=1, extra_groups=[])
    try:
        assert other.stdout.readline() == b"connected\n"
        assert "is empty" in host.mailq()
    finally:
        harness.stop_process(other)
        other.stdout.close()


def test_a_client_that_goes_away_in_the_middle_of_a_list_harms_nothing(make_smarthost, make_host):
    server = make_smarthost(rule=DEFER)
    host = make_host(server, **{**QUICK, "retry_interval": "1h 1h"})
    host.start_relayd()
    for number in range(20):
        host.submit(MESSAGE, f"later{number}@example.test")
    for _ in range(30):
        connect(host, b"list\n").close()
    host.wait_for(lambda: host.mailq().count("  deferred  ") == 20, what="all are listed")
    stop_in_time(host)


def test_it_needs_no_log_device_and_no_terminal(smarthost, make_host):
    """Standard descriptors closed: nothing that is opened takes their place."""
    host = make_host(smarthost, **QUICK)
    process = subprocess.Popen(
        ["sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh", host.workplace.program("relayd"), "-C", str(host.conf), "-d"],
        **harness.unprivileged(),
    )
    host.relayd = process
    host.wait_for(lambda: (host.run / "relayd.sock").exists(), what="relayd is ready")
    host.submit(MESSAGE, BOB)
    host.wait_empty()
    assert recipients(smarthost) == [BOB]
