"""Servers that answer with what is no SMTP, or lie in the login: no message is lost, bounced or sent for it."""

import base64
import itertools
import os
import re

import pytest

import harness

MESSAGE = b"Subject: hello\n\nhello\n"
QUICK = {"retry_interval": "50ms 100ms", "reconnect_interval": "20ms 50ms", "in_doubt_interval": "100ms"}
SHORT_WAIT = f"{int(300 * float(os.environ.get('POSTBAG_SLOWNESS', '1')))}ms"
CLEAR = {"user": None, "password": None, "tls": "none"}
# the good answers, in the order in which a conversation without pipelining asks for them
PHASES = {"banner": 220, "EHLO": 250, "MAIL": 250, "RCPT": 250, "DATA": 354, "end": 250}


def read_content(peer):
    lines = []
    while (line := peer.line()) != b".":
        lines.append(line)
    return lines


class Answers:
    """Good answers, but bad ones in one phase after the other, one connection each; then good ones for ever.

    bad is a function of the phase's code that gives the octets; then the connection is closed, or stays open.
    """

    def __init__(self, bad, close=False, phases=PHASES):
        self.bad, self.close, self.phases = bad, close, list(phases)
        self.accepted = []

    def __call__(self, peer):
        bad_phase = self.phases[peer.number - 1] if peer.number <= len(self.phases) else None
        for phase in itertools.chain(["banner"], self.commands(peer)):
            if phase == bad_phase:
                peer.send(self.bad(b"%d" % PHASES[phase]))
                if not self.close:
                    while peer.line():
                        pass
                return
            peer.send(b"%d ok\r\n" % PHASES.get(phase, 250))
            if phase == "end":
                self.accepted.append(peer.number)

    def commands(self, peer):
        while (verb := peer.line().split(b" ")[0].decode()) != "QUIT":
            yield verb
            if verb == "DATA":
                read_content(peer)
                yield "end"


@pytest.fixture
def run(certs, make_host):
    """run(script, ...): a message is sent through a server that follows the script."""
    servers = []

    def run(script, scheme="smtp", block=None, submit=True):
        servers.append(harness.ScriptedServer(certs, script))
        host = make_host(servers[-1], scheme, block=block if block is not None else CLEAR, **QUICK)
        host.start_relayd()
        if submit:
            host.submit(MESSAGE, "bob@example.test")
        return host

    yield run
    for server in servers:
        server.close()


NO_REPLY = {
    "an empty line": lambda code: b"\r\n",
    "two digits": lambda code: code[:2] + b"\r\n",
    "four digits": lambda code: code + b"0 ok\r\n",
    "no digits": lambda code: b"abc ok\r\n",
    "a negative number": lambda code: b"-1 ok\r\n",
    "a blank before it": lambda code: b" " + code + b" ok\r\n",
    "a sign before it": lambda code: b"+" + code + b" ok\r\n",
    "letters behind it": lambda code: code + b"ok\r\n",
    "an underscore behind it": lambda code: code + b"_ok\r\n",
    "NUL in the text": lambda code: code + b" o\0k\r\n",
    "NUL behind it": lambda code: code + b"\0\r\n",
    "octets beyond ASCII": lambda code: b"\xb2\xb5\xb0 ok\r\n",
    "a code below the range": lambda code: b"199 ok\r\n",
    "a code above the range": lambda code: b"600 ok\r\n",
    "a code that is far too large": lambda code: b"999 ok\r\n",
    "000": lambda code: b"000 ok\r\n",
    "another code in the next line": lambda code: code + b"-ok\r\n550 no\r\n",
    "another code in the first line": lambda code: b"550-no\r\n" + code + b" ok\r\n",
    "no code in the next line": lambda code: code + b"-ok\r\nok\r\n",
    "HTTP": lambda code: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a line without end": lambda code: code + b" " + b"x" * 200_000,
    "lines without end": lambda code: (code + b"-more\r\n") * 100_000,
    "long lines without end": lambda code: (code + b"-" + b"x" * 1000 + b"\r\n") * 5_000,
    "nothing but line ends": lambda code: b"\r\n" * 50_000,
}


@pytest.mark.parametrize("what", NO_REPLY)
def test_what_is_no_reply_costs_a_connection_in_each_phase(what, run):
    answers = Answers(NO_REPLY[what])
    run(answers).wait_empty()
    assert answers.accepted == [len(PHASES) + 1]


SILENT = {
    "at once": lambda code: b"",
    "behind a continuation": lambda code: code + b"-ok\r\n",
    "behind half a line": lambda code: code + b" o",
}


@pytest.mark.parametrize("where", SILENT)
def test_silence_ends_at_the_deadline_in_each_phase(where, run):
    answers = Answers(SILENT[where])
    host = run(answers, block={**CLEAR, "command_timeout": SHORT_WAIT})
    host.wait_empty()
    assert len(answers.accepted) == 1 and "no answer within" in host.log()


CLOSED = {
    "at once": lambda code: b"",
    "behind one digit": lambda code: code[:1],
    "behind the code": lambda code: code,
    "behind a line without line end": lambda code: code + b" ok",
    "behind a CR": lambda code: code + b" ok\r",
    "behind a continuation": lambda code: code + b"-ok\r\n",
    "behind many continuations": lambda code: (code + b"-ok\r\n") * 20,
}


@pytest.mark.parametrize("what", CLOSED)
def test_a_connection_that_closes_before_the_reply_is_whole(what, run):
    answers = Answers(CLOSED[what], close=True)
    run(answers).wait_empty()
    assert answers.accepted == [len(PHASES) + 1]


@pytest.mark.parametrize("code", [235, 334, 300])
def test_a_code_that_belongs_elsewhere_is_no_yes(code, run):
    """2xx is a yes in most places; what asks for more is one only behind DATA."""
    phases = ["DATA"] if code == 235 else ["banner", "EHLO", "MAIL", "RCPT", "DATA"]
    answers = Answers(lambda right: b"%d ok\r\n" % code, phases=phases)
    run(answers).wait_empty()
    assert answers.accepted == [len(phases) + 1]


def test_an_intermediate_code_behind_the_content_leaves_the_outcome_unknown(run):
    answers = Answers(lambda right: b"354 go on\r\n", phases=["end"])
    host = run(answers)
    host.wait_empty()
    assert answers.accepted == [2]
    assert "status=in-doubt" in host.log()


STRANGE_BUT_GOOD = {
    "no text": lambda code: code + b"\r\n",
    "a blank without text": lambda code: code + b" \r\n",
    "LF without CR": lambda code: code + b" ok\n",
    "several CR": lambda code: code + b" ok\r\r\r\n",
    "many lines": lambda code: (code + b"-more\r\n") * 40 + code + b" ok\r\n",
    "a continuation without text": lambda code: code + b"-\r\n" + code + b"\r\n",
    "UTF-8": lambda code: code + " grüße €\r\n".encode(),
    "what is no UTF-8": lambda code: code + b" \xff\xfe\x80\r\n",
    "control characters": lambda code: code + b" \x1b]0;title\x07 \x9b31m\r\n",
    "an enhanced code of another class": lambda code: code + b" 5.7.1 ok\r\n",
    "an enhanced code beyond all numbers": lambda code: code + b" 2.99999999999999999999.1 ok\r\n",
    "format characters": lambda code: code + b" %s%n%d\r\n",
    "a long line": lambda code: code + b" " + b"x" * 1500 + b"\r\n",
}


@pytest.mark.parametrize("what", STRANGE_BUT_GOOD)
def test_a_strange_spelling_is_understood(what, run):
    accepted = []

    def script(peer):
        peer.send(STRANGE_BUT_GOOD[what](b"220"))
        while (verb := peer.line().split(b" ")[0].decode()) != "QUIT":
            peer.send(STRANGE_BUT_GOOD[what](b"354" if verb == "DATA" else b"250"))
            if verb == "DATA":
                accepted.append(read_content(peer))
                peer.send(STRANGE_BUT_GOOD[what](b"250"))

    run(script).wait_empty()
    assert len(accepted) == 1


def test_a_reply_in_single_octets_is_understood(make_smarthost, make_host):
    server = make_smarthost(rule=["end dribble 5", "RCPT dribble 5", "EHLO dribble 1"])
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_empty()
    assert len(server.messages()) == 1


def test_a_greeting_that_comes_octet_by_octet_does_not_outlast_the_deadline(make_smarthost, make_host):
    server = make_smarthost(rule=["banner/1 dribble 250"])
    host = make_host(server, block={"command_timeout": SHORT_WAIT}, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_log("paused=.*no answer")
    host.wait_empty()
    assert len(server.messages()) == 1


def refuse_recipient(text, times):
    """A script that answers to the first RCPTs with text."""
    seen = []

    def script(peer):
        peer.send(b"220 ok\r\n")
        while (verb := peer.line().split(b" ")[0].decode()) != "QUIT":
            bad = verb == "RCPT" and len(seen) < times
            seen.extend(["RCPT"] if bad else [])
            peer.send(text if bad else b"354 go\r\n" if verb == "DATA" else b"250 ok\r\n")
            if verb == "DATA":
                read_content(peer)
                peer.send(b"250 ok\r\n")

    return script


def test_no_control_character_of_a_reply_reaches_mailq_or_log(run):
    reply = b"451-4.7.1 \x1b]0;pwned\x07\x08\x7f\r\n451 4.7.1 \xc2\x9b31m\xe2\x80\xae bidi \xff\r\n"
    host = run(refuse_recipient(reply, 10**6))
    shown = host.wait_mailq("pwned") + host.log() + harness.text(host.spool / "state" / "journal")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ufffd]", shown), repr(shown)


def test_no_reply_can_forge_a_line_of_log_or_journal(run):
    reply = b"451-4.7.1 no\rrelayd: forged=1\r\n451-4.7.1 00000000 1 aaaaaaaaaaaaaaaaaaaaaaaaaa * done\r\n451 x\r\n"
    host = run(refuse_recipient(reply, 10**6))
    host.wait_mailq("forged=1")
    assert not re.search("^relayd: forged", host.log(), re.M)
    lines = (host.spool / "state" / "journal").read_bytes().splitlines()
    assert lines and all(re.match(rb"[0-9a-f]{8} \d+ [0-9a-z]{26} ", line) for line in lines)


def test_an_absurd_enhanced_code_bounces_with_a_plain_status(run):
    host = run(refuse_recipient(b"550 5.999999999999.1 no\r\n", 1))
    host.wait_empty()
    assert re.search("status=bounced", host.log())


def test_a_reply_ahead_of_its_command_is_no_yes_to_the_content(run):
    """The 250 behind the 354 was sent before the message was."""
    refused = []

    def script(peer):
        peer.send(b"220 ok\r\n")
        while (verb := peer.line().split(b" ")[0].decode()) != "QUIT":
            early = verb == "DATA" and not refused
            peer.send(b"354 go\r\n250 ok\r\n" if early else b"354 go\r\n" if verb == "DATA" else b"250 ok\r\n")
            if verb == "DATA":
                refused.append(early)
                read_content(peer)  # the first time none comes: the connection closes
                peer.send(b"451 not so\r\n" if early else b"250 ok\r\n")

    host = run(script)
    host.wait_empty()
    assert refused[:1] == [True] and len(refused) > 1


# the login

SMTPS = {}


def login(mechanisms, dialogue):
    """A script over TLS whose AUTH is a function of the peer and the words of the command; EHLO offers mechanisms."""
    seen = []

    def script(peer):
        peer.start_tls()
        peer.send(b"220 ok\r\n")
        while True:
            words = peer.line().split(b" ")
            seen.append(words[0])
            if words[0] == b"AUTH":
                dialogue(peer, words)
            else:
                peer.send(b"250-ok\r\n250 AUTH " + mechanisms + b"\r\n")

    script.seen = seen
    return script


def challenge(peer, text):
    peer.send(b"334 " + base64.b64encode(text) + b"\r\n")


def first_message(words, iterations=b"4096"):
    nonce = re.search(rb"r=([^,]+)", base64.b64decode(words[2]))[1]
    return b"r=" + nonce + b"server,s=c2FsdA==,i=" + iterations


def scram_yes_at_once(peer, words):
    peer.send(b"235 2.7.0 welcome\r\n")


def scram_yes_without_proof(peer, words):
    challenge(peer, first_message(words))
    peer.line()
    peer.send(b"235 2.7.0 welcome\r\n")


def scram_wrong_proof(peer, words):
    challenge(peer, first_message(words))
    peer.line()
    challenge(peer, b"v=" + base64.b64encode(b"x" * 32))
    peer.line()
    peer.send(b"235 2.7.0 welcome\r\n")


def scram_other_nonce(peer, words):
    challenge(peer, b"r=somebodyelse,s=c2FsdA==,i=4096")
    peer.line()
    peer.send(b"235 2.7.0 welcome\r\n")


def scram_endless_computation(peer, words):
    challenge(peer, first_message(words, b"2147483647"))
    peer.line()
    peer.send(b"235 2.7.0 welcome\r\n")


def scram_zero_iterations(peer, words):
    challenge(peer, first_message(words, b"0"))
    peer.line()
    peer.send(b"235 2.7.0 welcome\r\n")


def answer_with(*replies):
    def dialogue(peer, words):
        for reply in replies[:-1]:
            peer.send(reply)
            peer.line()
        peer.send(replies[-1])

    return dialogue


LIES = {
    "235 at once": (b"SCRAM-SHA-256", scram_yes_at_once),
    "235 without proof": (b"SCRAM-SHA-256", scram_yes_without_proof),
    "235 behind a wrong proof": (b"SCRAM-SHA-256", scram_wrong_proof),
    "another nonce": (b"SCRAM-SHA-256", scram_other_nonce),
    "iterations without end": (b"SCRAM-SHA-256", scram_endless_computation),
    "no iterations": (b"SCRAM-SHA-256", scram_zero_iterations),
    "235 at once, SHA-1": (b"SCRAM-SHA-1", scram_yes_at_once),
    "a challenge that is no base64": (b"SCRAM-SHA-256", answer_with(b"334 !!!!\r\n", b"235 ok\r\n")),
    "a challenge without text": (b"SCRAM-SHA-256", answer_with(b"334\r\n", b"235 ok\r\n")),
    "a challenge of one sign": (b"SCRAM-SHA-256", answer_with(b"334 =\r\n", b"235 ok\r\n")),
    "a megabyte of challenge": (b"SCRAM-SHA-256", answer_with(b"334 " + b"QUFB" * 262144 + b"\r\n")),
    "250 in place of 235": (b"PLAIN", answer_with(b"250 ok\r\n")),
    "334 for ever": (b"LOGIN", answer_with(*[b"334 VXNlcm5hbWU6\r\n"] * 40, b"235 ok\r\n")),
    "more questions than the mechanism has": (b"PLAIN", answer_with(b"334 aGE=\r\n", b"235 ok\r\n")),
    "235 to the user name": (b"LOGIN", answer_with(b"334 VXNlcm5hbWU6\r\n", b"235 ok\r\n")),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_login_that_proves_nothing_gets_no_message(lie, run):
    script = login(*LIES[lie])
    host = run(script, "smtps", SMTPS)
    host.wait_log("paused=")
    assert b"MAIL" not in script.seen and b"AUTH" in script.seen
    assert len(host.queue_files()) == 1 and host.queue_files()[0][:12] in host.mailq()
    assert "s3cret" not in host.log()


def test_offers_without_end_leave_none_of_ours_out(run):
    """A capability list of many lines with unknown words, and long ones, around the one that counts."""
    noise = b"".join(b"250-X-WORD-%d %s\r\n" % (number, b"x" * 300) for number in range(60))

    def script(peer):
        peer.start_tls()
        peer.send(b"220 ok\r\n")
        while (verb := peer.line().split(b" ")[0]) != b"QUIT":
            if verb == b"DATA":
                peer.send(b"354 go\r\n")
                read_content(peer)
            peer.send(b"235 ok\r\n" if verb == b"AUTH" else noise + b"250-AUTH PLAIN\r\n" + b"250 ok\r\n"
                      if verb == b"EHLO" else b"250 ok\r\n")

    run(script, "smtps", SMTPS).wait_empty()
