"""Real mail servers, started from the recipes in tests/servers and shared by all tests of a session.

TABLE has a row of facts for each, and each() runs a test with every server whose row fits; so a new server is a recipe and
a row. The recipes keep every message as it was sent; what a server adds all the same, its row says. The envelope is in the
file's name: ...,from=SENDER,to=RECIPIENT.
"""

import base64
import dataclasses
import hmac
import json
import os
import re
import smtplib
import ssl
import subprocess
import time

import pytest

from harness import TIMEOUT, TREE, free_port, poll, stop_process, text

RECIPES = TREE / "tests" / "servers"
# What every recipe sets, and the extensions that a row tells about.
SIZE_LIMIT = 10 << 20
EXTENSIONS = {"8BITMIME", "CHUNKING", "DSN", "PIPELINING", "SMTPUTF8"}


@dataclasses.dataclass(frozen=True)
class Row:
    """What a server is, and what it offers after the handshake of TLS."""

    name: str
    mechanisms: str = ""
    extensions: str = ""
    external: bool = False  # EXTERNAL with a certificate of the CA, whose CN is the user
    user: str = "alice"
    needs_root: bool = True  # for a mount namespace of its own
    tls: bool = True  # by STARTTLS on .port, from the first byte on .tls_port
    greylists: bool = True  # greylist@ gets 451; every server gives reject@ and reject+...@ 550
    keeps_envid: bool = True  # for its confirmations
    adds: tuple = ()  # the fields that it puts in front of the header
    rewrites: tuple = ()  # the fields that it writes anew, without a change of what they say
    line_end: bytes = b"\r\n"  # of what it stores
    backend: str = None  # the server that stores what comes to this one
    logs: tuple = ()
    attempt: str = ""  # a pattern of the logs: somebody tries to log in

    def offers(self, word):
        return word in f"{self.mechanisms} {self.extensions}".split()

    def schemes(self):
        return ["smtp", "smtps"] if self.tls else ["smtp"]


DOVECOT = "PLAIN LOGIN CRAM-MD5 DIGEST-MD5 SCRAM-SHA-1 SCRAM-SHA-256 OAUTHBEARER XOAUTH2"
TABLE = [
    # Ends the connection after 20 refused commands without a message.
    Row(
        name="postfix",
        mechanisms=DOVECOT,
        extensions="PIPELINING CHUNKING 8BITMIME SMTPUTF8 DSN",
        logs=("auth.log", "log"),
        attempt=r"client in: AUTH\t",
    ),
    # Dovecot's: every command goes on to Postfix. It aborts its connection to that when MAIL follows a transaction of
    # which every recipient was refused without RSET.
    Row(
        name="submission",
        mechanisms=DOVECOT + " EXTERNAL",
        external=True,
        extensions="PIPELINING CHUNKING 8BITMIME DSN",
        adds=("Received",),
        backend="postfix",
        logs=("auth.log",),
        attempt=r"client in: AUTH\t",
    ),
    # Ends the connection, in clear text, after some ten transactions without a message; and without RSET a message has the
    # sender of the one before it, when that had no recipient left.
    Row(
        name="exim",
        mechanisms="PLAIN LOGIN CRAM-MD5",
        external=True,
        extensions="PIPELINING CHUNKING 8BITMIME SMTPUTF8 DSN",
        needs_root=False,
        logs=("mainlog",),
        attempt="AUTH attempt",
    ),
    # Ends the connection when content comes before its 354.
    Row(
        name="sendmail",
        mechanisms="PLAIN LOGIN CRAM-MD5 DIGEST-MD5 SCRAM-SHA-1 SCRAM-SHA-256",
        external=True,
        extensions="PIPELINING 8BITMIME DSN",
        rewrites=("To",),
        logs=("dialogue",),
        attempt="<<< AUTH",
    ),
    # Says PIPELINING, but loses what follows the dot in the same packet; 421 after three refused commands.
    Row(
        name="chasquid",
        mechanisms="PLAIN",
        extensions="PIPELINING 8BITMIME SMTPUTF8",
        user="alice@example.test",
        needs_root=False,
        greylists=False,
        adds=("Received",),
        line_end=b"\n",
        logs=("log",),
        attempt=" auth (succeeded|failed)",
    ),
    # Ends the connection with a client that pipelines. Debian 12's build cannot do TLS, so it has no AUTH either. Its
    # confirmations are multipart/mixed.
    Row(
        name="opensmtpd",
        extensions="8BITMIME DSN",
        tls=False,
        keeps_envid=False,
        adds=("Return-Path", "Delivered-To", "Received"),
        line_end=b"\n",
    ),
]


def parametrize(names, cases):
    """The first of the names is "server", whose value is a row."""
    cases = [case if isinstance(case, tuple) else (case,) for case in cases]
    ids = ["-".join([case[0].name, *case[1:]]) for case in cases]
    return pytest.mark.parametrize(names, cases, ids=ids, indirect=["server"])


def each(fits=lambda row: True):
    """Runs a test with each server that fits."""
    return parametrize(["server"], [row for row in TABLE if fits(row)])


def each_way(fits=lambda row: True):
    """The same, with each way into TLS: server, scheme."""
    return parametrize(["server", "scheme"], [(row, scheme) for row in TABLE if fits(row) for scheme in row.schemes()])


def each_login(mechanisms, schemes=("smtp", "smtps")):
    """A test with each of the mechanisms that a server offers: server, scheme, mechanism."""
    return parametrize(
        ["server", "scheme", "mechanism"],
        [
            (row, scheme, mechanism)
            for row in TABLE
            for mechanism in row.mechanisms.split()
            for scheme in row.schemes()
            if mechanism in mechanisms and scheme in schemes
        ],
    )


def unpack(what):
    """Downloads and unpacks "servers" or "clients", once for all test runs of this user. Skips where that cannot be."""
    done = subprocess.run([RECIPES / "setup.sh", what], capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        pytest.skip(f"no {what} to test with: {done.stderr.strip()}")


class Mail(bytes):
    """A delivered message: what was sent, with line ends as it was sent, and for whom."""

    sender = recipient = None

    @classmethod
    def read(cls, path, line_end):
        mail = cls(path.read_bytes().replace(line_end, b"\r\n"))
        sender, mail.recipient = re.search(r",from=(.*),to=(.*)$", path.name).groups()
        mail.sender = sender.strip("<>")  # some servers write the empty one with its brackets
        return mail


class Server:
    """A row of the table in the foreground; .port for STARTTLS, .tls_port for TLS from the first byte."""

    def __init__(self, row, workplace, certs, backend=None):
        if row.needs_root and os.getuid() != 0:
            pytest.skip(f"{row.name} needs root (for a mount namespace of its own)")
        self.row, self.certs, self.backend = row, certs, backend
        for _ in range(3):  # somebody else may take the port before the server does
            self.directory = workplace.new_directory(row.name)
            self.port = free_port(2)
            self.tls_port = self.port + 1
            if self.start():
                return
            self.close()
        pytest.fail(f"{self} does not start\n{self.transcript()}", pytrace=False)

    def __str__(self):
        return f"{self.row.name} on port {self.port}"

    def start(self):
        self.output = self.directory.with_suffix(".out")
        with open(self.output, "ab") as output:
            self.process = subprocess.Popen(
                [RECIPES / f"{self.row.name}.sh", self.directory, str(self.port)]
                + ([str(self.backend.port)] if self.backend else []),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "CERTS": str(self.certs)},
            )
        return poll(lambda: self.process.poll() is not None or self.answers()) and self.process.poll() is None

    def answers(self):
        try:
            return self.features()
        except (OSError, smtplib.SMTPException):
            return None

    def close(self):
        stop_process(self.process)

    @property
    def settings(self):
        """What a host's block for it has that is not usual."""
        if self.row.tls:
            return {"user": self.row.user}
        return {"tls": "none", "tls_trust_file": None, "user": None, "password": None}

    def features(self):
        """What EHLO says inside TLS, as smtplib reads it."""
        context = ssl.create_default_context(cafile=self.certs / "ca.pem")
        with smtplib.SMTP("localhost", self.port, timeout=TIMEOUT) as client:
            client.ehlo()
            if self.row.tls:
                client.starttls(context=context)
                client.ehlo()
            return client.esmtp_features

    def mails(self):
        """What it delivered, oldest first: one for each recipient."""
        if self.backend:
            return self.backend.mails()
        new = self.directory / "mail" / "new"
        return [Mail.read(new / name, self.row.line_end) for name in sorted(os.listdir(new))] if new.exists() else []

    def wait_messages(self, count=1, timeout=None):
        mails = poll(lambda: len(self.mails()) >= count and self.mails(), timeout)
        if not mails:
            pytest.fail(f"{self} has {len(self.mails())} mails, not {count}\n{self.transcript()}", pytrace=False)
        return mails

    def clear(self):
        """Forgets what was delivered."""
        if self.backend:
            self.backend.clear()
        for path in (self.directory / "mail" / "new").glob("*"):
            path.unlink()

    def auth_attempts(self):
        """How often somebody tried to authenticate since the server started."""
        return len(re.findall(self.row.attempt, self.transcript()))

    def transcript(self):
        return "\n".join(text(path) for path in [self.output, *(self.directory / name for name in self.row.logs)])


class Servers:
    """The servers of a test process, each started when it is first asked for."""

    def __init__(self, workplace, certs):
        self.workplace, self.certs, self.running = workplace, certs, {}

    def get(self, row):
        if row.name not in self.running:
            if not self.running:
                unpack("servers")
            backend = next((self.get(other) for other in TABLE if other.name == row.backend), None)
            self.running[row.name] = Server(row, self.workplace, self.certs, backend)
        return self.running[row.name]

    def close(self):
        for server in reversed(self.running.values()):
            server.close()


def token(user="alice", lifetime=3600):
    """A bearer token that Dovecot takes: a JSON Web Token (RFC 7519), signed with HS256."""

    def part(octets):
        return base64.urlsafe_b64encode(octets).rstrip(b"=")

    now = int(time.time())
    claims = {"email": user, "sub": user, "iat": now - 60, "exp": now + lifetime}
    signed = b".".join(part(json.dumps(one).encode()) for one in [{"alg": "HS256", "typ": "JWT"}, claims])
    key = (RECIPES / "dovecot" / "token_key").read_bytes()
    return (signed + b"." + part(hmac.digest(key, signed, "sha256"))).decode()
