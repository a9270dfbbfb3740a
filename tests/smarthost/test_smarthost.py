"""Tests of the test smarthost itself.

Run with pytest; POSTBAG_BUILD names the build directory, which holds tests/smarthost and
tests/testca.  Each test starts a server of its own with the options it is about.
"""

import base64
import contextlib
import functools
import hashlib
import hmac
import os
import random
import signal
import smtplib
import socket
import ssl
import subprocess
import tempfile
import time

import pytest

BIN = os.path.join(os.environ["POSTBAG_BUILD"], "tests")
CREDENTIALS = ["--user", "alice", "--password", "s3cret"]
BODY = b"Subject: x\r\n\r\n.dot\r\n..two\r\nlast\r\n"


@functools.lru_cache(maxsize=None)
def pki():
    directory = tempfile.mkdtemp()
    subprocess.run([f"{BIN}/testca", directory], check=True)
    return directory


def tls_options(name="server"):
    return ["--cert", f"{pki()}/{name}.pem", "--key", f"{pki()}/{name}.key"]


def context():
    return ssl.create_default_context(cafile=f"{pki()}/ca.pem")


class Server:
    def __init__(self, directory, *options):
        self.directory = str(directory)
        self.store = os.path.join(self.directory, "store")
        self.log = os.path.join(self.directory, "transcript")
        os.makedirs(self.store, exist_ok=True)
        port_file = os.path.join(self.directory, "port")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(port_file)
        self.process = subprocess.Popen(
            [f"{BIN}/smarthost", "--port-file", port_file, "--store", self.store,
             "--transcript", self.log, *options], stderr=subprocess.PIPE, text=True)
        deadline = time.time() + 10
        while not os.path.exists(port_file):
            assert self.process.poll() is None, self.process.stderr.read()
            assert time.time() < deadline
            time.sleep(0.01)
        with open(port_file) as file:
            self.port = int(file.read())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
        errors = self.process.communicate(timeout=10)[1]
        assert self.process.returncode == 0, errors
        assert "Sanitizer" not in errors and "runtime error" not in errors, errors

    def file(self, name):
        with open(os.path.join(self.store, name), "rb") as file:
            return file.read()

    def transcript(self):
        with open(self.log) as file:
            return file.read().splitlines()

    def closed(self, connection=1):
        """The closing line of a connection, which may be about to be written."""
        deadline = time.time() + 10
        while time.time() < deadline:
            for line in self.transcript():
                if line.startswith(f"{connection} = closed: "):
                    return line.split("closed: ")[1]
            time.sleep(0.01)
        raise AssertionError("not closed")

    def smtp(self, **more):
        return smtplib.SMTP("127.0.0.1", self.port, local_hostname="client.example.test",
                            timeout=10, **more)

    def secure(self):
        client = self.smtp()
        client._host = "localhost"
        client.starttls(context=context())
        return client

    def raw(self):
        return Raw(socket.create_connection(("127.0.0.1", self.port), timeout=10))


class Raw:
    """A client that says exactly what it is told."""

    def __init__(self, sock):
        self.sock = sock
        self.file = sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def reply(self):
        """The code and last line of a whole reply; "" when the server closed."""
        while True:
            line = self.file.readline().decode()
            if line[3:4] != "-":
                return line.rstrip("\r\n")

    def codes(self, count):
        return [self.reply()[:3] for _ in range(count)]

    def hello(self, name=b"client.example.test"):
        assert self.reply()[:3] == "220"
        self.send(b"EHLO " + name + b"\r\n")
        assert self.reply()[:3] == "250"
        return self


ENVELOPE = b"MAIL FROM:<a@example.test>\r\nRCPT TO:<b@example.test>\r\n"


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("initial", [True, False])
def test_starttls_and_auth(tmp_path, mechanism, initial):
    with Server(tmp_path, *tls_options(), *CREDENTIALS) as server:
        with server.secure() as client:
            client.ehlo()
            assert "PLAIN LOGIN SCRAM-SHA-1 SCRAM-SHA-256" in client.esmtp_features["auth"]
            client.user, client.password = "alice", "s3cret"
            method = getattr(client, "auth_" + mechanism.lower())
            client.auth(mechanism, method, initial_response_ok=initial)
            client.sendmail("a@example.test", ["b@example.test"], BODY)
        env = server.file("000001.env").decode().splitlines()
        assert env[0].startswith("from <a@example.test> size=")
        assert env[1:] == ["to <b@example.test>", f"auth alice {mechanism}", "tls 1.3"]
        log = server.transcript()
        assert "1 = TLS 1.3 established" in log
        assert not any(base64.b64encode(b"alice").decode() in line for line in log)
        assert not any("s3cret" in line for line in log)
        if initial:
            assert f"1 C: AUTH {mechanism} (hidden)" in log


def scram(client, algorithm, user, password, initial=True):
    """RFC 5802 by hand; returns the code of the last reply."""
    name = {"sha1": "SCRAM-SHA-1", "sha256": "SCRAM-SHA-256"}[algorithm]
    bare = f"n={user},r=abcdefghijkl"
    first = base64.b64encode(("n,," + bare).encode()).decode()
    if initial:
        code, text = client.docmd("AUTH", f"{name} {first}")
    else:
        code, text = client.docmd("AUTH", name)
        assert (code, text) == (334, b"")
        code, text = client.docmd(first)
    assert code == 334
    challenge = base64.b64decode(text).decode()
    values = dict(part.split("=", 1) for part in challenge.split(","))
    salted = hashlib.pbkdf2_hmac(algorithm, password.encode(), base64.b64decode(values["s"]),
                                 int(values["i"]))

    def keyed(key, data):
        return hmac.new(key, data, algorithm).digest()

    client_key = keyed(salted, b"Client Key")
    final = "c=biws,r=" + values["r"]
    message = ",".join([bare, challenge, final]).encode()
    signature = keyed(hashlib.new(algorithm, client_key).digest(), message)
    proof = bytes(a ^ b for a, b in zip(client_key, signature))
    final += ",p=" + base64.b64encode(proof).decode()
    code, text = client.docmd(base64.b64encode(final.encode()).decode())
    if code == 334:
        server_signature = keyed(keyed(salted, b"Server Key"), message)
        assert base64.b64decode(text) == b"v=" + base64.b64encode(server_signature)
        code, text = client.docmd("")
    return code


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
@pytest.mark.parametrize("initial", [True, False])
def test_scram(tmp_path, algorithm, initial):
    with Server(tmp_path, *tls_options(), *CREDENTIALS) as server:
        with server.secure() as client:
            client.ehlo()
            assert scram(client, algorithm, "alice", "wrong", initial) == 535
            assert scram(client, algorithm, "bob", "s3cret", initial) == 535
            assert scram(client, algorithm, "alice", "s3cret", initial) == 235
            client.sendmail("a@example.test", ["b@example.test"], BODY)
        assert server.file("000001.eml") == BODY


def test_auth_refusals(tmp_path):
    with Server(tmp_path, *tls_options(), *CREDENTIALS) as server:
        with server.smtp() as client:
            client.ehlo()
            assert "auth" not in client.esmtp_features
            assert client.docmd("AUTH", "PLAIN AGEAYg==")[0] == 538
            assert client.docmd("MAIL", "FROM:<a@b>") == (530, b"5.7.0 STARTTLS and AUTH first")
        with server.secure() as client:
            client.ehlo()
            assert client.docmd("MAIL", "FROM:<a@b>")[0] == 530
            wrong = base64.b64encode(b"\0alice\0wrong").decode()
            assert client.docmd("AUTH", "PLAIN " + wrong)[0] == 535
            other = base64.b64encode(b"bob\0alice\0s3cret").decode()
            assert client.docmd("AUTH", "PLAIN " + other)[0] == 535
            assert client.docmd("AUTH", "PLAIN =")[0] == 535
            assert client.docmd("AUTH", "PLAIN !!!!")[0] == 501
            assert client.docmd("AUTH", "CRAM-MD5")[0] == 504
            assert client.docmd("AUTH", "PLAIN") == (334, b"")
            assert client.docmd("*")[0] == 501
            good = base64.b64encode(b"\0alice\0s3cret").decode()
            assert client.docmd("AUTH", "plain " + good)[0] == 235
            assert client.docmd("AUTH", "PLAIN " + good)[0] == 503


def test_auth_in_clear(tmp_path):
    with Server(tmp_path, *CREDENTIALS, "--auth-in-clear", "--mechanisms", "LOGIN") as server:
        with server.smtp() as client:
            client.login("alice", "s3cret")
            assert client.esmtp_features["auth"].strip() == "LOGIN"
            client.sendmail("a@example.test", ["b@example.test"], BODY)
        assert b"auth alice LOGIN" in server.file("000001.env")


def test_implicit_tls_on_ipv6(tmp_path):
    with Server(tmp_path, *tls_options(), "--implicit-tls", "--bind", "::1") as server:
        with smtplib.SMTP_SSL("::1", server.port, context=context(), timeout=10) as client:
            client.ehlo("client.example.test")
            assert "starttls" not in client.esmtp_features
            client.sendmail("a@example.test", ["b@example.test"], BODY)
        assert server.file("000001.eml") == BODY


def test_client_certificate(tmp_path):
    with Server(tmp_path, *tls_options(), "--client-ca", f"{pki()}/ca.pem") as server:
        with server.smtp() as client:
            client._host = "localhost"
            with_certificate = context()
            with_certificate.load_cert_chain(f"{pki()}/client.pem", f"{pki()}/client.key")
            client.starttls(context=with_certificate)
            client.ehlo()
        assert "1 = client certificate CN=alice (trusted)" in server.transcript()
        with server.secure() as client:
            assert client.ehlo()[0] == 250


@pytest.mark.parametrize("name", ["wrongname", "expired", "notyet", "selfsigned"])
def test_bad_certificates_are_bad(tmp_path, name):
    with Server(tmp_path, *tls_options(name)) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            server.secure()
        assert any("handshake failed" in line for line in server.transcript()) or server.closed()


def test_weak_certificate_can_be_served(tmp_path):
    with Server(tmp_path, *tls_options("weak")) as server:
        client = server.smtp()
        lax = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        lax.check_hostname = False
        lax.verify_mode = ssl.CERT_NONE
        lax.set_ciphers("DEFAULT:@SECLEVEL=0")
        client.starttls(context=lax)
        assert client.ehlo()[0] == 250
        client.quit()


def test_testca_modes():
    for name in os.listdir(pki()):
        mode = os.stat(os.path.join(pki(), name)).st_mode & 0o777
        assert mode == (0o600 if name.endswith(".key") else 0o644)
    subprocess.run([f"{BIN}/testca", pki()], check=True)


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 100000])
def test_content_is_stored_octet_for_octet(tmp_path, piece):
    content = b"a\r\n.\r.\r\n.\n.\r\n..\r\n\r\r\n.x\r\nlone\nlf\rcr\x00\xff\r\n.\r\r\n\r\n."
    content = content + b"end\r\n"
    stuffed = content.replace(b"\r\n.", b"\r\n..")
    with Server(tmp_path) as server, server.raw() as client:
        client.hello()
        client.send(ENVELOPE + b"DATA\r\n")
        assert client.codes(3) == ["250", "250", "354"]
        data = stuffed + b".\r\n"
        for i in range(0, len(data), piece):
            client.send(data[i:i + piece])
        assert client.reply()[:3] == "250"
        assert server.file("000001.eml") == content
        assert sorted(os.listdir(server.store)) == ["000001.eml", "000001.env"]


def test_empty_and_big_messages(tmp_path):
    big = b"".join(b"%08d" % i + b"x" * 60 + b"\r\n" for i in range(300000))
    with Server(tmp_path) as server, server.raw() as client:
        client.hello()
        client.send(ENVELOPE + b"DATA\r\n.\r\n" + ENVELOPE + b"DATA\r\n" + big + b".\r\n")
        assert client.codes(8) == ["250", "250", "354", "250"] * 2
        assert server.file("000001.eml") == b""
        assert server.file("000002.eml") == big


def test_numbers_go_on(tmp_path):
    os.makedirs(tmp_path / "store")
    (tmp_path / "store" / "000041.eml").write_bytes(b"")
    with Server(tmp_path) as server, server.smtp() as client:
        client.sendmail("a@example.test", ["b@example.test"], BODY)
        assert server.file("000042.eml") == BODY


def test_bdat(tmp_path):
    with Server(tmp_path) as server, server.raw() as client:
        client.hello()
        client.send(ENVELOPE + b"BDAT 5\r\nab.\r\nBDAT 0\r\nBDAT 7 LAST\r\n.\r\ncd\r\nRSET\r\n")
        assert client.codes(6) == ["250"] * 6
        assert server.file("000001.eml") == b"ab.\r\n.\r\ncd\r\n"
        client.send(b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
        assert client.codes(2) == ["503", "250"]
        client.send(b"MAIL FROM:<a@b>\r\nBDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
        assert client.codes(4) == ["250", "554", "503", "250"]
        client.send(b"RSET\r\n" + ENVELOPE + b"BDAT 3\r\nabcDATA\r\nRSET\r\n" + ENVELOPE
                    + b"BDAT 0 LAST\r\n")
        assert client.codes(9) == ["250"] * 4 + ["503"] + ["250"] * 4
        client.send(b"BDAT 99999999999999999999999\r\n")
        assert client.reply()[:3] == "501" and client.reply() == ""


def test_bdat_with_rules(tmp_path):
    rules = ["--rule", "BDAT/1 reply 451 4.3.0 not now", "--rule", "end/1 reply 452 4.3.1 full"]
    with Server(tmp_path, *rules) as server, server.raw() as client:
        client.hello()
        client.send(ENVELOPE + b"BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\n")
        assert client.codes(4) == ["250", "250", "451", "503"]
        client.send(b"RSET\r\n" + ENVELOPE + b"BDAT 2 LAST\r\n\r\n")
        assert client.codes(4) == ["250", "250", "250", "452"]
        client.send(ENVELOPE + b"BDAT 2 LAST\r\n\r\n")
        assert client.codes(3) == ["250"] * 3
        assert server.file("000001.eml") == b"\r\n"


def test_size(tmp_path):
    with Server(tmp_path, "--size", "100") as server, server.raw() as client:
        client.hello()
        client.send(b"MAIL FROM:<a@b> SIZE=101\r\n")
        assert client.reply().startswith("552 5.3.4")
        client.send(ENVELOPE + b"DATA\r\n" + b"x" * 99 + b"\r\n.\r\n")
        assert client.codes(4) == ["250", "250", "354", "552"]
        client.send(ENVELOPE + b"BDAT 60\r\n" + b"x" * 60 + b"BDAT 60\r\n" + b"x" * 60
                    + b"BDAT 0 LAST\r\n")
        assert client.codes(5) == ["250", "250", "250", "552", "503"]
        client.send(b"RSET\r\n" + ENVELOPE + b"DATA\r\n" + b"x" * 98 + b"\r\n.\r\n")
        assert client.codes(5) == ["250", "250", "250", "354", "250"]
        assert os.listdir(server.store) != [] and len(server.file("000001.eml")) == 100


def test_without_extensions(tmp_path):
    options = []
    for name in ["PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "CHUNKING",
                 "SIZE"]:
        options += ["--without", name]
    with Server(tmp_path, *options) as server, server.smtp() as client:
        client.ehlo()
        assert client.esmtp_features == {}
        for parameter in ["SIZE=1", "BODY=8BITMIME", "SMTPUTF8", "RET=FULL", "ENVID=x"]:
            assert client.docmd("MAIL", "FROM:<a@b> " + parameter)[0] == 555
        assert client.docmd("MAIL", "FROM:<a@b>") == (250, b"ok")
        assert client.docmd("RCPT", "TO:<a@b> NOTIFY=NEVER")[0] == 555


def test_parameters_are_kept(tmp_path):
    with Server(tmp_path) as server, server.raw() as client:
        client.hello()
        client.send(b"MAIL FROM:<\"a >b\"@example.test> RET=HDRS ENVID=q1 BODY=8BITMIME\r\n"
                    b"RCPT TO:<b@example.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b@x\r\n"
                    b"RCPT TO:<c@example.test> NOTIFY=SOMETIMES\r\nDATA\r\n.\r\n")
        assert client.codes(5) == ["250", "250", "501", "354", "250"]
        assert server.file("000001.env") == (
            b"from <\"a >b\"@example.test> RET=HDRS ENVID=q1 BODY=8BITMIME\n"
            b"to <b@example.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b@x\n")


def test_rule_reply_counts_and_texts(tmp_path):
    rules = ["--rule", "RCPT~bob reply 550 5.1.1 no\\nsuch user", "--rule",
             "MAIL/2-3 reply 451 4.3.0 later"]
    with Server(tmp_path, *rules) as server, server.raw() as client:
        client.hello()
        client.send(b"MAIL FROM:<a@b>\r\nRCPT TO:<bob@b>\r\nRCPT TO:<c@b>\r\nRSET\r\n"
                    b"MAIL FROM:<a@b>\r\nMAIL FROM:<a@b>\r\nMAIL FROM:<a@b>\r\n")
        assert client.codes(7) == ["250", "550", "250", "250", "451", "451", "250"]
        log = server.transcript()
        assert "1 S: 550-5.1.1 no" in log and "1 S: 550 such user" in log


def test_rule_drop_reset_raw_banner_command(tmp_path):
    rules = ["--rule", "banner/1 reply 554 5.3.2 busy", "--rule", "NOOP raw 2\\x35\\060 odd\\r\\n",
             "--rule", "command~hang\\x20up drop", "--rule", "RSET reset"]
    with Server(tmp_path, *rules) as server:
        with server.raw() as client:
            assert client.reply() == "554 5.3.2 busy"
        with server.raw() as client:
            client.hello().send(b"NOOP\r\nVRFY hang up\r\n")
            assert client.reply() == "250 odd" and client.reply() == ""
        with server.raw() as client:
            client.hello().send(b"RSET\r\n")
            with pytest.raises(ConnectionResetError):
                client.reply()


def test_rule_421_closes(tmp_path):
    with Server(tmp_path, "--rule", "MAIL reply 421 4.3.2 bye") as server, server.raw() as client:
        client.hello().send(b"MAIL FROM:<a@b>\r\n")
        assert client.reply() == "421 4.3.2 bye" and client.reply() == ""


def test_rule_stall(tmp_path):
    with Server(tmp_path, "--rule", "end stall") as server, server.raw() as client:
        client.hello().send(ENVELOPE + b"DATA\r\nx\r\n.\r\nNOOP\r\n")
        assert client.codes(3) == ["250", "250", "354"]
        client.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.reply()
        client.sock.close()
        client.file.close()
        assert "0 messages" in server.closed()


def test_rule_stall_at_content_does_not_read(tmp_path):
    with Server(tmp_path, "--rule", "content stall") as server:
        with server.raw() as client:
            client.hello().send(ENVELOPE + b"DATA\r\n")
            assert client.codes(3) == ["250", "250", "354"]
            client.sock.settimeout(0.3)
            with pytest.raises(TimeoutError):
                client.send(b"x" * 100000000)
            server.process.terminate()
            assert server.process.wait(5) == 0


def test_rules_at_content(tmp_path):
    rules = ["--rule", "content/1 reply 451 4.3.0 early", "--rule", "content/2 drop"]
    with Server(tmp_path, *rules) as server, server.raw() as client:
        client.hello().send(ENVELOPE + b"DATA\r\n")
        assert client.codes(4) == ["250", "250", "354", "451"]
        client.send(b"x\r\n.\r\n" + ENVELOPE + b"DATA\r\n")
        assert client.codes(4) == ["250", "250", "354", ""]
        assert os.listdir(server.store) == []


def test_rule_accept_then_drop(tmp_path):
    rule = "end~b@example.test accept-then-drop"
    with Server(tmp_path, "--rule", rule) as server, server.raw() as client:
        client.hello().send(ENVELOPE + b"DATA\r\nx\r\n.\r\n")
        assert client.codes(4) == ["250", "250", "354", ""]
        assert server.file("000001.eml") == b"x\r\n"


def test_rule_delay_and_dribble(tmp_path):
    rules = ["--rule", "NOOP/1 delay 200", "--rule", "NOOP/2 dribble 20"]
    with Server(tmp_path, *rules) as server, server.raw() as client:
        client.hello()
        for _ in range(2):
            start = time.monotonic()
            client.send(b"NOOP\r\n")
            assert client.reply() == "250 2.0.0 ok"
            assert 0.19 < time.monotonic() - start < 2
        start = time.monotonic()
        client.send(b"NOOP\r\n")
        assert client.reply() == "250 2.0.0 ok" and time.monotonic() - start < 0.15


def test_rules_file_is_read_again(tmp_path):
    rules = tmp_path / "rules"
    rules.write_text("# nothing\n\nNOOP reply 450 one\n")
    with Server(tmp_path, "--rules", str(rules)) as server, server.raw() as client:
        client.hello().send(b"NOOP\r\n")
        assert client.reply() == "450 one"
        rules.write_text("NOOP reply 450 two\n")
        server.process.send_signal(signal.SIGHUP)
        deadline = time.time() + 5
        answer = ""
        while answer != "450 two" and time.time() < deadline:
            client.send(b"NOOP\r\n")
            answer = client.reply()
        assert answer == "450 two"


@pytest.mark.parametrize("rule", ["MAIL", "NOWHERE drop", "MAIL/0 drop", "MAIL/3-2 drop",
                                  "MAIL vanish", "MAIL reply x", "MAIL accept-then-drop",
                                  "MAIL delay", "MAIL drop it"])
def test_bad_rules_are_refused(rule):
    result = subprocess.run([f"{BIN}/smarthost", "--rule", rule], capture_output=True)
    assert result.returncode == 2 and rule.encode() in result.stderr


def test_round_trips(tmp_path):
    with Server(tmp_path) as server:
        with server.raw() as client:
            client.hello()                          # banner, EHLO
            client.send(ENVELOPE + b"DATA\r\n")
            client.codes(3)                         # the group
            client.send(b"x\r\n.\r\n" + ENVELOPE + b"DATA\r\n")
            client.codes(4)                         # end and group
            client.send(b"x\r\n.\r\nQUIT\r\n")
            assert client.codes(3) == ["250", "221", ""]
        assert server.closed() == "8 commands, 2 messages, 4 round trips"


def test_strict(tmp_path):
    with Server(tmp_path, "--strict") as server:
        with server.raw() as client:
            client.reply()
            for name, code in [(b"plain", "504"), (b"a_b.c", "504"), (b"[1.2.3]", "504"),
                               (b"a..b", "504"), (b"[127.0.0.1]", "250"), (b"[IPv6:::1]", "250"),
                               (b"a.b", "250")]:
                client.send(b"EHLO " + name + b"\r\n")
                assert client.reply()[:3] == code, name
            client.send(b"NOOP\nNOOP a\rb\r\nNOOP \0\r\nNOOP " + b"x" * 1000 + b"\r\n")
            assert client.codes(4) == ["500"] * 4
            for content in [b"a\nb\r\n", b"a\rb\r\n", b"a\0\r\n", b"x" * 999 + b"\r\n"]:
                client.send(ENVELOPE + b"DATA\r\n" + content + b".\r\n")
                assert client.codes(3) == ["250", "250", "354"]
                assert client.reply().startswith("550 5.6.0")
                client.send(ENVELOPE + b"BDAT %d LAST\r\n" % len(content) + content)
                assert client.codes(3) == ["250", "250", "550"]
            client.send(ENVELOPE + b"DATA\r\n" + b"x" * 998 + b"\r\n.\r\n")
            assert client.codes(4) == ["250", "250", "354", "250"]
            client.send("MAIL FROM:<ü@example.test>\r\n".encode())
            assert client.reply()[:3] == "553"
            client.send("MAIL FROM:<ü@example.test> SMTPUTF8\r\n".encode())
            assert client.reply()[:3] == "250"


def test_strict_sending_ahead(tmp_path):
    with Server(tmp_path, "--strict", *tls_options()) as server:
        for ahead in [b"EHLO a.b\r\nNOOP\r\n", b"HELO a.b\r\nNOOP\r\n"]:
            with server.raw() as client:
                client.reply()
                client.send(ahead)
                assert client.codes(2) == ["554", ""]
        with server.raw() as client:
            client.hello(b"a.b").send(b"NOOP\r\nSTARTTLS\r\nNOOP\r\n")
            assert client.codes(3) == ["250", "554", ""]


def test_starttls_forgets_the_clear_part(tmp_path):
    with Server(tmp_path, *tls_options()) as server, server.raw() as client:
        client.hello().send(b"STARTTLS\r\nNOOP\r\n")
        assert client.reply()[:3] == "220"
        with context().wrap_socket(client.sock, server_hostname="localhost") as sock:
            sock.sendall(b"MAIL FROM:<a@b>\r\n")
            assert sock.recv(100).startswith(b"503 ")


def test_exit_after_and_stats(tmp_path):
    stats = tmp_path / "stats"
    with Server(tmp_path, "--exit-after", "2", "--stats", str(stats)) as server:
        with server.raw() as client:
            client.hello()
            client.send((ENVELOPE + b"BDAT 2 LAST\r\n\r\n") * 3)
            assert client.codes(7) == ["250"] * 6 + ["421"]
        assert server.process.wait(5) == 0
    assert stats.read_text() == ("totals: 1 connections, 8 commands, 2 messages, "
                                 f"{stats.read_text().split(', ')[3].split()[0]} round trips, "
                                 "4 octets\n")


def test_mark_tells_when_that_many_were_accepted(tmp_path, capfd):
    before = time.monotonic()
    with Server(tmp_path, "--mark", "2") as server, server.raw() as client:
        client.hello()
        client.send((ENVELOPE + b"BDAT 2 LAST\r\n\r\n") * 3)
        assert client.codes(9) == ["250"] * 9
    said = [line.split() for line in capfd.readouterr().out.splitlines() if line.startswith("message ")]
    assert [words[:4] for words in said] == [["message", "2", "accepted", "at"]]
    assert before < float(said[0][4]) < time.monotonic()


def test_sigusr1_and_prompt_sigterm(tmp_path):
    with Server(tmp_path) as server, server.raw() as client:
        client.hello()
        server.process.send_signal(signal.SIGUSR1)
        deadline = time.time() + 5
        while time.time() < deadline and not server.transcript()[-1].startswith("totals: 1 conn"):
            time.sleep(0.01)
        assert server.transcript()[-1].startswith("totals: 1 connections, 1 commands, 0 messages")
        start = time.monotonic()
        server.process.terminate()
        assert server.process.wait(5) == 0 and time.monotonic() - start < 1


def test_delay(tmp_path):
    with Server(tmp_path, "--delay", "100") as server, server.raw() as client:
        client.hello()
        start = time.monotonic()
        client.send(b"NOOP\r\n" * 10)
        assert client.codes(10) == ["250"] * 10
        assert 0.09 < time.monotonic() - start < 0.9


def test_noise_does_no_harm(tmp_path):
    noise = random.Random(1)
    words = [b"EHLO a.b\r\n", b"MAIL FROM:<a@b>", b"RCPT TO:<", b">\r\n", b"BDAT 18 LAST\r\n",
             b"DATA\r\n", b"\r\n.\r\n", b"AUTH PLAIN =\r\n", b"AUTH LOGIN\r\n", b"*\r\n", b" ",
             b"AUTH SCRAM-SHA-1 biwsbj1hLHI9eA==\r\n", b"=\r\n", b"STARTTLS\r\n", b"\0", b"\n",
             b"\xff\xfe" * 40, b"BDAT 18446744073709551615\r\n", b"x" * 20000, b"SIZE=1 BODY="]
    options = [*CREDENTIALS, "--auth-in-clear", *tls_options()]
    for more in [[], ["--strict"]]:
        with Server(tmp_path, *options, *more) as server:
            for _ in range(60):
                with server.raw() as client, contextlib.suppress(OSError):
                    client.send(b"".join(noise.choice(words) for _ in range(40)))
                    client.sock.shutdown(socket.SHUT_WR)
                    client.sock.settimeout(5)
                    while client.sock.recv(65536):
                        pass
            with server.smtp() as client:
                assert client.ehlo()[0] == 250
