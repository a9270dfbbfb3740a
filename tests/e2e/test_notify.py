"""relayd and the service manager: sd_notify(3), by path and by abstract name."""

import os
import pathlib
import re
import signal
import socket

import pytest

import harness


class Manager:
    """A service manager that starts relayd and hears what it says. An abstract name begins with '@'."""

    def __init__(self, host, abstract):
        self.host = host
        path = str(host.directory / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(harness.TIMEOUT)
        self.socket.bind(f"\0{path}" if abstract else path)
        if not abstract:
            os.chmod(path, 0o666)
        os.environ["NOTIFY_SOCKET"] = f"@{path}" if abstract else path
        try:
            host.start_relayd(wait=False)
        finally:
            del os.environ["NOTIFY_SOCKET"]

    def hears(self):
        try:
            return self.socket.recv(1000).decode()
        except TimeoutError:
            return self.host.fail("waited in vain: relayd notifies")

    def has_heard_all(self):
        self.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            self.socket.recv(1000)


@pytest.fixture(params=[False, True], ids=["path", "abstract"])
def abstract(request):
    return request.param


def test_ready_is_told_when_the_socket_answers_and_the_stop_when_it_begins(abstract, make_host):
    host = make_host(None)
    manager = Manager(host, abstract)
    assert manager.hears() == "READY=1"
    assert "empty" in host.mailq()  # no waiting: it answers by then
    assert host.stop_relayd() == 0
    assert manager.hears() == "STOPPING=1"
    manager.has_heard_all()


@pytest.mark.parametrize("extra", ["", "no_such_setting 1"], ids=["good", "with an error"])
def test_a_reload_begins_and_ends_whatever_the_file_says(extra, make_host):
    host = make_host(None)
    manager = Manager(host, abstract=False)
    assert manager.hears() == "READY=1"
    host.configure([], extra)
    host.reload()
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", manager.hears())
    assert manager.hears() == "READY=1"
    manager.has_heard_all()


def test_a_start_that_fails_is_not_ready(make_host):
    host = make_host(None, extra="no_such_setting 1")
    manager = Manager(host, abstract=False)
    host.wait_for(lambda: not host.is_running(), what="relayd ends")
    assert host.relayd.returncode == 78
    manager.has_heard_all()


def test_a_session_does_not_inherit_the_socket(make_smarthost, make_host):
    server = make_smarthost(rule="MAIL/1 stall")
    host = make_host(server)
    manager = Manager(host, abstract=False)
    assert manager.hears() == "READY=1"
    host.submit(b"Subject: hello\n\nhello\n", "bob@example.test")
    host.wait_for(lambda: "stall at MAIL" in server.transcript(), what="the session sends MAIL")
    children = pathlib.Path(f"/proc/{host.relayd.pid}/task/{host.relayd.pid}/children").read_text().split()
    assert children
    for child in children:
        assert b"NOTIFY_SOCKET" not in pathlib.Path(f"/proc/{child}/environ").read_bytes()
    assert host.stop_relayd(signal.SIGTERM) == 0
