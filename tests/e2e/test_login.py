"""Logging in: each SASL mechanism, channel binding, client certificates."""

import re
import shutil

import pytest

import harness
import scram

MESSAGE = b"Subject: hello\nMessage-ID: <hello@example.test>\n\nhello\n"
QUICK = {"retry_interval": "100ms 200ms", "reconnect_interval": "50ms 100ms"}
PATIENT = {**QUICK, "reconnect_interval": "50ms 1h"}
BOB = "bob@example.test"
TLS_1_2 = "NORMAL:-VERS-ALL:+VERS-TLS1.2"


def send(host):
    host.start_relayd()
    host.submit(MESSAGE, BOB)


def wait_delivered(host, server):
    host.wait_empty()
    [mail] = server.messages()
    return mail


# passwords


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"])
def test_channel_binding(mechanism, tls, make_smarthost, make_host):
    priority = TLS_1_2 if tls == "1.2" else "NORMAL"
    server = make_smarthost(mechanisms=f"PLAIN {mechanism} SCRAM-SHA-1", priority=priority)
    host = make_host(server, **QUICK)
    send(host)
    mail = wait_delivered(host, server)
    assert (mail.mechanism, mail.tls.split()[0]) == (mechanism, tls)


def test_tls_unique_against_another_implementation(workplace, certs, make_host):
    done = []
    server = harness.ScriptedServer(certs, scram.unique_script(done))
    host = make_host(server, "smtps", block={"idle_timeout": "0s"}, **PATIENT)
    send(host)
    host.wait_log("authenticated by SCRAM-SHA-256-PLUS")
    host.wait_empty()
    host.wait_for(lambda: done == [True], what="the server is done")
    server.close()


def test_a_binding_that_does_not_match_is_no_login(certs, make_host):
    done = []
    server = harness.ScriptedServer(certs, scram.unique_script(done, spoilt=True))
    host = make_host(server, "smtps", **PATIENT)
    send(host)
    host.wait_mailq("no working channel binding.*535 5.7.8")
    assert len(host.queue_files()) == 1
    server.close()


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl")
def test_tls_exporter_against_another_implementation(workplace, certs, make_host):
    server = scram.ExporterServer(workplace, certs)
    host = make_host(server, "smtps", block={"idle_timeout": "0s"}, **PATIENT)
    send(host)
    host.wait_log("TLS 1.3, authenticated by SCRAM-SHA-256-PLUS")
    host.wait_empty()
    assert server.wait_accepted(), server.transcript()
    server.close()


BOTH = "SCRAM-SHA-256-PLUS SCRAM-SHA-256"


def test_without_a_working_binding_there_is_no_way_around_it(make_smarthost, make_host):
    server = make_smarthost(mechanisms=BOTH, rule="AUTH~PLUS reply 535 5.7.8 no")
    host = make_host(server, **PATIENT)
    send(host)
    host.wait_mailq("no working channel binding.*535")
    assert server.transcript().count("C: AUTH") == 1 and len(host.queue_files()) == 1


def test_the_setting_auth_allows_the_way_around_and_the_log_says_so(make_smarthost, make_host):
    server = make_smarthost(mechanisms=BOTH, rule="AUTH~PLUS reply 535 5.7.8 no")
    host = make_host(server, block={"auth": BOTH}, **PATIENT)
    send(host)
    assert wait_delivered(host, server).mechanism == "SCRAM-SHA-256"
    assert re.search("SCRAM-SHA-256-PLUS: rejected; going on with SCRAM-SHA-256, without", host.log())


def test_tls_without_the_extended_master_secret_has_no_binding(make_smarthost, make_host):
    server = make_smarthost(mechanisms=BOTH, priority=TLS_1_2 + ":%NO_SESSION_HASH")
    host = make_host(server, **PATIENT)
    send(host)
    host.wait_mailq("TLS to the smarthost has no channel binding")
    assert "C: AUTH" not in server.transcript() and len(host.queue_files()) == 1


@pytest.mark.parametrize("mechanism", ["CRAM-MD5", "DIGEST-MD5"])
def test_an_old_mechanism_when_it_is_asked_for(mechanism, make_smarthost, make_host):
    server = make_smarthost(mechanisms=mechanism)
    host = make_host(server, block={"auth": mechanism}, **QUICK)
    send(host)
    assert wait_delivered(host, server).mechanism == mechanism


def test_an_old_mechanism_is_never_our_choice(make_smarthost, make_host):
    server = make_smarthost(mechanisms="CRAM-MD5 DIGEST-MD5")
    host = make_host(server, **QUICK)
    send(host)
    host.wait_mailq("no mechanism for user and password: the smarthost offers .*CRAM-MD5")
    assert "C: AUTH" not in server.transcript()


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256-PLUS", "CRAM-MD5", "DIGEST-MD5"])
def test_a_wrong_password_bounces_nothing(mechanism, make_smarthost, make_host):
    server = make_smarthost(mechanisms=mechanism)
    host = make_host(server, block={"auth": mechanism}, **PATIENT)
    host.set_password("wrong")
    send(host)
    host.wait_mailq("rejects user and password.*535")
    assert server.messages() == [] and len(host.queue_files()) == 1


# what a hostile server says instead

HOSTILE = {
    "235 before the proof": ("SCRAM-SHA-256", [b"235 2.7.0 fine"], "before it has proved"),
    "235 before the rspauth": ("DIGEST-MD5", [b"235 2.7.0 fine"], "before it has proved"),
    "no base64": ("SCRAM-SHA-256", [b"334 !!!"], "malformed"),
    "nothing": ("SCRAM-SHA-256", [b"334 "], "malformed"),
    "334 alone": ("SCRAM-SHA-256", [b"334"], "malformed"),
    "an equals sign": ("SCRAM-SHA-256", [b"334 ="], "malformed"),
    "a great deal": ("SCRAM-SHA-256", [b"334 " + b"A" * (1 << 20)], "line without end"),
    "another nonce": ("SCRAM-SHA-256", [b"334 cj14LHM9QUFBQSxpPTQwOTY="], "could not prove"),
    "many iterations": ("SCRAM-SHA-256", [b"334 cj14LHM9QUFBQSxpPTk5OTk5OTk5OQ=="], "too many iterations"),
    "challenges without end": ("PLAIN", [b"334 AAAA"] * 50, "more than the mechanism has"),
    "a strange code": ("PLAIN", [b"250 fine"], "answers 250 to AUTH"),
    "temporary": ("PLAIN", [b"454 4.7.0 not now"], "cannot check the password now: 454"),
    "421": ("PLAIN", [b"421 4.3.2 going down"], "AUTH: 421"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_answer_to_auth(what, certs, make_host):
    mechanism, answers, words = HOSTILE[what]

    def script(peer):
        peer.start_tls()
        peer.send(b"220 mail.example.test ESMTP\r\n")
        replies = iter(answers)
        while True:
            line = peer.line()
            if line.startswith(b"EHLO"):
                peer.send(b"250-mail.example.test\r\n250 AUTH %s\r\n" % mechanism.encode())
            elif line == b"*":
                peer.send(b"501 5.7.0 cancelled\r\n")
            else:
                peer.send(next(replies, b"535 5.7.8 no") + b"\r\n")

    server = harness.ScriptedServer(certs, script)
    host = make_host(server, "smtps", block={"auth": mechanism}, **PATIENT)
    send(host)
    host.wait_mailq(words)
    assert len(host.queue_files()) == 1 and "MAIL FROM" not in server.transcript()
    server.close()


# the same over one connection after the other: whose fault it is, and what is never done

REFUSALS = {
    "421 4.3.2 going down": "AUTH: 421",
    "432 4.7.12 a password transition is needed": "cannot check the password now: 432",
    "454 4.7.0 too many login attempts": "cannot check the password now: 454",
    "500 5.5.2 what?": "rejects user and password: 500",
    "501 5.5.2 cannot decode": "rejects user and password: 501",
    "503 5.5.1 not now": "rejects user and password: 503",
    "504 5.5.4 unknown mechanism": "rejects user and password: 504",
    "530 5.7.0 authentication required": "rejects user and password: 530",
    "534 5.7.9 application-specific password required": "rejects user and password: 534",
    "535 5.7.139 basic authentication is disabled": "rejects user and password: 535",
    "538 5.7.11 encryption required": "rejects user and password: 538",
    "300 go on": "answers 300 to AUTH",
    "220 fine": "answers 220 to AUTH",
    "354 go on": "answers 354 to AUTH",
}


@pytest.mark.parametrize("where", ["at once", "behind a challenge"])
@pytest.mark.parametrize("reply", REFUSALS)
def test_a_login_that_fails_costs_a_pause_and_no_message(reply, where, certs, make_host):
    asked = []

    def script(peer):
        peer.start_tls()
        peer.send(b"220 ready\r\n")
        while line := peer.line():
            if line.startswith(b"AUTH"):
                asked.append(line)
                if where == "behind a challenge":
                    peer.send(b"334 VXNlcm5hbWU6\r\n")
                    peer.line()
                peer.send(reply.encode() + b"\r\n")
            else:
                peer.send(b"250-ready\r\n250 AUTH LOGIN PLAIN\r\n")

    server = harness.ScriptedServer(certs, script)
    host = make_host(server, "smtps", block={"auth": "LOGIN"}, **{**QUICK, "reconnect_interval": "1h 1h"})
    send(host)
    host.wait_mailq(REFUSALS[reply])
    assert asked == [b"AUTH LOGIN"] and len(host.queue_files()) == 1 and "status=" not in host.log()
    server.close()


def test_a_login_that_is_offered_only_before_tls_is_none(make_smarthost, make_host):
    clear = r"250-mail.example.test\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n"
    server = make_smarthost(rule=f"EHLO/1 raw {clear}", without="AUTH")
    host = make_host(server, **PATIENT)
    send(host)
    host.wait_mailq(r"no mechanism for user and password: the smarthost offers \(\)")
    assert "C: AUTH" not in server.transcript() and len(host.queue_files()) == 1


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "DIGEST-MD5"])
def test_silence_in_the_middle_of_a_login_ends_at_the_deadline(mechanism, make_smarthost, make_host):
    server = make_smarthost(mechanisms=mechanism, rule="AUTH/1 raw 334 cj1h")
    host = make_host(server, block={"auth": mechanism, "command_timeout": "300ms"}, **QUICK)
    send(host)
    host.wait_log("paused=.*no answer within")
    assert wait_delivered(host, server).mechanism == mechanism


# client certificates


@pytest.mark.parametrize("block", [{}, {"password": None}, {"user": None, "password": None}], ids=str)
def test_a_client_certificate_logs_in_by_external(block, make_smarthost, make_certified, certs):
    server = make_smarthost(mechanisms="PLAIN EXTERNAL", client_ca=certs / "ca.pem")
    host = make_certified(server, block=block, **QUICK)
    send(host)
    assert wait_delivered(host, server).mechanism == "EXTERNAL"


def test_a_client_certificate_of_another_authority_is_sent_and_refused(make_smarthost, make_certified, certs):
    server = make_smarthost(mechanisms="EXTERNAL", client_ca=certs / "otherca.pem")
    host = make_certified(server, block={"password": None}, **PATIENT)
    send(host)
    host.wait_mailq("rejects the client certificate: 535")
    assert "not trusted" in server.transcript() and len(host.queue_files()) == 1


def test_a_client_certificate_alone_may_be_enough(make_smarthost, make_certified, certs):
    server = make_smarthost(user=None, password=None, client_ca=certs / "ca.pem")
    host = make_certified(server, block={"user": None, "password": None}, **QUICK)
    send(host)
    assert wait_delivered(host, server).mechanism is None
    assert "client certificate CN=alice (trusted)" in server.transcript()


def test_a_user_without_password_does_not_go_on_without_external(make_smarthost, make_certified, certs):
    server = make_smarthost(mechanisms="PLAIN", client_ca=certs / "ca.pem")
    host = make_certified(server, block={"password": None}, **PATIENT)
    send(host)
    host.wait_mailq("no mechanism for the client certificate: the smarthost offers")
    assert "C: AUTH" not in server.transcript()


BAD_KEYS = {
    "missing": "cannot read the tls_key_file .*No such file",
    "readable by others": "tls_key_file .* can be read by others",
    "of another certificate": "the key is not that of the certificate",
    "garbage": "tls_cert_file and tls_key_file: ",
}


@pytest.mark.parametrize("kind", BAD_KEYS)
def test_a_useless_key_is_said_in_words(kind, make_smarthost, make_certified, certs):
    server = make_smarthost()
    host = make_certified(server, **PATIENT)
    key = host.directory / "client.key"
    if kind == "missing":
        key.unlink()
    elif kind == "readable by others":
        key.chmod(0o440)
    elif kind == "garbage":
        key.write_text("no key\n")
    else:
        shutil.copyfile(certs / "server.key", key)
    send(host)
    host.wait_mailq(BAD_KEYS[kind])
    assert len(host.queue_files()) == 1 and server.messages() == []
