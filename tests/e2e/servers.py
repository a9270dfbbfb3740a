"""Real mail servers, started from the recipes in tests/servers and shared by all tests of a session.

The recipes keep every message exactly as it was sent, so there is no prefix to remove. The envelope is in the file's name:
...,from=SENDER,to=RECIPIENT.
"""

import base64
import hmac
import json
import os
import pathlib
import re
import smtplib
import ssl
import subprocess
import time

import pytest

from harness import TIMEOUT, TREE, free_port, poll, stop_process, text

RECIPES = TREE / "tests" / "servers"


def unpack(what):
    """Downloads and unpacks "servers" or "clients", once for all test runs of this user. Skips where that cannot be."""
    done = subprocess.run([RECIPES / "setup.sh", what], capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        pytest.skip(f"no {what} to test with: {done.stderr.strip()}")


class Mail(bytes):
    """A delivered message: the bytes that were sent, and for whom."""

    sender = recipient = None

    @classmethod
    def read(cls, path):
        mail = cls(path.read_bytes())
        mail.sender, mail.recipient = re.search(r",from=(.*),to=(.*)$", path.name).groups()
        return mail


class Server:
    """One recipe in the foreground; .port for STARTTLS, .tls_port for TLS from the first byte."""

    recipe = logs = attempt = None

    def __init__(self, workplace, certs):
        self.certs = certs
        self.workplace = workplace
        for _ in range(3):  # somebody else may take the port before the server does
            self.directory = workplace.new_directory(self.recipe.partition(".")[0])
            self.port = free_port(2)
            self.tls_port = self.port + 1
            if self.start():
                return
            self.close()
        pytest.fail(f"{self} does not start\n{self.transcript()}", pytrace=False)

    def __str__(self):
        return f"{type(self).__name__} on port {self.port}"

    def start(self):
        self.output = self.directory.with_suffix(".out")
        with open(self.output, "ab") as output:
            self.process = subprocess.Popen(
                [RECIPES / self.recipe, self.directory, str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "CERTS": str(self.certs)},
            )
        return poll(lambda: self.process.poll() is not None or self.answers()) and self.process.poll() is None

    def answers(self):
        try:
            return self.mechanisms()
        except (OSError, smtplib.SMTPException):
            return None

    def close(self):
        stop_process(self.process)

    def mechanisms(self):
        """What it offers inside TLS."""
        context = ssl.create_default_context(cafile=self.certs / "ca.pem")
        with smtplib.SMTP("localhost", self.port, timeout=TIMEOUT) as client:
            client.starttls(context=context)
            client.ehlo()
            return client.esmtp_features.get("auth", "").split()

    def mails(self):
        """What it delivered, oldest first: one for each recipient."""
        new = self.directory / "mail" / "new"
        return [Mail.read(new / name) for name in sorted(os.listdir(new))] if new.exists() else []

    def wait_messages(self, count=1, timeout=None):
        mails = poll(lambda: len(self.mails()) >= count and self.mails(), timeout)
        if not mails:
            pytest.fail(f"{self} has {len(self.mails())} mails, not {count}\n{self.transcript()}", pytrace=False)
        return mails

    def clear(self):
        """Forgets what was delivered."""
        for path in (self.directory / "mail" / "new").glob("*"):
            path.unlink()

    def auth_attempts(self):
        """How often somebody tried to authenticate since the server started."""
        return len(re.findall(self.attempt, self.transcript()))

    def transcript(self):
        return "\n".join(text(path) for path in [self.output, *(self.directory / name for name in self.logs)])


class Postfix(Server):
    recipe = "postfix.sh"
    logs = ["auth.log", "log"]
    attempt = r"client in: AUTH\t"

    def __init__(self, workplace, certs):
        if os.getuid() != 0:
            pytest.skip("Postfix needs root (for a mount namespace of its own)")
        super().__init__(workplace, certs)


    @staticmethod
    def token(user="alice", lifetime=3600):
        """A bearer token that Dovecot takes: a JSON Web Token (RFC 7519), signed with HS256."""

        def part(octets):
            return base64.urlsafe_b64encode(octets).rstrip(b"=")

        now = int(time.time())
        claims = {"email": user, "sub": user, "iat": now - 60, "exp": now + lifetime}
        signed = b".".join(part(json.dumps(one).encode()) for one in [{"alg": "HS256", "typ": "JWT"}, claims])
        key = (RECIPES / "postfix" / "token_key").read_bytes()
        return (signed + b"." + part(hmac.digest(key, signed, "sha256"))).decode()


class Exim(Server):
    recipe = "exim.sh"
    logs = ["mainlog"]
    attempt = "AUTH attempt"
