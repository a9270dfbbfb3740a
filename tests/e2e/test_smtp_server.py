"""`sendmail -bs`: SMTP on standard input and output, by real clients and by octets that no client should send."""

import os
import re
import resource
import signal
import smtplib
import socket
import subprocess
import threading
import time

import pytest

import harness

HELLO = b"EHLO client.example\r\n"
BEGIN = HELLO + b"MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\n"
CONTENT = b"Subject: hello\r\n\r\nhello\r\n"
EHLO_CODES = "250 " * 9  # one for each of its lines


@pytest.fixture
def host(make_host):
    return make_host(None)


def start(host, *args, **popen):
    return subprocess.Popen(
        [host.workplace.program("sendmail"), "-C", str(host.conf), "-bs", *args],
        **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": "/",
           **harness.unprivileged(), **popen})


class Talk:
    """What came of it: the replies, and the exit code."""

    def __init__(self, process, octets, timeout=None):
        self.output, self.stderr = process.communicate(octets, timeout or harness.TIMEOUT)
        self.code = process.returncode
        assert b"Sanitizer" not in self.stderr and b"runtime error" not in self.stderr, self.stderr
        assert not re.search(rb"[^\r]\n", self.output) and (self.output == b"" or self.output.endswith(b"\r\n"))
        self.lines = self.output.decode().splitlines()
        self.codes = " ".join(line[:3] for line in self.lines)


def talk(host, octets, *args, **popen):
    return Talk(start(host, *args, **popen), octets)


def queue(host):
    """(envelope lines, content) of all messages, oldest first; nothing else lies there."""
    messages = []
    directory = host.spool / "queue"
    for name in sorted(os.listdir(directory)) if directory.exists() else []:
        assert re.fullmatch("[0-9a-z]{26}", name), name
        head, _, content = (directory / name).read_bytes().partition(b"\n\n")
        messages.append((head.decode().split("\n"), content))
    return messages


def only(host):
    [message] = queue(host)
    return message


def body(content):
    return content.partition(b"\r\n\r\n")[2]


def fields(envelope, word):
    return [line.partition(" ")[2] for line in envelope if line.startswith(word + " ")]


# the conversation, row by row: what is sent, the codes of the replies behind the greeting, the exit code

DIALOGUES = {
    "a message": (BEGIN + b"DATA\r\n" + CONTENT + b".\r\nQUIT\r\n", EHLO_CODES + "250 250 354 250 221", 0),
    "nothing": (b"", "", 0),
    "only QUIT": (b"QUIT\r\n", "221", 0),
    "without HELO": (b"MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nRSET\r\n", "250 250 250", 0),
    "EHLO without a name": (b"EHLO\r\nHELO \r\n", "501 501", 0),
    "any case": (b"helo x\r\nmail from:<a@x>\r\nrcpt to:<b@y>\r\nrset\r\nquit\r\n", "250 250 250 250 221", 0),
    "unknown commands": (b"WHAT\r\n\r\nEXPN x\r\nSTARTTLS\r\nAUTH PLAIN x\r\nETRN x\r\n", "500 500 502 502 502 502", 0),
    "VRFY HELP NOOP": (b"VRFY root\r\nHELP\r\nHELP MAIL\r\nNOOP x y\r\n", "252 214 214 250", 0),
    "arguments where none are": (b"QUIT now\r\nRSET x\r\nDATA x\r\n", "501 501 501", 0),
    "nested MAIL forgets": (BEGIN + b"MAIL FROM:<b@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nMAIL FROM:<a@x>\r\n",
                            EHLO_CODES + "250 250 503 503 503 250", 75),
    "MAIL behind a message without recipients": (
        b"MAIL FROM:<a@x>\r\nRCPT TO:<b@>\r\nDATA\r\nMAIL FROM:<c@x>\r\nRCPT TO:<d@y>\r\nDATA\r\n",
        "250 553 554 503 503 503", 0),
    "RCPT without MAIL": (b"RCPT TO:<a@x>\r\n", "503", 0),
    "DATA without MAIL": (b"DATA\r\n", "503", 0),
    "DATA without RCPT": (b"MAIL FROM:<a@x>\r\nDATA\r\n", "250 554", 75),
    "DATA with a bad RCPT only": (b"MAIL FROM:<a@x>\r\nRCPT TO:<b@y..z>\r\nDATA\r\nRSET\r\n", "250 553 554 250", 0),
    "a second EHLO forgets": (BEGIN + HELLO + b"DATA\r\n", EHLO_CODES + "250 250 " + EHLO_CODES + "503", 0),
    "RSET forgets": (BEGIN + b"RSET\r\nDATA\r\n", EHLO_CODES + "250 250 250 503", 0),
    "QUIT forgets": (BEGIN + b"QUIT\r\nNOOP\r\n", EHLO_CODES + "250 250 221", 0),
    "unknown parameter": (b"MAIL FROM:<a@x> AUTH=<>\r\nMAIL FROM:<a@x> BODY=BINARYMIME\r\n", "555 555", 0),
    "addresses that are none": (b"MAIL FROM:<a@x>\r\n" + b"".join(b"RCPT TO:%s\r\n" % a for a in (
        b"<>", b"<a@b@c>", b"<a b@c>", b"<a@x,b@x>", b"Joe <a@x>", b"<a@x", b"<@x>", b"<a@x.>", b"<" + b"a" * 65 + b"@x>")),
        "250 501 501 501 501 555 501 501 553 553", 75),
    "a sender that is none": (b"MAIL FROM:<a@x..y>\r\nMAIL FROM:<a@+x>\r\nNOOP\r\nMAIL FROM:<a@x>\r\nRSET\r\n", "553 553 250 250 250", 0),
    "an address that is not ASCII": ("MAIL FROM:<ü@x>\r\nMAIL FROM:<a@x>\r\nRCPT TO:<ü@x>\r\nRSET\r\n".encode(),
                                     "553 250 553 250", 0),
    "the same with SMTPUTF8": ("MAIL FROM:<ü@x> SMTPUTF8\r\nRCPT TO:<ü@x>\r\nRSET\r\n".encode(), "250 250 250", 0),
    "no UTF-8": (b"MAIL FROM:<a\xff@x> SMTPUTF8\r\n", "553", 0),
    "a NUL": (b"NOOP\r\nMAIL FROM:<a\0@x>\r\nNO\x1bOP\r\nNOOP\r\n", "250 501 501 250", 0),
    "a long line": (b"NOOP\r\nNOOP " + b"x" * 100000 + b"\r\nNOOP\r\n", "250 500 250", 0),
    "a bare LF": (b"NOOP\r\nMAIL FROM:<a@x>\nRCPT TO:<b@x>\r\nDATA\r\n", "250 500 503", 0),
    "LF": (b"NOOP\nMAIL FROM:<a@x>\nRCPT TO:<b@x>\r\nRSET\n", "250 250 250 250", 0),
    "half a command": (b"NOOP\r\nQUIT", "250", 0),
    "half a message": (BEGIN + b"DATA\r\n" + CONTENT, EHLO_CODES + "250 250 354", 75),
    "half an end": (BEGIN + b"DATA\r\n" + CONTENT + b".\r", EHLO_CODES + "250 250 354", 75),
    "half a transaction": (BEGIN, EHLO_CODES + "250 250", 75),
    "20 errors in a row": (b"X\r\n" * 30, "500 " * 19 + "421", 75),
    "100 errors": ((b"X\r\n" * 10 + b"NOOP\r\n") * 12, ("500 " * 10 + "250 ") * 9 + "500 " * 9 + "421", 75),
    "chunks": (BEGIN + b"BDAT 5\r\nSubjeBDAT 17 LAST\r\nct: hello\r\n\r\nhi\r\nQUIT\r\n", EHLO_CODES + "250 250 250 250 221", 0),
    "commands between chunks": (BEGIN + b"BDAT 2\r\nSuNOOP\r\nRCPT TO:<b@y>\r\nDATA\r\nX\r\nVRFY x\r\nBDAT 0 LAST\r\n",
                                EHLO_CODES + "250 250 250 250 503 503 500 252 250", 0),
    "MAIL between chunks": (BEGIN + b"BDAT 2\r\nSuMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nBDAT 2 LAST\r\nSuNOOP\r\n",
                            EHLO_CODES + "250 250 250 503 503 503 250", 0),
    "RSET between chunks": (BEGIN + b"BDAT 2\r\nSuRSET\r\nBDAT 2 LAST\r\nSuNOOP\r\n", EHLO_CODES + "250 250 250 250 503 250", 0),
    "a wrong RSET between chunks": (BEGIN + b"BDAT 2\r\nSuRSET x\r\nBDAT 2 LAST\r\nSuNOOP\r\n",
                                    EHLO_CODES + "250 250 250 501 503 250", 0),
    "EHLO between chunks": (BEGIN + b"BDAT 2\r\nSu" + HELLO + b"NOOP\r\n", EHLO_CODES + "250 250 250 " + EHLO_CODES + "250", 0),
    "QUIT between chunks": (BEGIN + b"BDAT 2\r\nSuQUIT\r\n", EHLO_CODES + "250 250 250 221", 0),
    "the end between chunks": (BEGIN + b"BDAT 2\r\nSu", EHLO_CODES + "250 250 250", 75),
    "the end in a chunk": (BEGIN + b"BDAT 3\r\nSu", EHLO_CODES + "250 250", 75),
    "chunks without recipients": (b"MAIL FROM:<a@x>\r\nBDAT 6\r\nNOOP\r\nBDAT 6 LAST\r\nNOOP\r\nNOOP\r\n", "250 554 503 250", 0),
    "chunks without MAIL": (b"BDAT 6\r\nNOOP\r\nBDAT 6 LAST\r\nNOOP\r\nNOOP\r\n", "503 503 250", 0),
    "RCPT behind a refused chunk": (b"MAIL FROM:<a@x>\r\nBDAT 6\r\nNOOP\r\nRCPT TO:<b@y>\r\nDATA\r\nRSET\r\n", "250 554 503 503 250", 0),
    "BDAT without a size": (BEGIN + b"BDAT LAST\r\nNOOP\r\n", EHLO_CODES + "250 250 421", 75),
    "BDAT with a huge size": (BEGIN + b"BDAT 99999999999999999999\r\nNOOP\r\n", EHLO_CODES + "250 250 421", 75),
    "a long BDAT": (BEGIN + b"BDAT 6 " + b" " * 3000 + b"LAST\r\nNOOP\r\nNOOP\r\n", EHLO_CODES + "250 250 421", 75),
    "a BDAT with a NUL": (BEGIN + b"BDAT 6\0\r\nNOOP\r\nNOOP\r\n", EHLO_CODES + "250 250 421", 75),
}  # fmt: skip


@pytest.mark.parametrize("row", DIALOGUES)
def test_dialogue(row, host):
    octets, codes, code = DIALOGUES[row]
    done = talk(host, octets)
    assert done.codes.split() == ["220", *codes.split()], done.output
    assert done.code == code
    accepted = sum("queued as" in line for line in done.lines)
    assert len(queue(host)) == accepted == (row in ("a message", "chunks", "commands between chunks"))


@pytest.mark.parametrize("row", DIALOGUES)
def test_dialogue_octet_by_octet(row, host):
    """Nothing depends on how the octets arrive."""
    octets, codes, _ = DIALOGUES[row]
    if len(octets) > 3000:
        octets = octets.replace(b"x" * 100000, b"x" * 3000)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # each is a read of its own
    process = start(host, stdin=theirs)
    theirs.close()
    try:
        for at in range(len(octets)):
            ours.send(octets[at : at + 1])
    except (BrokenPipeError, ConnectionResetError):
        pass  # it has ended the conversation
    ours.close()
    assert Talk(process, None).codes.split() == ["220", *codes.split()]


def test_replies_have_enhanced_status_codes(host):
    done = talk(host, BEGIN + b"RCPT TO:<x@y..z>\r\nWHAT\r\nDATA\r\n" + CONTENT + b".\r\nQUIT\r\n")
    assert done.lines[0] == "220 host.example.test ESMTP postbag"
    assert done.lines[1:10] == ["250-host.example.test", "250-PIPELINING", "250-8BITMIME", "250-SMTPUTF8", "250-SIZE",
                                "250-DSN", "250-ENHANCEDSTATUSCODES", "250-CHUNKING", "250 HELP"]
    for line in done.lines[10:]:
        assert line.startswith("354 ") or re.match(r"([245])\d\d \1\.\d\.\d ", line), line
    [identifier] = re.findall("queued as ([0-9a-z]{12})$", done.lines[-2])
    assert host.queue_files()[0].startswith(identifier)


def test_options_of_one_message_mean_nothing(host):
    done = talk(host, BEGIN + b"DATA\r\na\r\n.\r\nQUIT\r\n", "-i", "-t", "-oi", "-f", "z@z.example", "-N", "never", "q@q.example")
    envelope, content = only(host)
    assert done.code == 0 and body(content) == b"a\r\n"
    assert fields(envelope, "sender") == ["<a@x.example>"] and fields(envelope, "recipient") == ["<b@y.example>"]


# the smuggling set: whatever stands in place of the end, there is one message

NO_END = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r.\n", b"\n.\r", b"\r\n.\r", b"\n\r.\r\n", b"\n\0.\n", b"\r\n\0.\r\n",
          b"\r\r.\r\r\n", b"\r\n.\0\r\n", b"\r\n. \r\n"]  # fmt: skip


@pytest.mark.parametrize("end", NO_END, ids=repr)
def test_only_one_message(end, host):
    inner = b"MAIL FROM:<e@x.example>\r\nRCPT TO:<e@y.example>\r\nDATA\r\nSubject: evil\r\n\r\nevil\r\n"
    done = talk(host, BEGIN + b"DATA\r\nSubject: x\r\n\r\na" + end + inner + b".\r\nQUIT\r\n")
    assert done.codes.split() == ["220", *(EHLO_CODES + "250 250 354 250 221").split()]
    envelope, content = only(host)
    assert fields(envelope, "recipient") == ["<b@y.example>"] and inner in harness.decoded(content)
    # as it is relayed: each line of it is ended by CR LF, and the dot that arose is a line of the content
    assert not re.search(rb"(?<!\r)\n", content)


def test_a_dot_that_arises_is_content(host):
    talk(host, BEGIN + b"DATA\r\nSubject: x\r\n\r\na\n.\r\nb\n..c\r\n..d\r\n.\r\nQUIT\r\n")
    assert body(only(host)[1]) == b"a\r\n.\r\nb\r\n..c\r\n.d\r\n"


def test_lf_ends_lines_when_the_first_has_it(host):
    done = talk(host, (BEGIN + b"DATA\r\nSubject: x\r\n\r\na\r\n..b\r\n.\r\nQUIT\r\n").replace(b"\r\n", b"\n"))
    assert done.code == 0 and body(only(host)[1]) == b"a\r\n.b\r\n"


def test_mixed_ends_in_lf_mode(host):
    done = talk(host, b"HELO x\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\nDATA\r\nS: x\n\r\na\r\n.\r\nMAIL FROM:<c@x>\n")
    assert done.codes == "220 250 250 250 354 250 250" and body(only(host)[1]) == b"a\r\n"


# clients


class Client(smtplib.SMTP):
    """Python's own, on a socket that is there already."""

    def __init__(self, connected):
        self.connected = connected
        super().__init__(timeout=harness.TIMEOUT)
        assert self.connect("there", 25)[0] == 220

    def _get_socket(self, *_):
        return self.connected


@pytest.fixture
def client(host):
    ours, theirs = socket.socketpair()
    process = start(host, stdin=theirs, stdout=theirs)
    theirs.close()
    with Client(ours) as it:
        it.process = process
        yield it
    assert process.wait(harness.TIMEOUT) == 0


def test_smtplib(host, client):
    refused = client.sendmail("a@x.example", ["b@y.example", "c@y..z", "d@y.example"], b"Subject: x\r\n\r\n.\r\n..\r\nbye",
                              mail_options=["BODY=8BITMIME", "RET=HDRS", "ENVID=QQ314159"],
                              rcpt_options=["NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;o+2Bx@y"])
    envelope, content = only(host)
    assert list(refused) == ["c@y..z"] and refused["c@y..z"][0] == 553
    assert body(content) == b".\r\n..\r\nbye\r\n"
    assert fields(envelope, "ret") == ["hdrs"] and fields(envelope, "envid") == ["QQ314159"]
    assert fields(envelope, "recipient") == [f"<{a}@y.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;o+2Bx@y" for a in "bd"]


def test_smtplib_with_utf_8(host, client):
    message = "From: ü@x.example\r\nTo: ö@y.example\r\nSubject: ä\r\n\r\nß\r\n"
    client.command_encoding = "utf-8"
    client.sendmail("ü@x.example", ["ö@y.example"], message.encode(), mail_options=["SMTPUTF8", "BODY=8BITMIME"],
                    rcpt_options=["ORCPT=utf-8;ö@y.example"])
    envelope, content = only(host)
    assert fields(envelope, "sender") == ["<ü@x.example>"]
    assert fields(envelope, "recipient") == ["<ö@y.example> ORCPT=utf-8;\\x{F6}@y.example"]
    assert b"with UTF8SMTP id" in content and body(content) == "ß\r\n".encode()


def test_thousand_messages_in_one_session(host, client):
    """Each with its file, and none with memory that stays."""

    def memory():
        return int(re.search(r"VmRSS:\s+(\d+)", harness.text(f"/proc/{client.process.pid}/status"))[1])

    for number in range(1000):
        client.sendmail("a@x.example", ["root", "b@y.example"], b"Subject: x\r\n\r\n" + b"text\r\n" * 200)
        if number == 50:
            before = memory()
    assert len(queue(host)) == 1000
    assert os.environ.get("POSTBAG_SANITIZE") or memory() <= before + 100


def test_pipelining_gives_all_replies_in_order(host):
    octets = HELLO + (b"MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n" + CONTENT + b".\r\n") * 200 + b"QUIT\r\n"
    done = talk(host, octets)
    assert done.codes.split() == ["220", *(EHLO_CODES + "250 250 354 250 " * 200 + "221").split()]
    queued = [line.split()[-1] for line in done.lines if "queued as" in line]
    assert sorted(queued) == queued == [name[:12] for name in host.queue_files()]


def test_replies_come_while_the_client_waits(host):
    """A reply is not kept back although more input may come."""
    process = start(host)
    for command, lines in [(b"", 1), (HELLO, 9), (b"MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n", 2), (b"DATA\r\n", 1), (b"x\r\n.\r\nNO", 1)]:
        process.stdin.write(command)
        process.stdin.flush()
        for _ in range(lines):
            assert process.stdout.readline()[:1] in b"23"
    assert len(queue(host)) == 1
    assert Talk(process, b"OP\r\n").codes == "250"


# chunks


def test_chunks_are_octets(host):
    content = b"Subject: x\r\n\r\n" + bytes(range(256)).replace(b"\n", b"").replace(b"\r", b"") + b"\r\n.\r\nQUIT\r\nRSET\r\n"
    octets = BEGIN
    for at in range(0, len(content), 7):
        octets += b"BDAT %d\r\n%s" % (len(content[at : at + 7]), content[at : at + 7])
    done = talk(host, octets + b"BDAT 0 LAST\r\nQUIT\r\n")
    assert done.code == 0 and done.codes.endswith("250 221") and set(done.codes.split()) == {"220", "250", "221"}
    assert harness.decoded(only(host)[1]) == content.partition(b"\r\n\r\n")[2]


def test_a_large_message_in_chunks_needs_little_memory(host):
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (48 << 20, 48 << 20))

    limited = {} if os.environ.get("POSTBAG_SANITIZE") else {"preexec_fn": limit}
    line = b"x" * 62 + b"\r\n"
    chunk = b"BDAT 1048576\r\n" + line * 16384
    done = talk(host, BEGIN + b"BDAT 14\r\nSubject: x\r\n\r\n" + chunk * 64 + b"BDAT 0 LAST\r\nQUIT\r\n", **limited)
    assert done.code == 0 and len(body(only(host)[1])) == 64 << 20


def test_a_refused_chunk_refuses_the_others(make_host):
    host = make_host(None, max_message_size=1000)
    big = b"x" * 70000
    octets = BEGIN + b"BDAT 2\r\n\r\n" + b"BDAT 70000\r\n" + big + b"BDAT 70000\r\n" + big + b"BDAT 6 LAST\r\nNOOP\r\n"
    done = talk(host, octets + BEGIN + b"BDAT 2 LAST\r\n\r\nQUIT\r\n")
    again = EHLO_CODES + "250 250 "
    assert done.codes.split() == ["220", *(again + "250 552 503 503 " + again + "250 221").split()]
    assert len(queue(host)) == 1


# what is refused, and how


def test_size(make_host):
    host = make_host(None, max_message_size=1000)
    done = talk(host, HELLO + b"MAIL FROM:<a@x> SIZE=1001\r\nMAIL FROM:<a@x> SIZE=1000\r\nRCPT TO:<b@y>\r\nDATA\r\n" +
                b"x" * 2000 + b"\r\nQUIT\r\n.\r\nNOOP\r\nMAIL FROM:<a@x>\r\nRSET\r\n")
    assert "250-SIZE 1000" in done.lines
    assert done.codes.split()[10:] == ["552", "250", "250", "354", "552", "250", "250", "250"] and queue(host) == []
    assert any(line.startswith("552 5.3.4 the message is larger than max_message_size") for line in done.lines)


@pytest.mark.parametrize("count", [101, 100_000])
def test_a_message_that_goes_in_a_circle(count, host):
    done = talk(host, BEGIN + b"DATA\r\n" + b"Received: x\r\n" * count + b"\r\n.\r\nQUIT\r\n")
    assert "554 5.4.6" in done.output.decode() and done.code == 0 and queue(host) == []


def test_a_header_without_end(host):
    done = talk(host, BEGIN + b"DATA\r\n" + b"X: y\r\n" * 1500000 + b"\r\n.\r\n" + b"NOOP\r\nQUIT\r\n")
    assert done.codes.endswith("354 552 250 221") and queue(host) == []


def test_a_full_disk(make_host):
    host = make_host(None, spool_reserve="9000000G")
    done = talk(host, BEGIN + b"DATA\r\n" + CONTENT + b".\r\n" + BEGIN[len(HELLO) :] + b"BDAT 2 LAST\r\n\r\nQUIT\r\n")
    assert done.codes.endswith("354 452 250 250 452 221") and "452 4.3.1 no space" in done.output.decode() and queue(host) == []


def test_no_spool(make_host):
    host = make_host(None, spool_directory="/nonexistent/spool")
    done = talk(host, BEGIN + b"DATA\r\n" + CONTENT + b".\r\nQUIT\r\n")
    assert done.codes.endswith("354 451 221") and done.code == 0


def test_a_configuration_without_spool(host):
    host.conf.write_text("nonsense\n")
    done = talk(host, BEGIN)
    assert done.codes == "421" and done.code == 75


def test_ten_thousand_recipients_and_no_more(host):
    octets = HELLO + b"MAIL FROM:<a@x>\r\n" + b"".join(b"RCPT TO:<%d@y>\r\n" % n for n in range(10003))
    process = start(host)
    threading.Thread(target=lambda: (process.stdin.write(octets + b"DATA\r\n\r\n.\r\nQUIT\r\n"), process.stdin.close()), daemon=True).start()
    codes = [line[:9] for line in process.stdout.read().decode().splitlines()]
    assert process.wait(harness.TIMEOUT) == 0
    assert codes.count("250 2.1.5") == 10000 and codes.count("452 4.5.3") == 3 and codes[-2:] == ["250 2.0.0", "221 2.0.0"]
    assert len(fields(only(host)[0], "recipient")) == 10000


def test_aliases_at_rcpt(make_host):
    host = make_host(None, aliases="/dev/null")
    aliases = host.directory / "aliases"
    aliases.write_text("team: one@y.example, two@y.example\nbad: |/bin/false\nroot: ops@y.example\n")
    aliases.chmod(0o644)
    harness.give_away(aliases)
    host.configure([], aliases=aliases)
    done = talk(host, b"HELO x\r\nMAIL FROM:<root>\r\nRCPT TO:<team>\r\nRCPT TO:<bad>\r\nRCPT TO:<TWO@localhost>\r\n"
                b"RCPT TO:<one@y.example>\r\nRCPT TO:<\\team>\r\nDATA\r\n\r\n.\r\nQUIT\r\n")
    assert done.codes == "220 250 250 250 550 250 250 250 354 250 221" and "550 5.2.4 recipient: \"bad\"" in done.output.decode()
    envelope, _ = only(host)
    assert fields(envelope, "recipient") == ["<one@y.example>", "<two@y.example>", "<TWO@example.test>", "<team@example.test>"]
    assert fields(envelope, "sender") == ["<root@example.test>"] and fields(envelope, "bounce-to") == ["<ops@y.example>"]


def test_an_alias_that_does_not_fit_adds_nobody(make_host):
    """65536 addresses are the limit; a part of a list must not go out when its recipient was refused."""
    host = make_host(None, aliases="/dev/null")
    for name, count in [("small", 9000), ("large", 60000)]:
        (host.directory / name).write_text("".join(f"{name}{n}@y.example\n" for n in range(count)))
    aliases = host.directory / "aliases"
    aliases.write_text("".join(f"{name}: :include:{host.directory}/{name}\n" for name in ("small", "large")))
    for path in (aliases, host.directory / "small", host.directory / "large"):
        path.chmod(0o644)
        harness.give_away(path)
    host.configure([], aliases=aliases)
    done = talk(host, b"MAIL FROM:<a@x>\r\nRCPT TO:<small>\r\nRCPT TO:<large>\r\nRCPT TO:<large0@y.example>\r\nDATA\r\n\r\n.\r\nQUIT\r\n")
    assert done.codes == "220 250 250 452 452 354 250 221"
    assert fields(only(host)[0], "recipient") == [f"<small{n}@y.example>" for n in range(9000)]


def test_an_alias_file_that_cannot_be_read_is_temporary(make_host):
    host = make_host(None, aliases="/nonexistent/aliases")
    done = talk(host, b"MAIL FROM:<a@x>\r\nRCPT TO:<team>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n\r\n.\r\nQUIT\r\n")
    assert done.codes == "220 250 451 250 354 250 221" and fields(only(host)[0], "recipient") == ["<b@y.example>"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can have a /dev of its own")
def test_what_is_refused_is_logged(host):
    octets = b"HELO x\r\nMAIL FROM:<a@x..y>\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y..z>\r\n"
    script = f"""
import os, socket, subprocess
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/dev"], check=True)
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind("/dev/log")
os.chmod("/dev/log", 0o666)
log.settimeout(10)
subprocess.run([{host.workplace.program("sendmail")!r}, "-C", {str(host.conf)!r}, "-bs"],
               input={octets!r}, user=65534, group=65534, extra_groups=[])
print(log.recv(4096).decode())
print(log.recv(4096).decode())
"""
    done = subprocess.run(["unshare", "-m", "/usr/bin/python3", "-c", script], capture_output=True, text=True)
    for status, what in [("5.1.7", "sender"), ("5.1.3", "recipient")]:
        assert re.search(rf'SMTP {what} refused: code={status} uid=65534 client="uid 65534" reason="{what}: ', done.stdout), done


# where it came from

RECEIVED = {
    (b"EHLO client.example", b""): rb"from client.example \(uid \d+\)\r\n\tby host.example.test .*\r\n\twith ESMTP id",
    (b"HELO [127.0.0.1]", b""): rb"from \[127.0.0.1\] \(uid \d+\)\r\n\tby host.example.test .*\r\n\twith SMTP id",
    (b"EHLO x", b" SMTPUTF8"): rb"from x \(uid \d+\)\r\n\tby .*\r\n\twith UTF8SMTP id",
    (b"EHLO a b; by evil", b""): rb"from unknown \(uid \d+\)\r\n\tby .*\r\n\twith ESMTP id",
    (b"NOOP", b""): rb"from unknown \(uid \d+\)\r\n\tby .*\r\n\twith SMTP id",
}


@pytest.mark.parametrize("hello, parameter", RECEIVED)
def test_received(hello, parameter, host):
    talk(host, hello + b"\r\nMAIL FROM:<>" + parameter + b"\r\nRCPT TO:<b@y.example>\r\nDATA\r\n\r\n.\r\nQUIT\r\n")
    envelope, content = only(host)
    assert re.match(b"Received: " + RECEIVED[hello, parameter], content), content
    assert fields(envelope, "sender") == ["<>"]


def own_address():
    """An address of this host that is not a loopback one, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return probe.getsockname()[0]
        except OSError:
            return None


def connected(address, family=socket.AF_INET):
    with socket.socket(family) as listener:
        listener.bind((address, 0))
        listener.listen()
        ours = socket.create_connection(listener.getsockname()[:2], harness.TIMEOUT)
        return ours, listener.accept()[0]


@pytest.mark.parametrize("address, shown", [("127.0.0.1", b"[127.0.0.1]"), ("::1", b"[IPv6:::1]")])
def test_a_loopback_connection_is_served(address, shown, host):
    try:
        ours, theirs = connected(address, socket.AF_INET6 if ":" in address else socket.AF_INET)
    except OSError as error:
        pytest.skip(f"no {address} here: {error}")
    process = start(host, stdin=theirs, stdout=theirs)
    theirs.close()
    with Client(ours) as it:
        it.ehlo("client.example")
        it.sendmail("a@x.example", ["b@y.example"], b"x")
    assert process.wait(harness.TIMEOUT) == 0
    assert only(host)[1].startswith(b"Received: from client.example (" + shown + b")\r\n")


def test_a_connection_from_elsewhere_is_refused(host):
    address = own_address()
    if address is None or address.startswith("127."):
        pytest.skip("this host has no address but loopback")
    ours, theirs = connected(address)
    process = start(host, stdin=theirs, stdout=theirs)
    theirs.close()
    ours.sendall(BEGIN)
    assert ours.recv(1000).startswith(b"554 5.7.1 ")
    assert process.wait(harness.TIMEOUT) == 77 and queue(host) == []
    assert f"from [{address}] refused" in process.stderr.read().decode() or os.access("/dev/log", os.W_OK)
    ours.close()


# ends


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("at", ["RCPT", "DATA", "BDAT"])
def test_killed_in_the_middle_leaves_nothing(at, sig, host):
    process = start(host)
    process.stdin.write(BEGIN + {"RCPT": b"", "DATA": b"DATA\r\n" + CONTENT * 10000, "BDAT": b"BDAT 200000\r\n" + b"\r\n" * 100000}[at])
    process.stdin.flush()
    for _ in range({"RCPT": 12, "DATA": 13, "BDAT": 13}[at]):
        process.stdout.readline()
    process.send_signal(sig)
    assert process.wait(harness.TIMEOUT) == -sig and queue(host) == []


def test_what_was_accepted_survives_kill(host):
    process = start(host)
    process.stdin.write((BEGIN + b"DATA\r\n" + CONTENT + b".\r\n") * 2 + BEGIN + b"DATA\r\n" + CONTENT)
    process.stdin.flush()
    while process.stdout.readline()[:3] != b"354":
        pass
    accepted = 0
    while accepted < 2:
        accepted += b"queued as" in process.stdout.readline()
    process.kill()
    process.wait()
    assert len(queue(host)) == 2


def test_a_client_that_reads_no_reply(host):
    """It cannot be told that anything was accepted, so nothing is; and there is nobody to complain to."""
    read, write = os.pipe()
    os.close(read)
    process = start(host, stdout=write)
    os.close(write)
    assert process.wait(harness.TIMEOUT) == 75 and process.stderr.read() == b"" and queue(host) == []
    process.stdin.close()


def test_silence(host):
    process = start(host, "-or1s")
    for expected in (b"220 ", b"421 4.4.2 "):
        assert process.stdout.readline().startswith(expected)
    assert process.wait(harness.TIMEOUT) == 75
    process.stdin.close()


def test_silence_in_a_message(host):
    process = start(host, "-or1s")
    process.stdin.write(BEGIN + b"DATA\r\n" + CONTENT)
    process.stdin.flush()
    assert process.stdout.read().splitlines()[-1].startswith(b"421 4.4.2 ")
    assert process.wait(harness.TIMEOUT) == 75 and queue(host) == []
    process.stdin.close()


# all the way


def test_parameters_arrive_at_the_smarthost(make_host, smarthost):
    host = make_host(smarthost)
    host.start_relayd()
    done = talk(host, HELLO + b"MAIL FROM:<a@x.example> RET=HDRS ENVID=QQ314159\r\n"
                b"RCPT TO:<b@y.example> NOTIFY=FAILURE ORCPT=rfc822;o@y.example\r\nDATA\r\nSubject: x\r\n\r\n..\r\n.\r\nQUIT\r\n")
    assert done.code == 0
    [message] = smarthost.wait_messages()
    assert message.sender == "a@x.example" and message.recipients == ["b@y.example"]
    assert message.content.endswith(b"\r\n\r\n.\r\n")
    if message.sender_parameters is not None and "ENVID" in message.sender_parameters:
        assert "ENVID=QQ314159" in message.sender_parameters and "RET=HDRS" in message.sender_parameters
        assert "ORCPT=rfc822;o@y.example" in message.recipient_parameters[0]
    host.wait_empty()
