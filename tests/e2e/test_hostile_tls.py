"""What is not accepted in the certificate of a smarthost, and peers that do in TLS what no smarthost does."""

import os
import re
import shutil
import socket
import ssl

import pytest

import authority
import harness
import libssl
from authority import CA, LEAF

MESSAGE = b"Subject: hello\nMessage-ID: <hello@example.test>\n\nhello\n"
QUICK = {"retry_interval": "100ms 200ms", "reconnect_interval": "50ms 100ms"}
BOB = "bob@example.test"
SHORT_WAIT = f"{int(500 * float(os.environ.get('POSTBAG_SLOWNESS', '1')))}ms"
LOCALHOST = LEAF + "subjectAltName=DNS:localhost\n"

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl")


@pytest.fixture(scope="module")
def make_authority(workplace):
    return lambda: authority.Authority(workplace.new_directory("authority"))


@pytest.fixture
def serve(workplace, make_host):
    """serve(authority, host=NAME, **options): a message is on its way through a smarthost that has these certificates."""
    servers = []

    def serve(made, name="localhost", block=None, **options):
        servers.append(harness.Smarthost(workplace, made.directory, **options))
        host = make_host(servers[-1], **QUICK)
        host.configure([host.smarthost_block(servers[-1], **(block or {})).replace("//localhost:", f"//{name}:")], **QUICK)
        if name == "localhost":
            host.start_relayd()
        else:
            host.start_relayd(within=harness.knowing(workplace, f"127.0.0.1 localhost {name}\n"))
        host.submit(MESSAGE, BOB)
        return host, servers[-1]

    yield serve
    for server in servers:
        server.stop()


def assert_delivered(host, server):
    host.wait_empty()
    assert [mail.recipients for mail in server.messages()] == [[BOB]]


def assert_refused(host, server, words):
    listing = host.wait_mailq(words)
    assert not re.search("C: (AUTH|MAIL)", server.transcript())
    assert len(host.queue_files()) == 1 and server.messages() == []
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", listing + host.log())


# chains


def between(a, name="between", extensions=CA, issuer="ca", key="other.key", issuer_key="ca.key"):
    return a.sign(name, extensions, issuer, key, issuer_key, f"/CN=The {name}")


def below(a, extensions=LOCALHOST, issuer="between"):
    return a.sign("leaf", extensions, issuer, issuer_key="other.key")


def root_of_one_level(a):
    a.root("ca", CA.replace("CA:TRUE", "CA:TRUE,pathlen:0"))
    return below(between(a)).serve("leaf", "between")


def root_for_other_names(a):
    a.root("ca", CA + "nameConstraints=critical,permitted;DNS:example.test\n")
    return a.sign("leaf", LOCALHOST).serve("leaf")


CHAINS = {
    "whole": (lambda a: below(between(a)).serve("leaf", "between"), None),
    "with the root": (lambda a: below(between(a)).serve("leaf", "between", "ca"), None),
    "in between is missing": (lambda a: below(between(a)).serve("leaf"), r"its issuer \(CN=The between\) is unknown here"),
    "in between is no authority": (
        lambda a: below(between(a, extensions=LOCALHOST)).serve("leaf", "between"),
        "signed by a certificate that may not sign others"),
    "in between says nothing": (
        lambda a: below(between(a, extensions="subjectAltName=DNS:localhost\n")).serve("leaf", "between"),
        "signed by a certificate that may not sign others"),
    "in between may not sign certificates": (
        lambda a: below(between(a, extensions=CA.replace("keyCertSign,", ""))).serve("leaf", "between"),
        "may sign no certificates, or none"),
    "too long for its root": (root_of_one_level, "may sign no certificates, or none"),
    "the root is for other names": (root_for_other_names, "may sign no certificates, or none"),
}

# leaves

BAD_LEAVES = {
    "wrong signature": (lambda a: a.sign("leaf", LOCALHOST).forge("leaf", b"mail.example", b"mall.example", key=None), "signature"),
    "signed by another key": (
        lambda a: a.sign("leaf", LOCALHOST).forge("leaf", b"mail.example", b"mall.example", key="other.key"), "signature"),
    "signed with SHA-1": (lambda a: a.sign("leaf", LOCALHOST, "ca", "server.key", "ca.key", "/CN=x", "-sha1"), "weak algorithm"),
    "not for a server": (lambda a: a.sign("leaf", LOCALHOST.replace("serverAuth", "codeSigning")), "not one for a server"),
    "a critical extension that nobody knows": (
        lambda a: a.sign("leaf", LOCALHOST + "1.2.3.4=critical,ASN1:NULL\n"), "a critical extension that is not known"),
    "NUL in the name": (
        lambda a: a.sign("leaf", LEAF + "subjectAltName=DNS:localhostX.evil.example\n")
        .forge("leaf", b"localhostX.evil", b"localhost\0.evil"), "not for localhost"),
    "NUL in the common name": (
        lambda a: a.sign("leaf", LEAF, subject="/CN=localhostX.evil.example")
        .forge("leaf", b"localhostX.evil", b"localhost\0.evil"),
        "not for localhost"),
    "NUL behind the name": (
        lambda a: a.sign("leaf", LEAF + "subjectAltName=DNS:localhostX\n").forge("leaf", b"localhostX", b"localhost\0"),
        "not for localhost"),
    "control characters in the name": (
        lambda a: a.sign("leaf", LEAF + "subjectAltName=DNS:xxxxpwnedx.example\n")
        .forge("leaf", b"xxxxpwnedx", b"\x1b]0;pwned\x07"),
        "not for localhost"),
    "another name, ours as common name": (
        lambda a: a.sign("leaf", LEAF + "subjectAltName=DNS:other.example\n", subject="/CN=localhost"),
        "for other.example, not for"),
    "every name": (lambda a: a.sign("leaf", LEAF + "subjectAltName=DNS:*\n"), "not for localhost"),
    "every name below": (lambda a: a.sign("leaf", LEAF + "subjectAltName=DNS:*.localhost\n"), "not for localhost"),
    "a name with a star in it": (lambda a: a.sign("leaf", LEAF + "subjectAltName=DNS:local*\n"), "not for localhost"),
    "our name as mail address": (
        lambda a: a.sign("leaf", LEAF + "subjectAltName=email:x@localhost,URI:smtp://localhost\n"), "for no host"),
}


@pytest.mark.parametrize("kind", CHAINS)
def test_a_chain(kind, make_authority, serve):
    make, words = CHAINS[kind]
    host, server = serve(make(make_authority()))
    if words is None:
        assert_delivered(host, server)
    else:
        assert_refused(host, server, words)


@pytest.mark.parametrize("kind", BAD_LEAVES)
def test_a_bad_certificate(kind, make_authority, serve):
    make, words = BAD_LEAVES[kind]
    host, server = serve(make(make_authority()).serve("leaf"))
    assert_refused(host, server, words)


WILDCARDS = {
    "b.example.test": ("*.example.test", True),
    "a.b.example.test": ("*.example.test", False),
    "example.test": ("*.example.test", False),
    "c.example.test": ("*.*.test", False),
    "d.example.test": ("*.test", False),
    "xe.example.test": ("x*.example.test", False),
}


@pytest.mark.parametrize("name", WILDCARDS)
def test_a_star_stands_for_one_whole_label(name, make_authority, serve):
    wildcard, good = WILDCARDS[name]
    host, server = serve(make_authority().sign("leaf", LEAF + f"subjectAltName=DNS:{wildcard}\n").serve("leaf"), name)
    if good:
        assert_delivered(host, server)
    else:
        assert_refused(host, server, f"not for {name}")


# revocation

STAPLE = LOCALHOST + "tlsfeature=status_request\n"


def by_a_stranger(a):
    a.sign("stranger", CA, None, "other.key", subject="/CN=The ca")
    return a.respond("leaf", issuer="stranger", key="other.key")


def of_another(a):
    return a.sign("another", LOCALHOST).respond("another")


def garbage(a):
    (a.directory / "response").write_bytes(b"0\x82\xff\xff garbage")
    return a.directory / "response"


RESPONSES = {
    "good": (LOCALHOST, lambda a: a.respond("leaf"), None),
    "revoked": (LOCALHOST, lambda a: a.respond("leaf", "R"), "it has been revoked"),
    "revoked, promised": (STAPLE, lambda a: a.respond("leaf", "R"), "it has been revoked"),
    "good, promised": (STAPLE, lambda a: a.respond("leaf"), None),
    "promised and missing": (STAPLE, lambda a: None, "the OCSP status that it promises is missing"),
    "neither": (LOCALHOST, lambda a: None, None),
    "by a stranger": (LOCALHOST, by_a_stranger, "OCSP"),
    "by a stranger, promised": (STAPLE, by_a_stranger, "OCSP"),
    "of another certificate": (LOCALHOST, of_another, "OCSP"),
    "of another certificate, promised": (STAPLE, of_another, "OCSP"),
    "garbage": (LOCALHOST, garbage, "OCSP"),
    "garbage, promised": (STAPLE, garbage, "OCSP"),
    "too old": (LOCALHOST, lambda a: a.respond_in_2010("leaf"), "what it says about revocation is too old"),
    "too old, promised": (STAPLE, lambda a: a.respond_in_2010("leaf"), "what it says about revocation is too old"),
}


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
@pytest.mark.parametrize("kind", RESPONSES)
def test_what_ocsp_says_counts(kind, tls, make_authority, serve):
    extensions, respond, words = RESPONSES[kind]
    a = make_authority().sign("leaf", extensions).serve("leaf")
    host, server = serve(a, ocsp=respond(a), priority=f"NORMAL:-VERS-ALL:+VERS-TLS{tls}")
    if words is None:
        assert_delivered(host, server)
    else:
        assert_refused(host, server, words)


# what a peer does in TLS

LARGEST = 1 << 14  # octets of a record, RFC 8446 section 5.1


@pytest.fixture
def run(certs, make_host):
    """run(script, ...): a message is on its way to a server that speaks TLS, or something like it, from the first octet."""
    servers = []

    def run(script, made=certs):
        servers.append(harness.ScriptedServer(made, script))
        host = make_host(servers[-1], "smtps", block={"command_timeout": SHORT_WAIT}, **QUICK)
        host.start_relayd()
        host.submit(MESSAGE, BOB)
        return host

    yield run
    for server in servers:
        server.close()


def assert_waits(host, words):
    host.wait_log(f'paused=.*reason="[^"]*({words})')
    assert len(host.queue_files()) == 1 and not re.search("status=", host.log())


def after_handshake(version, action):
    def script(peer):
        channel = libssl.Channel(peer, version)
        while True:
            action(channel)

    return script


def in_clear(octets):
    def script(peer):
        peer.connection.recv(1)
        while True:
            peer.connection.sendall(octets)

    return script


ENDS = "no answer within|TLS"
FLOODS = {
    "new keys": (after_handshake("1.3", lambda channel: channel.update_key(False)), "Too many handshake packets"),
    "new keys, ours too": (after_handshake("1.3", lambda channel: channel.update_key(True)), "Too many handshake packets"),
    "tickets": (after_handshake("1.3", lambda channel: channel.give_ticket()), ENDS),
    "new handshakes": (after_handshake("1.2", lambda channel: channel.ask_for_handshake()), ENDS),
    "empty lines": (after_handshake("1.3", lambda channel: channel.write(b"\r\n")), "no SMTP reply"),
    "warnings": (in_clear(b"\x15\x03\x03\0\2\1\x5a" * 1000), ENDS),
    "empty records": (in_clear(b"\x16\x03\x03\0\0" * 1000), ENDS),
    "changes of the cipher": (in_clear(b"\x14\x03\x03\0\1\1" * 1000), ENDS),
    "zeros": (in_clear(b"\0" * 10000), ENDS),
    "a record of 64 kB": (in_clear(b"\x16\x03\x03\xff\xff" + b"\2" * 0xFFFF), ENDS),
    "a ServerHello of 16 MB": (in_clear(b"\x16\x03\x03\x40\0\2\xff\xff\xff" + b"\3" * (LARGEST - 4)), ENDS),
}


@pytest.mark.parametrize("what", FLOODS)
def test_a_flood_has_an_end(what, run):
    script, words = FLOODS[what]
    assert_waits(run(script), words)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("length", [LARGEST + 1, LARGEST + 257, 0xFFFF])
def test_a_record_that_is_too_long_ends_the_connection(length, version, run):
    """No cipher makes 16 kB so long that these would hold."""

    def script(peer):
        libssl.Channel(peer, version)
        peer.connection.sendall(b"\x17\x03\x03" + length.to_bytes(2, "big") + b"x" * length)
        libssl.wait_closed(peer)

    assert_waits(run(script), "TLS")


def flights(peer, version):
    """The server's handshake: what it sends each time, to be sent by who asks for it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(peer.server.certs / "server.pem", peer.server.certs / "server.key")
    session = context.wrap_bio(incoming, outgoing, server_side=True)
    done = False
    while not done:
        try:
            session.do_handshake()
            done = True
        except ssl.SSLWantReadError:
            pass
        yield outgoing.read()
        if not done:
            incoming.write(libssl.receive(peer))


@pytest.mark.parametrize("close", [False, True], ids=["stalls", "closes"])
@pytest.mark.parametrize("part", [0, 0.01, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("flight", [1, 2])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_handshake_that_stops(version, flight, part, close, run):
    """Flight 0 is empty: the client begins. With TLS 1.3 flight 2 is but the tickets."""

    def script(peer):
        limit = ssl.TLSVersion.TLSv1_2 if version == "1.2" else ssl.TLSVersion.TLSv1_3
        for number, octets in enumerate(flights(peer, limit)):
            if number == flight:
                peer.connection.sendall(octets[: int(len(octets) * part)])
                break
            peer.connection.sendall(octets)
        if not close:
            libssl.wait_closed(peer)

    assert_waits(run(script), "TLS|closed the connection|broke" if close else "no answer within")


def chain_of(a, count):
    names = ["ca", *(f"a{number}" for number in range(count - 1))]
    for issuer, name in zip(names, names[1:]):
        between(a, name, issuer=issuer, key="ca.key")
    return a.sign("leaf", LOCALHOST, names[-1]).serve("leaf", *reversed(names[1:]))


def with_extension(a, size):
    length = (size - 5).to_bytes(3, "big").hex(":")
    return a.sign("leaf", LOCALHOST + f"1.2.3.4=DER:04:83:{length}{':61' * (size - 5)}\n").serve("leaf")


def with_names(a, count):
    names = "".join(f"DNS:x{number}.example," for number in range(count))
    return a.sign("leaf", LEAF + f"subjectAltName={names}DNS:localhost\n").serve("leaf")


ACCEPTED = "greeting: 554 not today"
SIZES = {
    "8 certificates": (lambda a: chain_of(a, 8), ACCEPTED),
    "100 certificates": (lambda a: chain_of(a, 100), "the certificate of localhost cannot be verified: .*limits"),
    "100 kB": (lambda a: with_extension(a, 100_000), ACCEPTED),
    "1 MB": (lambda a: with_extension(a, 1_000_000), "TLS handshake: The handshake data size is too large"),
    "1000 names": (lambda a: with_names(a, 1000), ACCEPTED),
}


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("size", SIZES)
def test_the_size_of_what_proves_the_name(size, version, make_authority, run):
    make, words = SIZES[size]

    def script(peer):
        libssl.Channel(peer, version).write(b"554 not today\r\n")
        libssl.wait_closed(peer)

    assert_waits(run(script, make(make_authority()).directory), words)


def test_each_connection_begins_anew_and_sends_nothing_early(certs, run):
    """Tickets of the last connection are not used: neither a resumed session nor 0-RTT."""
    hellos = []

    def script(peer):
        hellos.append(peer.connection.recv(65536, socket.MSG_PEEK))
        channel = libssl.Channel(peer, "1.3")
        channel.give_ticket()
        channel.write(b"554 not now\r\n")
        libssl.wait_closed(peer)

    host = run(script)
    host.wait_for(lambda: len(hellos) >= 3, what="three connections")
    for hello in hellos:
        assert not {42, 41} & set(extensions(hello)) and 43 in extensions(hello)


def extensions(hello):
    """The kinds of extensions in a ClientHello (RFC 8446 section 4.1.2), record header included."""
    at = 5 + 4 + 2 + 32
    at += 1 + hello[at]
    at += 2 + int.from_bytes(hello[at : at + 2], "big")
    at += 1 + hello[at] + 2
    while at < len(hello):
        yield int.from_bytes(hello[at : at + 2], "big")
        at += 4 + int.from_bytes(hello[at + 2 : at + 4], "big")
