"""Mail for local users: aliases, what takes their place, and what becomes of a bad alias file."""

import os
import pathlib
import re

import pytest

import harness

CRON = b"From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@host> backup\n\nfailed\n"
ANN, BEN, OPS = "ann@example.org", "ben@example.org", "ops@example.org"


@pytest.fixture
def make_aliased(make_host, workplace):
    """make_aliased(text, **settings): a host with this alias file; None: the file is not there."""

    def make(text, **settings):
        path = workplace.new_directory("aliases") / "aliases"
        if text is not None:
            write(path, text)
        host = make_host(None, aliases=path, **settings)
        host.aliases = path
        return host

    return make


def write(path, text, mode=0o644):
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return path


def left_behind(host):
    queue = host.spool / "queue"
    return os.listdir(queue) if queue.exists() else []


def queued(host, done):
    """The lines of the envelope and the header of the only message in the queue."""
    assert done.returncode == 0, done.stderr
    [name] = left_behind(host)
    head, _, content = (host.spool / "queue" / name).read_bytes().partition(b"\n\n")
    return head.decode().split("\n"), content.partition(b"\r\n\r\n")[0].decode()


def recipients(envelope):
    return [line.split("<")[1].split(">")[0] for line in envelope if line.startswith("recipient ")]


def field(envelope, name):
    """What stands in the brackets of sender or bounce-to, None without it."""
    found = [line.split("<")[1].rstrip(">") for line in envelope if line.startswith(name + " ")]
    return found[0] if found else None


def goes_to(host, *arguments, message=CRON):
    return recipients(queued(host, host.sendmail("-i", *arguments, input=message))[0])


def assert_refused(host, done, code, *words):
    assert done.returncode == code and left_behind(host) == [], done.stderr
    for word in words:
        assert str(word).encode() in done.stderr


def test_cron_mail_arrives_at_the_alias_of_root(make_host, smarthost, workplace):
    path = write(workplace.new_directory("aliases") / "aliases", f"postmaster: root\nroot: {ANN}\n")
    host = make_host(smarthost, aliases=path)
    host.start_relayd()
    done = host.sendmail("-i", "-FCronDaemon", "-B8BITMIME", "-oem", "root", input=CRON)
    assert done.returncode == 0, done.stderr
    [message] = smarthost.wait_messages(1)
    assert message.recipients == [ANN] and b"To: root@example.test\r\n" in message.content


@pytest.mark.parametrize(
    "text, expected",
    [
        (f"root: {ANN}", [ANN]),
        (f"root: joe\r\njoe: {ANN}, {BEN}\r\n", [ANN, BEN]),
        (f"Root: {ANN}\n", [ANN]),
        (f"root@host.example.test: {BEN}\nroot: {ANN}\n", [ANN]),
        (f"default: {ANN}\n", [ANN]),
        (f"*: {ANN}\n", [ANN]),
        ("root: root\n", ["root@example.test"]),
        (f"root: \\root, {ANN}\n", ["root@example.test", ANN]),
        ("root: joe\njoe: root\n", ["root@example.test"]),
        ("", ["root@example.test"]),
    ],
)
def test_where_mail_for_root_goes(text, expected, make_aliased):
    assert goes_to(make_aliased(text), "root") == expected


@pytest.mark.parametrize("root", ["root", "ROOT", "root@localhost", "root@host.example.test", "root@inside.test"])
def test_what_means_this_host(root, make_aliased):
    assert goes_to(make_aliased(f"root: {ANN}\n", local_domains="inside.test"), root) == [ANN]


@pytest.mark.parametrize("root", ["root@example.test", "root@x.host.example.test", "root@localhost.test"])
def test_what_does_not_mean_this_host(root, make_aliased):
    assert goes_to(make_aliased(f"root: {ANN}\n"), root) == [root]


def test_recipients_of_the_header_are_expanded(make_aliased):
    assert goes_to(make_aliased(f"root: {ANN}\n"), "-t") == [ANN]


def test_an_address_gets_one_copy_after_expansion(make_aliased):
    host = make_aliased(f"root: {ANN}, joe\njoe: {BEN}, ann@EXAMPLE.org\n")
    assert goes_to(host, "root", "joe", ANN, BEN) == [ANN, BEN]


def test_notify_goes_with_each_address(make_aliased):
    host = make_aliased(f"root: {ANN}, {BEN}\n")
    envelope, _ = queued(host, host.sendmail("-i", "-N", "failure", "root", input=CRON))
    assert [line for line in envelope if line.startswith("recipient")] == [
        f"recipient <{ANN}> NOTIFY=FAILURE", f"recipient <{BEN}> NOTIFY=FAILURE"]  # fmt: skip


def test_a_circle_is_told_and_loses_nothing(make_aliased):
    host = make_aliased("root: joe\njoe: root\n")
    done = host.sendmail("-i", "root", input=CRON)
    assert recipients(queued(host, done)[0]) == ["root@example.test"]
    assert f"{host.aliases}:2: joe: ".encode() in done.stderr and b"circle" in done.stderr


BAD = {
    "empty": ("root:\n", "no target"),
    "pipe": ('root: "|/usr/bin/vacation root"\n', "pipes are not supported"),
    "file": ("root: /dev/null\n", "files are not supported"),
    "list that is missing": ("root: :include:/nonexistent\n", "No such file"),
    "syntax": ("root: a b\n", "a b"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_alias_refuses_the_message(what, make_aliased):
    text, reason = BAD[what]
    host = make_aliased("# aliases\n" + text)
    assert_refused(host, host.sendmail("-i", "root", input=CRON), 65, f"{host.aliases}:2: root: ", reason, "local_mail_to")


@pytest.mark.parametrize("what", BAD)
def test_mail_for_a_bad_alias_goes_to_local_mail_to(what, make_aliased):
    text, reason = BAD[what]
    host = make_aliased("# aliases\n" + text, local_mail_to=OPS)
    done = host.sendmail("-i", "root", input=CRON)
    assert recipients(queued(host, done)[0]) == [OPS]
    assert f"{host.aliases}:2: root: ".encode() in done.stderr and reason.encode() in done.stderr


def test_good_targets_beside_a_bad_one_get_theirs(make_aliased):
    host = make_aliased(f"root: {ANN}, |cat, {BEN}\n", local_mail_to=OPS)
    assert goes_to(host, "root") == [ANN, OPS, BEN]


def test_a_bad_alias_does_not_matter_to_others(make_aliased):
    assert goes_to(make_aliased(f"x:\ny: |cat\nroot: {ANN}\n"), "root") == [ANN]


def test_a_list_is_included(make_aliased, workplace):
    path = write(workplace.new_directory("list") / "list", f"# staff\r\n{ANN}\r\n\r\n{BEN}, joe")
    host = make_aliased(f"root: :include:{path}\njoe: {OPS}\n")
    assert goes_to(host, "root") == [ANN, BEN, OPS]


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_list_that_others_can_write_is_not_trusted(mode, make_aliased, workplace):
    path = write(workplace.new_directory("list") / "list", ANN, mode)
    host = make_aliased(f"root: :include:{path}\n")
    assert_refused(host, host.sendmail("-i", "root", input=CRON), 65, path, "chmod go-w")


@pytest.mark.skipif(os.getuid() != 0, reason="needs two users")
def test_a_list_of_another_user_is_not_trusted(make_aliased, workplace):
    path = write(workplace.new_directory("list") / "list", ANN)
    harness.give_away(path)
    host = make_aliased(f"root: :include:{path}\n")
    assert_refused(host, host.sendmail("-i", "root", input=CRON), 65, path, "must belong to root")
    harness.give_away(host.aliases)
    assert goes_to(host, "root") == [ANN]


def test_a_hundred_thousand_aliases(make_aliased):
    text = "".join(f"user{number}: person{number}@example.org\n" for number in range(100_000))
    assert goes_to(make_aliased(text), "user99999", "USER0") == ["person99999@example.org", "person0@example.org"]


def test_a_chain_of_a_thousand_aliases_ends_in_an_address(make_aliased):
    host = make_aliased("".join(f"n{number}: n{number + 1}\n" for number in range(1, 1001)))
    done = host.sendmail("-i", "n1", input=CRON)
    assert recipients(queued(host, done)[0]) == ["n101@example.test"]
    assert f"{host.aliases}:100: n100: ".encode() in done.stderr and b"too deep" in done.stderr


def test_an_alias_with_too_many_addresses(make_aliased):
    host = make_aliased("root: " + ",\n ".join(f"u{number}@example.org" for number in range(65537)))
    assert_refused(host, host.sendmail("-i", "root", input=CRON), 65, f"{host.aliases}:1: root: more than 65536")


def lock(path):
    path.chmod(0)


def replace_by_directory(path):
    path.unlink()
    path.mkdir()


def replace_by_fifo(path):
    path.unlink()
    os.mkfifo(path, 0o644)


@pytest.mark.parametrize("spoil", [lock, replace_by_directory, replace_by_fifo, pathlib.Path.unlink],
                         ids=["unreadable", "directory", "fifo", "missing"])  # fmt: skip
def test_without_its_alias_file_a_host_takes_no_local_mail(spoil, make_aliased):
    host = make_aliased(f"root: {ANN}\n", local_mail_to=OPS)
    spoil(host.aliases)
    assert_refused(host, host.sendmail("-i", "-f", "", "root", input=CRON), 75, host.aliases)
    assert_refused(host, host.sendmail("-i", "-f", "", ANN, "root@localhost", input=CRON), 75, host.aliases)
    # mail for others needs no aliases; that of the sender's bounces is no reason to refuse it
    done = host.sendmail("-i", ANN, input=CRON)
    assert recipients(queued(host, done)[0]) == [ANN] and str(host.aliases).encode() in done.stderr


def test_a_remote_address_does_not_open_the_alias_file(make_aliased):
    host = make_aliased(None)
    done = host.sendmail("-i", "-f", BEN, ANN, input=CRON)
    assert recipients(queued(host, done)[0]) == [ANN] and done.stderr == b""


def test_a_sender_of_this_host_gets_bounces_where_its_mail_goes(make_aliased):
    host = make_aliased(f"web: {ANN}, {BEN}\n")
    envelope, _ = queued(host, host.sendmail("-i", "-f", "web@localhost", OPS, input=CRON))
    assert field(envelope, "sender") == "web@example.test" and field(envelope, "bounce-to") == ANN


def test_the_submitter_gets_bounces_where_its_mail_goes(make_aliased):
    host = make_aliased("# none\n", local_mail_to=OPS)
    envelope, _ = queued(host, host.sendmail("-i", ANN, input=CRON))
    assert field(envelope, "sender").endswith("@example.test") and field(envelope, "bounce-to") == OPS


@pytest.mark.parametrize("sender", ["web@example.test", "web@example.org", "<>", "\\web", "other"])
def test_other_senders_get_theirs_at_their_address(sender, make_aliased):
    host = make_aliased(f"web: {ANN}\n")
    envelope, _ = queued(host, host.sendmail("-i", "-f", sender, OPS, input=CRON))
    assert field(envelope, "bounce-to") is None


def test_trouble_with_the_senders_alias_refuses_nothing(make_aliased):
    host = make_aliased("web: |cat\n")
    done = host.sendmail("-i", "-f", "web", OPS, input=CRON)
    assert field(queued(host, done)[0], "bounce-to") is None
    assert f"{host.aliases}:1: web: ".encode() in done.stderr


def test_a_mapped_user_has_another_address_everywhere(make_aliased):
    host = make_aliased("# none\n", map="root web1@example.net", local_mail_to=OPS)
    envelope, header = queued(host, host.sendmail("-i", "-f", "root", "root", "joe", input=CRON))
    assert field(envelope, "sender") == "web1@example.net" and field(envelope, "bounce-to") is None
    assert recipients(envelope) == ["web1@example.net", OPS]
    assert "From: web1@example.net (Cron Daemon)\r\nTo: web1@example.net\r\n" in header


def test_a_name_of_this_host_without_dot_gives_way_to_the_domain_in_the_header(make_aliased):
    host = make_aliased("# none\n")
    message = b"From: root@localhost\nTo: Joe <joe @ LOCALHOST> (x),\n ops@HOST.example.test,\n ann@example.org\n\n"
    _, header = queued(host, host.sendmail("-i", "root", input=message))
    assert "From: root@example.test\r\nTo: Joe <joe @ example.test> (x),\r\n ops@HOST.example.test,\r\n ann@example.org\r\n" in header


def test_the_bounce_of_a_local_sender_goes_to_its_alias(make_host, make_smarthost, workplace):
    path = write(workplace.new_directory("aliases") / "aliases", f"web: {ANN}\n")
    server = make_smarthost(rule=["RCPT~bad reply 550 5.1.1 no such user"])
    host = make_host(server, aliases=path)
    host.start_relayd()
    done = host.sendmail("-i", "-f", "web", "bad@example.org", input=CRON)
    assert done.returncode == 0, done.stderr
    [bounce] = server.wait_messages(1)
    assert bounce.sender == "" and bounce.recipients == [ANN]


def test_warnings_show_no_control_characters(make_aliased):
    done = make_aliased(b"root: \x1b[2J|cat\n", local_mail_to=OPS).sendmail("-i", "root", input=CRON)
    assert done.returncode == 0 and not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", done.stderr)
