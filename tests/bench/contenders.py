"""The clients of the comparison. Each is filled while nothing delivers, then started, and sums up its own processor time."""

import os
import pathlib
import shutil
import signal
import subprocess
import time

import harness

SERVERS = harness.TREE / "tests" / "servers"
PEERS = pathlib.Path(__file__).resolve().parent / "peers"
MESSAGE = b"Subject: bench\r\nTo: a@example.test\r\n\r\n" + b"x" * 70 + b"\n" + (b"y" * 70 + b"\n") * 27
WIRE = b"From: alice@example.test\r\n" + MESSAGE.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


class Unavailable(Exception):
    """Why this client cannot be measured here."""


def child_of(pid):
    """The only child of a process, or None."""
    try:
        found = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return None
    return int(found[0]) if found else None


def microseconds(file):
    """What usage.c wrote, as seconds; None where it could not tell."""
    words = harness.text(file).split()
    return int(words[0]) / 1e6 if words else None


def files_below(directory, pattern):
    return sum(path.is_file() for path in directory.glob(pattern))


class Postbag:
    """From the build that is being measured, with these settings in the smarthost's block."""

    host = None

    def __init__(self, title, **block):
        self.title, self.block = title, block

    def prepare(self):
        pass

    def fill(self, workplace, line, count):
        self.host = harness.Host(workplace)
        self.host.configure([self.host.smarthost_block(line, "smtp", line.certs / "ca.pem", **self.block)])
        message = self.host.directory / "message"
        message.write_bytes(MESSAGE)
        submit = 'left=$0; while [ "$left" -gt 0 ]; do "$@" <' + str(message) + ' || exit 1; left=$((left - 1)); done'
        subprocess.run(["sh", "-c", submit, str(count), workplace.program("sendmail"), "-C", self.host.conf, "-i",
                        "-f", "alice@example.test", "a@example.test"], check=True, **harness.unprivileged())
        self.usage = self.host.directory / "usage"
        self.measured = [workplace.program("usage"), self.usage]

    def start(self):
        if os.getuid() == 0:
            become = ["setpriv", f"--reuid={harness.NOBODY}", f"--regid={harness.NOGROUP}", "--clear-groups"]
        else:
            become = ["env"]
        self.host.start_relayd(wait=False, within=[*self.measured, *become])

    def waiting(self):
        return len(self.host.queue_files())

    def is_alive(self):
        return self.host.is_running()

    def stop(self):
        """Returns the processor time of all its processes since the start, seconds."""
        self.end()
        return microseconds(self.usage)

    def end(self):
        """Leaves nothing running, however far it came."""
        if self.host:
            self.host.close()

    def complaint(self):
        return self.host.log()[-500:]


class Peer:
    """A program from Debian's packages, as the script of that name in peers/ sets it up.

    queue: where its queue lies below /var/spool, as a pattern; None if it has none. roots: further packages below it.
    """

    process = None

    def __init__(self, title, script, *arguments, queue, roots=(), accounts=""):
        self.title, self.script, self.arguments, self.queue = title, script, arguments, queue
        self.roots, self.accounts = [script, *roots], accounts

    def prepare(self):
        """Unpacks it. Raises Unavailable."""
        if os.getuid() != 0:
            raise Unavailable("needs root, for a mount namespace of its own")
        done = subprocess.run([SERVERS / "setup.sh", self.script], capture_output=True, text=True)
        if done.returncode != 0:
            raise Unavailable(" ".join(done.stderr.split())[:200] or "cannot be unpacked")

    def fill(self, workplace, line, count):
        self.directory = workplace.new_directory("peer")
        self.directory.chmod(0o755)
        (self.directory / "message").write_bytes(MESSAGE.replace(b"\r\n", b"\n"))
        shutil.copy(line.certs / "ca.pem", self.directory)
        environment = {**os.environ, "ACCOUNTS": self.accounts, "PORT": str(line.port), "COUNT": str(count),
                       "USAGE": workplace.program("usage")}
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(
                [SERVERS / "overlay.sh", self.directory, *self.roots, "--", PEERS / self.script, *self.arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        filled = self.directory / "filled"
        if not harness.poll(lambda: filled.exists() or not self.is_alive(), 300) or not self.is_alive():
            raise self.failure("its queue cannot be filled")
        if self.queue and self.waiting() != count:
            raise self.failure(f"{self.waiting()} messages of {count} are in its queue")

    def failure(self, what):
        return Unavailable(f"{what}: {self.complaint()}")

    def start(self):
        (self.directory / "go").touch()

    def waiting(self):
        return files_below(self.directory / "spool", self.queue) if self.queue else 0

    def is_alive(self):
        return self.process.poll() is None

    def stop(self):
        """overlay.sh starts unshare, which starts process 1: that one sums up."""
        unshare = child_of(self.process.pid)
        first = unshare and child_of(unshare)
        if first:
            os.kill(first, signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            pass
        self.end()
        return microseconds(self.directory / "usage")

    def end(self):
        if self.process and self.is_alive():
            harness.stop_process(self.process)
        if self.process:
            shutil.rmtree(self.directory / "spool", ignore_errors=True)

    def complaint(self):
        return harness.text(self.directory / "log")[-500:].strip() or "it does not say why"


class Flood:
    """The floor: one connection, no queue, nothing but sending."""

    process = None

    def __init__(self, title, window):
        self.title, self.window = title, window

    def prepare(self):
        pass

    def fill(self, workplace, line, count):
        self.directory = workplace.new_directory("flood")
        (self.directory / "message").write_bytes(WIRE)
        self.command = [workplace.program("usage"), self.directory / "usage", workplace.program("flood"), str(line.port),
                        str(count), str(self.window), "alice", "s3cret"]

    def start(self):
        with open(self.directory / "message", "rb") as message, open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=message, stdout=log, stderr=log)

    def waiting(self):
        return 0

    def is_alive(self):
        return self.process.poll() is None

    def stop(self):
        time.sleep(0.2)  # it ends by itself, having said QUIT
        self.end()
        return microseconds(self.directory / "usage")

    def end(self):
        if self.process:
            harness.stop_process(self.process)

    def complaint(self):
        return harness.text(self.directory / "log")


MAIL = "postfix:61001 postdrop:61002"
CONTENDERS = {
    "postbag": Postbag("postbag"),
    "postbag-1": Postbag("postbag, 1 connection", connections=1),
    "postfix": Peer("Postfix", "postfix", queue="postfix/[iad][nce]*/**/[0-9A-F]*", roots=["sasl"], accounts=MAIL),
    "postfix-reuse": Peer("Postfix, reusing connections", "postfix", "smtp_tls_connection_reuse = yes",
                          queue="postfix/[iad][nce]*/**/[0-9A-F]*", roots=["sasl"], accounts=MAIL),
    "exim": Peer("Exim", "exim", "-bdf", "-q30m", queue="exim4/input/**/*-H", accounts="Debian-exim:61007"),
    "exim-qq": Peer("Exim, two-stage queue run", "exim", "-bdf", "-qq30m", queue="exim4/input/**/*-H",
                    accounts="Debian-exim:61007"),
    "nullmailer": Peer("nullmailer", "nullmailer", queue="nullmailer/queue/*"),
    "dma": Peer("dma", "dma", queue="dma/Q*"),
    "msmtp": Peer("msmtp, one after the other", "msmtp", "1", queue=None),
    "msmtp-4": Peer("msmtp, 4 side by side", "msmtp", "4", queue=None),
    "opensmtpd": Peer("OpenSMTPD", "opensmtpd", queue="smtpd/queue/**/message",
                      accounts="opensmtpd:61008:/var/lib/opensmtpd/empty opensmtpq:61009"),
    "flood-1": Flood("bare client, 1 in flight", 1),
    "flood-20": Flood("bare client, 20 in flight", 20),
}
