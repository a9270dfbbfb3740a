"""make install and make uninstall on a host: in a mount namespace with overlays for /usr, /etc and /var, so that this host sees
nothing of it. What is installed is what lies in the build directory: nothing is compiled."""

import os
import pathlib
import re
import shutil
import stat
import subprocess
import time

import pytest

TOP = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("POSTBAG_BUILD", TOP / "build")).resolve()
MESSAGE = "Subject: hello\n\nhello\n"
OURS = "/usr/local/sbin/sendmail"
LINKS = ["/usr/sbin/sendmail", "/usr/lib/sendmail", "/usr/bin/mailq", "/usr/bin/newaliases",
         "/usr/local/bin/mailq", "/usr/local/bin/newaliases"]
UNITS = ["relayd.service", "postbag-smtp.socket", "postbag-smtp@.service"]
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can make a private root")

# A host without mail system: whatever this one has is not there. It ends with its standard input.
PRIVATE_ROOT = r"""
set -e
mount -t tmpfs -o mode=755 tmpfs "$1"
for place in usr etc var; do
    mkdir -p "$1/$place/upper" "$1/$place/work"
    mount -t overlay overlay -o "lowerdir=/$place,upperdir=$1/$place/upper,workdir=$1/$place/work" "/$place"
done
mount -t tmpfs -o mode=755 tmpfs /run
rm -rf /usr/sbin/sendmail /usr/lib/sendmail /usr/bin/mailq /usr/bin/newaliases /var/spool/postbag /etc/postbag
rm -rf /usr/local/sbin/sendmail /usr/local/bin/mailq /usr/local/bin/newaliases /usr/local/libexec/postbag
for file in passwd shadow group gshadow; do
    [ ! -f /etc/$file ] || sed -i '/^postbag:/d' /etc/$file
done
mkdir -p /usr/lib/systemd/system /usr/local/sbin /usr/local/bin
echo ready
exec cat
"""


class PrivateRoot:
    def __init__(self, directory):
        self.directory = directory
        self.overlays = directory / "overlays"
        self.overlays.mkdir()
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", PRIVATE_ROOT, "sh", self.overlays],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.greeting = self.process.stdout.readline().strip()

    def close(self):
        self.process.stdin.close()
        self.process.wait()

    def run(self, *command, **variables):
        """In the source tree, with a usual environment."""
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C",
                       "TMPDIR": str(self.directory), **variables}
        return subprocess.run(
            ["nsenter", f"--mount=/proc/{self.process.pid}/ns/mnt", "sh", "-c", 'cd "$0" && exec "$@"', TOP, *command],
            env=environment, input=MESSAGE, capture_output=True, text=True, timeout=120)

    def good(self, *command):
        done = self.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def make(self, target, *variables):
        # "-o all": what is built is not looked at again
        return self.run("make", "-o", "all", target, f"BUILD={os.path.relpath(BUILD, TOP)}", *variables)

    def install(self, *variables):
        done = self.make("install", *variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def uninstall(self, *variables):
        done = self.make("uninstall", *variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def path(self, name):
        """A file of the private root, seen from here; no symbolic link is followed on the way there."""
        return pathlib.Path(f"/proc/{self.process.pid}/root{name}")

    def is_there(self, name):
        return os.path.lexists(self.path(name))

    def link(self, name):
        return os.readlink(self.path(name))

    def mode(self, name):
        """Owner, group and mode as "root:postbag 2755"."""
        status = os.lstat(self.path(name))
        return f"{self.name_of('passwd', status.st_uid)}:{self.name_of('group', status.st_gid)} " \
               f"{stat.S_IMODE(status.st_mode):04o}"

    def name_of(self, database, number):
        for line in self.path(f"/etc/{database}").read_text().splitlines():
            fields = line.split(":")
            if fields[2] == str(number):
                return fields[0]
        return str(number)

    def has(self, database, name):
        return re.search(f"^{name}:", self.path(f"/etc/{database}").read_text(), re.M) is not None

    def write(self, name, content, mode=0o755):
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(mode)

    def changes(self):
        """All that differs from the host: names, modes, contents."""
        found = {}
        for place in ("usr", "etc", "var"):
            upper = self.path(str(self.overlays / place / "upper"))
            for path in upper.rglob("*"):
                status = path.lstat()
                content = path.read_bytes() if stat.S_ISREG(status.st_mode) else None
                target = os.readlink(path) if stat.S_ISLNK(status.st_mode) else None
                found[str(path.relative_to(upper.parents[1]))] = (status.st_mode, status.st_uid, content, target)
        return found

    def submit(self):
        self.good(OURS, "-i", "-f", "root@example.test", "bob@example.test")
        return self.queue()

    def queue(self):
        return sorted(os.listdir(self.path("/var/spool/postbag/queue")))


@pytest.fixture
def root(tmp_path):
    assert (BUILD / "sendmail").exists(), f"not built in {BUILD}"
    private = PrivateRoot(tmp_path)
    if private.greeting != "ready":
        private.close()
        pytest.skip(f"no private root here: {private.greeting}")
    yield private
    private.close()


def spool_is_right(root):
    assert root.mode("/var/spool/postbag") == "root:root 0711"
    assert root.mode("/var/spool/postbag/queue") == "postbag:postbag 1730"
    assert root.mode("/var/spool/postbag/state") == "postbag:postbag 0700"


def account_is_right(root):
    assert root.has("group", "postbag")
    _, _, uid, gid, _, _, shell = re.search(r"^postbag:.*$", root.path("/etc/passwd").read_text(), re.M)[0].split(":")
    assert 0 < int(uid) < 1000 and root.name_of("group", int(gid)) == "postbag"
    assert shell.endswith(("nologin", "false"))


def nothing_of_ours_is_left(root):
    left = [name for name, (mode, _, _, _) in root.changes().items()
            if re.search(r"postbag|relayd|spoolctl|mailq|newaliases|sendmail", name) and not stat.S_ISCHR(mode)]
    assert left == []


# a host without mail system


def test_install_makes_a_host_that_can_queue_mail(root):
    said = root.install()
    account_is_right(root)
    spool_is_right(root)
    assert root.mode(OURS) == "root:postbag 2755"
    for program in ("/usr/local/sbin/relayd", "/usr/local/sbin/spoolctl", "/usr/local/libexec/postbag/relayd-session"):
        assert root.mode(program) == "root:root 0755"
    for link in LINKS:
        assert root.link(link) == OURS
    for unit in UNITS:
        assert root.mode(f"/usr/local/lib/systemd/system/{unit}") == "root:root 0644"
    assert os.listdir(root.path("/etc/postbag")) == []
    next_steps = said[said.index("Installed."):].splitlines()
    assert 2 <= len(next_steps) <= 4
    assert "/etc/postbag/postbag.conf" in next_steps[0] and "-m 0400 -o postbag" in next_steps[1]
    name, = root.submit()
    assert root.mode(f"/var/spool/postbag/queue/{name}") == "root:postbag 0440"


@pytest.mark.skipif(bool(os.environ.get("POSTBAG_SANITIZE")), reason="a set-gid program does not let the leak check see it")
def test_any_user_can_submit_by_smtp(root):
    """Each of many messages with the right of the set-gid bit."""
    root.install()
    message = r"MAIL FROM:<a@x.example>\nRCPT TO:<b@y.example>\nDATA\n\nhello\n.\n"
    said = root.good(*NOBODY, "sh", "-c", f"printf 'HELO x\\n{message}{message}QUIT\\n' | sendmail -bs")
    assert said.count("250 2.0.0 queued as") == 2 and len(root.queue()) == 2
    assert root.mode(f"/var/spool/postbag/queue/{root.queue()[0]}") == "nobody:postbag 0440"


def test_relayd_works_as_the_account_in_the_spool_that_install_made(root):
    root.install()
    root.submit()
    root.write("/etc/postbag/postbag.conf", "domain example.test\n", 0o644)
    root.good("install", "-d", "-o", "postbag", "/run/postbag")
    root.good("sh", "-c", """
        setpriv --reuid=postbag --regid=postbag --clear-groups relayd -d & relayd=$!
        for i in $(seq 200); do [ -S /run/postbag/relayd.sock ] && break; sleep 0.05; done
        mailq > /run/mailq; kill $relayd; wait $relayd""")
    assert "bob@example.test" in root.path("/run/mailq").read_text()


def test_a_second_installation_is_an_upgrade(root):
    root.install()
    names = root.submit()
    root.write("/etc/postbag/postbag.conf", "domain example.test\n", 0o600)
    before = root.changes()
    said = root.install()
    assert root.changes() == before
    assert root.queue() == names
    assert "restart relayd" in said


def test_an_upgrade_replaces_programs_and_removes_what_is_gone(root, tmp_path):
    older = tmp_path / "older"
    older.mkdir()
    for program in ("sendmail", "relayd", "relayd-session", "spoolctl"):
        (older / program).write_text(f"an older {program}\n")
    root.install(f"BUILD={older}", "DOCDIR=/usr/local/share/doc/older")
    assert root.path(OURS).read_text() == "an older sendmail\n"
    root.install()
    assert root.path(OURS).read_bytes() == (BUILD / "sendmail").read_bytes()
    assert root.mode(OURS) == "root:postbag 2755"
    assert not root.is_there("/usr/local/share/doc/older/examples/server.conf")
    root.uninstall()
    nothing_of_ours_is_left(root)
    assert not root.is_there("/usr/local/share/doc/older")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize("variables", [[], ["PREFIX=/usr", "SPOOLDIR=/var/lib/a&b/spool", "RUNDIR=/run/mail"]],
                         ids=["as it is", "elsewhere"])
def test_installed_units_are_good(variables, root):
    root.install(*variables)
    directory = "/usr/lib/systemd/system" if variables else "/usr/local/lib/systemd/system"
    done = root.run("systemd-analyze", "verify", "--man=no", *(f"{directory}/{unit}" for unit in UNITS))
    assert [line for line in (done.stdout + done.stderr).splitlines() if re.search("relayd|postbag", line)] == []
    assert done.returncode == 0


def test_directories_that_were_chosen_stand_in_units_and_manual(root):
    root.install("PREFIX=/usr", "SPOOLDIR=/var/lib/a&b/run/postbag", "RUNDIR=/run/mail", "SYSCONFDIR=/var/lib/etc")
    unit = root.path("/usr/lib/systemd/system/relayd.service").read_text()
    assert "\nExecStart=/usr/sbin/relayd\n" in unit and "\nRuntimeDirectory=mail\n" in unit
    assert "\nReadWritePaths=-/var/lib/a&b/run/postbag\n" in unit and "/usr/local" not in unit
    assert "smarthost:/var/lib/etc/postbag/password\n" in unit
    assert "d /var/lib/a&b/run/postbag/queue 1730" in root.path("/usr/lib/tmpfiles.d/postbag.conf").read_text()
    assert "/var/lib/a&b/run/postbag" in root.path("/usr/share/man/man8/relayd.8").read_text()
    assert root.mode("/var/lib/a&b/run/postbag/queue") == "postbag:postbag 1730"
    assert root.mode("/usr/sbin/sendmail") == "root:postbag 2755" and root.link("/usr/bin/mailq") == "/usr/sbin/sendmail"


def test_an_installation_that_was_cut_short_can_be_finished_and_removed(root):
    root.write("/usr/local/bin/ln", "#!/bin/sh\nexit 1\n")
    assert root.make("install").returncode != 0
    assert root.is_there(OURS) and not root.is_there("/usr/sbin/sendmail")
    root.path("/usr/local/bin/ln").unlink()
    root.install()
    assert root.link("/usr/sbin/sendmail") == OURS
    root.uninstall()
    nothing_of_ours_is_left(root)


def test_what_is_not_built_is_not_installed_in_part(root, tmp_path):
    (tmp_path / "build").mkdir()
    shutil.copy(BUILD / "sendmail", tmp_path / "build")
    before = root.changes()
    done = root.make("install", f"BUILD={tmp_path}/build")
    assert done.returncode != 0 and "run make first" in done.stderr
    assert root.changes() == before


# directories that cannot be


@pytest.mark.parametrize("variable", [
    "PREFIX=build/postbag", "PREFIX=/usr/my dir", "PREFIX=/usr/it's", "PREFIX=/usr/a\tb", "PREFIX=/usr/$$(id)", "LIBEXECDIR=/usr/*",
    "SPOOLDIR=", "SPOOLDIR=/", "SPOOLDIR=/var/a%b", "SPOOLDIR=/var/x/../y", "RUNDIR=/run/."])
def test_a_directory_that_cannot_be_stops_everything(variable, root):
    before = root.changes()
    done = root.make("install", variable)
    assert done.returncode != 0 and "nothing is done: " in done.stderr and "it must be an absolute path" in done.stderr
    assert root.changes() == before


@pytest.mark.parametrize("directory", ["/var/spool", "/var/lib/others"])
def test_a_spool_directory_of_others_is_not_taken(directory, root):
    root.write(f"{directory}/something", "else\n")
    before = root.changes()
    done = root.make("install", f"SPOOLDIR={directory}")
    assert done.returncode != 0 and f"SPOOLDIR is {directory}, where others keep something" in done.stderr
    assert root.changes() == before


def test_one_place_has_one_name(root):
    root.install("PREFIX=/usr//local/", "SPOOLDIR=/var/spool/postbag/")
    before = root.changes()
    root.install()
    assert root.changes() == before
    assert root.link("/usr/sbin/sendmail") == OURS
    root.uninstall("PREFIX=/usr/local/")
    nothing_of_ours_is_left(root)


# without systemd


def test_without_systemd_useradd_makes_the_account(root):
    root.good("rm", "-f", "/usr/bin/systemd-sysusers", "/usr/bin/systemd-tmpfiles")
    root.good("rm", "-rf", "/usr/lib/systemd/system", "/lib/systemd/system")
    root.install()
    account_is_right(root)
    spool_is_right(root)
    assert root.mode(OURS) == "root:postbag 2755"
    assert not root.is_there("/usr/local/lib/systemd/system")
    before = root.changes()
    root.install()
    assert root.changes() == before


# Stand-ins with the options of busybox's own, which Debian's busybox lacks.
BUSYBOX = {
    "addgroup": """while getopts Sg: option; do [ "$option" != '?' ] || exit 1; done; shift $((OPTIND - 1))
        [ $# = 1 ] && echo "$1:x:987:" >> /etc/group""",
    "adduser": """while getopts SDHh:s:G:g:u:k: option; do case $option in
        h) home=$OPTARG ;; s) shell=$OPTARG ;; g) gecos=$OPTARG ;; G) grep -q "^$OPTARG:x:987:" /etc/group || exit 1 ;;
        '?') exit 1 ;; esac; done; shift $((OPTIND - 1))
        [ $# = 1 ] && echo "$1:x:986:987:$gecos:$home:$shell" >> /etc/passwd""",
}


def test_without_useradd_busybox_makes_the_account(root):
    root.good("rm", "-f", "/usr/bin/systemd-sysusers", "/usr/bin/systemd-tmpfiles", "/usr/sbin/useradd", "/usr/sbin/groupadd")
    for name, script in BUSYBOX.items():
        root.good("rm", "-f", f"/usr/sbin/{name}")
        root.write(f"/usr/sbin/{name}", f"#!/bin/sh\n{script}\n")
    root.install()
    account_is_right(root)
    spool_is_right(root)


def test_without_any_way_to_make_the_account_nothing_is_installed(root):
    root.good("sh", "-c", "rm -f /usr/bin/systemd-sysusers /usr/sbin/useradd /usr/sbin/adduser")
    before = root.changes()
    done = root.make("install")
    assert done.returncode != 0 and "cannot create user and group postbag" in done.stderr
    assert root.changes() == before


def test_an_account_that_is_somebody_elses_is_not_taken(root):
    root.good("useradd", "--no-create-home", "--gid", "nogroup", "postbag")
    before = root.changes()
    done = root.make("install")
    assert done.returncode != 0 and "not its primary group" in done.stderr
    assert root.changes() == before


# another mail system


@pytest.mark.parametrize("place", ["/usr/sbin/sendmail", "/usr/lib/sendmail", "/usr/bin/mailq", "/usr/bin/newaliases", OURS,
                                   "/usr/local/bin/mailq", "/usr/local/sbin/relayd"])
def test_another_program_in_the_way_stops_everything(place, root):
    root.write(place, "another MTA\n")
    before = root.changes()
    done = root.make("install")
    assert done.returncode != 0 and f"  {place}\n" in done.stderr and "FORCE=1" in done.stderr
    assert root.changes() == before
    root.install("FORCE=1")
    if place in LINKS:
        assert root.link(place) == OURS
    else:
        assert root.path(place).read_bytes() == (BUILD / place.split("/")[-1]).read_bytes()


def test_with_prefix_usr_an_alternative_is_not_written_through(root):
    root.write("/usr/sbin/exim", "another MTA\n")
    root.path("/etc/alternatives").mkdir(exist_ok=True)
    root.path("/etc/alternatives/mta").symlink_to("/usr/sbin/exim")
    root.path("/usr/sbin/sendmail").symlink_to("/etc/alternatives/mta")
    before = root.changes()
    done = root.make("install", "PREFIX=/usr")
    assert done.returncode != 0 and "  /usr/sbin/sendmail -> /etc/alternatives/mta\n" in done.stderr
    assert root.changes() == before
    root.install("PREFIX=/usr", "FORCE=1")
    assert root.path("/usr/sbin/exim").read_text() == "another MTA\n"
    assert root.link("/etc/alternatives/mta") == "/usr/sbin/exim"
    assert root.mode("/usr/sbin/sendmail") == "root:postbag 2755"
    assert root.path("/usr/sbin/sendmail").read_bytes() == (BUILD / "sendmail").read_bytes()


def test_an_alternative_that_leads_to_us_is_left_as_it_is(root):
    root.path("/etc/alternatives").mkdir(exist_ok=True)
    root.path("/etc/alternatives/mta").symlink_to(OURS)
    root.path("/usr/sbin/sendmail").symlink_to("/etc/alternatives/mta")
    root.install()
    assert root.link("/usr/sbin/sendmail") == "/etc/alternatives/mta"
    root.uninstall()
    assert root.link("/usr/sbin/sendmail") == "/etc/alternatives/mta"


def test_a_mail_system_that_came_later_survives_upgrade_and_removal(root):
    root.install()
    root.path("/usr/sbin/sendmail").unlink()
    root.write("/usr/sbin/sendmail", "another MTA\n")
    root.path("/usr/local/sbin/relayd").write_text("somebody else's relayd\n")
    before = root.changes()
    done = root.make("install")
    assert done.returncode != 0 and "/usr/sbin/sendmail" in done.stderr and "/usr/local/sbin/relayd" in done.stderr
    assert root.changes() == before
    said = root.uninstall()
    assert "/usr/local/sbin/relayd has been changed" in said
    assert root.path("/usr/sbin/sendmail").read_text() == "another MTA\n"
    assert root.path("/usr/local/sbin/relayd").read_text() == "somebody else's relayd\n"
    assert not root.is_there(OURS) and not root.is_there("/usr/lib/sendmail")


# the removal


def test_uninstall_with_an_empty_queue_leaves_configuration_and_account(root):
    root.install()
    root.write("/etc/postbag/postbag.conf", "domain example.test\n")
    root.write("/var/spool/postbag/state/journal", "")
    said = root.uninstall()
    assert not root.is_there("/var/spool/postbag")
    assert root.path("/etc/postbag/postbag.conf").read_text() == "domain example.test\n"
    root.path("/etc/postbag/postbag.conf").unlink()
    root.path("/etc/postbag").rmdir()
    nothing_of_ours_is_left(root)
    account_is_right(root)
    assert "userdel postbag" in said


def test_uninstall_with_purge_removes_the_account(root):
    root.install()
    root.uninstall("PURGE=1")
    nothing_of_ours_is_left(root)
    assert not root.has("passwd", "postbag") and not root.has("group", "postbag")


def test_the_password_does_not_fall_to_the_next_account(root):
    """Which may have the same number."""
    root.install()
    root.good("install", "-m", "0400", "-o", "postbag", "-g", "postbag", "/dev/null", "/etc/postbag/password")
    root.path("/etc/postbag/link").symlink_to("/etc/passwd")
    root.good("chown", "-h", "postbag:postbag", "/etc/postbag/link")
    said = root.uninstall("PURGE=1")
    assert root.mode("/etc/postbag/password") == "root:root 0400"
    assert root.mode("/etc/passwd") == "root:root 0644"
    assert "What was theirs in /etc/postbag is root's now" in said


@pytest.mark.parametrize("variables", [[], ["PURGE=1"]], ids=["", "PURGE"])
def test_uninstall_keeps_messages_and_their_owner(variables, root):
    root.install()
    root.submit()
    names = root.submit()
    contents = [root.path(f"/var/spool/postbag/queue/{name}").read_bytes() for name in names]
    said = root.uninstall(*variables)
    assert len(names) == 2 and "holds 2 message(s)" in said and "/var/spool/postbag/queue" in said
    assert root.queue() == names
    assert [root.path(f"/var/spool/postbag/queue/{name}").read_bytes() for name in names] == contents
    spool_is_right(root)
    account_is_right(root)
    assert not root.is_there(OURS) and not root.is_there("/usr/sbin/sendmail")
    root.install()
    assert root.queue() == names


def test_uninstall_refuses_while_relayd_runs(root):
    root.install()
    root.good("/usr/bin/python3", "-c",
              "import os, socket; os.mkdir('/run/postbag'); socket.socket(socket.AF_UNIX).bind('/run/postbag/relayd.sock')")
    before = root.changes()
    done = root.make("uninstall")
    assert done.returncode != 0 and "stop it first" in done.stderr
    assert root.changes() == before


def test_uninstall_without_an_installation_says_so(root):
    before = root.changes()
    done = root.make("uninstall")
    assert done.returncode != 0 and "not installed here" in done.stderr
    assert root.changes() == before


# only files


def test_an_ordinary_user_gets_only_files(root):
    if root.run(*NOBODY, "test", "-r", BUILD / "sendmail").returncode != 0:
        pytest.skip("other users cannot read the source tree")
    place = root.path("/var/tmp/nobody")
    place.mkdir()
    os.chown(place, 65534, 65534)
    done = root.run(*NOBODY, "make", "-o", "all", "install", f"BUILD={os.path.relpath(BUILD, TOP)}", "PREFIX=/var/tmp/nobody",
                    "SYSCONFDIR=/var/tmp/nobody/etc", "SPOOLDIR=/var/tmp/nobody/spool", TMPDIR="/var/tmp")
    assert done.returncode == 0, done.stderr
    assert root.mode("/var/tmp/nobody/sbin/sendmail") == "nobody:nogroup 0755"
    assert not root.has("passwd", "postbag") and not root.is_there("/usr/sbin/sendmail")
    done = root.run(*NOBODY, "make", "-o", "all", "install", f"BUILD={os.path.relpath(BUILD, TOP)}", TMPDIR="/var/tmp")
    assert done.returncode != 0 and "nothing is installed: cannot write to /" in done.stderr


def test_destdir_gets_only_files(root):
    root.install("DESTDIR=/var/tmp/package")
    assert root.mode("/var/tmp/package/usr/local/sbin/sendmail") == "root:root 0755"
    assert not root.has("passwd", "postbag") and not root.is_there(OURS)
    assert not root.is_there("/var/tmp/package/usr/local/libexec/postbag/manifest")


def test_destdir_may_be_relative(root):
    above = "../" * (len(TOP.parts) - 1)
    root.install(f"DESTDIR={above}var/tmp/new/my package")
    assert root.is_there("/var/tmp/new/my package/usr/local/sbin/sendmail") and not root.is_there(OURS)
