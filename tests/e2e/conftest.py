"""Fixtures of the end-to-end tests, and the one line at the end that says how it went."""

import os
import shutil

import pytest

import clients
import faults
import harness
import network as networks
import servers


@pytest.fixture(scope="session")
def workplace():
    """A temporary directory for everything; under xdist each worker has its own, and its own servers in it."""
    place = harness.Workplace()
    yield place
    place.remove()


@pytest.fixture(scope="session")
def certs(workplace):
    return workplace.make_certs()


@pytest.fixture(scope="session")
def other_certs(workplace):
    """Of a CA that signed none of the servers' certificates."""
    return workplace.make_certs()


@pytest.fixture
def make_host(workplace):
    """make_host(server, scheme="smtp", ca=FILE, block={...}, extra="", **host_wide): a host that sends through server.

    server may be a list of servers, tried in this order, or None. With token=True the file of the password has a token.
    """
    hosts = []

    def make(server=None, scheme="smtp", ca=None, block=None, extra="", token=False, **host_wide):
        host = harness.Host(workplace)
        hosts.append(host)
        if token:
            block = {"password": None, "token": f"file:{host.password}", **(block or {})}
        smarthosts = server if isinstance(server, (list, tuple)) else [server] if server else []
        blocks = [host.smarthost_block(one, scheme, ca, **(block or {})) for one in smarthosts]
        host.configure(blocks, extra, **host_wide)
        return host

    yield make
    for host in hosts:
        host.close()


@pytest.fixture
def make_certified(make_host, certs):
    """make_host() for a host with the CA's client certificate."""

    def make(server, scheme="smtp", block=None, **settings):
        host = make_host()
        files = host.client_certificate(certs)
        host.configure([host.smarthost_block(server, scheme, **{**files, **(block or {})})], **settings)
        return host

    return make


@pytest.fixture
def make_smarthost(workplace, certs):
    """make_smarthost(**options): a scripted smarthost that ends with the test."""
    smarthosts = []

    def make(**options):
        smarthosts.append(harness.Smarthost(workplace, certs, **options))
        return smarthosts[-1]

    yield make
    for smarthost in smarthosts:
        smarthost.stop()


@pytest.fixture
def smarthost(make_smarthost):
    return make_smarthost()


@pytest.fixture(scope="session")
def real_servers(workplace, certs):
    running = servers.Servers(workplace, certs)
    yield running
    running.close()


@pytest.fixture
def server(request, real_servers):
    """A real server, empty: the parameter is its row. See servers.each()."""
    server = real_servers.get(request.param)
    server.clear()
    return server


@pytest.fixture(scope="session")
def installation(workplace, certs):
    """A private root with postbag and its clients installed; each worker has its own, and its own smarthost."""
    with harness.Smarthost(workplace, certs) as smarthost:
        installation = clients.Installation(workplace, smarthost)
        yield installation
        installation.close()


@pytest.fixture
def network(workplace):
    """A network of its own, with its own /etc."""
    reason = networks.unavailable()
    if reason:
        pytest.skip(reason)
    network = networks.Network(workplace)
    yield network
    network.close()


@pytest.fixture
def inject():
    """with inject(host, FAULT...): strace's faults in relayd (or in the session pid=), until the block ends."""
    if os.environ.get("POSTBAG_SANITIZE"):
        pytest.skip("the sanitizers do not work under ptrace")
    if os.getuid() != 0 or not shutil.which("strace"):
        pytest.skip("needs strace, and root to attach it")

    return faults.attached_strace
