"""A SASL server for SCRAM-SHA-256-PLUS that shares no line with what is tested: SCRAM by hashlib, TLS by OpenSSL.

Over TLS 1.2 Python's ssl module knows tls-unique (RFC 5929). Over TLS 1.3 it does not know tls-exporter (RFC 9266), but
"openssl s_server" prints exported keying material; it passes lines from and to its standard input and output.
"""

import base64
import hashlib
import hmac
import os
import re
import ssl
import subprocess
import threading

from harness import TIMEOUT, free_port, poll, stop_process, text

ITERATIONS = 4096
PASSWORD = b"s3cret"


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def authenticate(initial, kind, binding, ask):
    """The server's side of RFC 5802 and 7677; ask(challenge) returns the response. True if the client may come in."""
    first = base64.b64decode(initial)
    header = b"p=" + kind + b",,"
    if not first.startswith(header + b"n=alice,r="):
        return False
    bare = first[len(header) :]
    salt, nonce = os.urandom(16), bare.partition(b",r=")[2] + base64.b64encode(os.urandom(18))
    server_first = b"r=%s,s=%s,i=%d" % (nonce, base64.b64encode(salt), ITERATIONS)
    final = base64.b64decode(ask(base64.b64encode(server_first)))
    without_proof, _, proof = final.partition(b",p=")
    if without_proof != b"c=%s,r=%s" % (base64.b64encode(header + binding), nonce):
        return False
    salted = hashlib.pbkdf2_hmac("sha256", PASSWORD, salt, ITERATIONS)
    key = mac(salted, b"Client Key")
    message = b",".join([bare, server_first, without_proof])
    signature = mac(hashlib.sha256(key).digest(), message)
    if base64.b64decode(proof) != bytes(a ^ b for a, b in zip(key, signature)):
        return False
    return ask(base64.b64encode(b"v=" + base64.b64encode(mac(mac(salted, b"Server Key"), message)))) == b""


def converse(line, send, kind, binding):
    """SMTP from the banner to the end, for a client that has TLS already. True when a message was accepted."""

    def ask(challenge):
        send(b"334 " + challenge)
        return line()

    authenticated = accepted = False
    send(b"220 mail.example.test ESMTP")
    while True:
        command, _, argument = line().partition(b" ")
        if command == b"EHLO":
            send(b"250-mail.example.test\r\n250 AUTH SCRAM-SHA-256-PLUS")
        elif command == b"AUTH":
            authenticated = authenticate(argument.partition(b" ")[2], kind, binding, ask)
            send(b"235 2.7.0 welcome" if authenticated else b"535 5.7.8 no")
        elif command == b"DATA" and authenticated:
            send(b"354 go ahead")
            while line() != b".":
                pass
            send(b"250 2.0.0 taken")
            accepted = True
        elif command == b"QUIT":
            return accepted  # nobody waits for the reply
        else:
            send(b"250 2.0.0 fine" if authenticated else b"530 5.7.0 authenticate")


def unique_script(done, spoilt=False):
    """For harness.ScriptedServer: TLS 1.2 from the first byte, tls-unique; with a wrong binding if it is spoilt."""

    def script(peer):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(peer.server.certs / "server.pem", peer.server.certs / "server.key")
        peer.file.close()
        peer.connection = context.wrap_socket(peer.connection, server_side=True)
        peer.file = peer.connection.makefile("rb")
        binding = b"\0" * 12 if spoilt else peer.connection.get_channel_binding("tls-unique")
        done.append(converse(peer.line, lambda octets: peer.send(octets + b"\r\n"), b"tls-unique", binding))

    return script


class ExporterServer:
    """TLS 1.3 from the first byte, tls-exporter; one connection."""

    def __init__(self, workplace, certs):
        self.certs, self.port, self.accepted = certs, free_port(), False
        self.tls_port = self.port
        self.log = workplace.new_directory("openssl") / "log"
        self.lines = []
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["openssl", "s_server", "-accept", f"127.0.0.1:{self.port}", "-tls1_3", "-naccept", "1", "-no_ign_eof"]
                + ["-cert", certs / "server.pem", "-key", certs / "server.key"]
                + ["-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self.read_until(rb"^ACCEPT")
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def __str__(self):
        return f"openssl s_server on port {self.port}"

    def line(self):
        octets = self.process.stdout.readline()
        if not octets:
            raise EOFError
        self.lines.append(octets)
        return octets.rstrip(b"\r\n")

    def read_until(self, pattern):
        while True:
            found = re.search(pattern, self.line())
            if found:
                return found

    def send(self, octets):
        self.lines.append(b"S: " + octets + b"\n")
        self.process.stdin.write(octets + b"\r\n")
        self.process.stdin.flush()

    def serve(self):
        try:
            binding = bytes.fromhex(self.read_until(rb"Keying material: ([0-9A-F]{64})").group(1).decode())
            self.accepted = converse(self.line, self.send, b"tls-exporter", binding)
        except (EOFError, OSError) as error:
            self.lines.append(repr(error).encode())

    def wait_accepted(self):
        return poll(lambda: self.accepted, TIMEOUT)

    def transcript(self):
        return b"".join(self.lines).decode(errors="replace") + text(self.log)

    def close(self):
        stop_process(self.process)
