"""A network of its own for a test: a namespace with a loopback interface, its own /etc, and a DNS server if there is need.

Only root can make one. Addresses are added to the loopback interface: what is not there cannot be reached.
"""

import json
import os
import pathlib
import shutil
import subprocess

import harness

HERE = pathlib.Path(__file__).resolve().parent
# what programs look into; the rest of /etc is not there
FILES = ["passwd", "group", "nsswitch.conf", "services", "protocols", "ld.so.cache"]


def unavailable():
    """Why there can be none, or None."""
    if os.getuid() != 0:
        return "only root can make a network namespace"
    if not shutil.which("ip"):
        return "needs ip"
    done = subprocess.run(["unshare", "--net", "--mount", "ip", "link", "set", "lo", "up"], capture_output=True, text=True)
    return None if done.returncode == 0 else f"no network namespace here: {done.stderr.strip()}"


class Network:
    def __init__(self, workplace):
        self.workplace = workplace
        self.directory = workplace.new_directory("network")
        self.etc = self.directory / "etc"
        self.etc.mkdir(mode=0o755)
        for name in FILES:
            if os.path.exists(f"/etc/{name}"):
                shutil.copy(f"/etc/{name}", self.etc)
        self.write("hosts", "127.0.0.1 localhost\n")
        self.write("resolv.conf", "nameserver 127.0.0.1\n")
        self.dns = None
        script = f"ip link set lo up && mount --bind {self.etc} /etc && echo ready && exec sleep infinity"
        self.holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", script],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd="/")
        assert self.holder.stdout.readline() == b"ready\n"

    @property
    def within(self):
        """The command that runs another one here."""
        return ["nsenter", f"--target={self.holder.pid}", "--net", "--mount", "--"]

    @property
    def as_nobody(self):
        return [*self.within, "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]

    def run(self, *command, input=None):
        done = subprocess.run([*self.within, *command], input=input, capture_output=True, text=True, timeout=harness.TIMEOUT)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def add(self, *addresses):
        for address in addresses:
            self.run("ip", "address", "add", address, "dev", "lo", *(["nodad"] if ":" in address else []))

    def write(self, name, text):
        """A file in /etc, put in the place of the one that is there."""
        new = self.directory / "new"
        new.write_text(text)
        new.chmod(0o644)
        os.replace(new, self.etc / name)

    def serve(self, zone, **options):
        """A DNS server at 127.0.0.1 (at=ADDRESS) that knows {(name, type): [data, ...]}; see dns_server.py."""
        self.queries = self.directory / "queries"
        description = {"zone": [[name, kind, data] for (name, kind), data in zone.items()], "log": str(self.queries), **options}
        self.dns = subprocess.Popen(
            [*self.within, "/usr/bin/python3", "-B", HERE / "dns_server.py", json.dumps(description)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd="/")
        assert self.dns.stdout.readline() == b"ready\n"

    def asked(self):
        """What the DNS server was asked: "udp example.test SRV", one for each query."""
        return harness.text(self.queries).splitlines()

    def close(self):
        for process in filter(None, (self.dns, self.holder)):
            process.kill()
            process.wait()
            process.stdout.close()
