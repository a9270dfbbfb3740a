"""Who a message is from, as the smarthost sees it: from, rewrite_from, and the name in EHLO."""

import re

import pytest

REFUSE = "RCPT~bad reply 550 5.1.1 no such user"
REWRITE = {"from": "web1@example.org", "rewrite_from": "yes"}
HEADER = b"Date: Mon, 23 Nov 2026 19:00:00 +0000\nTo: bob@example.test\nMessage-ID: <a@example.test>\n"
BODY = b"\nFrom: the body\n.\nhello\n"
# more than 1 MB: checked while it is sent
LARGE = BODY + b"From: x <y@z>\n....5678901234567890\n" * 40000


def crlf(octets):
    return octets.replace(b"\n", b"\r\n")


def deliver(make_smarthost, make_host, message, block, recipient="bob@example.test", server=None, **submit):
    """The message as the smarthost got it, without the trace that sendmail puts on top."""
    server = server or make_smarthost()
    host = make_host(server, block=block)
    host.start_relayd()
    host.submit(message, recipient, **submit)
    [mail] = server.wait_messages(1)
    host.wait_empty()
    mail.content = re.sub(rb"\AReceived: .*\r\n(?:[ \t].*\r\n)*", b"", mail.content)
    return mail


@pytest.mark.parametrize("without", ["", "PIPELINING"])
def test_from_is_the_envelope_sender_and_nothing_else(without, make_smarthost, make_host):
    message = HEADER + b"From: Joe <joe@host.example.test>\n" + BODY
    server = make_smarthost(without=without or None)
    mail = deliver(make_smarthost, make_host, message, {"from": "web1@example.org"}, server=server)
    assert mail.sender == "web1@example.org"
    assert mail.content == crlf(message)


def test_the_null_sender_stays(make_smarthost, make_host):
    mail = deliver(make_smarthost, make_host, HEADER + b"From: joe@host.example.test\n" + BODY, REWRITE, sender="<>")
    assert mail.sender == ""
    assert b"\r\nFrom: web1@example.org\r\n" in mail.content


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("reply_to", [b"", b"Reply-To: ann@example.test\n"], ids=["", "reply-to"])
def test_rewrite_from_replaces_the_address_and_keeps_the_old_field(body, reply_to, make_smarthost, make_host):
    old = b' "Doe, Joe"\n <joe@host.example.test>\n'
    mail = deliver(make_smarthost, make_host, HEADER + b"From:" + old + reply_to + body, REWRITE)
    kept = b"X-Original-From:" if reply_to else b"Reply-To:"
    sent = crlf(HEADER + b'From: "Doe, Joe" <web1@example.org>\n' + kept + old + reply_to + body)
    assert mail.sender == "web1@example.org"
    assert mail.content == sent
    # Received is part of it
    size = int(re.search(r"SIZE=(\d+)", mail.sender_parameters).group(1))
    received = size - len(sent)
    assert 50 < received < 300


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
def test_a_message_that_is_right_is_not_changed(body, make_smarthost, make_host):
    message = HEADER + b"From: Web <web1@EXAMPLE.org>\nSender: joe@host.example.test\n" + body
    mail = deliver(make_smarthost, make_host, message, REWRITE)
    assert mail.content == crlf(message)


def test_a_bounce_is_rewritten_too_and_goes_to_the_real_sender(make_smarthost, make_host):
    server = make_smarthost(rule=REFUSE)
    bounce = deliver(make_smarthost, make_host, HEADER + b"From: alice@example.test\n" + BODY, REWRITE,
                     recipient="bad@example.test", server=server)
    assert bounce.sender == "" and bounce.recipients == ["alice@example.test"]
    assert b"\r\nFrom: Mail Delivery System <web1@example.org>\r\n" in bounce.content
    assert b"\r\nReply-To: Mail Delivery System <MAILER-DAEMON@example.test>\r\n" in bounce.content
    assert b"\r\nFrom: alice@example.test\r\n" in bounce.content  # the returned message, as it was submitted


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
def test_size_is_that_of_what_is_sent(body, make_smarthost, make_host):
    message = HEADER + b"From: joe@host.example.test\n" + body
    mail = deliver(make_smarthost, make_host, message, {})
    original = int(re.search(r"SIZE=(\d+)", mail.sender_parameters).group(1))
    limited = make_smarthost(size=original + 5)  # Reply-To makes it longer than that
    assert deliver(make_smarthost, make_host, message, {}, server=limited).content == crlf(message)
    other = make_smarthost(size=original + 5)
    host = make_host(other, block=REWRITE)
    host.start_relayd()
    host.submit(message, "bob@example.test", sender="<>")
    host.wait_mailq("552 5.3.4 the message is larger than the smarthost takes")
    assert other.messages() == [] and "MAIL FROM" not in other.transcript()


def test_a_hostname_without_dot_is_an_address_literal_in_ehlo(make_smarthost, make_host):
    server = make_smarthost(strict=True)
    host = make_host(server, hostname="web1")
    host.start_relayd()
    host.submit(b"Subject: x\n\nx\n", "bob@example.test")
    [mail] = server.wait_messages(1)
    # localhost is the one or the other
    greetings = re.findall(r"C: EHLO (.*)", server.transcript())
    assert len(greetings) == 2 and set(greetings) <= {"[127.0.0.1]", "[IPv6:::1]"}
    assert re.search(rb"^Message-ID: <\S+@example\.test>\r$", mail.content, re.M)


def test_a_domain_with_letters_beyond_ascii_goes_as_a_labels(make_smarthost, make_host):
    server = make_smarthost(without="SMTPUTF8")
    block = {"from": "web1@b\u00fccher.example", "rewrite_from": "yes"}
    mail = deliver(make_smarthost, make_host, HEADER + b"From: joe@host.example.test\n" + BODY, block, server=server)
    assert mail.sender == "web1@xn--bcher-kva.example"
    assert b"\r\nFrom: web1@xn--bcher-kva.example\r\n" in mail.content
