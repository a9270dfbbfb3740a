"""Replies by which providers mean something else than their code says."""

import re

import pytest

MESSAGE = b"Subject: hello\nMessage-ID: <hello@example.test>\n\nhello\n"
# a deferral would last longer than the test waits
QUICK = {"retry_interval": "1h 1h", "reconnect_interval": "50ms 100ms", "in_doubt_interval": "1h"}

FOR_NOW = {
    "rate": "end/1 reply 454 Throttling failure: Maximum sending rate exceeded.",
    "throttle": "MAIL/1 reply 451 4.7.500 Server busy. Please try again later",
    "daily quota, a 4xx": "end/1 reply 454 Throttling failure: Daily message quota exceeded.",
    "daily quota, a 5xx": "MAIL/1 reply 550 5.4.5 Daily user sending limit exceeded.",
    "daily quota by text": "end/1 reply 554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException;",
    "too many connections": "end/1 reply 432 4.3.2 Concurrent connections limit exceeded",
    "throttle, closing": "RCPT/1 reply 421 4.7.28 Our system has detected an unusual rate of unsolicited mail",
    "throttle by the network": "end/1 reply 452 4.4.5 Insufficient system resources",
    "our name": "RCPT/1 reply 504 5.5.2 <host>: Helo command rejected: need fully-qualified hostname",
    "our reputation": "MAIL/1 reply 550 5.7.1 Messages from this address are refused: its reputation is bad",
    "a login is missing": "MAIL/1 reply 530 5.7.0 Authentication Required",
    "a login is missing, says Exim": "RCPT/1 reply 550 Authentication required",
    "a password has ended": "MAIL/1 reply 535 5.7.3 Authentication unsuccessful",
    "passwords are off": "MAIL/1 reply 550 5.7.30 Basic authentication is not supported for Client Submission",
    "our address": "RCPT/1 reply 554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.example",
}
RECIPIENT = {
    "unknown": "550 5.1.1 no such user",
    "unknown domain": "550 5.1.2 no such domain",
    "disabled": "550 5.2.1 the mailbox is disabled",
    "no mail at all": "556 5.1.10 the domain takes no mail",
    "full": "552 5.2.2 mailbox full",
    "policy": "554 5.7.1 relay access denied",
}
CONTENT = {
    "spam": "550 5.7.1 this message looks like spam",
    "bare CR": "552 5.6.0 the message has bare CR",
    "long lines": "500 5.5.2 line too long",
    "8-bit": "554 5.6.3 8BIT is not allowed",
    "too large": "552 5.3.4 too large",
    "no subject": "554 5.2.1 Subject is mandatory",
}
SENDER = {
    "Microsoft": "end reply 554 5.2.252 SendAsDenied; web1@example.org not allowed to send as",
    "Fastmail": "end reply 551 5.7.1 Not authorised to send from this header address",
    "Postfix": "RCPT reply 553 5.7.1 <alice@example.test>: Sender address rejected: not owned by user web1",
    "SES": "end reply 554 Message rejected: Email address is not verified.",
}


@pytest.mark.parametrize("without", [None, "PIPELINING"])
@pytest.mark.parametrize("case", FOR_NOW)
def test_a_limit_pauses_the_smarthost_and_charges_no_message(case, without, make_smarthost, make_host):
    server = make_smarthost(rule=FOR_NOW[case], without=without)
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_empty()
    assert [mail.recipients for mail in server.messages()] == [["bob@example.test"]]
    assert "paused=" in host.log() and not re.search("deferred|bounced|in-doubt", host.log())


@pytest.mark.parametrize("case", RECIPIENT)
def test_a_recipient_that_is_refused_is_returned_alone(case, make_smarthost, make_host):
    server = make_smarthost(rule=f"RCPT~bad reply {RECIPIENT[case]}")
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bad@example.test", "bob@example.test")
    host.wait_empty()
    assert sorted(mail.recipients for mail in server.messages()) == [["alice@example.test"], ["bob@example.test"]]
    assert "paused=" not in host.log()


def test_a_mailbox_that_gets_too_much_waits_alone(make_smarthost, make_host):
    server = make_smarthost(rule="RCPT~busy reply 450 4.2.1 The user you are trying to contact is receiving mail too quickly")
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "busy@example.test", "bob@example.test")
    host.wait_log("status=deferred.*too quickly")
    assert [mail.recipients for mail in server.messages()] == [["bob@example.test"]] and "paused=" not in host.log()


@pytest.mark.parametrize("case", CONTENT)
def test_content_that_is_refused_is_returned_once_and_not_sent_in_another_form(case, make_smarthost, make_host):
    server = make_smarthost(rule=f"end/1 reply {CONTENT[case]}")
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_empty()
    assert [(mail.sender, mail.recipients) for mail in server.messages()] == [("", ["alice@example.test"])]
    assert server.transcript().count("RCPT TO:<bob@example.test>") == 1


@pytest.mark.parametrize("case", SENDER)
def test_a_sender_that_is_refused_late_is_held(case, make_smarthost, make_host):
    server = make_smarthost(rule=SENDER[case])
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_mailq("  held  ")
    assert server.messages() == [] and "paused=" not in host.log()


def test_a_sender_that_is_refused_late_is_returned_on_request(make_smarthost, make_host):
    server = make_smarthost(rule="end/1 reply 551 5.7.1 Not authorised to send from this header address")
    host = make_host(server, block={"on_sender_refused": "bounce"}, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_empty()
    assert [(mail.sender, mail.recipients) for mail in server.messages()] == [("", ["alice@example.test"])]


ENOUGH = [f"{where}/3 reply 421 too many messages in this connection" for where in ("MAIL", "RCPT", "DATA")]
ENOUGH.append("RCPT/3 reply 421 4.7.0 mail.example.org Error: too many errors")


@pytest.mark.parametrize("rule", ENOUGH)
def test_messages_over_the_limit_of_a_connection_go_on_another_one_without_pause(rule, make_smarthost, make_host):
    server = make_smarthost(rule=rule, without="CHUNKING" if "DATA" in rule else None)
    settings = {**QUICK, "reconnect_interval": "1h 1h"}
    host = make_host(server, block={"connections": 1}, **settings)
    for number in range(4):
        host.submit(MESSAGE, f"user{number}@example.test")
    host.start_relayd()
    host.wait_empty()
    assert len(server.messages()) == 4 and "paused=" not in host.log()
    assert len(re.findall("connected=", host.log())) == 2


def test_a_smarthost_that_takes_not_one_message_on_a_connection_pauses(make_smarthost, make_host):
    server = make_smarthost(rule="MAIL reply 452 4.5.3 maximum of 0 messages per connection")
    host = make_host(server, **{**QUICK, "reconnect_interval": "1h 1h"})
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_log("paused=.*0 messages per connection")
    assert server.messages() == []
