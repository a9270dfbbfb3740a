"""postbag against the real servers of servers.TABLE."""

import email
import email.policy
import re

import pytest

import servers

MECHANISMS = ["PLAIN", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "CRAM-MD5", "DIGEST-MD5"]
TOKENS = ["OAUTHBEARER", "XOAUTH2"]
HEADER = [
    b"From: Alice <alice@example.test>",
    b"To: bob@example.test,\n\t\"Carol, C.\" <carol@example.test> (folded)",
    b"Subject: =?utf-8?q?awkward?=   content ",
    b"Message-ID: <awkward@example.test>",
    b"Date: Mon, 23 Nov 2026 22:00:00 +0000",
    b"X-Trailing-Blanks: here  \t",
    b"X-Empty:",
]
BODY = [
    b".",
    b"..",
    b".dot first",
    b"",
    b"",
    b"gr\xc3\xbc\xc3\x9fe \xe2\x82\xac",
    b"trailing blanks  \t ",
    b" leading blank",
    b"From the start of a line",
    b"x" * 998,
    b".",
    b"no newline at the end",
]
MESSAGE = b"\n".join([*HEADER, b"", *BODY])
UTF8 = "From: Jürgen <alice@example.test>\nSubject: schöne Grüße\nMessage-ID: <utf8@example.test>\n\nGrüße\n".encode()
PLAIN = b"Subject: hello\nMessage-ID: <plain@example.test>\n\nhello\n"


def to_wire(data):
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def fields_and_body(content):
    head, _, body = content.partition(b"\r\n\r\n")
    return re.split(rb"\r\n(?![ \t])", head), body


def same_words(row, fields):
    """What is compared of a header: all of it, but of a field that the server writes anew only the words."""
    names = tuple(f"{name}:".encode() for name in row.rewrites)
    return [b" ".join(field.split()) if field.startswith(names) else field for field in fields]


def assert_arrived_as_sent(row, mail, content):
    """content is what lay in the spool."""
    fields, body = fields_and_body(mail)
    sent, sent_body = fields_and_body(content)
    added = [field.partition(b":")[0].decode() for field in fields[: len(row.adds)]]
    assert added == list(row.adds)
    assert same_words(row, fields[len(row.adds) :]) == same_words(row, sent)
    assert body == sent_body


def queued_content(host):
    """What is in the one message of the queue, behind the envelope."""
    [name] = host.queue_files()
    return (host.spool / "queue" / name).read_bytes().partition(b"\n\n")[2]


def mail_for(recipient, mails):
    return [mail for mail in mails if mail.recipient.lower() == recipient]


def report_groups(report):
    """The groups of fields of a delivery status notification: of the message, and of its one recipient."""
    message = email.message_from_bytes(report)
    [status] = [part for part in message.walk() if part.get_content_type() == "message/delivery-status"]
    per_message, per_recipient = [group for group in status.get_payload() if len(group)]
    return per_message, per_recipient


def failed_recipient(bounce):
    message = email.message_from_bytes(bounce)
    assert (message.get_content_type(), message.get_param("report-type")) == ("multipart/report", "delivery-status")
    _, group = report_groups(bounce)
    return group["Final-Recipient"], group["Status"]


@pytest.mark.parametrize("line_end", ["LF", "CRLF"])
@servers.each_way()
def test_awkward_content_arrives_byte_for_byte(server, scheme, line_end, make_host):
    host = make_host(server, scheme)
    host.submit(MESSAGE if line_end == "LF" else to_wire(MESSAGE), "bob@example.test")
    content = queued_content(host)
    assert content.endswith(to_wire(b"\n".join([b"", *BODY, b""]))) and all(to_wire(field) in content for field in HEADER)
    host.start_relayd()
    [mail] = server.wait_messages(1)
    assert_arrived_as_sent(server.row, mail, content)
    assert (mail.sender, mail.recipient) == ("alice@example.test", "bob@example.test")
    host.wait_empty()


@servers.each()
def test_the_row_tells_the_truth(server):
    features = server.features()
    assert sorted(features.get("auth", "").split()) == sorted(server.row.mechanisms.split())
    assert sorted(servers.EXTENSIONS & {name.upper() for name in features}) == sorted(server.row.extensions.split())
    assert int(features["size"]) == servers.SIZE_LIMIT


@servers.each_login(MECHANISMS)
def test_each_offered_mechanism_authenticates(server, scheme, mechanism, make_host):
    attempts = server.auth_attempts()
    host = make_host(server, scheme, block={"auth": mechanism})
    host.start_relayd()
    host.submit(PLAIN, "bob@example.test")
    [mail] = server.wait_messages(1)
    assert mail.endswith(b"\r\n\r\nhello\r\n")
    host.wait_log(f"authenticated by {mechanism}")
    host.wait_empty()
    host.wait_for(lambda: server.auth_attempts() > attempts, what="the server's log has the attempt")


@servers.each_login(TOKENS)
def test_a_token_logs_in(server, scheme, mechanism, make_host):
    host = make_host(server, scheme, token=True, block={"auth": mechanism})
    host.set_password(servers.token())
    host.start_relayd()
    host.submit(PLAIN, "bob@example.test")
    server.wait_messages(1)
    host.wait_empty()
    host.wait_log(f"authenticated by {mechanism}")


@servers.each_login(TOKENS)
def test_a_token_that_has_expired_bounces_nothing_and_heals(server, scheme, mechanism, make_host):
    host = make_host(server, scheme, token=True, block={"auth": mechanism})
    host.set_password(servers.token(lifetime=-30))
    host.start_relayd()
    host.submit(PLAIN, "bob@example.test")
    host.wait_mailq("rejects user and token: 535")
    host.set_password(servers.token())
    server.wait_messages(1)
    host.wait_empty()


@servers.each_way(lambda row: row.external)
def test_a_client_certificate_logs_in_by_external(server, scheme, make_certified):
    """Not with Postfix 3.7: it does not tell Dovecot whose certificate it was."""
    host = make_certified(server, scheme, block={"password": None})
    host.start_relayd()
    host.submit(PLAIN, "bob@example.test")
    [mail] = server.wait_messages(1)
    host.wait_empty()
    host.wait_log("authenticated by EXTERNAL")


@servers.each(lambda row: row.mechanisms)
def test_the_best_offered_mechanism_is_chosen_without_setting(server, make_host):
    host = make_host(server)
    host.start_relayd()
    host.submit(PLAIN, "bob@example.test")
    server.wait_messages(1)
    host.wait_empty()


@servers.each()
def test_a_refused_recipient_returns_a_bounce_and_the_other_gets_the_message(server, make_host):
    host = make_host(server)
    host.start_relayd()
    host.submit(PLAIN, "reject@example.test", "bob@example.test")
    mails = server.wait_messages(2)
    host.wait_empty()
    [delivered] = mail_for("bob@example.test", mails)
    assert delivered.endswith(b"hello\r\n")
    [bounce] = mail_for("alice@example.test", mails)
    assert bounce.sender == ""
    assert failed_recipient(bounce) == ("rfc822;reject@example.test", "5.1.1")
    assert len(server.mails()) == 2


@servers.each(lambda row: row.greylists)
def test_a_greylisted_recipient_waits_with_its_reason(server, make_host):
    host = make_host(server)
    host.start_relayd()
    host.submit(PLAIN, "greylist@example.test", "bob@example.test")
    [mail] = server.wait_messages(1)
    assert mail.recipient == "bob@example.test"
    listing = host.wait_mailq(r"451 4\.7\.1")
    assert "greylist@example.test" in listing and "bob@example.test" not in listing
    assert len(host.queue_files()) == 1 and len(server.mails()) == 1


@servers.each_login(MECHANISMS, schemes=["smtp"])
def test_a_wrong_password_bounces_nothing_and_heals(server, scheme, mechanism, make_host):
    host = make_host(server, scheme, block={"auth": mechanism})
    host.set_password("wrong")
    host.start_relayd()
    host.submit(PLAIN, "bob@example.test")
    host.wait_mailq(r"\b535\b")
    assert len(host.queue_files()) == 1 and server.mails() == []
    host.set_password("s3cret")
    host.reload()
    [mail] = server.wait_messages(1)
    assert mail.recipient == "bob@example.test"
    host.wait_empty()


@servers.each_way(lambda row: row.tls)
def test_an_untrusted_certificate_gets_no_credential(server, scheme, make_host, other_certs):
    attempts = server.auth_attempts()
    host = make_host(server, scheme, ca=other_certs / "ca.pem")
    host.start_relayd()
    host.submit(PLAIN, "bob@example.test")
    listing = host.wait_mailq(r"(?i)certificate")
    assert re.search(r"(?i)not trusted|untrusted|unknown|issuer", listing), listing
    assert server.auth_attempts() == attempts
    assert len(host.queue_files()) == 1 and server.mails() == []


def decoded_header(mail):
    message = email.message_from_string(mail.decode(), policy=email.policy.SMTPUTF8)
    return message["From"].addresses[0].display_name, str(message["Subject"])


@servers.each()
def test_a_header_in_8_bits_arrives_as_it_is_or_in_encoded_words(server, make_host):
    host = make_host(server)
    host.start_relayd()
    host.submit(UTF8, "bob@example.test")
    [mail] = server.wait_messages(1)
    assert decoded_header(mail) == ("Jürgen", "schöne Grüße")
    head, _, body = mail.partition(b"\r\n\r\n")
    assert head.isascii() != server.row.offers("SMTPUTF8")
    assert body == to_wire(UTF8).partition(b"\r\n\r\n")[2]


@servers.each(lambda row: row.offers("SMTPUTF8"))
def test_an_address_beyond_ascii_goes_to_a_server_with_smtputf8(server, make_host):
    host = make_host(server)
    host.start_relayd()
    host.submit(UTF8, "bøb@example.test")
    [mail] = server.wait_messages(1)
    assert mail.recipient == "bøb@example.test" and decoded_header(mail) == ("Jürgen", "schöne Grüße")
    host.wait_empty()


@servers.each(lambda row: not row.offers("SMTPUTF8"))
def test_an_address_beyond_ascii_is_returned_without_smtputf8_and_the_others_go(server, make_host):
    host = make_host(server)
    host.start_relayd()
    host.submit(UTF8, "bøb@example.test", "bob@example.test")
    mails = server.wait_messages(2)
    host.wait_empty()
    [bounce] = mail_for("alice@example.test", mails)
    assert failed_recipient(bounce) == (r"utf-8;b\x{F8}b@example.test", "5.6.7")
    assert len(mail_for("bob@example.test", server.mails())) == 1 and len(server.mails()) == 2


def large(size):
    lines = [b"%d %s\n" % (number, b"." * (number % 200)) for number in range(1000)]
    return PLAIN + b".leading dot\n" + b"".join(lines) * (size // sum(map(len, lines)))


@servers.each_way()
def test_a_message_of_megabytes_arrives_whole(server, scheme, make_host):
    message = large(servers.SIZE_LIMIT * 3 // 4)
    host = make_host(server, scheme)
    host.start_relayd()
    host.submit(message, "bob@example.test")
    [mail] = server.wait_messages(1)
    assert fields_and_body(mail)[1] == fields_and_body(to_wire(message))[1]
    host.wait_empty()


@servers.each()
def test_a_message_over_the_size_limit_is_returned_and_the_next_one_goes(server, make_host):
    host = make_host(server, block={"connections": 1})
    host.submit(large(servers.SIZE_LIMIT * 5 // 4), "bob@example.test")
    host.submit(PLAIN, "bob@example.test")
    host.start_relayd()
    mails = server.wait_messages(2)
    host.wait_empty()
    [bounce] = mail_for("alice@example.test", mails)
    assert failed_recipient(bounce) == ("rfc822;bob@example.test", "5.3.4") and len(bounce) < 10_000
    [mail] = mail_for("bob@example.test", server.mails())
    assert mail.endswith(b"\r\n\r\nhello\r\n") and len(server.mails()) == 2


@servers.each()
def test_a_confirmation_comes_from_the_server_or_from_the_host_if_that_has_no_dsn(server, make_host):
    host = make_host(server)
    host.start_relayd()
    host.submit(PLAIN, "bob@example.test", options=["-N", "success", "-V", "the-envelope"])
    mails = server.wait_messages(2)
    host.wait_empty()
    assert len(mail_for("bob@example.test", mails)) == 1 and len(server.mails()) == 2
    [report] = mail_for("alice@example.test", mails)
    per_message, per_recipient = report_groups(report)
    assert per_message["Original-Envelope-Id"] == ("the-envelope" if server.row.keeps_envid else None)
    assert per_message["Reporting-MTA"].endswith("mail.example.test") == server.row.offers("DSN")
    assert per_recipient["Final-Recipient"].replace(" ", "").lower() == "rfc822;bob@example.test"
    assert per_recipient["Action"].split()[0] in ("delivered", "relayed")
