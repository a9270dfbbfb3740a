"""Which smarthost is trusted: pins, versions, and the words for a certificate that is not accepted."""

import base64
import datetime
import hashlib
import re
import shutil
import ssl
import subprocess

import pytest

import harness

MESSAGE = b"Subject: hello\nMessage-ID: <hello@example.test>\n\nhello\n"
QUICK = {"retry_interval": "100ms 200ms", "reconnect_interval": "50ms 100ms"}
BOB = "bob@example.test"
WRONG_PIN = base64.b64encode(bytes(32)).decode()


def send(host):
    host.start_relayd()
    host.submit(MESSAGE, BOB)


def wait_delivered(host, server):
    host.wait_empty()
    [mail] = server.messages()
    return mail


def pin(certs, name, form="base64"):
    """The SHA-256 of the public key, as openssl and not GnuTLS sees it."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl")
    key = subprocess.run(
        ["openssl", "pkey", "-in", certs / f"{name}.key", "-pubout", "-outform", "DER"], check=True, capture_output=True
    ).stdout
    digest = hashlib.sha256(key).digest()
    return {"base64": base64.b64encode(digest).decode(), "hex": digest.hex(":").upper()}[form]


@pytest.fixture
def make_bad(make_smarthost, certs):
    """A smarthost with one of the CA's bad certificates."""

    def make(name, **options):
        return make_smarthost(cert=certs / f"{name}.pem", key=certs / f"{name}.key", **options)

    return make


def assert_refused(host, server, words):
    listing = host.wait_mailq(words)
    assert not re.search("C: (AUTH|MAIL)", server.transcript())
    assert len(host.queue_files()) == 1 and server.messages() == []
    return listing


# pins


@pytest.mark.parametrize("form", ["base64", "hex"])
@pytest.mark.parametrize("name", ["server", "selfsigned"])
def test_a_pinned_key_needs_no_authority(name, form, certs, make_bad, make_host):
    server = make_bad(name)
    pins = f"{WRONG_PIN} {pin(certs, name, form)}"
    host = make_host(server, block={"tls_trust_file": None, "tls_pin": pins}, **QUICK)
    send(host)
    wait_delivered(host, server)


def test_a_key_that_is_not_pinned_is_shown(certs, make_bad, make_host):
    server = make_bad("server")
    host = make_host(server, block={"tls_trust_file": None, "tls_pin": WRONG_PIN}, **QUICK)
    send(host)
    assert_refused(host, server, "its key is none of those in tls_pin, but " + re.escape(pin(certs, "server")))


@pytest.mark.parametrize("name, words", [("wrongname", "not for localhost"), ("expired", "expired on"), ("weak", "weak")])
def test_a_pin_does_not_replace_name_time_and_strength(name, words, certs, make_bad, make_host):
    server = make_bad(name)
    host = make_host(server, block={"tls_trust_file": None, "tls_pin": pin(certs, name)}, **QUICK)
    send(host)
    assert_refused(host, server, words)


def test_with_a_trust_file_chain_and_pin_must_both_be_right(certs, other_certs, make_bad, make_host):
    server = make_bad("server")
    block = {"tls_trust_file": other_certs / "ca.pem", "tls_pin": pin(certs, "server")}
    host = make_host(server, block=block, **QUICK)
    send(host)
    assert_refused(host, server, "its issuer .* is unknown here")
    host.configure([host.smarthost_block(server, tls_pin=WRONG_PIN)], **QUICK)
    host.reload()
    assert_refused(host, server, "none of those in tls_pin")
    host.configure([host.smarthost_block(server, tls_pin=pin(certs, "server"))], **QUICK)
    host.reload()
    wait_delivered(host, server)


@pytest.mark.parametrize("text", ["abc", "00" * 31, "00" * 20, "AAAA", WRONG_PIN + "="])
def test_a_pin_of_the_wrong_length_is_an_error_of_its_line(text, smarthost, make_host):
    host = make_host(smarthost, block={"tls_pin": text})
    host.start_relayd(wait=False)
    assert host.relayd.wait(harness.TIMEOUT) == 78
    assert re.search(r"postbag\.conf:\d+: tls_pin: must be the SHA-256", host.log())


# versions


@pytest.mark.parametrize("wanted", ["1.2", "1.3"])
@pytest.mark.parametrize("offered", ["1.2", "1.3"])
def test_the_lowest_version(offered, wanted, make_smarthost, make_host):
    server = make_smarthost(priority=f"NORMAL:-VERS-ALL:+VERS-TLS{offered}")
    host = make_host(server, block={"tls_min_version": wanted}, **QUICK)
    send(host)
    if offered >= wanted:
        assert wait_delivered(host, server).tls.split()[0] == offered
    else:
        assert_refused(host, server, r"TLS handshake: .*\(tls_min_version is 1.3\)")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("fault", ["recvfrom:error=EAGAIN", "recvfrom:error=EINTR", "sendmsg:error=EINTR"])
def test_each_call_is_made_again(fault, version, make_smarthost, make_host, inject):
    """Every other one of a session's calls fails, from the first octet of the handshake on."""
    server = make_smarthost(priority=f"NORMAL:-VERS-ALL:+VERS-TLS{version}")
    host = make_host(server, **QUICK)
    host.start_relayd()
    with inject(host, f"{fault}:when=1+2", options=["-f"]):
        host.submit(MESSAGE + b"x" * 70 + b"\n" * 5000, BOB)
        host.wait_empty()
    [mail] = server.messages()
    assert mail.tls.split()[0] == version and "paused=" not in host.log()
    session = re.search(r"session=(\d+) connected=", host.log())[1]
    failed = [line for line in harness.text(host.directory / "trace").splitlines() if line.split()[0] == session and "INJECTED" in line]
    assert len(failed) > 5


def test_tls_1_3_is_offered_before_1_2(certs, make_host):
    """Go's servers take the first version of the list that they know, and 1.2 is then a downgrade that fails."""
    hellos = []

    def script(peer):
        record = peer.file.read(5)
        hellos.append(peer.file.read(int.from_bytes(record[3:], "big")))

    server = harness.ScriptedServer(certs, script)
    host = make_host(server, "smtps", **QUICK)
    send(host)
    host.wait_for(lambda: hellos, what="a ClientHello")
    assert bytes.fromhex("002b 0005 04 0304 0303") in hellos[0]  # supported_versions (RFC 8446, section 4.2.1)
    server.close()


# words


def day(days):
    """That many days from now, or from yesterday: the certificates may have been made before midnight."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return "(%s|%s)" % tuple((now + datetime.timedelta(days=n)).strftime("%Y-%m-%d") for n in (days, days - 1))


def today():
    return r"\(this host's clock says " + day(0) + r" \d\d:\d\d UTC\)"


WORDS = {
    "expired": lambda: f"localhost is not accepted: it expired on {day(-1)} .* " + today(),
    "notyet": lambda: f"localhost is not accepted: it is not yet valid: it begins on {day(30)} .* " + today(),
    "wrongname": lambda: "localhost is not accepted: it is for other.example.test, not for localhost",
    "selfsigned": lambda: r"its issuer \(CN=mail.example.test\) is unknown here; .* tls_trust_file, .* tls_pin",
    "weak": lambda: "weak algorithm or size",
    "client": lambda: "it is for no host, not for localhost",
}


@pytest.mark.parametrize("name", WORDS)
def test_the_words_for_a_bad_certificate(name, make_bad, make_host):
    server = make_bad(name)
    host = make_host(server, **QUICK)
    send(host)
    assert_refused(host, server, WORDS[name]())


def test_all_names_are_listed(make_smarthost, make_host):
    server = make_smarthost()
    host = make_host(server, **QUICK)
    host.configure([host.smarthost_block(server).replace("//localhost:", "//127.0.0.2:")], **QUICK)
    server.stop()
    server.options["bind"] = "127.0.0.2"
    server.start()
    send(host)
    assert_refused(host, server, "it is for mail.example.test, localhost, 127.0.0.1, ::1, not for 127.0.0.2")


def test_opportunistic_tls_takes_any_certificate_but_sends_no_password(make_bad, make_host):
    server = make_bad("selfsigned", user=None, password=None)
    block = {"user": None, "password": None, "tls_trust_file": None, "tls": "opportunistic"}
    host = make_host(server, block=block, **QUICK)
    send(host)
    assert wait_delivered(host, server).tls
    host.stop_relayd()
    host.configure([host.smarthost_block(server, tls="opportunistic")], **QUICK)
    host.start_relayd(wait=False)
    assert host.relayd.wait(harness.TIMEOUT) == 78 and "insecure_auth" in host.log()


def test_a_smarthost_that_wants_a_client_certificate_says_so(certs, make_host):
    """With TLS 1.3 it can do so only after the handshake."""

    def script(peer):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certs / "server.pem", certs / "server.key")
        context.load_verify_locations(certs / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        peer.connection = context.wrap_socket(peer.connection, server_side=True)

    server = harness.ScriptedServer(certs, script)
    host = make_host(server, "smtps", **QUICK)
    send(host)
    host.wait_mailq("(?i)certificate (is )?required|bad certificate|handshake failed")
    server.close()


# when there is TLS, and when a password may go without

WRONG, WAITS, IN_TLS, IN_CLEAR = "wrong configuration", "waits", "in TLS", "in the clear"
# tls, password, insecure_auth: what happens where STARTTLS is offered, and where it is not
COMBINATIONS = {
    ("required", False, False): (IN_TLS, WAITS),
    ("required", False, True): (IN_TLS, WAITS),
    ("required", True, False): (IN_TLS, WAITS),
    ("required", True, True): (IN_TLS, WAITS),
    ("opportunistic", False, False): (IN_TLS, IN_CLEAR),
    ("opportunistic", False, True): (IN_TLS, IN_CLEAR),
    ("opportunistic", True, False): (WRONG, WRONG),
    ("opportunistic", True, True): (IN_TLS, IN_CLEAR),
    ("none", False, False): (IN_CLEAR, IN_CLEAR),
    ("none", False, True): (IN_CLEAR, IN_CLEAR),
    ("none", True, False): (WRONG, WRONG),
    ("none", True, True): (IN_CLEAR, IN_CLEAR),
}


@pytest.mark.parametrize("offered", [True, False], ids=["offered", "not offered"])
@pytest.mark.parametrize("tls, password, insecure", COMBINATIONS)
def test_when_there_is_tls_and_when_a_password_goes_without(tls, password, insecure, offered, make_smarthost, make_host):
    login = {} if password else {"user": None, "password": None}
    server = make_smarthost(no_starttls=not offered, auth_in_clear=True, **login)
    host = make_host(server, block={"tls": tls, "insecure_auth": "yes" if insecure else None, **login}, **QUICK)
    outcome = COMBINATIONS[tls, password, insecure][not offered]
    if outcome == WRONG:
        host.start_relayd(wait=False)
        assert host.relayd.wait(harness.TIMEOUT) == 78 and "insecure_auth" in host.log()
    elif outcome == WAITS:
        send(host)
        assert_refused(host, server, "does not offer STARTTLS; nothing is sent in the clear")
    else:
        send(host)
        mail = wait_delivered(host, server)
        assert bool(mail.tls) == (outcome == IN_TLS) and bool(mail.mechanism) == password


def test_a_starttls_that_is_refused_is_not_done_without(make_smarthost, make_host):
    """It was offered: whoever takes it back may be an attacker, also where TLS is opportunistic."""
    login = {"user": None, "password": None}
    server = make_smarthost(rule="STARTTLS reply 454 4.7.0 not now", **login)
    host = make_host(server, block={"tls": "opportunistic", **login}, **QUICK)
    send(host)
    assert_refused(host, server, "STARTTLS: 454 4.7.0 not now")


@pytest.mark.parametrize("code", [221, 250, 299, 334, 354, 502])
def test_tls_begins_behind_220_only(code, make_smarthost, make_host):
    server = make_smarthost(rule=f"STARTTLS/1 reply {code} go")
    host = make_host(server, **QUICK)
    send(host)
    assert wait_delivered(host, server).tls
    assert re.search(f"paused=.*STARTTLS: {code} go", host.log())
