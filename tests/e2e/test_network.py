"""The network comes and goes: what is waited for then, and what is not."""

import os
import subprocess
import time

import pytest

MESSAGE = b"Subject: hello\nMessage-ID: <hello@example.test>\n\nhello\n"
BOB = "bob@example.test"
NAME, ADDRESS = "mail.example.test", "192.0.2.10"
# nothing here is delivered because a pause has come to its end
LONG = {"retry_interval": "1h 1h", "reconnect_interval": "1h 1h"}


@pytest.fixture
def server(network, make_smarthost):
    return make_smarthost(bind="0.0.0.0", within=network.as_nobody)


@pytest.fixture
def start(network, server, make_host):
    """start(**settings): a host whose smarthost has a name, with a message for it."""

    def start(**settings):
        host = make_host(server, **{**LONG, **settings})
        host.conf.write_text(host.conf.read_text().replace("localhost", NAME))
        host.start_relayd(within=network.as_nobody)
        host.submit(MESSAGE, BOB)
        return host

    return start


def wait_delivered(host, server):
    host.wait_empty()
    assert [mail.recipients for mail in server.messages()] == [[BOB]]
    assert "the network has changed" in host.log()


@pytest.mark.skipif(not os.path.exists("/proc/net/if_inet6"), reason="no IPv6 here")
def test_an_address_that_swallows_everything_is_overtaken(network, server, start):
    """The far end of the pair belongs to nobody."""
    for command in ["link add near type veth peer name far", "link set near up", "link set far up",
                    "address add 2001:db8::1/64 dev near nodad",
                    "neighbour add 2001:db8::2 lladdr 02:00:00:00:00:02 dev near nud permanent"]:
        network.run("ip", *command.split())
    network.write("hosts", f"127.0.0.1 localhost {NAME}\n2001:db8::2 {NAME}\n")
    order = network.run("getent", "ahosts", NAME).split()
    assert order[0] == "2001:db8::2"
    host = start()
    host.wait_empty()
    assert f'connected="[127.0.0.1]:{server.port}' in host.log() and "paused" not in host.log()


def test_an_address_that_appears_ends_the_pause(network, server, start):
    network.write("hosts", f"127.0.0.1 localhost\n{ADDRESS} {NAME}\n")
    host = start()
    host.wait_mailq("Network is unreachable")
    network.add(f"{ADDRESS}/24")
    wait_delivered(host, server)


def test_a_route_that_appears_ends_the_pause(network, server, start):
    network.write("hosts", f"127.0.0.1 localhost {NAME}\n")
    server.stop()
    host = start()
    host.wait_mailq("Connection refused")
    server.start()
    network.run("ip", "route", "add", "203.0.113.0/24", "dev", "lo")
    wait_delivered(host, server)


def replace(network):
    network.write("resolv.conf", "nameserver 127.0.0.1\n")


def rewrite(network):
    (network.etc / "resolv.conf").write_text("nameserver 127.0.0.1\n")


def replace_behind_link(network):
    network.write("resolver/stub.conf", "nameserver 127.0.0.1\n")


@pytest.mark.parametrize("change", [replace, rewrite, replace_behind_link])
def test_another_resolv_conf_ends_the_pause(change, network, server, start):
    network.serve({(NAME, "A"): ["127.0.0.1"]})
    network.write("resolv.conf", "nameserver 127.0.0.9\n")
    if change is replace_behind_link:
        (network.etc / "resolver").mkdir(mode=0o755)
        (network.etc / "resolv.conf").rename(network.etc / "resolver/stub.conf")
        (network.etc / "resolv.conf").symlink_to("resolver/stub.conf")
    host = start()
    host.wait_mailq(f"cannot find the address of {NAME}")
    change(network)
    wait_delivered(host, server)


def test_other_files_in_etc_end_no_pause(network, server, start):
    network.write("resolv.conf", "nameserver 127.0.0.9\n")
    host = start()
    host.wait_mailq(f"cannot find the address of {NAME}")
    network.write("hosts", "127.0.0.1 localhost\n")
    network.write("other", "")
    host.mailq()
    host.mailq()  # relayd has had two turns since then
    assert "the network has changed" not in host.log()
    replace(network)
    host.wait_log("the network has changed")


def test_a_storm_of_changes_is_no_storm_of_attempts(network, server, start):
    """The time between attempts doubles, whatever comes and goes; other pauses are as they were."""
    network.write("hosts", f"127.0.0.1 localhost\n{ADDRESS} {NAME}\n")
    begun = time.monotonic()
    host = start()
    host.wait_mailq("Network is unreachable")
    script = "while :; do ip address add 198.51.100.1/24 dev lo; ip address del 198.51.100.1/24 dev lo; sleep 0.01; done"
    storm = subprocess.Popen([*network.within, "sh", "-c", script])
    try:
        host.wait_for(lambda: host.log().count("the network has changed") >= 3, what="the third attempt")
        attempts = host.log().count("the network has changed")
        # 1 s after the failure, 2 s, 4 s
        assert time.monotonic() - begun >= 2 ** (attempts - 1) - 1
    finally:
        storm.kill()
        storm.wait()
    network.add(f"{ADDRESS}/24")
    wait_delivered(host, server)


def test_a_host_that_does_not_let_the_network_be_watched(smarthost, make_host, inject):
    smarthost.stop()
    host = make_host(smarthost, **{**LONG, "reconnect_interval": "50ms 100ms"})
    host.start_relayd()
    with inject(host, "socket:error=EAFNOSUPPORT"):
        host.submit(MESSAGE, BOB)
        host.wait_log("cannot watch addresses and routes: Address family not supported by protocol")
        smarthost.start()
        host.wait_empty()
    assert host.log().count("cannot watch") == 1


def open_files(host):
    directory = f"/proc/{host.relayd.pid}/fd"
    return sorted(os.readlink(f"{directory}/{fd}") for fd in os.listdir(directory))


def test_nothing_is_watched_while_all_is_well(smarthost, make_host):
    host = make_host(smarthost, block={"idle_timeout": "0s"}, **LONG)
    host.start_relayd()
    before = open_files(host)
    host.submit(MESSAGE, BOB)
    host.wait_empty()
    host.wait_for(lambda: len(open_files(host)) == len(before), what="as many files are open as before")
