"""The tree itself: who includes whom, what is linked, what the house style rules out."""

import os
import pathlib
import re
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("POSTBAG_BUILD", TOP / "build"))
ROOMS = ("base", "spool", "sendmail", "relayd")

# Who may include whom, besides base/ and its own room.
ALLOWED = {
    "base": (),
    "spool": (),
    "sendmail": ("spool",),
    "relayd": ("spool",),
    "relayd/session": ("spool", "relayd/ipc.h"),
}
SESSION_ONLY = re.compile(r"gnutls|gsasl|idn2|seccomp|netdb\.h|netinet/|resolv\.h|arpa/nameser")


def sources():
    return sorted(p for room in ROOMS for p in (TOP / room).rglob("*.[ch]"))


def room_of(path):
    return str(path.parent.relative_to(TOP))


def includes(path):
    return re.findall(r'^#include ([<"])([^>"]+)[>"]', path.read_text(), re.M)


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(TOP)))
def test_file_includes_only_what_its_room_may_know(path):
    room = room_of(path)
    for kind, name in includes(path):
        if kind == '"':
            target = os.path.dirname(name)
            assert target in (room, "base") or target in ALLOWED[room] or name in ALLOWED[room], name
        elif room != "relayd/session":
            assert not SESSION_ONLY.search(name), name


@pytest.mark.parametrize("name", ["sendmail", "relayd", "spoolctl"])
@pytest.mark.skipif(bool(os.environ.get("POSTBAG_SANITIZE")), reason="sanitizers link their own libraries")
def test_program_links_libc_only(name):
    out = subprocess.run(["readelf", "-d", BUILD / name], capture_output=True, text=True, check=True).stdout
    assert re.findall(r"NEEDED.*\[(.*)\]", out) == ["libc.so.6"]


def test_no_call_that_the_style_rules_out():
    banned = re.compile(r"\b(strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|system|popen|alloca|setjmp|mmap)\s*\(")
    found = [f"{p}:{m.group()}" for p in sources() for m in banned.finditer(p.read_text())]
    assert not found


def test_every_file_says_what_it_is_for():
    silent = [str(p) for p in sources() if not p.read_text().startswith("/*\n * ")]
    assert not silent


def test_function_fits_on_a_page():
    long = []
    for path in sources():
        start = None
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line == "{":
                start = number
            elif line == "}" and start and number - start > 80:
                long.append(f"{path}:{start}")
    assert not long


@pytest.mark.parametrize("page", sorted((TOP / "man").glob("*.[158]")), ids=lambda p: p.name)
def test_manual_page_is_clean(page):
    out = subprocess.run(["mandoc", "-Tlint", "-W", "warning", page], capture_output=True, text=True)
    assert out.stdout == "" and out.returncode == 0


def test_every_setting_is_documented():
    page = (TOP / "man/postbag.conf.5").read_text()
    names = re.findall(r'^\t\{ "(\w+)", ', (TOP / "base/settings.c").read_text(), re.M)
    assert len(names) > 15
    assert [n for n in names if not re.search(rf"^\.It Ic {n}\b", page, re.M)] == []


def documented_options():
    """Words behind .Fl and its like in sendmail(8): "oi", "bp", "q", "C" …, further letters of a list among them."""
    page = (TOP / "man/sendmail.8").read_text()
    options = page[page.index(".Sh OPTIONS"):page.index(".Sh THE MESSAGE")]
    items = re.findall(r"^\.(?:It )?Fl (.*)$", options, re.M)
    return {word for item in items for word in re.split(r"[ ,]+(?:Fl )?", re.sub(r" (Ar|Ns|Oo|Cm|Op|No) .*?(?=, |$)", "", item))}


def rows_of(table):
    """The first letters of the rows of a table in sendmail/options.c."""
    source = (TOP / "sendmail/options.c").read_text()
    rows = re.search(rf"{re.escape(table)} = \{{\n(.*?)^\}};", source, re.M | re.S)[1]
    return re.findall(r"^\t\{ '(.)', ", rows, re.M)


def test_every_option_of_sendmail_is_documented():
    letters = rows_of("} table[]")
    assert len(letters) > 30
    # -b and -o take a letter more
    assert sorted(set(letters) - {"b", "o"} - documented_options()) == []


def test_every_o_option_of_sendmail_is_documented():
    letters = re.findall(r"^\tcase '(.)':$", (TOP / "sendmail/options_o.c").read_text(), re.M)
    assert sorted(letters) == sorted("deirQ")
    assert [letter for letter in letters if not any(word.startswith("o" + letter) for word in documented_options())] == []


def test_every_mode_of_sendmail_is_documented():
    modes = rows_of("} modes[]")
    assert len(modes) > 12
    assert sorted({"b" + letter for letter in modes} - documented_options()) == []


@pytest.mark.skipif(BUILD != TOP / "build", reason="installs what make builds without further variables")
def test_make_install_puts_everything_below_destdir(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    built = {name: (BUILD / name).stat().st_mtime_ns for name in ("sendmail", "relayd", "relayd-session", "spoolctl")}
    done = subprocess.run(["make", "install", f"DESTDIR={tmp_path}", "SYSCONFDIR=/etc"], cwd=TOP, env=environment,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert built == {name: (BUILD / name).stat().st_mtime_ns for name in built}  # nothing is built again
    for name in ("sbin/sendmail", "sbin/relayd", "sbin/spoolctl", "libexec/postbag/relayd-session",
                 "share/man/man8/relayd.8", "share/man/man5/aliases.5", "share/man/man5/postbag.conf.5", "share/man/man1/mailq.1",
                 "share/doc/postbag/examples/server.conf", "lib/systemd/system/relayd.service",
                 "lib/systemd/system/postbag-smtp.socket", "lib/systemd/system/postbag-smtp@.service",
                 "share/bash-completion/completions/spoolctl", "lib/sysusers.d/postbag.conf", "lib/tmpfiles.d/postbag.conf"):
        assert (tmp_path / "usr/local" / name).is_file(), name
    for link in ("usr/local/bin/mailq", "usr/local/bin/newaliases", "usr/lib/sendmail", "usr/sbin/sendmail", "usr/bin/mailq"):
        assert os.readlink(tmp_path / link) == "/usr/local/sbin/sendmail"
    assert (tmp_path / "var/spool/postbag").stat().st_mode & 0o777 == 0o711


@pytest.mark.parametrize("example", sorted((TOP / "dist/examples").glob("*.conf")), ids=lambda p: p.name)
def test_example_is_a_correct_configuration(example):
    done = subprocess.run([BUILD / "relayd", "-n", "-C", example], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done.stderr


@pytest.mark.parametrize("example", sorted(p.name for p in (TOP / "dist/examples").glob("*.conf")))
def test_example_in_the_manual_is_the_one_that_is_installed(example):
    """Its settings, that is: comments may differ."""
    def settings(text):
        lines = (re.sub(r"(^|\s)#.*", "", line).split() for line in text.splitlines())
        return [line for line in lines if line]

    page = (TOP / "man/postbag.conf.5").read_text()
    shown = re.search(rf"^\.Pa {example} :\n\.Bd -literal\n(.*?)^\.Ed$", page, re.M | re.S)[1]
    assert settings(shown) == settings((TOP / "dist/examples" / example).read_text())
