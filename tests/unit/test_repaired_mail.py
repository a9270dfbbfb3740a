"""Repair loses nothing: what Python's email package reads from generated messages is the same before and after."""

import base64
import email
import email.header
import email.policy
import os
import pathlib
import quopri
import random
import re
import subprocess

import pytest

BUILD = pathlib.Path(os.environ.get("POSTBAG_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
SEEDS = range(25)
MESSAGES = 12  # of each seed


def repair(directory, message):
    done = subprocess.run([BUILD / "tests/repair", directory], input=message, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- messages ---------------------------------------------------------------------

def octets(r):
    """A body as a program writes it: long lines, CR, NUL, 8-bit octets, lines that look like something else."""
    pieces = [b"word ", b"line\r\n", b"\r\n", b"x" * r.randrange(1, 1500), b"a\rb", "Grüße ".encode(), b"=", b"=3D",
              b"--", b"-" * r.randrange(1, 1200), b"\t", b"\r\n \r\n", b".\r\n", b"From me\r\n", b"Field: value\r\n"]
    if r.random() < 0.3:
        pieces.append(b"\0")
    if r.random() < 0.3:
        pieces.append(b"\xff\xe4")
    return b"".join(r.choice(pieces) for _ in range(r.randrange(0, 30)))


def boundary_free(body):
    return re.sub(rb"(?m)(^|[\r\n])--+", rb"\1", body)


def base64_lines(data, width):
    text = base64.b64encode(data)
    return b"\r\n".join(text[i:i + width] for i in range(0, len(text), width))


def quoted_lines(data, long):
    text = quopri.encodestring(data.replace(b"\r\n", b"\n").replace(b"\r", b"?")).replace(b"\n", b"\r\n")
    return text.replace(b"=\r\n", b"") if long else text


def leaf(r, fields):
    kind = r.choice([b"text/plain; charset=utf-8", b"text/html", b"application/octet-stream", b"image/png", b"text", None])
    encoding = r.choice([None, b"7bit", b"8bit", b"binary", b"base64", b"quoted-printable", b"Quoted-Printable"])
    body = boundary_free(octets(r))
    if encoding == b"base64":
        body = base64_lines(body, r.choice([76, 2000]))
    elif encoding and encoding.lower() == b"quoted-printable":
        body = boundary_free(quoted_lines(body, r.random() < 0.7))
    if kind:
        fields.append(b"Content-Type: " + kind)
    if encoding:
        fields.append(b"Content-Transfer-Encoding: " + encoding)
    return body


def entity(r, depth, fields):
    kind = r.random() if depth < 4 else 1
    if kind < 0.35:
        boundary = b"b%d" % depth + r.choice([b"", b"=_1", b" x"])
        fields.append(b'Content-Type: multipart/' + r.choice([b"mixed", b"alternative"]) + b'; boundary="' + boundary + b'"')
        parts = b"".join(b"--" + boundary + r.choice([b"", b" ", b"\t "]) + b"\r\n" + entity(r, depth + 1, part_fields(r)) + b"\r\n"
                         for _ in range(r.randrange(1, 4)))
        body = r.choice([b"", b"prose\r\n"]) + parts + b"--" + boundary + b"--\r\n" + r.choice([b"", b"behind\r\n"])
    elif kind < 0.5:
        fields.append(b"Content-Type: message/rfc822")
        body = entity(r, depth + 1, [b"Subject: inner", b"From: in@example.org"])
    else:
        body = leaf(r, fields)
    return b"".join(f + b"\r\n" for f in fields) + b"\r\n" + body


def part_fields(r):
    return r.choice([[], [b"Content-Description: " + subject(r)], [b"Content-ID: <1@example.org>"]])


def subject(r):
    words = [b"word", "Grüße".encode(), b"=?utf-8?q?G=C3=BC?=", b"y" * r.randrange(1, 1300), b"=?iso-8859-1?b?" +
             base64.b64encode(b"\xe4" * r.randrange(1, 900)) + b"?=", b"\xfc"]
    return b" ".join(r.choice(words) for _ in range(r.randrange(1, 12)))


def message(r):
    to = b", ".join(b"Name <user%d@example.org>" % i for i in range(r.randrange(1, 80)))
    fields = [b"From: joe@example.org", b"To: " + to, b"Subject: " + subject(r), b"X-Long: " + subject(r)]
    if r.random() < 0.7:
        fields.append(b"MIME-Version: 1.0")
    return entity(r, 0, fields) + b"\r\n"


# ---- what is read from them --------------------------------------------------------

def text_of(value):
    """A header value as it is shown: adjacent encoded words joined before they are decoded."""
    raw = re.sub(r"\r?\n(?=[ \t])", "", value).encode("ascii", "surrogateescape").decode("latin-1")
    parts = []
    for text, charset in email.header.decode_header(raw):
        text = text.encode("latin-1") if isinstance(text, str) else text
        if charset not in (None, "utf-8", "unknown-8bit"):
            text = text.decode(charset).encode()
        parts.append(text)
    return b"".join(parts)


def values(part):
    """The header without what repair adds."""
    added = ("mime-version", "content-type", "content-transfer-encoding")
    return [(name.lower(), text_of(value)) for name, value in part.raw_items() if name.lower() not in added]


def payload(part):
    data = part.get_payload(decode=True)
    return data if part.get("content-transfer-encoding", "").lower() == "base64" else re.sub(rb"\r?\n", b"\r\n", data)


def structure(part, top=True):
    kind = part.get_content_type()
    if part.is_multipart():
        return kind, values(part), [structure(p, False) for p in part.get_payload()]
    return kind, values(part), payload(part)


def read(data):
    return structure(email.message_from_bytes(data, policy=email.policy.compat32))


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_decoded_stays_the_same(seed, tmp_path):
    r = random.Random(seed)
    for _ in range(MESSAGES):
        before = message(r)
        after = repair(tmp_path, before)
        assert read(after) == read(before)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_comes_out_has_nothing_that_a_smarthost_refuses(seed, tmp_path):
    r = random.Random(1000 + seed)
    for _ in range(MESSAGES):
        before = message(r)
        after = repair(tmp_path, before)
        lines = after.split(b"\r\n")
        assert lines.pop() == b""
        assert [line for line in lines if len(line) > 998 or re.search(rb"[\r\n\0]", line)] == []
        assert repair(tmp_path, after) == after


def test_the_messages_need_repair(tmp_path):
    """The generator makes what the other tests are about."""
    changed = [m for m in (message(random.Random(s)) for s in range(40)) if repair(tmp_path, m) != m]
    assert len(changed) > 20


def test_signed_parts_stay_octet_for_octet(tmp_path):
    signed = b"--s\r\nContent-Type: text/plain\r\n\r\n" + b"x" * 2000 + b"\r\n--s\r\n\r\nsig\r\n--s--\r\n"
    head = b"Content-Type: multipart/signed; boundary=s\r\n\r\n"
    whole = b"From: a@example.org\r\nMIME-Version: 1.0\r\n" + head + signed
    assert repair(tmp_path, whole) == whole
    other = b"Content-Type: text/plain\r\n\r\n" + b"y" * 2000
    mixed = (b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n" + head + signed +
             b"--m\r\n" + other + b"\r\n--m--\r\n")
    after = repair(tmp_path, mixed)
    assert head + signed in after and other not in after
