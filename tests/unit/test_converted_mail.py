"""Conversion to 7-bit loses nothing: what Python's email package reads is the same before and after."""

import email
import email.policy
import random
import subprocess
from email.header import decode_header, make_header
from email.utils import getaddresses

import pytest

from test_repaired_mail import BUILD, MESSAGES, SEEDS, message, read, repair


def convert(content, scope="all"):
    return subprocess.run([BUILD / "tests/convert", scope], input=content, capture_output=True, timeout=60)


def converted(content, scope="all"):
    done = convert(content, scope)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown(content):
    """With the modern policy, which decodes headers and parameters."""
    return email.message_from_bytes(content, policy=email.policy.SMTPUTF8)


def raw(content):
    return email.message_from_bytes(content)


def decoded(value):
    return str(make_header(decode_header(value)))


def crlf(text):
    return text.replace("\n", "\r\n").encode()


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_decoded_stays_the_same(seed, tmp_path):
    r = random.Random(2000 + seed)
    for _ in range(MESSAGES):
        before = repair(tmp_path, message(r))
        assert read(converted(before)) == read(before)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_comes_out_is_7bit_in_short_lines(seed, tmp_path):
    r = random.Random(3000 + seed)
    for _ in range(MESSAGES):
        after = converted(repair(tmp_path, message(r)))
        lines = after.split(b"\r\n")
        assert lines.pop() == b"" and after.isascii()
        assert [line for line in lines if len(line) > 998 or b"\n" in line or b"\r" in line] == []
        assert b"8bit\r\n" not in after.replace(b"-8bit", b"")
        assert converted(after) == after


def test_the_messages_need_conversion(tmp_path):
    """The generator makes what the other tests are about."""
    assert len([s for s in range(40) if not repair(tmp_path, message(random.Random(s))).isascii()]) > 20


# headers

ADDRESSES = {
    "Jürgen Müller <joe@example.org>": [("Jürgen Müller", "joe@example.org")],
    '"Müller, Jürgen" <joe@example.org>, b@example.org': [("Müller, Jürgen", "joe@example.org"), ("", "b@example.org")],
    "a@example.org, Zoë <z@example.org>,Ümit <u@example.org>": [
        ("", "a@example.org"), ("Zoë", "z@example.org"), ("Ümit", "u@example.org")],
    "joe@bücher.example": [("", "joe@xn--bcher-kva.example")],
    "Bücher <joe@bücher.example>": [("Bücher", "joe@xn--bcher-kva.example")],
    '"Jürgen \\"the\\" M." <joe@example.org>': [('Jürgen "the" M.', "joe@example.org")],
    "=?utf-8?q?G=C3=BC?= Grüße <joe@example.org>": [("Gü Grüße", "joe@example.org")],
    ", ".join(f"Ärger {n} <user{n}@example.org>" for n in range(60)): [
        (f"Ärger {n}", f"user{n}@example.org") for n in range(60)],
    "Größe" * 40 + " <joe@example.org>": [("Größe" * 40, "joe@example.org")],
}


@pytest.mark.parametrize("field", ADDRESSES)
def test_names_in_addresses_become_encoded_words(field):
    after = converted(crlf(f"From: a@example.org\nTo: {field}\n\nhello\n"), "header")
    assert after.isascii() and max(map(len, after.split(b"\r\n"))) <= 100
    assert [(decoded(name), address) for name, address in getaddresses([raw(after)["To"]])] == ADDRESSES[field]


def test_a_comment_and_a_group_are_kept():
    after = converted(crlf("To: Fußvolk: a@example.org (Größe (x)), b@example.org;\n\nhello\n"), "header")
    [group] = shown(after)["To"].groups
    assert after.isascii() and group.display_name == "Fußvolk"
    assert [a.addr_spec for a in group.addresses] == ["a@example.org", "b@example.org"]


@pytest.mark.parametrize("field", ["zoë@example.org", "Zoe <zoë@example.org>", "<a@\udcff.example>"])
def test_an_address_that_needs_smtputf8_refuses_the_message(field):
    done = convert(f"To: {field}\r\n\r\nhello\r\n".encode(errors="surrogateescape"), "header")
    assert done.returncode == 65 and done.stderr.startswith(b"554 5.6.9 ")


SUBJECTS = ["Grüße", "Re: Grüße an alle", "Grüße  mit  Lücken", "plain " * 40 + "Grüße " + "plain " * 40 + "end", "ü" * 500,
            "日本語の件名 " * 30, "a=?b Grüße ?=", "tab\tGrüße"]


@pytest.mark.parametrize("subject", SUBJECTS)
def test_text_becomes_encoded_words(subject):
    after = converted(crlf(f"Subject: {subject}\n\nhello\n"), "header")
    assert after.isascii() and max(map(len, after.split(b"\r\n"))) <= 76
    assert str(shown(after)["Subject"]).replace("\t", " ").rstrip() == subject.replace("\t", " ").rstrip()


def test_a_blank_beside_an_encoded_word_is_kept():
    for subject in ["=?utf-8?q?A?= ü", "ü =?utf-8?q?A?=", "=?utf-8?q?A?= ü =?utf-8?q?A?="]:
        after = converted(crlf(f"Subject: {subject}\n\nhello\n"), "header")
        assert str(shown(after)["Subject"]) == subject.replace("=?utf-8?q?A?=", "A")


@pytest.mark.parametrize("name", ["Grüße.pdf", "lang " * 30 + "Größe.pdf", "a;b\"ü.pdf", "日本語.txt"])
def test_a_file_name_becomes_an_extended_parameter(name):
    quoted = name.replace('"', '\\"')
    before = crlf(f'MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8; name="{quoted}"\n'
                  f'Content-Disposition: attachment; filename="{quoted}"; size=3\n\nabc\n')
    after = converted(before)
    assert after.isascii() and max(map(len, after.split(b"\r\n"))) <= 100
    assert shown(after).get_filename() == name
    assert raw(after).get_param("size", header="content-disposition") == "3"


def test_the_header_alone_leaves_the_body_as_it_is():
    body = "Content-Type: x\n\n--b\nGrüße\n"
    after = converted(crlf("Subject: ü\nContent-Type: multipart/signed; boundary=b\n\n" + body), "header")
    assert after == b"Subject: =?utf-8?q?=C3=BC?=\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n" + crlf(body)


# what may not change

SIGNED = "Content-Type: multipart/signed; boundary=s\n\n--s\n\n{}\n--s\n\nsig\n--s--\n"


def test_a_signed_message_of_8bit_is_refused():
    for top in ["", "MIME-Version: 1.0\n"]:
        done = convert(crlf(top + SIGNED.format("Grüße")))
        assert done.returncode == 65 and done.stderr.startswith(b"554 5.6.3 ")


def test_a_signed_part_of_7bit_stays_octet_for_octet():
    signed = SIGNED.format("x" * 2000 + "=")
    after = converted(crlf("Content-Type: multipart/mixed; boundary=m\n\n--m\n" + signed + "--m\n\nGrüße\n--m--\n"))
    assert crlf(signed) in after and "Grüße".encode() not in after


def test_a_signed_message_in_a_bounce_is_converted():
    after = converted(crlf("Content-Type: multipart/report; boundary=r\n\n--r\nContent-Type: message/rfc822\n\n" +
                           SIGNED.format("Grüße") + "--r--\n"))
    assert after.isascii() and b"Gr=C3=BC=C3=9Fe" in after


@pytest.mark.parametrize("kind", ["message/partial; id=1", "message/external-body"])
def test_what_may_not_be_encoded_is_refused(kind):
    assert convert(crlf(f"Content-Type: {kind}\n\nGrüße\n")).returncode == 65


def test_an_unknown_encoding_is_refused():
    assert convert(crlf("Content-Transfer-Encoding: x-uuencode\n\nGrüße\n")).returncode == 65


def test_a_boundary_of_8bit_is_refused():
    assert convert(crlf("Content-Type: multipart/mixed; boundary=grüße\n\n--grüße\n\na\n--grüße--\n")).returncode == 65
