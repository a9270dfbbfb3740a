"""Many messages in a row to each real server: each arrives once, with its own sender, recipients and content.

A conversation that gets out of step shows in another's sender or recipient, in commands that became content, or in content
that became commands. So every message has a sender, recipients and a body that no other has, and the bodies are full of
commands; and every so often a recipient is refused in between, for which its own sender gets the bounce.
"""

import collections
import email
import re

import pytest

import servers

QUICK = {"retry_interval": "50ms 100ms", "reconnect_interval": "50ms 100ms", "in_doubt_interval": "100ms"}
COUNT = 60
SIZES = [0, 1, 150, 4_000, 30_000, 150_000]


def body(number):
    """With lengths on both sides of what fits in a segment, a TLS record, a socket's buffer."""
    commands = f"""This is message {number} of the row.
RSET
MAIL FROM:<stray{number}@example.test>
RCPT TO:<bob@example.test>
DATA
Subject: stray {number}
.
BDAT 8 LAST
BDAT 0 LAST
QUIT
"""
    filling = f"filling {number} {'.' * (number % 70)}\n"
    return commands + filling * (SIZES[number % len(SIZES)] // len(filling) + 1)


def recipients(number):
    """Every third message has none but a refused one, every fifth of the others a refused one and a good one."""
    refused, good = [f"reject+{number}@example.test"], [f"to{number}@example.test"]
    if number % 3 == 0:
        return refused, []
    return (refused if number % 5 == 0 else []), good


def submit(host, number):
    refused, good = recipients(number)
    header = f"From: from{number}@example.test\nSubject: message {number}\nMessage-ID: <{number}@example.test>\n\n"
    host.submit((header + body(number)).encode(), *refused, *good, sender=f"from{number}@example.test")


def final_recipients(bounce):
    message = email.message_from_bytes(bounce)
    [status] = [part for part in message.walk() if part.get_content_type() == "message/delivery-status"]
    return [part["Final-Recipient"].partition(";")[2] for part in status.get_payload()[1:]]


def contents(mail):
    """The numbers of the messages of which there is something in the mail; None when it is not whole."""
    numbers = {int(number) for number in re.findall(rb"This is message (\d+) of the row", mail)}
    wholes = [body(number).replace("\n", "\r\n").encode() in mail for number in numbers]
    return tuple(numbers) if all(wholes) else None


def arrived(mails):
    """(sender, recipient, content) of each mail, and of a bounce the recipients it is about, too."""
    return collections.Counter(
        (mail.sender, mail.recipient, contents(mail), *([] if mail.sender else final_recipients(mail))) for mail in mails
    )


def expected():
    mails = []
    for number in range(COUNT):
        refused, good = recipients(number)
        mails += [(f"from{number}@example.test", recipient, (number,)) for recipient in good]
        mails += [("", f"from{number}@example.test", (number,), recipient) for recipient in refused]
    return collections.Counter(mails)


def settled(host, server, count):
    """All mails: one more goes the same way behind them, so that one that comes twice has come twice."""
    server.wait_messages(count)
    host.wait_empty()
    host.submit(b"Subject: the last one\n\nthe last one\n", "bob@example.test")
    host.wait_empty()

    def complete():
        mails = server.mails()
        return mails if any(b"Subject: the last one" in mail for mail in mails) else None

    mails = host.wait_for(complete, what="the last one arrives")
    return [mail for mail in mails if b"Subject: the last one" not in mail]


@servers.each()
@pytest.mark.parametrize("connections", [1, 4])
def test_each_of_many_messages_arrives_once_with_its_own_envelope(server, connections, make_host):
    host = make_host(server, block={"connections": connections}, **QUICK)
    for number in range(COUNT):
        submit(host, number)
    host.start_relayd()
    mails = settled(host, server, sum(expected().values()))
    assert arrived(mails) == expected()


@servers.each()
def test_each_of_many_recipients_gets_it_once_and_every_refused_one_is_returned(server, make_host):
    host = make_host(server, block={"connections": 1}, **QUICK)
    good = [f"to{number}@example.test" for number in range(75)]
    refused = [f"reject+{number}@example.test" for number in range(25)]
    mixed = sum(([*good[3 * number : 3 * number + 3], refused[number]] for number in range(25)), [])
    host.submit(b"Subject: many\n\nmany\n", *mixed)
    host.start_relayd()
    host.wait_empty()
    mails = settled(host, server, len(good) + 1)
    assert sorted(mail.recipient for mail in mails if mail.sender) == sorted(good)
    bounces = [mail for mail in mails if not mail.sender]
    assert {mail.recipient for mail in bounces} == {"alice@example.test"}
    assert sorted(sum(map(final_recipients, bounces), [])) == sorted(refused)
