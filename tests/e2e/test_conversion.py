"""Messages for smarthosts that lack 8BITMIME or SMTPUTF8."""

import email
import re

import pytest

QUICK = {"retry_interval": "100ms 200ms", "reconnect_interval": "50ms 100ms", "in_doubt_interval": "1h"}
MESSAGE = "From: Jürgen <alice@example.test>\nSubject: Grüße\nMessage-ID: <a@example.test>\n\nschöne Grüße\n".encode()
SIGNED = """From: a@example.test
MIME-Version: 1.0
Content-Type: multipart/signed; boundary=s

--s

Grüße
--s

signature
--s--
""".encode()


def decoded(content):
    message = email.message_from_bytes(content, policy=email.policy.SMTPUTF8)
    return message["Subject"], message["From"].addresses[0].display_name, message.get_content().replace("\r\n", "\n")


def sent_size(server):
    return int(re.search(r"C: MAIL FROM:<alice@example.test> .*SIZE=(\d+)", server.transcript())[1])


def deliver(make_smarthost, make_host, message, without, **block):
    server = make_smarthost(without=without, strict=True)
    host = make_host(server, block=block, **QUICK)
    host.start_relayd()
    host.submit(message, "bob@example.test")
    host.wait_empty()
    return server


@pytest.mark.parametrize("size", [0, 2_000_000])
@pytest.mark.parametrize("block", [{}, {"from": "alice@example.test", "rewrite_from": "yes"}])
def test_without_8bitmime_all_is_7bit_and_its_size_is_told(block, size, make_smarthost, make_host):
    message = MESSAGE + "Füllung bis zum Rand\n".encode() * (size // 22)
    server = deliver(make_smarthost, make_host, message, "8BITMIME", **block)
    [mail] = server.messages()
    assert mail.content.isascii() and "BODY=" not in mail.sender_parameters
    assert decoded(mail.content) == ("Grüße", "Jürgen", message.split(b"\n\n", 1)[1].decode())
    assert sent_size(server) == len(mail.content)


@pytest.mark.parametrize("size", [0, 2_000_000])
def test_without_smtputf8_the_header_is_ascii(size, make_smarthost, make_host):
    message = MESSAGE + "Füllung bis zum Rand\n".encode() * (size // 22)
    server = deliver(make_smarthost, make_host, message, "SMTPUTF8")
    [mail] = server.messages()
    header, body = mail.content.split(b"\r\n\r\n", 1)
    assert header.isascii() and body.replace(b"\r\n", b"\n") == message.split(b"\n\n", 1)[1]
    assert decoded(mail.content)[:2] == ("Grüße", "Jürgen") and "BODY=8BITMIME" in mail.sender_parameters
    assert sent_size(server) == len(mail.content)


def test_with_both_extensions_content_goes_as_it_is(make_smarthost, make_host):
    [mail] = deliver(make_smarthost, make_host, MESSAGE, None).messages()
    assert "Subject: Grüße\r\n".encode() in mail.content and "schöne Grüße\r\n".encode() in mail.content


def test_each_attempt_sends_the_same_octets(make_smarthost, make_host):
    server = make_smarthost(without="8BITMIME", rule="end/1 accept-then-drop")
    host = make_host(server, **{**QUICK, "in_doubt_interval": "100ms"})
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_empty()
    one, two = server.messages()
    assert one.content == two.content


def test_a_signed_8bit_message_is_returned_and_the_bounce_arrives(make_smarthost, make_host):
    server = deliver(make_smarthost, make_host, SIGNED, "8BITMIME")
    [bounce] = server.messages()
    assert bounce.sender == "" and bounce.recipients == ["alice@example.test"] and bounce.content.isascii()
    assert b"Status: 5.6.3\r\n" in bounce.content


def test_a_signed_8bit_message_goes_as_it_is_with_8bitmime(make_smarthost, make_host):
    [mail] = deliver(make_smarthost, make_host, SIGNED, "SMTPUTF8").messages()
    assert mail.content.endswith(SIGNED.split(b"\n\n", 1)[1].replace(b"\n", b"\r\n"))


def test_an_address_in_the_header_that_needs_smtputf8_returns_the_message(make_smarthost, make_host):
    server = deliver(make_smarthost, make_host, "To: zoë@example.test\n\nhello\n".encode(), "SMTPUTF8")
    [bounce] = server.messages()
    assert bounce.sender == "" and b"Status: 5.6.9\r\n" in bounce.content
