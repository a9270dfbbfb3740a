"""Private instances of postbag and of its test smarthost, so that a scenario reads as settings plus expectations.

Everything lives in one temporary directory, removed at the end (POSTBAG_KEEP=1 keeps it). It is not pytest's own: that is
closed to other users, and when the tests run as root the programs run as nobody, from a copy of the binaries that nobody
can read. Waiting is always for a condition; one that does not come true fails with all that is known about the instance.
"""

import email
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("POSTBAG_BUILD", TREE / "build")).resolve()
PROGRAMS = ["sendmail", "relayd", "relayd-session", "spoolctl", "tests/smarthost", "tests/testca"]
BENCH_PROGRAMS = [f"tests/{name}" for name in ("floor", "empty", "pairs", "fill", "delay", "usage", "flood")]
NOBODY, NOGROUP = 65534, 65534
# Everything here is local. Slow machines and sanitizers make it slower, nothing makes it wait.
TIMEOUT = 20 * float(os.environ.get("POSTBAG_SLOWNESS", "1"))


def unprivileged():
    """Arguments of subprocess that make a program run as an ordinary user."""
    return {"user": NOBODY, "group": NOGROUP, "extra_groups": []} if os.getuid() == 0 else {}


def give_away(path):
    """Hands a file or directory to the user that the programs run as."""
    if os.getuid() == 0:
        os.chown(path, NOBODY, NOGROUP)


def poll(predicate, timeout=None, interval=0.02):
    """The first true value of predicate(), or None when time is up."""
    deadline = time.monotonic() + (timeout or TIMEOUT)
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            return None
        time.sleep(interval)


def free_port(count=1):
    """A port on which nobody listens, and count - 1 above it.

    Below the range from which the kernel takes the ports of outgoing connections, so that it stays free until it is used,
    and can be used again by a server that restarts. Random, because other test runs look for theirs at the same time.
    """
    for _ in range(1000):
        port = random.SystemRandom().randrange(12000, 32000 - count)
        try:
            for number in range(port, port + count):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", number))
            return port
        except OSError:
            continue
    raise RuntimeError("no free port")


def knowing(workplace, names):
    """For Host.start_relayd(within=...): a relayd whose /etc/hosts is this text. As root only."""
    if os.getuid() != 0:
        pytest.skip("only root can give a process its own /etc/hosts")
    hosts = workplace.new_directory("etc") / "hosts"
    hosts.write_text(names)
    hosts.chmod(0o644)
    as_nobody = "setpriv --reuid=nobody --regid=nogroup --clear-groups"
    script = f'mount --bind {hosts} /etc/hosts && exec {as_nobody} "$@"'
    return ["unshare", "-m", "sh", "-c", script, "sh"]


def text(path):
    """What a file says, as far as it is there."""
    try:
        return pathlib.Path(path).read_text(errors="replace")
    except FileNotFoundError:
        return ""


def decoded(content):
    """The body as a reader sees it: what was encoded to pass a smarthost is as it was before."""
    message = email.message_from_bytes(content)
    encoded = (message["Content-Transfer-Encoding"] or "").lower() in ("base64", "quoted-printable")
    return message.get_payload(decode=True) if encoded else content.partition(b"\r\n\r\n")[2]


def stop_process(process, sig=signal.SIGTERM, timeout=None):
    """Ends a child and returns its exit status; a child that does not end is killed and fails the test."""
    if process.poll() is None:
        process.send_signal(sig)
    try:
        return process.wait(timeout or TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        pytest.fail(f"{process.args[0]} did not end after {signal.Signals(sig).name}", pytrace=False)


class Workplace:
    """The temporary directory of one test process, and the programs in it."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="postbag-e2e-"))
        self.directory.chmod(0o755)
        self.bin = self.directory / "bin"
        self.count = 0

    def copy_programs(self):
        """All side by side: relayd looks for relayd-session where it lies itself."""
        missing = [name for name in PROGRAMS if not (BUILD / name).exists()]
        if missing:
            pytest.fail(f"not built in {BUILD}: {', '.join(missing)}", pytrace=False)
        self.bin.mkdir(mode=0o755)
        for name in PROGRAMS + [name for name in BENCH_PROGRAMS if (BUILD / name).exists()]:
            copy = self.bin / pathlib.Path(name).name
            shutil.copyfile(BUILD / name, copy)
            copy.chmod(0o755)

    def program(self, name):
        if not self.bin.exists():
            self.copy_programs()
        return str(self.bin / name)

    def new_directory(self, name):
        self.count += 1
        directory = self.directory / f"{name}{self.count}"
        directory.mkdir(mode=0o755)
        return directory

    def make_certs(self):
        """A new test CA with a server certificate: ca.pem, server.pem, server.key."""
        directory = self.new_directory("certs")
        subprocess.run([self.program("testca"), str(directory)], check=True, timeout=TIMEOUT)
        for file in directory.iterdir():
            file.chmod(0o644)  # the key too: it is worth nothing, and the test smarthost runs as nobody
        return directory

    def remove(self):
        if os.environ.get("POSTBAG_KEEP"):
            print(f"kept: {self.directory}")
        else:
            shutil.rmtree(self.directory, ignore_errors=True)


class Host:
    """A host with postbag on it: its configuration, its spool, its daemon.

    smarthosts is a list of blocks as smarthost_block() makes them. Keyword arguments are host-wide settings that replace
    the defaults below (None leaves one out); extra is appended to the host-wide part as it is.
    """

    def __init__(self, workplace, smarthosts=(), extra="", **settings):
        self.workplace = workplace
        self.directory = workplace.new_directory("host")
        self.conf = self.directory / "postbag.conf"
        self.spool = self.directory / "spool"
        self.run = self.directory / "run"
        self.password = self.directory / "password"
        self.logfile = self.directory / "relayd.log"
        self.relayd = None
        self.transcripts = []
        give_away(self.directory)
        for directory, mode in [(self.spool, 0o711), (self.run, 0o755)]:
            directory.mkdir()
            directory.chmod(mode)
            give_away(directory)
        self.set_password("s3cret")
        self.configure(smarthosts, extra, **settings)

    # configuration

    def configure(self, smarthosts, extra="", **settings):
        """Writes postbag.conf anew."""
        settings = {
            "spool_directory": self.spool,
            "runtime_directory": self.run,
            "domain": "example.test",
            "hostname": "host.example.test",
            "retry_interval": "1s 2s",
            "reconnect_interval": "200ms 1s",
            **settings,
        }
        lines = [f"{name} {value}" for name, value in settings.items() if value is not None]
        self.conf.write_text("\n".join([*lines, extra, *smarthosts, ""]))
        self.conf.chmod(0o644)

    def smarthost_block(self, server, scheme="smtp", ca=None, **settings):
        """The block for a running server: anything with .port, .tls_port and .certs, and .settings if it needs others.

        auth="PLAIN", connections=1 and so on add settings or replace the first three; None leaves one out.
        """
        port = server.tls_port if scheme == "smtps" else server.port
        settings = {
            "user": "alice",
            "password": f"file:{self.password}",
            "tls_trust_file": ca or server.certs / "ca.pem",
            **getattr(server, "settings", {}),
            **settings,
        }
        self.transcripts.append(server)
        lines = [f"    {name} {value}" for name, value in settings.items() if value is not None]
        return "\n".join([f"smarthost {scheme}://localhost:{port}", *lines])

    def set_password(self, password):
        self.password.write_text(password + "\n")
        self.password.chmod(0o600)
        give_away(self.password)

    def client_certificate(self, certs):
        """Settings for the client's certificate; the key becomes a file of ours."""
        key = self.directory / "client.key"
        shutil.copyfile(certs / "client.key", key)
        key.chmod(0o400)
        give_away(key)
        return {"tls_cert_file": certs / "client.pem", "tls_key_file": key}

    # the commands

    def command(self, program, *args, input=b"", env=None, timeout=None):
        return subprocess.run(
            [self.workplace.program(program), "-C", str(self.conf), *map(str, args)],
            input=input,
            capture_output=True,
            timeout=timeout or TIMEOUT,
            cwd="/",
            env={**os.environ, **(env or {})},
            **unprivileged(),
        )

    def sendmail(self, *args, input=b"", env=None):
        return self.command("sendmail", *args, input=input, env=env)

    def submit(self, message, *recipients, sender="alice@example.test", options=()):
        """sendmail -i -f SENDER RECIPIENT..., which has to succeed."""
        done = self.sendmail("-i", "-f", sender, *options, "--", *recipients, input=message)
        assert done.returncode == 0, f"sendmail exits {done.returncode}: {done.stderr.decode(errors='replace')}"
        return done

    def mailq(self):
        done = self.sendmail("-bp")
        return (done.stdout + done.stderr).decode(errors="replace")

    def spoolctl(self, *args):
        return self.command("spoolctl", *args)

    def queue_files(self):
        """Names of the messages that are not finished."""
        queue = self.spool / "queue"
        return sorted(name for name in os.listdir(queue) if name[0] != ".") if queue.exists() else []

    # the daemon

    def start_relayd(self, *args, wait=True, within=()):
        """within is a command that runs relayd: started as root, it has to give that up itself."""
        assert not self.is_running(), "relayd runs already"
        socket_file = self.run / "relayd.sock"
        socket_file.unlink(missing_ok=True)  # what a killed one left must not look like readiness
        with open(self.logfile, "ab") as log:
            self.relayd = subprocess.Popen(
                [*within, self.workplace.program("relayd"), "-C", str(self.conf), "-d", *map(str, args)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                **({} if within else unprivileged()),
            )
        if wait:
            self.wait_for(lambda: socket_file.exists() or not self.is_running(), what="relayd is ready")
            if not self.is_running():
                self.fail(f"relayd exits {self.relayd.returncode}")
        return self.relayd

    def is_running(self):
        return self.relayd is not None and self.relayd.poll() is None

    def stop_relayd(self, sig=signal.SIGTERM):
        """Ends relayd and returns its exit status."""
        return stop_process(self.relayd, sig)

    def kill_relayd(self):
        return self.stop_relayd(signal.SIGKILL)

    def reload(self):
        self.relayd.send_signal(signal.SIGHUP)

    def close(self):
        if self.is_running():
            self.stop_relayd()
        assert not re.search("Sanitizer|runtime error:", self.log()), self.log()

    def log(self):
        return text(self.logfile)

    # waiting

    def wait_for(self, predicate, timeout=None, what="the condition"):
        value = poll(predicate, timeout)
        return value if value else self.fail(f"waited in vain: {what}")

    def wait_empty(self, timeout=None):
        self.wait_for(lambda: not self.queue_files(), timeout, "the queue is empty")

    def wait_queue(self, count):
        """Until that many files are left: that of a message goes a little after the reply that ends it."""
        self.wait_for(lambda: len(self.queue_files()) == count, what=f"the queue has {count} files")

    def wait_log(self, pattern, timeout=None):
        return self.wait_for(lambda: re.search(pattern, self.log()), timeout, f"the log says {pattern!r}")

    def wait_mailq(self, pattern, timeout=None):
        """Waits until mailq shows what the pattern says, and returns all that it shows."""

        def shown():
            listing = self.mailq()
            return listing if re.search(pattern, listing) else None

        return poll(shown, timeout, 0.1) or self.fail(f"waited in vain: mailq shows {pattern!r}")

    def fail(self, reason):
        """Fails the test with all that is known."""
        parts = [reason, "--- postbag.conf", text(self.conf), "--- relayd.log", self.log(), "--- queue"]
        parts += [*self.queue_files(), "--- mailq"]
        try:
            parts.append(self.mailq())
        except (OSError, subprocess.SubprocessError) as error:
            parts.append(repr(error))
        for server in dict.fromkeys(self.transcripts):
            parts += [f"--- {server}", server.transcript()[-8000:]]
        pytest.fail("\n".join(parts), pytrace=False)


class StoredMessage:
    """What the test smarthost accepted: the content, byte for byte, and the envelope with it."""

    def __init__(self, path):
        self.content = path.read_bytes()
        self.sender = self.sender_parameters = self.auth = self.mechanism = self.tls = None
        self.recipients, self.recipient_parameters = [], []
        for line in path.with_suffix(".env").read_text(errors="surrogateescape").splitlines():
            word, _, value = line.partition(" ")
            if word in ("from", "to"):
                address, _, parameters = value.lstrip("<").partition(">")
                if word == "from":
                    self.sender, self.sender_parameters = address, parameters.strip()
                else:
                    self.recipients.append(address)
                    self.recipient_parameters.append(parameters.strip())
            elif word == "auth":
                self.auth, _, self.mechanism = value.partition(" ")
            elif word == "tls":
                self.tls = value

    def __repr__(self):
        return f"<{self.sender}> to {self.recipients}: {len(self.content)} octets"


class Smarthost:
    """The scripted smarthost build/tests/smarthost.

    Options are keyword arguments, "_" for "-": Smarthost(w, certs, implicit_tls=True, mechanisms="PLAIN",
    rule=["rcpt 550 no"]). A list repeats the option, True stands for an option without value, None leaves one out.
    within is a command that runs it, as an ordinary user.
    """

    def __init__(self, workplace, certs, within=(), **options):
        self.workplace = workplace
        self.certs = certs
        self.within = within
        self.directory = workplace.new_directory("smarthost")
        give_away(self.directory)
        self.store = self.directory / "store"
        self.store.mkdir()
        give_away(self.store)
        self.options = options
        self.port = self.tls_port = free_port()
        self.process = None
        self.started = False
        self.start()

    def __str__(self):
        return f"smarthost on port {self.port}"

    def start(self):
        """Starts it, or starts it again: same port, same store."""
        ready = self.directory / "port"
        ready.unlink(missing_ok=True)
        options = {
            "port": self.port,
            "port_file": ready,
            "cert": self.certs / "server.pem",
            "key": self.certs / "server.key",
            "user": "alice",
            "password": "s3cret",
            "store": self.store,
            "transcript": self.directory / "transcript",
            **self.options,
        }
        arguments = [self.workplace.program("smarthost")]
        for name, value in options.items():
            for one in value if isinstance(value, (list, tuple)) else [value]:
                if one is not None and one is not False:
                    arguments += ["--" + name.replace("_", "-")] + ([] if one is True else [str(one)])
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(
                [*self.within, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                **({} if self.within else unprivileged()),
            )
        poll(lambda: text(ready).strip() or self.process.poll() is not None)
        if not text(ready).strip():
            self.stop()
            if not self.started and "already in use" in text(self.directory / "log"):
                (self.directory / "log").unlink()  # another test run was faster
                self.port = self.tls_port = free_port()
                return self.start()
            pytest.fail(f"{' '.join(arguments)}\nis not ready: {text(self.directory / 'log')}", pytrace=False)
        self.port = self.tls_port = int(text(ready))
        self.started = True
        return self

    def stop(self):
        if self.process is not None:
            stop_process(self.process)
            self.process = None

    close = stop

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def messages(self):
        """All that it accepted so far, oldest first. One whose envelope is not written yet does not count."""
        return [StoredMessage(path) for path in sorted(self.store.glob("*.eml")) if path.with_suffix(".env").exists()]

    def wait_messages(self, count=1, timeout=None):
        messages = poll(lambda: len(self.messages()) >= count and self.messages(), timeout)
        if not messages:
            found = len(self.messages())
            pytest.fail(f"{self} has {found} messages instead of {count}\n{self.transcript()}", pytrace=False)
        return messages

    def transcript(self):
        return text(self.directory / "transcript")


class Peer:
    """One connection as a ScriptedServer's script sees it. Reading at the end of the connection raises EOFError."""

    def __init__(self, server, number, connection):
        self.server, self.number, self.connection = server, number, connection
        self.file = connection.makefile("rb")

    def start_tls(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server.certs / "server.pem", self.server.certs / "server.key")
        self.file.close()
        self.connection = context.wrap_socket(self.connection, server_side=True)
        self.file = self.connection.makefile("rb")

    def send(self, octets):
        self.server.say(self.number, "S", octets[:200])
        self.connection.sendall(octets)

    def line(self):
        octets = self.file.readline()
        if not octets:
            raise EOFError
        self.server.say(self.number, "C", octets[:200])
        return octets.rstrip(b"\r\n")

    def close(self):
        for closable in (self.file, self.connection):
            try:
                closable.close()
            except OSError:
                pass


class ScriptedServer:
    """A server for what no rule of Smarthost can say: script(peer) holds each conversation, in a thread of its own."""

    def __init__(self, certs, script):
        self.certs, self.script = certs, script
        self.lines, self.connections = [], 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.tls_port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def __str__(self):
        return f"scripted server on port {self.port}"

    def say(self, number, who, octets):
        self.lines.append(f"{number} {who}: {octets!r}")

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.settimeout(TIMEOUT)
            peer = Peer(self, self.connections, connection)
            threading.Thread(target=self.converse, args=[peer], daemon=True).start()

    def converse(self, peer):
        try:
            self.script(peer)
        except (OSError, EOFError) as error:
            self.say(peer.number, "=", repr(error).encode())
        finally:
            peer.close()

    def transcript(self):
        return "\n".join(self.lines)

    def close(self):
        self.listener.close()
