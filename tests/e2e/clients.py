"""postbag installed in a private root, beside programs from Debian's packages that send mail: see tests/clients."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from harness import BUILD, TIMEOUT, TREE, Host, poll, stop_process
from servers import unpack

# Looking for leaks is tracing, which nobody may with a program that was set-gid or is locked in.
SANITIZERS = ["ASAN_OPTIONS=detect_leaks=0"] if os.environ.get("POSTBAG_SANITIZE") else []
RECIPES = TREE / "tests" / "clients"


def only_child(pid):
    """The process that pid started, as long as there is one."""
    try:
        return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[:1]
    except OSError:
        return []


class Installation(Host):
    """A host on which every path is the usual one. Its relayd runs from the start; the commands run inside."""

    def __init__(self, workplace, smarthost):
        if os.getuid() != 0:
            pytest.skip("an installed postbag needs root (for a mount namespace of its own)")
        unpack("clients")
        super().__init__(workplace)
        self.smarthost = smarthost
        self.restarted = None
        block = self.smarthost_block(smarthost, ca="/etc/postbag/ca.pem", password="file:/etc/postbag/password")
        self.configure([block], spool_directory=None, runtime_directory=None)
        shutil.copy(smarthost.certs / "ca.pem", self.directory)
        with open(self.logfile, "ab") as log:
            self.relayd = subprocess.Popen(
                [RECIPES / "clients.sh", self.directory, BUILD], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        if not poll(lambda: not self.is_running() or self.is_ready()) or not self.is_running():
            self.close()
            pytest.fail(f"no private root: {self.log()}", pytrace=False)

    def is_ready(self):
        """Finds process 1 of the private root: clients.sh, which is overlay.sh, starts unshare, which starts it."""
        unshare = only_child(self.relayd.pid)
        self.first = unshare and only_child(unshare[0])
        if not self.first:
            return False
        self.root = pathlib.Path(f"/proc/{self.first[0]}/root")
        self.spool = self.root / "var/spool/postbag"
        self.run = self.root / "run/postbag"
        return self.path("/run/private").exists() and (self.run / "relayd.sock").exists()

    def path(self, name):
        """What is NAME inside, for us."""
        return self.root / name.lstrip("/")

    def home(self, user):
        return self.path(f"/var/lib/{user}")

    def write(self, name, octets, user):
        """Writes the file NAME of the user's home directory."""
        file = self.home(user) / name
        file.write_bytes(octets)
        shutil.chown(file, *2 * [self.home(user).stat().st_uid])

    def inside(self, user, *argv):
        """The command line that runs argv in there, in the environment that a login gives."""
        return [
            *("nsenter", "--target", *self.first, "--mount", "--pid", "--"),
            *("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--reset-env"),
            *("env", "-C", f"/var/lib/{user}", "LC_ALL=C.UTF-8", *SANITIZERS, *map(str, argv)),
        ]

    def execute(self, user, *argv, input=b""):
        """The outcome of a program in there, which may fail."""
        return subprocess.run(self.inside(user, *argv), input=input, capture_output=True, timeout=TIMEOUT)

    def call(self, user, *argv, input=b""):
        """The output of a program in there, which has to succeed."""
        done = self.execute(user, *argv, input=input)
        if done.returncode != 0:
            self.fail(f"{argv[0]} exits {done.returncode}: {(done.stdout + done.stderr).decode(errors='replace')}")
        return done.stdout

    def command(self, program, *args, input=b"", env=None, timeout=None):
        return self.execute("root", program, *args, input=input)

    @contextlib.contextmanager
    def daemon(self, *argv):
        """A daemon in there that stays in the foreground. It dies with nsenter, which is all that we can signal."""
        command = self.inside("root", "setpriv", "--pdeathsig", "KILL", *argv)
        with open(self.logfile, "ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield process
        finally:
            stop_process(process, signal.SIGKILL)

    def relayd_pid(self):
        """The daemon in there, not one of its receivers, as we see it; None if it is not running."""
        namespace = os.readlink(f"/proc/{self.first[0]}/ns/pid")
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                argv = (process / "cmdline").read_bytes().split(b"\0")
                if argv[0].endswith(b"relayd") and b"receive" not in argv and os.readlink(process / "ns/pid") == namespace:
                    return int(process.name)
            except OSError:
                pass
        return None

    @contextlib.contextmanager
    def without_relayd(self):
        """relayd is stopped, and starts again afterwards."""
        os.kill(self.relayd_pid(), signal.SIGTERM)
        self.wait_for(lambda: not self.relayd_pid(), what="relayd has ended")
        assert not (self.run / "relayd.sock").exists()
        if self.restarted is not None:
            self.restarted.wait(TIMEOUT)
        try:
            yield
        finally:
            with open(self.logfile, "ab") as log:
                self.restarted = subprocess.Popen(
                    self.inside("root", "setpriv", "--pdeathsig", "KILL", "/usr/local/sbin/relayd", "-d"),
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            self.wait_for(lambda: (self.run / "relayd.sock").exists(), what="relayd is ready again")

    def close(self):
        super().close()
        if self.restarted is not None:
            self.restarted.wait(TIMEOUT)

    @contextlib.contextmanager
    def setting(self, name, value):
        """A host-wide setting for the commands; relayd does not hear of it."""
        file = self.path("/etc/postbag/postbag.conf")
        before = file.read_text()
        file.write_text(f"{name} {value}\n{before}")
        try:
            yield
        finally:
            file.write_text(before)

    def arrived(self, count=1):
        """What arrived at the smarthost since forget(): so many messages, and no more."""
        if not poll(lambda: len(self.smarthost.messages()) >= count):
            self.fail(f"{len(self.smarthost.messages())} messages arrived, not {count}")
        self.wait_empty()
        messages = self.smarthost.messages()
        assert len(messages) == count, messages
        return messages

    def forget(self):
        self.wait_empty()
        for file in self.smarthost.store.iterdir():
            file.unlink()
