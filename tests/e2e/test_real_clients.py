"""Programs that send mail, against an installed postbag: what arrives is what was meant.

Each runs as root and as an ordinary user, on whose behalf the set-gid sendmail writes into the spool.
"""

import email
import email.policy
import json
import os
import re
import socket
import subprocess
from email.header import decode_header, make_header

import pytest

from clients import RECIPES
from harness import TIMEOUT

BINARY = bytes(range(256)) * 5
LINES = b"gr\xc3\xbc\xc3\x9fe \xe2\x82\xac\n.\n..\n.dot first\n\nFrom the start of a line\ntrailing blanks \t \n"


@pytest.fixture
def host(installation):
    installation.forget()
    return installation


@pytest.fixture(params=["root", "alice"])
def user(request):
    return request.param


def to_wire(octets):
    return octets.replace(b"\n", b"\r\n")


def header_of(mail):
    """Field names and values, unfolded, encoded words decoded."""
    head = re.sub(rb"\r\n(?=[ \t])", b"", mail.content.partition(b"\r\n\r\n")[0]).decode()
    fields = [field.partition(":") for field in head.split("\r\n")]
    return [(name, str(make_header(decode_header(value.removeprefix(" "))))) for name, _, value in fields]


def assert_header(mail, **expected):
    """Each of these fields once ("_" for "-"), or never where None is expected, and each once that every message has.

    No line of header or body ends in anything but CRLF.
    """
    found = {}
    for name, value in header_of(mail):
        found.setdefault(name.lower(), []).append(value)
    for name in ("received", "date", "from", "message-id"):
        assert len(found[name]) == 1, (name, found)
    for name, value in expected.items():
        assert found.get(name.lower().replace("_", "-")) == (None if value is None else [value]), (name, found)
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", mail.content)


def parts_of(mail):
    """The decoded octets of each part, in order: the body alone when there is but one."""
    message = email.message_from_bytes(mail.content, policy=email.policy.default)
    return [part.get_payload(decode=True) for part in message.walk() if not part.is_multipart()]


def local(user):
    return f"{user}@example.test"


# cron


def run_cron(host, user, crontab):
    """The daemon runs @reboot jobs when it starts for the first time since boot."""
    host.write("crontab", crontab.encode(), user)
    host.call("root", "crontab", "-u", user, f"/var/lib/{user}/crontab")
    host.path("/run/crond.reboot").unlink(missing_ok=True)
    try:
        with host.daemon("cron", "-f"):
            return host.arrived()
    finally:
        host.call("root", "crontab", "-u", user, "-r")


def test_the_output_of_a_cron_job_arrives(host, user):
    report = LINES + b"x" * 5000 + b"\n.\nlast line\n"
    host.write("report", report, user)
    [mail] = run_cron(host, user, "@reboot cat report\n")
    assert (mail.sender, mail.recipients) == (local(user), [local(user)])
    assert_header(
        mail,
        From="root@example.test (Cron Daemon)",
        To=local(user),
        Subject=f"Cron <{user}@{socket.gethostname().partition('.')[0]}> cat report",
    )
    assert parts_of(mail) == [to_wire(report)]


def test_the_output_of_a_cron_job_goes_where_the_alias_says(host, user):
    [mail] = run_cron(host, user, "MAILTO=webmaster\n@reboot echo done\n")
    assert (mail.sender, mail.recipients) == (local(user), ["ops@elsewhere.test"])
    assert_header(mail, From="root@example.test (Cron Daemon)", To="webmaster@example.test")
    assert parts_of(mail) == [b"done\r\n"]


# at


def test_the_output_of_an_at_job_arrives(host, user):
    """It is queued first, and found when atd starts: atd does not survive a signal that comes early."""
    host.write("report", LINES, user)
    host.path("/run/atd.pid").unlink(missing_ok=True)
    done = host.execute(user, "at", "now", input=b"cat report; id -un\n")
    number = re.search(r"^job (\d+) at ", done.stderr.decode(), re.M).group(1)
    with host.daemon("atd", "-f"):
        [mail] = host.arrived()
    assert (mail.sender, mail.recipients) == (local(user), [local(user)])
    assert_header(mail, From=f"<{local(user)}>", To=local(user), Subject=f"Output from your job {number:>8}")
    assert parts_of(mail) == [to_wire(LINES + user.encode() + b"\n")]


# bsd-mailx


def test_mailx_sends_to_all_and_shows_no_bcc(host, user):
    body = b"~r /etc/passwd\n~v\n" + LINES
    options = ["-s", "grün", "-c", "cc@example.org", "-b", "bcc@example.org"]
    host.call(user, "mail", *options, "to@example.org", "bare", input=body)
    [mail] = host.arrived()
    assert mail.sender == local(user)
    assert sorted(mail.recipients) == ["bare@example.test", "bcc@example.org", "cc@example.org", "to@example.org"]
    assert_header(
        mail,
        From=f"<{local(user)}>",
        To="bare@example.test, to@example.org",
        Cc="cc@example.org",
        Bcc=None,
        Subject="grün",
    )
    assert parts_of(mail) == [to_wire(body)]


# mutt

MUTT = ["mutt", "-s", "grün, ok", "-a", "all.bin", "-c", "cc@example.org", "-b", "bcc@example.org", "--"]


def send_with_mutt(host, user, muttrc):
    host.write(".muttrc", muttrc.encode(), user)
    host.write("all.bin", BINARY, user)
    host.call(user, *MUTT, "to@example.org", "bare", input=LINES)
    [mail] = host.arrived()
    assert_header(mail, To="to@example.org, bare@example.test", Cc="cc@example.org", Bcc=None, Subject="grün, ok")
    assert parts_of(mail) == [to_wire(LINES), BINARY]
    assert mail.recipients == ["to@example.org", "bare@example.test", "cc@example.org", "bcc@example.org"]
    return mail


def test_mutt_sends_with_its_defaults(host, user):
    mail = send_with_mutt(host, user, "")
    assert mail.sender == local(user)
    assert_header(mail, From=local(user))
    assert mail.recipient_parameters == [""] * 4


def test_mutt_asks_for_notifications(host, user):
    mail = send_with_mutt(
        host,
        user,
        "set sendmail='/usr/sbin/sendmail -oem -oi'\n"
        "set dsn_notify='failure,delay'\nset dsn_return=hdrs\n"
        "set from='Älice <alice@example.org>'\nset use_envelope_from=yes\n",
    )
    assert mail.sender == "alice@example.org"
    assert_header(mail, From="Älice <alice@example.org>")
    assert "RET=HDRS" in mail.sender_parameters.split()
    assert mail.recipient_parameters == ["NOTIFY=FAILURE,DELAY"] * 4


# git send-email

REPOSITORY = """set -eu
git config --global user.name 'Älice'
git config --global user.email alice@example.org
git config --global init.defaultBranch main
rm -rf repository mails again
git init -q repository && cd repository
printf 'one\n' >file && git add file && git commit -q -m start
printf 'grün\r\n.\nFrom here\n\ttrailing blank \n' >file && git commit -q -a -m 'first: grün' -m '.
body of the message'
printf 'no newline' >>file && git commit -q -a -m second
"""
SEND = """cd repository
git send-email --quiet --confirm=never --suppress-cc=all --8bit-encoding=UTF-8 \
	--to to@example.org --to bare --cc cc@example.org -2
"""
APPLY = """set -eu
git clone -q repository again && cd again
git checkout -q HEAD~2
git am -q --keep-cr ../mails/*
git log --format='%T %an %ae %B' -2
cd ../repository
git log --format='%T %an %ae %B' -2
"""


def test_git_am_makes_the_same_commits_of_what_git_send_email_sent(host, user):
    host.call(user, "sh", "-c", REPOSITORY)
    host.call(user, "sh", "-c", SEND)
    mails = host.arrived(2)
    for number, mail in enumerate(sorted(mails, key=lambda mail: dict(header_of(mail))["Subject"]), 1):
        assert mail.sender == local(user)
        assert mail.recipients == ["to@example.org", "bare@example.test", "cc@example.org"]
        subject = f"[PATCH {number}/2] {['first: grün', 'second'][number - 1]}"
        assert_header(
            mail,
            From="Älice <alice@example.org>",
            To="to@example.org,\tbare@example.test",
            Cc="cc@example.org",
            Subject=subject,
        )
        host.call(user, "mkdir", "-p", "mails")
        host.write(f"mails/{number}", mail.content.replace(b"\r\n", b"\n"), user)
    log = host.call(user, "sh", "-c", APPLY).decode()
    assert log[: len(log) // 2] == log[len(log) // 2 :] and "body of the message" in log


# PHP


def php_mail(host, user, *arguments):
    code = "exit(mail(...json_decode(stream_get_contents(STDIN))) ? 0 : 1);"
    host.call(user, "php", "-r", code, input=json.dumps(arguments).encode())
    [mail] = host.arrived()
    return mail


def test_php_mail_arrives_with_single_line_ends(host, user):
    headers = "From: Älice <alice@example.org>\r\nBcc: bcc@example.org\r\nX-Mixed: yes"
    body = (to_wire(LINES) + LINES + b"PHP ends this line").decode()
    mail = php_mail(host, user, "to@example.org, Bob <bob@example.org>", "plain", body, headers)
    assert mail.sender == local(user)
    assert mail.recipients == ["to@example.org", "bob@example.org", "bcc@example.org"]
    assert_header(
        mail,
        From="Älice <alice@example.org>",
        To="to@example.org, Bob <bob@example.org>",
        Bcc=None,
        Subject="plain",
        X_Mixed="yes",
    )
    assert parts_of(mail) == [to_wire(2 * LINES + b"PHP ends this line\n")]


def test_php_mail_sets_the_envelope_sender(host, user):
    mail = php_mail(host, user, "bare", "plain", "hello", "From: alice@example.org", "-fbounces@example.org")
    assert (mail.sender, mail.recipients) == ("bounces@example.org", ["bare@example.test"])
    assert_header(mail, From="alice@example.org", To="bare@example.test", Subject="plain")
    assert parts_of(mail) == [b"hello\r\n"]


# Symfony's mailer, over sendmail -bs


def test_symfony_sends_two_messages_over_one_bs_session(host, user):
    host.write("symfony.php", (RECIPES / "symfony.php").read_bytes(), user)
    host.call(user, "php", "symfony.php")
    first, second = sorted(host.arrived(2), key=lambda mail: -len(mail.recipients))
    assert first.sender == second.sender == "alice@example.org"
    assert sorted(first.recipients) == [f"{name}@example.org" for name in ("bob", "carol", "dave", "eve")]
    assert_header(
        first,
        From="Ällice <alice@example.org>",
        To="bob@example.org, Carol <carol@example.org>",
        Cc="dave@example.org",
        Bcc=None,
        Subject="Grüße, € and more",
    )
    assert parts_of(first) == ["hello\r\n.\r\n..two dots\r\ngrün\r\n".encode(), BINARY[:256]]
    assert second.recipients == ["frank@example.org"]
    assert_header(second, From="alice@example.org", To="frank@example.org", Cc=None, Bcc=None, Subject="second")
    assert parts_of(second) == [b"from the same process\r\n"]


# programs that are not here, by the command lines that stand in their sources

REPORT = "Subject: report\nTo: Admin <admin@example.org>\n\nabove: grün\n.\nbelow\n"
OTHERS = {
    "mdadm": (["-t"], None, ["admin@example.org"]),
    "fail2ban": (["-f", "fail2ban@example.org", "admin@example.org"], "fail2ban@example.org", ["admin@example.org"]),
    "proxmox": (
        ["-B", "8BITMIME", "-f", "pve@example.org", "--", "admin@example.org", "-dash@example.org"],
        "pve@example.org",
        ["admin@example.org", "-dash@example.org"],
    ),
    "systemd-cron": (["-i", "-B", "8BITMIME", "admin"], None, ["admin@example.test"]),
}


@pytest.mark.parametrize("ignore_dots", ["no", "yes"])
@pytest.mark.parametrize("program", OTHERS)
def test_a_report_arrives_up_to_a_lone_dot_unless_dots_are_ignored(host, user, program, ignore_dots):
    options, sender, recipients = OTHERS[program]
    with host.setting("ignore_dots", ignore_dots):
        done = host.execute(user, "/usr/sbin/sendmail", *options, input=REPORT.encode())
    ends = ignore_dots == "no" and "-i" not in options
    assert (done.returncode, b"single dot" in done.stderr) == (0, ends), done.stderr
    [mail] = host.arrived()
    assert (mail.sender, mail.recipients) == (sender or local(user), recipients)
    assert "BODY=8BITMIME" in mail.sender_parameters.split()
    assert_header(mail, From=f"<{sender or local(user)}>", To="Admin <admin@example.org>", Subject="report")
    assert parts_of(mail) == ["above: grün\r\n".encode() + (b"" if ends else b".\r\nbelow\r\n")]


def test_the_probe_of_netdata_is_answered_before_input_is_read(host, user):
    if os.environ.get("POSTBAG_SANITIZE") and user != "root":
        pytest.skip("a set-gid program does not let the leak check see it")
    reading, writing = os.pipe()
    try:
        done = subprocess.run(
            host.inside(user, "/usr/sbin/sendmail", "-F"), stdin=reading, capture_output=True, timeout=TIMEOUT
        )
    finally:
        os.close(reading)
        os.close(writing)
    assert done.returncode == 64
    assert b"option requires an argument" in done.stderr.splitlines()[0]
