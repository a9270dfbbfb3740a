"""What is not accepted in the certificate of a smarthost, and peers that do in TLS what no smarthost does."""

import re
import shutil

import pytest

import authority
import harness
from authority import CA, LEAF

MESSAGE = b"Subject: hello\nMessage-ID: <hello@example.test>\n\nhello\n"
QUICK = {"retry_interval": "100ms 200ms", "reconnect_interval": "50ms 100ms"}
BOB = "bob@example.test"
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
        lambda a: a.sign("leaf", LEAF, subject="/CN=localhostX.evil.example").forge("leaf", b"localhostX.evil", b"localhost\0.evil"),
        "not for localhost"),
    "NUL behind the name": (
        lambda a: a.sign("leaf", LEAF + "subjectAltName=DNS:localhostX\n").forge("leaf", b"localhostX", b"localhost\0"),
        "not for localhost"),
    "control characters in the name": (
        lambda a: a.sign("leaf", LEAF + "subjectAltName=DNS:xxxxpwnedx.example\n").forge("leaf", b"xxxxpwnedx", b"\x1b]0;pwned\x07"),
        "not for localhost"),
    "another name, ours as common name": (
        lambda a: a.sign("leaf", LEAF + "subjectAltName=DNS:other.example\n", subject="/CN=localhost"), "for other.example, not for"),
    "every name": (lambda a: a.sign("leaf", LEAF + "subjectAltName=DNS:*\n"), "not for localhost"),
    "every name below": (lambda a: a.sign("leaf", LEAF + "subjectAltName=DNS:*.localhost\n"), "not for localhost"),
    "a name with a star in it": (lambda a: a.sign("leaf", LEAF + "subjectAltName=DNS:local*\n"), "not for localhost"),
    "our name as mail address": (lambda a: a.sign("leaf", LEAF + "subjectAltName=email:x@localhost,URI:smtp://localhost\n"), "for no host"),
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
