"""Certificates as no sane authority signs them, by the openssl command line.

An Authority is a directory as a server of the harness wants it: ca.pem, server.pem with its chain, server.key.
"""

import base64
import re
import subprocess
import time

LEAF = "basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n"
CA = "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign\n"


def openssl(*arguments, input=None):
    done = subprocess.run(["openssl", *map(str, arguments)], input=input, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def openssl_time(offset):
    return time.strftime("%y%m%d%H%M%SZ", time.gmtime(time.time() + offset))


def der_value(octets):
    """What stands first in these, without its header, and what stands behind it."""
    length, start = octets[1], 2
    if length >= 0x80:
        start += length - 0x80
        length = int.from_bytes(octets[2:start], "big")
    return octets[start : start + length], octets[start + length :]


def der_parts(octets):
    """What a sequence is made of."""
    inner, parts = der_value(octets)[0], []
    while inner:
        rest = der_value(inner)[1]
        parts.append(inner[: len(inner) - len(rest)])
        inner = rest
    return parts


def der(tag, value):
    length = len(value).to_bytes(4, "big").lstrip(b"\0")
    return bytes([tag]) + (bytes([len(value)]) if len(value) < 0x80 else bytes([0x80 + len(length)]) + length) + value


def pem(octets):
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(octets) + b"-----END CERTIFICATE-----\n"


class Authority:
    def __init__(self, directory):
        self.directory = directory
        for key in ["ca.key", "server.key", "other.key"]:
            openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", directory / key)
            openssl("pkey", "-in", directory / key, "-pubout", "-out", directory / f"{key}.public")
            (directory / key).chmod(0o644)
        self.root("ca", CA)

    def root(self, name, extensions):
        """A certificate that signs itself, NAME.pem."""
        self.sign(name, extensions, None, "ca.key", subject=f"/CN=The {name}")

    def sign(self, name, extensions, issuer="ca", key="server.key", issuer_key="ca.key", subject="/CN=mail.example.test", *more):
        """NAME.pem; keys are the holder's and the issuer's."""
        file = self.directory / f"{name}.extensions"
        file.write_text(extensions)
        by = ["-CA", self.directory / f"{issuer}.pem", "-CAkey", self.directory / issuer_key] if issuer else []
        by += ["-force_pubkey", self.directory / f"{key}.public"] if issuer else ["-key", self.directory / key]
        out = self.directory / f"{name}.pem"
        openssl("x509", "-new", "-subj", subject, "-days", "30", "-extfile", file, "-out", out, *by, *more)
        return self

    def forge(self, name, old, new, key="ca.key"):
        """Octets of the signed part of NAME.pem become others, as many; then it is signed again, or not (no key)."""
        assert len(old) == len(new)
        file = self.directory / f"{name}.pem"
        whole = base64.b64decode(b"".join(file.read_bytes().splitlines()[1:-1]))
        file.write_bytes(pem(self.change(whole, re.escape(old), new, key)))
        return self

    def change(self, whole, old, new, key):
        """The same, with a pattern, for all that is signed in this way: content, algorithm, signature, and what follows."""
        signed, algorithm, signature, *rest = der_parts(whole)
        signed, changes = re.subn(old, new, signed)
        assert changes > 0
        if key:
            signature = der(3, b"\0" + openssl("dgst", "-sha256", "-sign", self.directory / key, input=signed))
        return der(0x30, b"".join([signed, algorithm, signature, *rest]))

    def serve(self, *chain):
        """Makes server.pem of these."""
        text = b"".join((self.directory / f"{name}.pem").read_bytes() for name in chain)
        (self.directory / "server.pem").write_bytes(text)
        return self

    def respond(self, name, status="V", issuer="ca", key="ca.key"):
        """What OCSP says of NAME.pem: valid (V) or revoked (R). The file with it."""
        directory = self.directory
        serial = openssl("x509", "-in", directory / f"{name}.pem", "-noout", "-serial").decode().strip().partition("=")[2]
        since = openssl_time(-86400) if status == "R" else ""
        (directory / "index").write_text(f"{status}\t{openssl_time(86400)}\t{since}\t{serial}\tunknown\t/CN=mail.example.test\n")
        openssl("ocsp", "-issuer", directory / "ca.pem", "-cert", directory / f"{name}.pem", "-no_nonce",
                "-reqout", directory / "request")
        openssl("ocsp", "-index", directory / "index", "-CA", directory / "ca.pem", "-rsigner", directory / f"{issuer}.pem",
                "-rkey", directory / key, "-reqin", directory / "request", "-respout", directory / "response", "-ndays", 7)
        (directory / "response").chmod(0o644)
        return directory / "response"

    def respond_in_2010(self, name):
        """The same answer, given in 2010."""
        file = self.respond(name)
        status, wrapped = der_parts(file.read_bytes())
        kind, held = der_parts(der_value(wrapped)[0])
        basic = self.change(der_value(held)[0], rb"\x18\x0f20\d\d", b"\x18\x0f2010", "ca.key")
        file.write_bytes(der(0x30, status + der(0xA0, der(0x30, kind + der(4, basic)))))
        return file
