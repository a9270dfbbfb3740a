"""What becomes of a message when the smarthost, the way to it, or our credential is at fault."""

import os
import re
import subprocess

import pytest

import harness

MESSAGE = b"Subject: hello\nMessage-ID: <hello@example.test>\n\nhello\n"
QUICK = {"retry_interval": "100ms 200ms", "reconnect_interval": "50ms 100ms", "in_doubt_interval": "200ms"}
SHORT_WAIT = f"{int(500 * float(os.environ.get('POSTBAG_SLOWNESS', '1')))}ms"

FAULTS = {
    "421": "reply 421 4.3.2 going down",
    "4xx": "reply 451 4.3.0 not now",
    "5xx": "reply 554 5.3.0 never",
    "drop": "drop",
    "reset": "reset",
    "garbage": r"raw \x01\xffwhat?\r\n",
    "stall": "stall",
}
CONNECTING = ["banner/1", "EHLO/1", "STARTTLS/1", "EHLO/2", "AUTH/1"]
ABOUT_THE_MESSAGE = ["MAIL/1", "RCPT/1", "DATA/1", "BDAT/3", "end/1"]  # the first two chunks are the probe


def without(where, *extensions):
    """DATA is the way for whoever cannot use BDAT."""
    return [*extensions, *(["CHUNKING"] if "DATA" in where else [])]


def wait_delivered_once(host, server, recipient="bob@example.test"):
    """The message has arrived, and nothing else has."""
    host.wait_empty()
    assert [mail.recipients for mail in server.messages()] == [[recipient]]


def wait_returned(host, server):
    """Only a bounce has arrived."""
    host.wait_empty()
    assert [(mail.sender, mail.recipients) for mail in server.messages()] == [("", ["alice@example.test"])]


def wait_held(host, server):
    host.wait_mailq(r"  held  .*\n(.*\n)*.*554 5\.3\.0 never")
    assert server.messages() == [] and len(host.queue_files()) == 1


def expected(where, fault):
    if fault != "5xx" or where in CONNECTING:
        return wait_delivered_once
    return wait_held if where == "MAIL/1" else wait_returned


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("where", CONNECTING + ABOUT_THE_MESSAGE)
def test_one_fault_in_each_phase(where, fault, make_smarthost, make_host):
    server = make_smarthost(rule=f"{where} {FAULTS[fault]}", without=without(where))
    block = {"command_timeout": SHORT_WAIT} if fault == "stall" else {}
    host = make_host(server, block=block, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    expected(where, fault)(host, server)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_rset_costs_the_second_message_nothing(fault, make_smarthost, make_host):
    server = make_smarthost(rule=f"RSET/1 {FAULTS[fault]}")
    host = make_host(server, block={"connections": 1, "command_timeout": SHORT_WAIT}, **QUICK)
    for recipient in ["bob@example.test", "carol@example.test"]:
        host.submit(MESSAGE, recipient)
    host.start_relayd()
    host.wait_empty()
    assert sorted(mail.recipients[0] for mail in server.messages()) == ["bob@example.test", "carol@example.test"]


@pytest.mark.parametrize("missing", [[], ["CHUNKING"], ["PIPELINING"]], ids=str)
@pytest.mark.parametrize("where", ["MAIL", "RCPT", "DATA", "end"])
def test_421_charges_no_message(where, missing, make_smarthost, make_host):
    server = make_smarthost(rule=f"{where}/1 reply 421 4.3.2 going down", without=without(where, *missing))
    host = make_host(server, **{**QUICK, "retry_interval": "1h 1h", "in_doubt_interval": "1h"})
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    wait_delivered_once(host, server)
    assert re.search(r"paused=.*421 4\.3\.2 going down", host.log()) and "deferred" not in host.log()


def test_an_answer_after_the_content_that_never_comes_may_mean_two_copies(make_smarthost, make_host):
    server = make_smarthost(rule="end/1 accept-then-drop")
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_empty()
    one, two = server.messages()
    assert one.content == two.content and b"\r\nMessage-ID: <hello@example.test>\r\n" in one.content


def test_a_fault_that_stays_is_logged_once(make_smarthost, make_host):
    server = make_smarthost(rule="banner reply 554 5.3.2 closed for today")
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_for(lambda: server.transcript().count("closed for today") >= 6, what="six attempts")
    assert host.log().count("closed for today") == 1
    host.wait_mailq("closed for today")
    assert len(host.queue_files()) == 1


# nothing in the clear


def test_without_starttls_nothing_is_sent_in_the_clear(make_smarthost, make_host):
    server = make_smarthost(no_starttls=True, auth_in_clear=True)
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_mailq("does not offer STARTTLS")
    assert not re.search("C: (AUTH|MAIL)", server.transcript())


def test_text_behind_the_answer_to_starttls_is_an_attack(make_smarthost, make_host):
    server = make_smarthost(rule=r"STARTTLS/1 raw 220 go\r\n250-mail.example.test\r\n250 AUTH PLAIN\r\n")
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_log("injected behind the reply to STARTTLS")
    wait_delivered_once(host, server)
    assert not re.search(r"^1 C: (AUTH|MAIL|EHLO.*\n(.*\n)*1 C: EHLO)", server.transcript(), re.M)


def test_what_was_offered_before_tls_is_forgotten(make_smarthost, make_host):
    clear = r"250-mail.example.test\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n250 SIZE 10\r\n"
    server = make_smarthost(rule=f"EHLO/1 raw {clear}", mechanisms="SCRAM-SHA-256")
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    wait_delivered_once(host, server)
    assert "C: AUTH SCRAM-SHA-256" in server.transcript()


BAD_CERTIFICATES = {
    "wrongname": r"it is for other\.example\.test, not for localhost",
    "expired": r"(?i)expired",
    "notyet": r"(?i)not yet",
    "selfsigned": r"(?i)not trusted|unknown|issuer",
    "weak": r"(?i)insecure|weak|algorithm",
}


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
@pytest.mark.parametrize("certificate", BAD_CERTIFICATES)
def test_a_bad_certificate_gets_no_credential(certificate, scheme, certs, make_smarthost, make_host):
    server = make_smarthost(
        cert=certs / f"{certificate}.pem", key=certs / f"{certificate}.key", implicit_tls=scheme == "smtps"
    )
    host = make_host(server, scheme, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    listing = host.wait_mailq(r"(?i)certificate")
    assert re.search(BAD_CERTIFICATES[certificate], listing), listing
    assert not re.search("C: (AUTH|MAIL)", server.transcript()) and server.messages() == []


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_certificate_of_another_authority_gets_no_credential(scheme, other_certs, make_smarthost, make_host):
    server = make_smarthost(implicit_tls=scheme == "smtps")
    host = make_host(server, scheme, ca=other_certs / "ca.pem", **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_mailq(r"(?i)certificate.*(not trusted|unknown|issuer)")
    assert not re.search("C: (AUTH|MAIL)", server.transcript())


def make_trust_file(kind, directory):
    path = directory / "trust.pem"
    if kind == "a directory":
        path.mkdir()
    elif kind != "missing":
        path.write_text({"empty": "", "no PEM": "hello\n"}.get(kind, "secret"))
        path.chmod(0 if kind == "unreadable" else 0o644)
    return path


@pytest.mark.parametrize("kind", ["missing", "empty", "no PEM", "unreadable", "a directory"])
def test_a_useless_trust_file_is_no_trust(kind, smarthost, workplace, make_host):
    path = make_trust_file(kind, workplace.new_directory("trust"))
    host = make_host(smarthost, ca=path, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_mailq(f'tls_trust_file "{re.escape(str(path))}"')
    assert not re.search("C: (AUTH|MAIL)", smarthost.transcript()) and smarthost.messages() == []


def test_a_trust_file_that_appears_heals_without_a_reload(smarthost, certs, workplace, make_host):
    path = workplace.new_directory("trust") / "trust.pem"
    host = make_host(smarthost, ca=path, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_mailq("tls_trust_file")
    path.write_bytes((certs / "ca.pem").read_bytes())
    path.chmod(0o644)
    wait_delivered_once(host, smarthost)


def test_tls_1_1_is_refused(make_smarthost, make_host):
    server = make_smarthost(priority="NORMAL:-VERS-ALL:+VERS-TLS1.1:+VERS-TLS1.0:%COMPAT")
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_mailq("TLS handshake")
    assert not re.search("C: (AUTH|MAIL)", server.transcript())


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_tls_from_the_first_byte(version, make_smarthost, make_host):
    server = make_smarthost(implicit_tls=True, priority=f"NORMAL:-VERS-ALL:+VERS-TLS{version}")
    host = make_host(server, "smtps", **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    wait_delivered_once(host, server)
    assert server.messages()[0].tls == version


def test_tls_against_a_port_that_speaks_smtp_first(smarthost, make_host):
    host = make_host(smarthost, "smtps", **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_mailq("TLS handshake")
    assert smarthost.messages() == [] and len(host.queue_files()) == 1


NO_LOGIN = {"user": None, "password": None}


def test_without_tls_only_when_it_is_set(make_smarthost, make_host):
    server = make_smarthost(user=None, password=None)
    host = make_host(server, block={**NO_LOGIN, "tls": "none"}, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    wait_delivered_once(host, server)
    assert "C: STARTTLS" not in server.transcript()


@pytest.mark.parametrize("offered", [True, False])
def test_opportunistic_tls_is_used_where_it_is_offered(offered, make_smarthost, make_host):
    server = make_smarthost(user=None, password=None, no_starttls=not offered)
    host = make_host(server, block={**NO_LOGIN, "tls": "opportunistic"}, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    wait_delivered_once(host, server)
    assert ("C: STARTTLS" in server.transcript()) == offered


@pytest.mark.parametrize("tls", ["none", "opportunistic"])
def test_a_password_without_required_tls_is_refused(tls, smarthost, make_host):
    host = make_host(smarthost, block={"tls": tls}, **QUICK)
    host.start_relayd(wait=False)
    assert host.relayd.wait(harness.TIMEOUT) == 78
    assert re.search(r"postbag\.conf:\d+: smarthost: .*insecure_auth", host.log())


def test_a_password_in_the_clear_when_it_is_asked_for(make_smarthost, make_host):
    server = make_smarthost(no_starttls=True, auth_in_clear=True)
    host = make_host(server, block={"tls": "none", "insecure_auth": "yes"}, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    wait_delivered_once(host, server)


# the credential


def test_a_wrong_password_bounces_nothing_and_heals_on_reload(smarthost, make_host):
    host = make_host(smarthost, **{**QUICK, "reconnect_interval": "50ms 1h"})
    host.set_password("wr0ng-one")
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    listing = host.wait_mailq("rejects user and password: 535")
    assert smarthost.messages() == [] and "wr0ng-one" not in listing + host.log() + smarthost.transcript()
    host.set_password("s3cret")
    host.reload()
    wait_delivered_once(host, smarthost)


def test_an_ordinary_flush_does_not_shorten_the_pause_after_a_refused_credential(smarthost, make_host):
    if os.getuid() != 0:
        pytest.skip("only root can act as another user")
    host = make_host(smarthost, **{**QUICK, "reconnect_interval": "50ms 1h"})
    host.set_password("wrong")
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_mailq("535")
    flush = [host.workplace.program("sendmail"), "-C", str(host.conf), "-q"]
    assert subprocess.run(flush, user=1, group=1, extra_groups=[], timeout=harness.TIMEOUT).returncode == 0
    host.mailq()  # answered behind the flush
    assert smarthost.transcript().count("C: AUTH") == 1
    assert host.sendmail("-q").returncode == 0
    host.wait_for(lambda: smarthost.transcript().count("C: AUTH") == 2, what="the owner's flush tries again")


BAD_PASSWORD_FILES = {
    "missing": "No such file",
    "empty": "empty",
    "readable by others": "read by others",
    "readable by its group": "read by others",
    "a directory": "not a regular file",
    "with NUL": "NUL",
}


def spoil_password(kind, path):
    path.unlink()
    if kind == "a directory":
        path.mkdir()
    elif kind != "missing":
        path.write_bytes({"empty": b"", "with NUL": b"s3c\0ret\n"}.get(kind, b"s3cret\n"))
        path.chmod({"readable by others": 0o604, "readable by its group": 0o640}.get(kind, 0o400))
        harness.give_away(path)


@pytest.mark.parametrize("kind", BAD_PASSWORD_FILES)
def test_a_useless_password_file_bounces_nothing(kind, smarthost, make_host):
    host = make_host(smarthost, **QUICK)
    spoil_password(kind, host.password)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_mailq(f'password file "{re.escape(str(host.password))}".*{BAD_PASSWORD_FILES[kind]}')
    assert "C: AUTH" not in smarthost.transcript() and smarthost.messages() == []
    assert len(host.queue_files()) == 1


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_line_end_does_not_belong_to_the_password(end, smarthost, make_host):
    host = make_host(smarthost, **QUICK)
    host.password.write_bytes(b"s3cret" + end.encode())
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    wait_delivered_once(host, smarthost)


def process_file(pid, name):
    """What others can read of a process: nothing, if the kernel keeps even its own user out."""
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except PermissionError:
        return b""


def test_the_password_stands_in_no_process_table_and_no_file(smarthost, make_host):
    host = make_host(smarthost, **QUICK)
    relayd = host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    wait_delivered_once(host, smarthost)
    children = harness.text(f"/proc/{relayd.pid}/task/{relayd.pid}/children").split()
    assert children
    for pid in [relayd.pid, *children]:
        assert b"s3cret" not in process_file(pid, "cmdline") + process_file(pid, "environ")
    assert "s3cret" not in host.log() + harness.text(host.spool / "state" / "journal")


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-256"])
def test_each_mechanism(mechanism, make_smarthost, make_host):
    server = make_smarthost(mechanisms=mechanism)
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    wait_delivered_once(host, server)
    assert server.messages()[0].mechanism == mechanism


def test_no_mechanism_in_common_is_said_in_words(make_smarthost, make_host):
    server = make_smarthost(mechanisms="PLAIN LOGIN")
    host = make_host(server, block={"auth": "SCRAM-SHA-256"}, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    listing = host.wait_mailq("no mechanism")
    assert "PLAIN LOGIN" in listing and "SCRAM-SHA-256" in listing
    assert "C: AUTH" not in server.transcript()


def test_a_server_that_wants_a_login_that_we_do_not_have(smarthost, make_host):
    host = make_host(smarthost, block=NO_LOGIN, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_mailq(r"530")
    assert smarthost.messages() == [] and len(host.queue_files()) == 1


def test_after_a_refusal_no_other_mechanism_is_tried(make_smarthost, make_host):
    server = make_smarthost(rule="AUTH reply 535 5.7.8 no")
    host = make_host(server, **{**QUICK, "reconnect_interval": "1h 1h"})
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_mailq("535")
    assert server.transcript().count("C: AUTH") == 1


# servers with less, and more servers


@pytest.mark.parametrize("extension", ["PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN"])
def test_a_server_without_an_extension_is_not_asked_for_it(extension, make_smarthost, make_host):
    server = make_smarthost(without=extension, strict=True, rule=["RCPT~bad reply 550 no such user"])
    host = make_host(server, **QUICK)
    host.submit(MESSAGE, "bob@example.test", "bad@example.test", "carol@example.test")
    host.submit(MESSAGE, "dave@example.test")
    host.start_relayd()
    host.wait_empty()
    recipients = sorted(mail.recipients for mail in server.messages())
    assert recipients == [["alice@example.test"], ["bob@example.test", "carol@example.test"], ["dave@example.test"]]


def test_a_server_with_no_extension_at_all(make_smarthost, make_host):
    extensions = ["PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN", "CHUNKING"]
    server = make_smarthost(without=extensions, strict=True)
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    wait_delivered_once(host, server)


def test_addresses_beyond_ascii_with_smtputf8(smarthost, make_host):
    host = make_host(smarthost, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "zoë@bücher.example")
    wait_delivered_once(host, smarthost, "zoë@bücher.example")
    assert "SMTPUTF8" in smarthost.messages()[0].sender_parameters


def test_without_smtputf8_a_domain_becomes_ascii_and_a_local_part_is_refused(make_smarthost, make_host):
    server = make_smarthost(without="SMTPUTF8", strict=True)
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@bücher.example", "zoë@example.test")
    host.wait_empty()
    by_sender = {mail.sender: mail for mail in server.messages()}
    assert by_sender["alice@example.test"].recipients == ["bob@xn--bcher-kva.example"]
    assert b"Status: 5.6.7" in by_sender[""].content


def test_a_message_larger_than_the_server_takes_is_returned(make_smarthost, make_host):
    server = make_smarthost(size=4000)
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE + b"x" * 70 + b"\n" + b"y" * 9000 + b"\n", "bob@example.test", options=["-R", "hdrs"])
    wait_returned(host, server)
    assert b"Status: 5.3.4" in server.messages()[0].content


def test_the_second_smarthost_takes_over_while_the_first_is_down(make_smarthost, make_host):
    first, second = make_smarthost(), make_smarthost()
    first.stop()
    host = make_host([first, second], **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    wait_delivered_once(host, second)
    assert re.search(f"smarthost=localhost:{first.port} paused=.*Connection refused", host.log())


def test_the_first_smarthost_is_used_again_when_it_is_back(make_smarthost, make_host):
    first, second = make_smarthost(), make_smarthost()
    first.stop()
    host = make_host([first, second], block={"idle_timeout": "0s"}, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    wait_delivered_once(host, second)
    first.start()

    def arrives_at_the_first():
        host.submit(MESSAGE, "carol@example.test")
        host.wait_empty()
        return first.messages()

    host.wait_for(arrives_at_the_first, what="a message arrives at the first smarthost")


def test_both_smarthosts_down_and_one_comes_back(make_smarthost, make_host):
    first, second = make_smarthost(), make_smarthost()
    first.stop()
    second.stop()
    host = make_host([first, second], **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_mailq(r"waits for .*Connection refused")
    second.start()
    wait_delivered_once(host, second)


def test_a_name_with_several_addresses_is_tried_at_each(make_smarthost, make_host, workplace):
    within = harness.knowing(workplace, "::1 localhost\n127.0.0.2 localhost\n127.0.0.1 localhost\n")
    server = make_smarthost(bind="127.0.0.1")
    host = make_host(server, block={"connect_timeout": "5s"}, **QUICK)
    host.start_relayd(within=within)
    host.submit(MESSAGE, "bob@example.test")
    wait_delivered_once(host, server)


def test_a_smarthost_whose_name_does_not_exist_keeps_the_mail(smarthost, make_host):
    host = make_host(None, **QUICK)
    host.configure(["smarthost smtp://no-such-host.invalid:2525"], **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_mailq("cannot find the address of no-such-host.invalid")
    assert len(host.queue_files()) == 1


def test_without_smarthost_the_mail_waits_and_mailq_says_why(make_host):
    host = make_host(None, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_mailq("no smarthost is configured")
