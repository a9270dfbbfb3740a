"""Smarthosts that are found by SRV records: which host it is, in which order, and whose certificate it must have."""

import base64
import hashlib
import re
import subprocess

import pytest

MESSAGE = b"Subject: hello\nMessage-ID: <hello@example.test>\n\nhello\n"
BOB = "bob@example.test"
DOMAIN, MAIL = "example.test", "mail.example.test"
QUICK = {"retry_interval": "100ms 200ms", "reconnect_interval": "50ms 100ms"}
SUBMISSIONS, SUBMISSION = "_submissions._tcp.", "_submission._tcp."


@pytest.fixture
def make_server(network, make_smarthost, certs):
    """make_server(certificate="server", **options): a smarthost in the network."""

    def make(certificate="server", **options):
        return make_smarthost(
            cert=certs / f"{certificate}.pem", key=certs / f"{certificate}.key", within=network.as_nobody, **options)

    return make


@pytest.fixture
def start(network, make_host):
    """start(zone, server, domain=DOMAIN, ...): a host with srv:DOMAIN, and a message; names have the address 127.0.0.1."""

    def start(zone, server, domain=DOMAIN, dns=None, block=None, without=(), **settings):
        names = {text.split()[3].rstrip(".") for data in zone.values() if isinstance(data, list) for text in data}
        hosts = {(name, "A"): ["127.0.0.1"] for name in names - {"", *without}}
        records = {(name, "CNAME" if isinstance(data, tuple) else "SRV"): data for name, data in zone.items()}
        network.serve({**hosts, **records}, **(dns or {}))
        host = make_host(server, block=block, **{**QUICK, **settings})
        text = host.conf.read_text()
        host.conf.write_text(re.sub(r"smarthost smtp://localhost:\d+", f"smarthost srv:{domain}", text))
        host.start_relayd(within=network.as_nobody)
        host.submit(MESSAGE, BOB)
        return host

    return start


def to(server, name=MAIL, priority=10, weight=0):
    return [f"{priority} {weight} {server.port} {name}."]


def wait_delivered(host, server):
    host.wait_empty()
    [mail] = server.messages()
    assert mail.recipients == [BOB] and mail.tls
    return mail


def assert_refused(host, words, *servers):
    listing = host.wait_mailq(words)
    assert len(host.queue_files()) == 1
    for server in servers:
        assert not re.search("C: (AUTH|MAIL)", server.transcript()) and server.messages() == []
    return listing


# where it goes


def test_tls_from_the_first_byte(make_server, start):
    server = make_server(implicit_tls=True)
    host = start({SUBMISSIONS + DOMAIN: to(server)}, server)
    wait_delivered(host, server)
    assert f'smarthost=srv:{DOMAIN} ' in host.log() and f'connected="[127.0.0.1]:{server.port}, TLS' in host.log()


def test_starttls(make_server, start, network):
    server = make_server()
    host = start({SUBMISSION + DOMAIN: to(server)}, server)
    wait_delivered(host, server)
    assert sorted(line for line in network.asked() if "SRV" in line) == [
        f"udp _submission._tcp.{DOMAIN} SRV", f"udp _submissions._tcp.{DOMAIN} SRV"]


def test_of_the_same_priority_tls_from_the_first_byte_is_preferred(make_server, start):
    tls, starttls = make_server(implicit_tls=True), make_server()
    host = start({SUBMISSION + DOMAIN: to(starttls, weight=65535), SUBMISSIONS + DOMAIN: to(tls)}, [tls, starttls])
    wait_delivered(host, tls)


def test_the_lowest_priority_is_preferred(make_server, start):
    tls, starttls = make_server(implicit_tls=True), make_server()
    host = start({SUBMISSION + DOMAIN: to(starttls, priority=1), SUBMISSIONS + DOMAIN: to(tls, priority=2)}, [starttls, tls])
    wait_delivered(host, starttls)


def test_a_host_that_does_not_answer_is_passed_over_in_the_same_session(make_server, start):
    down, up = make_server(), make_server()
    down.stop()
    host = start({SUBMISSION + DOMAIN: to(down, priority=1) + to(up, priority=2)}, [down, up], reconnect_interval="1h 1h")
    wait_delivered(host, up)


def test_a_host_without_address_is_passed_over(make_server, start, network):
    server = make_server()
    records = [f"1 0 {server.port} nowhere.example.test.", *to(server, priority=2)]
    host = start({SUBMISSION + DOMAIN: records}, server, without=["nowhere.example.test"], reconnect_interval="1h 1h")
    wait_delivered(host, server)


def test_a_host_that_fails_after_connect_is_passed_over_by_the_next_session(make_server, start):
    bad, good = make_server(rule=["EHLO reply 421 not now"]), make_server()
    host = start({SUBMISSION + DOMAIN: to(bad, priority=1) + to(good, priority=2)}, [bad, good])
    wait_delivered(host, good)
    assert bad.messages() == []


def test_a_long_answer_comes_over_tcp(make_server, start, network):
    server = make_server()
    records = [f"20 0 {server.port} {'x' * 60}{number}.example.test." for number in range(20)]
    host = start({SUBMISSION + DOMAIN: records + to(server)}, server)
    wait_delivered(host, server)
    assert f"tcp {SUBMISSION}{DOMAIN} SRV" in network.asked()


def test_a_record_for_every_name_is_one(make_server, start):
    server = make_server(implicit_tls=True)
    host = start({"*.test": to(server)}, server)
    wait_delivered(host, server)


def test_an_internationalised_domain_is_asked_for_by_its_a_labels(make_server, start, network):
    server = make_server()
    host = start({SUBMISSION + "xn--bcher-kva.example": to(server)}, server, domain="bücher.example")
    assert_refused(host, "not for xn--bcher-kva.example", server)
    assert f"udp {SUBMISSION}xn--bcher-kva.example SRV" in network.asked()


def test_without_tls_only_hosts_without_it_are_asked_for(make_server, start, network):
    server = make_server(no_starttls=True, user=None, password=None)
    host = start({SUBMISSION + DOMAIN: to(server), SUBMISSIONS + DOMAIN: to(server, priority=1)}, server,
                 block={"tls": "none", "user": None, "password": None, "tls_trust_file": None})
    host.wait_empty()
    assert [mail.tls for mail in server.messages()] == [None]
    assert not any("_submissions" in line for line in network.asked())


# whose certificate


@pytest.mark.parametrize("domain, name, certificate", [
    pytest.param("example.test", "mail.example.test", "server", id="of-the-host-below-the-domain"),
    pytest.param("example.test", "box7.example.test", "wildcard", id="of-all-hosts-below-the-domain"),
    pytest.param("mail.example.test", "box7.mail.example.test", "server", id="of-the-domain-for-a-host-below-it"),
    pytest.param("mail.example.test", "box7.provider.invalid", "server", id="of-the-domain-for-a-host-elsewhere"),
    pytest.param("mail.example.test", "MAIL.example.test", "server", id="of-the-domain-that-is-the-host"),
])
@pytest.mark.parametrize("service", [SUBMISSIONS, SUBMISSION])
def test_a_certificate_that_is_accepted(domain, name, certificate, service, make_server, start):
    server = make_server(certificate, implicit_tls=service == SUBMISSIONS)
    host = start({service + domain: to(server, name)}, server, domain=domain)
    wait_delivered(host, server)


@pytest.mark.parametrize("domain, name, certificate, words", [
    pytest.param("mail.example.test", "other.example.test", "wrongname", "it is for other.example.test, not for mail.example.test",
                 id="of-a-host-elsewhere"),
    pytest.param("exomple.test", "other.example.test", "wrongname", "it is for other.example.test, not for exomple.test",
                 id="of-a-host-in-another-domain"),
    pytest.param("example.test", "box7.example.test", "server",
                 "it is for mail.example.test, localhost, 127.0.0.1, ::1, not for box7.example.test or example.test",
                 id="of-another-host-below-the-domain"),
    pytest.param("e.test", "mail.example.test", "server", "not for e.test", id="of-a-name-that-only-ends-alike"),
    pytest.param("example.test", "a.b.example.test", "wildcard", r"it is for \*.example.test, not for a.b.example.test or example.test",
                 id="wildcards-are-for-one-label"),
])
def test_a_certificate_that_is_not_accepted(domain, name, certificate, words, make_server, start):
    server = make_server(certificate, implicit_tls=True)
    host = start({SUBMISSIONS + domain: to(server, name)}, server, domain=domain)
    assert_refused(host, words, server)


def pin(certs, name):
    key = subprocess.run(["openssl", "pkey", "-in", certs / f"{name}.key", "-pubout", "-outform", "DER"], check=True,
                         capture_output=True).stdout
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


@pytest.mark.parametrize("domain, accepted", [(DOMAIN, True), (MAIL, True), ("elsewhere.test", False)])
def test_a_pinned_key_needs_the_same_names(domain, accepted, certs, make_server, start):
    server = make_server("selfsigned", implicit_tls=True)
    host = start({SUBMISSIONS + domain: to(server)}, server, domain=domain,
                 block={"tls_trust_file": None, "tls_pin": pin(certs, "selfsigned")})
    if accepted:
        wait_delivered(host, server)
    else:
        assert_refused(host, "not for elsewhere.test", server)


# no answer, and answers that are none


NONE = "example.test has no SRV record for submission"


@pytest.mark.parametrize("zone, words", [
    pytest.param({}, NONE, id="no-such-name"),
    pytest.param({SUBMISSION + DOMAIN: []}, NONE, id="no-records"),
    pytest.param({"*." + DOMAIN: ("www.example.test.",)}, NONE, id="an-alias-for-every-name"),
    pytest.param({SUBMISSION + DOMAIN: ["0 0 0 ."]}, "they say that it takes no mail for submission", id="not-offered"),
    pytest.param({SUBMISSION + DOMAIN: ["0 0 587 127.0.0.1."]}, NONE, id="an-address"),
    pytest.param({SUBMISSION + DOMAIN: ["0 0 0 mail.example.test."]}, NONE, id="port-0"),
    pytest.param({SUBMISSION + DOMAIN: "servfail"}, "cannot look up the SRV records of example.test: the DNS has no answer", id="servfail"),
    pytest.param({SUBMISSIONS + DOMAIN: "servfail"}, "cannot look up the SRV records of example.test", id="servfail-for-one"),
    pytest.param({SUBMISSIONS + DOMAIN: "silence"}, "cannot find the address of example.test: no answer within 2s", id="silence"),
    pytest.param({SUBMISSIONS + DOMAIN: "tcp"}, "cannot find the address of example.test: no answer within 2s", id="silence-over-tcp"),
])
def test_without_a_record_nothing_is_guessed(zone, words, network, start, smarthost):
    host = start(zone, smarthost, block={"connect_timeout": "2s"})
    assert_refused(host, words)
    assert not any(f" {DOMAIN} " in line for line in network.asked())


def test_a_malformed_record_is_an_error(network, start, smarthost):
    host = start({SUBMISSION + DOMAIN: ["0 0 587 mail.example.test."]}, smarthost, dns={"raw": "0000000002"})
    assert_refused(host, "the DNS gives a wrong answer")


def test_one_service_that_cannot_be_looked_up_does_not_hide_the_other(make_server, start):
    server = make_server()
    host = start({SUBMISSIONS + DOMAIN: "servfail", SUBMISSION + DOMAIN: to(server)}, server)
    wait_delivered(host, server)


def test_the_configuration_is_checked(make_host):
    host = make_host()
    for value, code in [(f"srv:{DOMAIN}", 0), ("srv:example.test:587", 78), ("srv:", 78), ("srv:192.0.2.1", 78)]:
        host.configure([f"smarthost {value}"])
        done = host.command("relayd", "-n")
        assert (done.returncode, b"behind srv: stands a domain" in done.stderr) == (code, code == 78), value
