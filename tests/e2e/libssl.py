"""A TLS server by OpenSSL's own library, for what Python's ssl module does not let a server do."""

import ctypes
import ctypes.util
import ssl

NAME = ctypes.util.find_library("ssl")
VERSIONS = {"1.2": 0x0303, "1.3": 0x0304}
SET_MIN, SET_MAX = 123, 124  # SSL_CTX_ctrl()


def load():
    library = ctypes.CDLL(NAME)
    for name in ["TLS_server_method", "SSL_CTX_new", "SSL_new"]:
        getattr(library, name).restype = ctypes.c_void_p
    return library


def receive(peer):
    octets = peer.connection.recv(65536)
    if not octets:
        raise EOFError
    return octets


def wait_closed(peer):
    """Whatever the client still says, it ends with this."""
    while True:
        receive(peer)


class Channel:
    """The server's end of a connection, its handshake done."""

    def __init__(self, peer, version):
        self.library, self.peer = load(), peer
        peer.connection.settimeout(None)  # OpenSSL wants it to block
        self.context = ctypes.c_void_p(self.library.SSL_CTX_new(ctypes.c_void_p(self.library.TLS_server_method())))
        for limit in [SET_MIN, SET_MAX]:
            self.library.SSL_CTX_ctrl(self.context, limit, ctypes.c_long(VERSIONS[version]), None)
        self.library.SSL_CTX_use_certificate_chain_file(self.context, bytes(peer.server.certs / "server.pem"))
        self.library.SSL_CTX_use_PrivateKey_file(self.context, bytes(peer.server.certs / "server.key"), 1)
        self.session = ctypes.c_void_p(self.library.SSL_new(self.context))
        self.library.SSL_set_fd(self.session, peer.connection.fileno())
        if self.library.SSL_accept(self.session) != 1:
            raise ssl.SSLError("no handshake")

    def write(self, octets):
        if self.library.SSL_write(self.session, octets, len(octets)) != len(octets):
            raise BrokenPipeError

    def push(self):
        """Sends what the calls below have put up."""
        if self.library.SSL_do_handshake(self.session) != 1:
            raise BrokenPipeError

    def update_key(self, wants_ours):
        self.library.SSL_key_update(self.session, int(wants_ours))
        self.push()

    def give_ticket(self):
        self.library.SSL_new_session_ticket(self.session)
        self.push()

    def ask_for_handshake(self):
        self.library.SSL_renegotiate(self.session)
        self.push()
