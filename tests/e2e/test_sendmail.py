"""The command that programs call: what it accepts, what it refuses and how, and what then lies in the queue."""

import email.utils
import os
import re
import resource
import subprocess

import pytest

import harness
from harness import decoded

MESSAGE = b"Subject: hello\n\nhello\n"
BOB = "bob@example.test"


@pytest.fixture
def host(make_host):
    return make_host(None)


def sendmail(host, *args, input=MESSAGE, **popen):
    """sendmail with arguments of subprocess; stdin in place of input if it is given."""
    if "stdin" not in popen:
        popen["input"] = input
    return subprocess.run(
        [host.workplace.program("sendmail"), "-C", str(host.conf), *args],
        **{"capture_output": True, "cwd": "/", "timeout": harness.TIMEOUT, **harness.unprivileged(), **popen},
    )


def left_behind(host):
    """Everything in queue/, dot files too."""
    queue = host.spool / "queue"
    return os.listdir(queue) if queue.exists() else []


def assert_refused(host, done, code):
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith(b"sendmail: ") and done.stderr.endswith(b"\n"), done.stderr
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", done.stderr) and left_behind(host) == []


def queued(host, done):
    """The only message in the queue: lines of its envelope, and its content."""
    assert done.returncode == 0, done.stderr
    [name] = left_behind(host)
    data = (host.spool / "queue" / name).read_bytes()
    head, _, content = data.partition(b"\n\n")
    return head.decode(errors="surrogateescape").split("\n"), content


def recipients(envelope):
    return [line.split("<")[1].split(">")[0] for line in envelope if line.startswith("recipient ")]


def body(content):
    return content.partition(b"\r\n\r\n")[2]


def header(content):
    return content.partition(b"\r\n\r\n")[0]


def as_root():
    return pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a file system")


# who gets it


def test_a19_no_recipients(host):
    assert_refused(host, sendmail(host, "-i"), 64)


def test_a20_dash_t_without_recipients_in_the_header(host):
    assert_refused(host, sendmail(host, "-t", input=b"Subject: x\n\nTo: bob@example.test\n"), 64)


def test_dash_t_with_an_empty_group_only(host):
    assert_refused(host, sendmail(host, "-t", input=b"To: undisclosed-recipients:;\n\nx\n"), 64)


MALFORMED = [
    "a@", "@x.example", "a@b@c", "a b@x.example", "a@b c", "<a@x.example", "a@x.example>", '"a@x.example', "(a@x.example",
    "a@[1.2.3.4", "a@x..example", "a@.example", "a@x.example.", "a@x!y", "a@x.example b@x.example", "a@x\ny", "a\r\n@x",
    "a@x\r\nRCPT TO:<b@x>", "a@x\x07", "\x1b[31m@x", "a@x NOTIFY=NEVER", "a" * 65 + "@x.example",
    "a@" + ".".join(["x" * 60] * 5), "a@" + "x" * 64 + ".example", "(" * 10000 + "a@x", "a" * 5000, "<a@x> <b@x>",
    "a@[x y]", "a@x\\", "a@x.example word: b@x.example", "a@x.example: b@x.example;", '"a\rb"@x.example',
]  # fmt: skip


@pytest.mark.parametrize("address", MALFORMED, ids=lambda address: repr(address)[:30])
def test_a_malformed_recipient(address, host):
    assert_refused(host, sendmail(host, "-i", "--", BOB, address), 65)


def test_a_recipient_that_is_no_utf_8(host):
    assert_refused(host, sendmail(host, "-i", "--", os.fsdecode(b"a\xff@x.example")), 65)


@pytest.mark.parametrize("field", ["To: a@b@c", "Cc: <a@x", "Bcc: a b@x", "To: \"a@x", "To: " + "(" * 10000, "To: a@x\0", "To: a@x word: b@x"])
def test_a_malformed_address_in_the_header(field, host):
    assert_refused(host, sendmail(host, "-t", input=f"To: {BOB}\n{field}\n\nx\n".encode()), 65)


WELL_FORMED = {
    "a@x.example": ["a@x.example"],
    "root": ["root@example.test"],
    "a@x.example, b@y.example": ["a@x.example", "b@y.example"],
    "A Name <a@x.example>": ["a@x.example"],
    '"a b"@x.example': ['"a b"@x.example'],
    '"Name, A." <a@x.example>': ["a@x.example"],
    "a@x.example (c(nested)omment)": ["a@x.example"],
    "Group: a@x.example, b@y.example;": ["a@x.example", "b@y.example"],
    "a@[127.0.0.1]": ["a@[127.0.0.1]"],
    "a@[IPv6:::1]": ["a@[IPv6:::1]"],
    "a%b@x.example": ["a%b@x.example"],
    "x!a": ["x!a@example.test"],
    "a@X.example, a@x.EXAMPLE": ["a@X.example"],
    "A@x.example, a@x.example": ["A@x.example", "a@x.example"],
    "=?utf-8?q?a=40x?=": ["=?utf-8?q?a=40x?=@example.test"],
    "zoë@bücher.example": ["zoë@bücher.example"],
    "a@x.example,,": ["a@x.example"],
    "<@relay.example:a@x.example>": ["a@x.example"],
    "\\root": ["root@example.test"],
}


@pytest.mark.parametrize("text", WELL_FORMED)
def test_a_well_formed_recipient(text, host):
    envelope, _ = queued(host, sendmail(host, "-i", "--", text))
    assert recipients(envelope) == WELL_FORMED[text]


@pytest.mark.parametrize("text", [text for text in WELL_FORMED if text.isascii()])
def test_a_well_formed_recipient_in_the_header(text, host):
    envelope, _ = queued(host, sendmail(host, "-t", input=f"To: {text}\n\nx\n".encode()))
    assert recipients(envelope) == WELL_FORMED[text]


def test_a14_what_looks_like_an_option_behind_two_dashes_is_a_recipient(host):
    envelope, _ = queued(host, sendmail(host, "--", "-oQ/tmp@x.example"))
    assert recipients(envelope) == ["-oQ/tmp@x.example"]


def test_twenty_thousand_recipients_in_a_folded_field(host):
    field = b"To: " + b",\n ".join(b"user%d@example.test" % number for number in range(20000))
    envelope, _ = queued(host, sendmail(host, "-t", input=field + b"\n\nx\n"))
    assert len(recipients(envelope)) == 20000


BCC = [b"Bcc: secret@x.example", b"bCC :secret@x.example", b"Bcc: carol@x.example,\n secret@x.example",
       b"Bcc:\n\tsecret@x.example", b"BCC: Group: secret@x.example;", b"Bcc: secret@x.example\nBcc: secret@x.example"]  # fmt: skip


@pytest.mark.parametrize("field", BCC)
def test_a_blind_copy_is_sent_and_not_shown(field, host):
    message = b"To: bob@example.test\n" + field + b"\nSubject: x\n\nx\n"
    envelope, content = queued(host, sendmail(host, "-t", input=message))
    assert "secret@x.example" in recipients(envelope) and "bob@example.test" in recipients(envelope)
    assert b"secret" not in content and not re.search(rb"(?im)^bcc", content)


def test_of_a_message_that_was_resent_twice_the_new_recipients_count(host):
    old = b"Resent-From: a@b\nResent-To: old@x.example\nResent-Bcc: hidden@x.example\nTo: first@x.example\n"
    new = b"Resent-From: c@d\nResent-To: bob@example.test\n"
    envelope, content = queued(host, sendmail(host, "-t", input=new + b"Received: by x\n" + old + b"\nhello\n"))
    assert recipients(envelope) == ["bob@example.test"]
    assert content.count(b"Resent-Date:") == 1 and b"Resent-To: old@x.example" in content and b"hidden" not in content


@pytest.mark.parametrize("field", [*BCC, b"Resent-Bcc: secret@x.example"])
def test_a_blind_copy_field_is_not_shown_without_dash_t_either(field, host):
    _, content = queued(host, sendmail(host, BOB, input=field + b"\nSubject: x\n\nx\n"))
    assert b"secret" not in content


# who sends it


def test_a11_the_last_sender_counts(host):
    envelope, _ = queued(host, sendmail(host, "-f", "a@x.example", "-f", "c@x.example", BOB))
    assert "sender <c@x.example>" in envelope


@pytest.mark.parametrize("sender", ["", "<>"])
def test_a10_the_null_sender(sender, host):
    envelope, _ = queued(host, sendmail(host, "-f", sender, BOB))
    assert "sender <>" in envelope


@pytest.mark.parametrize("sender", [pytest.param("x" * 70000, id="A26"), pytest.param("a@x\nX-Injected: 1", id="A08"),
                                    "a@x\r\nRCPT TO:<b@x>", "a@b@c", "a@x, b@x", "a b@x"])  # fmt: skip
def test_a_malformed_sender(sender, host):
    assert_refused(host, sendmail(host, "-f", sender, BOB), 65)


@pytest.mark.parametrize("name", [pytest.param('"' * 10000, id="A13"), "x" * 10000, "a\nBcc: b@x", "\x1b[31mred",
                                  "Jürgen Müller" * 50, "a\r\n\r\nbody", "\\"])  # fmt: skip
def test_a_full_name_is_one_short_line(name, host):
    _, content = queued(host, sendmail(host, "-F", name, BOB))
    lines = header(content).split(b"\r\n")
    assert max(map(len, lines)) <= 998 and not re.search(rb"[\x00-\x08\x0b-\x1f]", b"".join(lines).replace(b"\t", b""))
    assert len([line for line in lines if line.startswith(b"From:")]) == 1 and b"\r\nBcc" not in content


# options

WRONG = [["-Z"], ["-f"], ["-bz"], ["-b"], ["-N", "bogus"], ["-N", "never,success"],
         pytest.param(["-N", "success\r\nRCPT TO:<x@y>"], id="A22-N"), pytest.param(["-R", "bogus"], id="A22-R"),
         pytest.param(["-V", "e\nid"], id="A22-V"), ["-V", ""], ["-V", "x" * 101], pytest.param(["-oQ/tmp"], id="A04"),
         ["-OQueueDirectory=/tmp"], ["--frobnicate"], ["-i\x1b"], ["-oez"], ["-odx"], ["-e", "x"], ["-h", "many"], ["-h-1"],
         ["-qS"], ["-q!x"], ["-tZ"]]  # fmt: skip


@pytest.mark.parametrize("options", WRONG, ids=repr)
def test_a_wrong_option_is_refused_before_the_message_is_read(options, host):
    reading, writing = os.pipe()  # a read would wait for ever
    done = sendmail(host, BOB, *options, stdin=reading)
    os.close(reading)
    os.close(writing)
    assert_refused(host, done, 64)


def test_a_malformed_recipient_is_refused_before_the_message_is_read(host):
    reading, writing = os.pipe()
    done = sendmail(host, "a@b@c", stdin=reading)
    os.close(reading)
    os.close(writing)
    assert_refused(host, done, 65)


def test_a01_a05_no_option_writes_a_file_of_its_choice(host, workplace):
    directory = workplace.new_directory("target")
    harness.give_away(directory)
    assert_refused(host, sendmail(host, f"-X{directory}/log", BOB), 64)
    assert sendmail(host, f"-D{directory}/debug", "-d0-99.127", BOB).returncode == 0
    assert os.listdir(directory) == []


ACCEPTED = [
    "-Am", "-Ac", "-B8BITMIME", "-B 7BIT", "-ba", "-bm", "-c", "-D /dev/null", "-d", "-d0-99.127", "-E", "-em", "-e q",
    "-FName", "-F Name", "-G", "-h 5", "-i", "-J", "-L tag", "-Mx", "-m", "-N never", "-N success,delay,failure",
    "-Nfailure", "-n", "-O DeliveryMode=b", "-oi", "-odb", "-oem", "-oee", "-o7", "-p ESMTP", "-Q", "-R full", "-R HDRS",
    "-r a@x.example", "-fa@x.example", "-s", "-T1h", "-t", "-U", "-V id", "-v", "-z x", "-ti", "-it", "-tifa@x.example",
    "-nimv", pytest.param("-i -FCronDaemon -B8BITMIME -oem", id="A23"),
]  # fmt: skip


@pytest.mark.parametrize("options", ACCEPTED)
def test_an_option_of_other_sendmails_is_accepted(options, host):
    envelope, _ = queued(host, sendmail(host, *options.split(), "root", input=b"To: root\n" + MESSAGE))
    assert recipients(envelope) == ["root@example.test"]


@pytest.mark.parametrize("options", ["-bd", "-bD", "-bp", "-bi", "-I", "-bt", "-bh", "-bH", "-bP", "-q", "-q30m", "-qRx",
                                     "-bV", "-d0.1", "--version", "--help", "-bp -q", "-bi -v"])  # fmt: skip
def test_a07_a_mode_that_is_no_submission_reads_no_message(options, host):
    host.start_relayd()
    reading, writing = os.pipe()
    done = sendmail(host, *options.split(), stdin=reading)
    os.close(reading)
    os.close(writing)
    assert done.returncode == 0 and left_behind(host) == [], done.stderr


@pytest.mark.parametrize("name", ["mailq", "newaliases", "sendmail", "%n" * 2000])
def test_the_name_that_it_is_called_by(name, host):
    host.start_relayd()
    done = sendmail(host, executable=host.workplace.program("sendmail"), input=b"")
    called = subprocess.run(
        [name, "-C", str(host.conf)], executable=host.workplace.program("sendmail"), input=b"", capture_output=True,
        timeout=harness.TIMEOUT, **harness.unprivileged()
    )  # fmt: skip
    assert called.returncode == (0 if name in ("mailq", "newaliases") else 64) and done.returncode == 64
    assert ("empty" in called.stdout.decode()) == (name == "mailq")


def test_b11_posixly_correct_changes_nothing(host):
    done = sendmail(host, BOB, "-f", "a@x.example", "carol@example.test", env={"POSIXLY_CORRECT": "1"})
    envelope, _ = queued(host, done)
    assert recipients(envelope) == [BOB, "carol@example.test"] and "sender <a@x.example>" in envelope


# standard input


def test_input_that_fails(host):
    with open("/proc/self/mem", "rb") as unreadable:  # EIO at its start
        done = sendmail(host, BOB, stdin=unreadable)
    assert_refused(host, done, 75)
    assert b"Input/output error" in done.stderr


def test_input_that_is_closed(host):
    assert_refused(host, sendmail(host, BOB, stdin=None, preexec_fn=lambda: os.close(0)), 75)


def test_input_that_is_a_directory(host):
    directory = os.open("/", os.O_RDONLY)
    assert_refused(host, sendmail(host, BOB, stdin=directory), 75)
    os.close(directory)


def test_input_that_is_open_for_writing_only(host, workplace):
    with open(workplace.new_directory("input") / "file", "wb") as file:
        assert_refused(host, sendmail(host, BOB, stdin=file), 75)


def test_input_of_a_writer_that_was_killed_is_a_message(host):
    envelope, content = queued(host, sendmail(host, BOB, input=b"Subject: x\n\nhalf"))
    assert body(content) == b"half\r\n"


@pytest.mark.parametrize("message", [b"", b"\n", b"Subject: x\n", b"Subject: x", b"no header\n", b"\nbody\n", b"Subject: x\nbody\n"])
def test_an_incomplete_message_gets_what_it_lacks(message, host):
    _, content = queued(host, sendmail(host, BOB, input=message))
    fields = [line.split(b":")[0] for line in header(content).split(b"\r\n") if line[0] not in b" \t"]
    assert sorted(set(fields) - {b"Subject"}) == [b"Date", b"From", b"Message-ID", b"Received", b"To"]
    assert len(set(fields)) == len(fields)


def test_the_generated_fields_are_well_formed(host):
    _, content = queued(host, sendmail(host, BOB))
    message = email.message_from_bytes(content)
    assert abs(email.utils.parsedate_to_datetime(message["Date"]).timestamp() - os.stat(host.conf).st_mtime) < 60
    assert re.fullmatch(r"<[^@<>\s]+@host\.example\.test>", message["Message-ID"])
    assert email.utils.parseaddr(message["From"])[1].endswith("@example.test")


def test_the_fields_that_are_there_stay_as_they_are(host):
    fields = [b"From: A <a@x.example>", b"Date: Mon, 1 Jan 2001 00:00:00 +0000", b"Message-ID: <1@x.example>",
              b"To: b@x.example,\n\tc@x.example", b"X-Odd:   blanks  \t"]  # fmt: skip
    _, content = queued(host, sendmail(host, BOB, input=b"\n".join(fields) + b"\n\nx\n"))
    head = header(content)
    assert all(field.replace(b"\n", b"\r\n") in head for field in fields)
    assert len(re.findall(rb"(?m)^(From|Date|Message-ID|To):", head)) == 4


DOTS = {
    b"one\n.\ntwo\n": (b"one\r\n", b"one\r\n.\r\ntwo\r\n"),
    b"one\r\n.\r\ntwo\r\n": (b"one\r\n", b"one\r\n.\r\ntwo\r\n"),
    b".\ntwo\n": (b"", b".\r\ntwo\r\n"),
    b"one\n..\n.two\n": (b"one\r\n..\r\n.two\r\n",) * 2,
    b"one\n. \n": (b"one\r\n. \r\n",) * 2,
    b"one\n.": (b"one\r\n", b"one\r\n.\r\n"),
}


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("text", DOTS)
def test_a_dot_alone_ends_the_message_unless_dash_i(text, keep, host):
    _, content = queued(host, sendmail(host, *(["-i"] if keep else []), BOB, input=b"Subject: x\n\n" + text))
    assert body(content) == DOTS[text][keep]


@pytest.mark.parametrize("text", [b"a\r\nb\r\n", b"a\r\r\nb\r\n", b"a\nb\r\nc\r\r\r\n", b"a\r\n\r\nb", b"a\r", b"\r\r\r\n", b"x" * 65535 + b"\r\nb\r\n"])
def test_lines_end_in_crlf_whatever_they_ended_in(text, host):
    _, content = queued(host, sendmail(host, "-i", BOB, input=b"Subject: x\r\n\r\n" + text))
    assert b"\r\r\n" not in content and not re.search(rb"(?<!\r)\n", content) and content.endswith(b"\r\n")


def test_a_million_lone_carriage_returns_are_not_lost_in(host):
    _, content = queued(host, sendmail(host, "-i", BOB, input=b"Subject: x\n\na" + b"\r" * 10**6 + b"b\n"))
    assert body(content).startswith(b"a") and body(content).endswith(b"b\r\n")


def test_long_lines_and_all_octets_are_kept(host):
    text = b"x" * 70000 + b"\n" + bytes(octet for octet in range(256) if octet not in b"\r\n") + b"\n"
    _, content = queued(host, sendmail(host, "-i", BOB, input=b"Subject: x\n\n" + text))
    assert max(map(len, content.split(b"\r\n"))) <= 998
    assert decoded(content) == text.replace(b"\n", b"\r\n")


@pytest.mark.parametrize("text, charset", [("Grüße\n".encode(), b"utf-8"), (b"Gr\xfc\xdfe\n", b"unknown-8bit")])
def test_text_beyond_ascii_gains_the_fields_that_say_so(text, charset, host):
    _, content = queued(host, sendmail(host, "-i", BOB, input=b"Subject: x\n\n" + text))
    assert b"\r\nContent-Type: text/plain; charset=" + charset + b"\r\n" in content
    assert b"\r\nContent-Transfer-Encoding: 8bit\r\n" in content and body(content) == text.replace(b"\n", b"\r\n")


def test_a_header_that_cannot_be_repaired_is_refused(host):
    assert_refused(host, sendmail(host, "-i", BOB, input=b"References: " + b"x" * 1200 + b"\n\nhello\n"), 65)


SMUGGLING = [b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r\n.\r\n", b"\r.\r", b"\n.\r", b"\r.\n", b"\r.\r\n", b"\r\n.\r", b"\n\0.\n", b"\n.\0\n", b"\r\r\n.\r\r\n"]


@pytest.mark.parametrize("field", [b"", b"DKIM-Signature: v=1\n", b"ARC-Seal: i=1\n"])
def test_no_spelling_of_a_dot_line_smuggles_a_second_message(field, make_smarthost, make_host):
    server = make_smarthost()
    host = make_host(server)
    for end in SMUGGLING:
        text = field + b"Subject: x\n\none" + end + b"MAIL FROM:<evil@x>\r\nRCPT TO:<evil@x>\r\nDATA\r\nevil" + end + b"QUIT\r\n"
        host.submit(text, BOB)
    host.start_relayd()
    host.wait_empty()
    # in the order of submission; what has a lone CR or a NUL is encoded
    messages = server.messages()
    assert [mail.recipients for mail in messages] == [[BOB]] * len(SMUGGLING)
    assert all(decoded(mail.content).endswith(b"QUIT\r\n") for mail in messages)
    assert not re.search("C: .*evil@x", server.transcript())
    assert not any(re.search(b"\r(?!\n)|(?<!\r)\n", mail.content) for mail in messages)


@pytest.mark.parametrize("end", SMUGGLING)
def test_a_part_that_is_never_touched_smuggles_nothing_either(end, make_host):
    host = make_host()
    text = MESSAGE.replace(b"\n\n", b"\nMIME-Version: 1.0\nContent-Type: multipart/signed; boundary=s\n\n", 1)
    done = sendmail(host, "-i", BOB, input=text + b"--s\n\none" + end + b"two\n--s--\n")
    if re.search(rb"\r+(?![\r\n])", end + b"t"):
        assert_refused(host, done, 65)
        assert b"CR without LF" in done.stderr
    else:
        assert not re.search(b"\r(?!\n)|(?<!\r)\n", queued(host, done)[1])


def test_a_message_over_the_limit(make_host):
    host = make_host(None, max_message_size="10K")
    assert_refused(host, sendmail(host, BOB, input=MESSAGE + b"0123456789\n" * 1000), 65)


def peak_memory(host, megabytes):
    """Of a sendmail that has read so much, in kB."""
    process = subprocess.Popen(
        [host.workplace.program("sendmail"), "-C", str(host.conf), "-i", BOB], stdin=subprocess.PIPE, **harness.unprivileged()
    )
    process.stdin.write(MESSAGE)
    for _ in range(megabytes):
        process.stdin.write(b"0123456789abcde\n" * 65536)
    process.stdin.flush()
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", harness.text(f"/proc/{process.pid}/status"))[1])
    process.kill()
    process.wait()
    process.stdin.close()
    return peak


def test_memory_does_not_grow_with_the_message(host):
    assert peak_memory(host, 100) < peak_memory(host, 1) + 1024
    assert left_behind(host) == []


# the spool


def test_a_spool_that_does_not_exist(make_host):
    host = make_host(None, spool_directory="/nonexistent/spool")
    done = sendmail(host, BOB)
    assert_refused(host, done, 75)
    assert b"/nonexistent/spool" in done.stderr


@pytest.mark.parametrize("sub", ["", "queue"])
def test_a_spool_that_cannot_be_written(sub, host):
    queued(host, sendmail(host, BOB))
    before = left_behind(host)
    (host.spool / (sub or "queue")).chmod(0o555)
    done = sendmail(host, BOB)
    (host.spool / (sub or "queue")).chmod(0o700)
    assert done.returncode == 75 and b"/queue: Permission denied" in done.stderr and left_behind(host) == before


def in_a_spool_of_its_own(host, options, message):
    """sendmail with a tmpfs as spool: what it says, and what it leaves there."""
    script = (
        f"mount -t tmpfs -o mode=755,uid={harness.NOBODY},{options} tmpfs {host.spool} && cd / && "
        f"{{ setpriv --reuid=nobody --regid=nogroup --clear-groups {host.workplace.program('sendmail')} -C {host.conf} "
        f"-i {BOB}; code=$?; ls -A {host.spool}/queue; exit $code; }}"
    )
    return subprocess.run(["unshare", "-m", "sh", "-c", script], input=message, capture_output=True, timeout=harness.TIMEOUT)


@as_root()
@pytest.mark.parametrize("lines", [4_100, 100_000])
def test_a_spool_that_is_full(lines, host):
    done = in_a_spool_of_its_own(host, "size=64k", MESSAGE + b"0123456789abcde\n" * lines)
    assert (done.returncode, done.stdout) == (75, b"") and b"No space left on device" in done.stderr


@as_root()
def test_a_spool_with_less_than_the_reserve(make_host):
    host = make_host(None, spool_reserve="1M")
    done = in_a_spool_of_its_own(host, "size=512k", MESSAGE)
    assert (done.returncode, done.stdout) == (75, b"") and b"spool_reserve" in done.stderr


@as_root()
@pytest.mark.parametrize("inodes", [2, 3, 4])
def test_a_spool_without_inodes(inodes, host):
    done = in_a_spool_of_its_own(host, f"size=4m,nr_inodes={inodes}", MESSAGE)
    assert done.returncode in (0, 75) and (done.returncode == 0) == (len(done.stdout.split()) == 1)
    assert done.returncode == 0 or b"sendmail: " in done.stderr


@as_root()
def test_a_spool_that_is_mounted_read_only(host):
    queued(host, sendmail(host, BOB))
    before = left_behind(host)
    script = f"mount --bind {host.spool} {host.spool} && mount -o remount,bind,ro {host.spool} && exec \"$@\""
    command = ["unshare", "-m", "sh", "-c", script, "sh", "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
               host.workplace.program("sendmail"), "-C", str(host.conf), BOB]  # fmt: skip
    done = subprocess.run(command, input=MESSAGE, capture_output=True, timeout=harness.TIMEOUT)
    assert done.returncode == 75 and b"Read-only file system" in done.stderr and left_behind(host) == before


# configuration


BROKEN = {
    "an unknown setting": ("frobnicate yes\n", r":\d+: frobnicate: unknown setting"),
    "a setting twice": ("domain a.example\ndomain b.example\n", r":\d+: domain: stands twice"),
    "a port beyond 65535": ("smarthost smtp://x.example:65536\n", r":\d+: smarthost: the port"),
    "a negative port": ("smarthost smtp://x.example:-1\n", r":\d+: smarthost: the port"),
    "a hexadecimal port": ("smarthost smtp://x.example:0x19\n", r":\d+: smarthost: the port"),
    "no duration": ("in_doubt_interval 1e9\n", r":\d+: in_doubt_interval: .*no duration"),
    "a negative duration": ("in_doubt_interval -5s\n", r":\d+: in_doubt_interval: .*no duration"),
    "a duration beyond all numbers": ("in_doubt_interval 99999999999d\n", r":\d+: in_doubt_interval: .*out of range"),
    "a line of 1 MB": ("domain " + "x" * (1 << 19) + "\n", r":\d+: the line is longer"),
    "an open quote": ('domain "x\n', r":\d+: the closing quote"),
    "a control character": ("domain x\x07\n", r":\d+: .*control character"),
    "a password in the file": ("smarthost smtp://x.example\nuser a\npassword s3cret\n", r":\d+: password: must be file:"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_configuration_is_said_and_does_not_stop_the_queue(what, host):
    text, complaint = BROKEN[what]
    host.conf.write_text(host.conf.read_text() + text)
    done = sendmail(host, BOB)
    queued(host, done)
    assert re.search(f"postbag.conf{complaint}", done.stderr.decode()) and b"s3cret" not in done.stderr
    host.start_relayd(wait=False)
    assert host.relayd.wait(harness.TIMEOUT) == 78 and re.search(f"postbag.conf{complaint}", host.log())


@pytest.mark.parametrize("kind", ["missing", "a FIFO", "a directory", "unreadable", "with NUL", "larger than 1 MB"])
def test_a_configuration_that_cannot_be_read_is_named(kind, host):
    text = host.conf.read_bytes()
    host.conf.unlink()
    if kind == "a FIFO":
        os.mkfifo(host.conf)
    elif kind == "a directory":
        host.conf.mkdir()
    elif kind != "missing":
        host.conf.write_bytes(text + {"with NUL": b"\0", "larger than 1 MB": b"#\n" * (1 << 20)}.get(kind, b""))
        host.conf.chmod(0 if kind == "unreadable" else 0o644)
    done = sendmail(host, BOB)
    assert done.returncode in (0, 75) and b"cannot read the configuration" in done.stderr  # the spool is not known


@pytest.mark.parametrize("spelling", ["CRLF", "BOM", "symbolic link"])
def test_a_configuration_may_be_spelt_so(spelling, host):
    text = host.conf.read_bytes()
    if spelling == "symbolic link":
        host.conf.rename(host.directory / "real.conf")
        host.conf.symlink_to(host.directory / "real.conf")
    else:
        host.conf.write_bytes(text.replace(b"\n", b"\r\n") if spelling == "CRLF" else b"\xef\xbb\xbf" + text)
    done = sendmail(host, BOB)
    queued(host, done)
    assert done.stderr == b""


# what the caller left us


@pytest.mark.parametrize("limit", [0, 1, 100, 4096])
def test_m01_a_limit_on_the_size_of_files(limit, host):
    done = sendmail(host, BOB, input=MESSAGE + b"0123456789abcdef\n" * 1000,
                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))  # fmt: skip
    assert_refused(host, done, 75)
    assert b"File too large" in done.stderr


@pytest.mark.parametrize("limit", [4, 5, 6, 7, 8])
def test_m02_a_limit_on_descriptors(limit, host):
    done = sendmail(host, BOB, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
    assert done.returncode in (0, 75) and len(left_behind(host)) == (done.returncode == 0)
    assert done.returncode == 0 or b"Too many open files" in done.stderr


def test_m04_a_limit_on_processes(host):
    done = sendmail(host, BOB, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NPROC, (0, 0)),
                    env={"ASAN_OPTIONS": "detect_leaks=0"})  # fmt: skip  # the leak check forks
    queued(host, done)


@pytest.mark.parametrize("closed", [[1], [2], [1, 2]])
def test_closed_output_harms_no_message(closed, host):
    def close():
        for fd in closed:
            os.close(fd)

    _, content = queued(host, sendmail(host, BOB, preexec_fn=close))
    assert body(content) == b"hello\r\n" and b"\r\nSubject: hello\r\n" in content


def test_all_descriptors_closed(host):
    done = sendmail(host, BOB, stdin=None, preexec_fn=lambda: os.closerange(0, 3))
    assert done.returncode == 75 and left_behind(host) == []


@pytest.mark.parametrize("mask", [0, 0o777])
def test_b13_the_umask_changes_nothing(mask, host):
    queued(host, sendmail(host, BOB))  # makes queue/
    os.unlink(host.spool / "queue" / left_behind(host)[0])
    queued(host, sendmail(host, BOB, umask=mask))
    assert os.stat(host.spool / "queue" / left_behind(host)[0]).st_mode & 0o7777 == 0o440


@pytest.mark.parametrize("mask", [0, 0o777])
def test_b13_the_umask_changes_nothing_about_new_directories(mask, host):
    queued(host, sendmail(host, BOB, umask=mask))
    assert [os.stat(host.spool / sub).st_mode & 0o7777 for sub in ["queue", "state"]] == [0o700, 0o700]


def test_b14_a_working_directory_that_is_gone(host):
    command = ["sh", "-c", 'mkdir gone && cd gone && rmdir ../gone && exec "$@"', "sh",
               host.workplace.program("sendmail"), "-C", str(host.conf), BOB]  # fmt: skip
    queued(host, subprocess.run(command, input=MESSAGE, cwd=host.directory, capture_output=True, timeout=harness.TIMEOUT,
                                **harness.unprivileged()))  # fmt: skip


HOSTILE = {
    "B04 TZ of a secret file": {"TZ": ":/etc/shadow"},
    "B04 TZ of a device": {"TZ": "/dev/zero"},
    "B04 TZ of 64 KB": {"TZ": "A" * 65536},
    "B04 TZ with dots": {"TZ": "../../../etc/shadow"},
    "B04 TZ with a line break": {"TZ": "UTC\r\nBcc: x@y"},
    "B07 USER with a line break": {"USER": "root\r\nBcc: x@y", "LOGNAME": "a\nb", "NAME": "x\r\nBcc: x@y", "EMAIL": "e\n@x"},
    "loader": {"LD_LIBRARY_PATH": "/nonexistent", "LD_BIND_NOW": "1", "GLIBC_TUNABLES": "glibc.malloc.mxfast=" + "A" * 4096},
    "B05 resolver": {"HOSTALIASES": "/etc/shadow", "RES_OPTIONS": "debug", "LOCALDOMAIN": "evil.example"},
    "locale": {"LC_ALL": "tr_TR.UTF-8", "LANG": "xx", "LOCPATH": "/tmp"},
    "home": {"HOME": "/nonexistent", "TMPDIR": "/nonexistent"},
    "a megabyte": {f"X{number}": "x" * 100_000 for number in range(10)},
    "nothing": {},
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_environment(what, host):
    _, content = queued(host, sendmail(host, BOB, env=HOSTILE[what]))
    message = email.message_from_bytes(content)
    assert message["Bcc"] is None and email.utils.parsedate_to_datetime(message["Date"])
    assert re.fullmatch(r"(.* )?<?[a-z0-9._-]+@example\.test>?", message["From"]) and body(content) == b"hello\r\n"


def test_b04_a_time_zone_that_is_a_fifo_does_not_hang(host, workplace):
    fifo = workplace.new_directory("zone") / "fifo"
    os.mkfifo(fifo)
    queued(host, sendmail(host, BOB, env={"TZ": str(fifo)}))


def test_a_submitter_that_is_killed_leaves_nothing(host):
    process = subprocess.Popen([host.workplace.program("sendmail"), "-C", str(host.conf), BOB], stdin=subprocess.PIPE,
                               **harness.unprivileged())  # fmt: skip
    process.stdin.write(MESSAGE + b"x\n" * 200_000)
    process.stdin.flush()
    process.kill()
    process.wait()
    process.stdin.close()
    assert left_behind(host) == []


def test_text_that_begins_like_a_mailbox_line_is_kept(make_host):
    host = make_host()
    host.submit(b"From now on the disk is read-only\n", "a@example.test")
    assert b"\r\n\r\nFrom now on the disk is read-only\r\n" in stored(host)


def stored(host):
    (name,) = host.queue_files()
    return (host.spool / "queue" / name).read_bytes()


def test_what_follows_a_lone_dot_is_not_dropped_in_silence(make_host):
    host = make_host()
    done = host.sendmail("a@example.test", input=b"Subject: x\n\none\n.\ntwo\n")
    assert done.returncode == 0 and b"single dot" in done.stderr and stored(host).endswith(b"one\r\n")


@pytest.mark.skipif(bool(os.environ.get("POSTBAG_SANITIZE")), reason="the sanitizers do not work under ptrace")
def test_a_signal_during_the_commit_comes_too_late(make_host):
    host = make_host()
    host.submit(b"x\n", "first@example.test")
    for call in ("fchmod", "linkat", "fsync"):
        before = len(host.queue_files())
        done = subprocess.run(
            ["strace", "-qq", "-o", "/dev/null", "-e", f"inject={call}:signal=TERM:when=1",
             host.workplace.program("sendmail"), "-C", host.conf, "a@example.test"],
            input=b"x\n", capture_output=True, **harness.unprivileged())
        assert (done.returncode, len(host.queue_files())) == (0, before + 1), (call, done.stderr)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a set-group-ID program")
def test_a02_set_group_id_lends_nothing_to_the_caller(make_host):
    """The configuration is readable for the group of the program only."""
    host = make_host()
    program = host.directory / "sendmail"
    program.write_bytes(open(host.workplace.program("sendmail"), "rb").read())
    for path, mode in ((program, 0o2755), (host.conf, 0o040)):
        os.chown(path, 0, 12345)
        path.chmod(mode)
    done = subprocess.run([program, "-C", host.conf, "a@example.test"], input=b"x\n", capture_output=True,
                          **harness.unprivileged())
    assert done.returncode == 75 and b"Permission denied" in done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can have a /dev of its own")
def test_what_is_accepted_is_logged(make_host):
    host = make_host()
    script = f"""
import os, socket, subprocess
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/dev"], check=True)
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind("/dev/log")
os.chmod("/dev/log", 0o666)
log.settimeout(10)
subprocess.run([{host.workplace.program("sendmail")!r}, "-C", {str(host.conf)!r}, "-f", "a@x.example", "b@x.example"],
               input=b"hello\\n", user=65534, group=65534, extra_groups=[], check=True)
print(log.recv(4096).decode())
"""
    done = subprocess.run(["unshare", "-m", "/usr/bin/python3", "-c", script], capture_output=True, text=True)
    (name,) = host.queue_files()
    assert re.search(rf"sendmail.*: {name[:12]}: status=accepted uid=65534 from=<a@x.example> size=\d+ recipients=1",
                     done.stdout), done


def test_a_configuration_of_ones_own_that_names_no_spool_queues_nothing(make_host):
    host = make_host()
    host.conf.write_text("spool_dirctory /tmp/mistyped\n")
    done = host.sendmail("a@example.test", input=b"x\n")
    assert done.returncode == 75 and b"nothing is queued" in done.stderr and b"queued all the same" not in done.stderr


@pytest.mark.parametrize("running", [True, False], ids=["up", "down"])
def test_one_message_with_a_monstrous_envelope_hides_no_other(make_host, running):
    host = make_host()
    host.submit(b"x\n", "plain@example.test")
    hidden = "\u200b" * 19
    header = "To: " + ",\n ".join(f"{hidden}{i}@x.example" for i in range(65000))
    assert host.sendmail("-t", input=header.encode() + b"\n\nx\n").returncode == 0
    if running:
        host.start_relayd()
    done = host.sendmail("-bp")
    assert done.returncode == 0 and b"<plain@example.test>" in done.stdout and done.stdout.endswith(b"2 Requests.\n")


def test_a_listing_that_cannot_be_written_is_no_success(make_host):
    host = make_host()
    host.submit(b"x\n", "a@example.test")
    host.start_relayd()
    with open("/dev/full", "wb") as full:
        done = subprocess.run([host.workplace.program("sendmail"), "-C", host.conf, "-bp"], stdout=full,
                              stderr=subprocess.PIPE, **harness.unprivileged())
    assert done.returncode == 75 and b"No space left" in done.stderr
