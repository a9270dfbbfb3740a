"""Which smarthost gets which message, how many, and how fast."""

import re
import time

import pytest

import harness

MESSAGE = b"Subject: hello\n\nhello\n"
QUICK = {"retry_interval": "100ms 200ms", "reconnect_interval": "50ms 100ms", "in_doubt_interval": "200ms"}
PATIENT = {**QUICK, "retry_interval": "1h 2h", "in_doubt_interval": "1h"}
# an open connection is used until it is closed
PAUSED = {**QUICK, "reconnect_interval": "1h 1h"}
CLEAR = {"tls": "none", "user": None, "password": None, "tls_trust_file": None}
BOB = "bob@example.test"
ANN, BEN = "ann@a.test", "ben@b.test"
LATER = "RCPT~ann reply 451 4.7.1 later"


@pytest.fixture
def make_routed(make_host):
    """make_routed((server, {"for": ...}), ..., **host_wide): a host with a block for each."""

    def make(*blocks, **settings):
        host = make_host()
        host.configure([host.smarthost_block(server, **block) for server, block in blocks], **(settings or QUICK))
        return host

    return make


@pytest.fixture
def pair(make_smarthost, make_routed):
    """Two smarthosts: one carries what goes to a.test, the other what goes to b.test; the first gets the rule."""

    def make(*rules, **settings):
        one, two = make_smarthost(rule=list(rules)), make_smarthost()
        host = make_routed((one, {"for": "to:@a.test"}), (two, {"for": "to:@b.test"}), **settings)
        host.start_relayd()
        return host, one, two

    return make


def recipients(server):
    return sorted(recipient for mail in server.messages() for recipient in mail.recipients)


def senders(server):
    return sorted(mail.sender for mail in server.messages())


def connections(server):
    return len(set(re.findall(r"^(\d+) S: 220 ", server.transcript(), re.M)))


# for


def test_each_account_carries_its_own_mail(make_smarthost, make_routed):
    one, two = make_smarthost(), make_smarthost()
    host = make_routed((one, {"for": "web@one.test @sub.one.test"}), (two, {"for": "@.two.test"}))
    host.start_relayd()
    for sender in ["web@one.test", "WEB@One.Test", "x@sub.one.test", "x@two.test", "x@deep.two.test"]:
        host.submit(MESSAGE, BOB, sender=sender)
    host.wait_empty()
    assert senders(one) == ["WEB@One.Test", "web@one.test", "x@sub.one.test"]
    assert senders(two) == ["x@deep.two.test", "x@two.test"]


def test_a_block_without_for_carries_the_rest(make_smarthost, make_routed):
    one, two = make_smarthost(), make_smarthost()
    host = make_routed((one, {"for": "@one.test"}), (two, {}))
    host.start_relayd()
    for sender in ["x@one.test", "x@two.test"]:
        host.submit(MESSAGE, BOB, sender=sender)
    host.wait_empty()
    assert senders(one) == ["x@one.test"] and senders(two) == ["x@two.test"]


def test_a_bounce_goes_the_way_of_the_mail_of_whom_it_is_for(make_smarthost, make_routed):
    one, two = make_smarthost(), make_smarthost(rule="RCPT~bob reply 550 5.1.1 no such user")
    host = make_routed((one, {"for": "@one.test"}), (two, {"for": "@two.test"}))
    host.start_relayd()
    host.submit(MESSAGE, BOB, sender="x@two.test")
    host.wait_empty()
    assert recipients(one) == [] and recipients(two) == ["x@two.test"]


def test_the_null_sender_has_a_pattern(make_smarthost, make_routed):
    one, two = make_smarthost(), make_smarthost()
    host = make_routed((one, {"for": "<>"}), (two, {}))
    host.start_relayd()
    host.submit(MESSAGE, BOB, sender="")
    host.submit(MESSAGE, BOB)
    host.wait_empty()
    assert senders(one) == [""] and senders(two) == ["alice@example.test"]


def test_mail_that_nobody_carries_is_held_until_somebody_does(smarthost, make_routed):
    host = make_routed((smarthost, {"for": "@one.test"}), **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, BOB, sender="x@two.test")
    host.wait_mailq(r"  held  .*\n(.*\n)*.*no smarthost carries mail from <x@two\.test> to <bob@example\.test>")
    host.configure([host.smarthost_block(smarthost, **{"for": "@two.test"})], **QUICK)
    host.reload()
    host.wait_empty()
    assert senders(smarthost) == ["x@two.test"]


def test_what_was_held_goes_when_relayd_starts_with_another_configuration(smarthost, make_routed):
    host = make_routed((smarthost, {"for": "@one.test"}), **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, BOB, sender="x@two.test")
    host.wait_mailq("  held  ")
    host.stop_relayd()
    host.configure([host.smarthost_block(smarthost)], **QUICK)
    host.start_relayd()
    host.wait_empty()


def test_what_was_held_for_another_reason_stays_held(make_smarthost, make_host):
    server = make_smarthost(rule="MAIL reply 553 5.7.1 no smarthost carries mail from you")
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    host.wait_mailq("  held  ")
    host.reload()
    host.wait_log("configuration read")
    assert "  held  " in host.mailq()


# parts


def test_the_parts_of_a_message_go_to_their_smarthosts(pair):
    host, one, two = pair()
    host.submit(MESSAGE, ANN, BEN, "amy@a.test")
    host.wait_empty()
    assert recipients(one) == ["amy@a.test", ANN] and recipients(two) == [BEN]


@pytest.mark.parametrize("rule", ["RCPT~ann reply 451 4.7.1 later", "end accept-then-drop", "MAIL reply 553 5.7.1 no"])
def test_what_one_smarthost_does_not_take_keeps_nothing_from_the_other(rule, pair):
    host, one, two = pair(rule)
    host.submit(MESSAGE, ANN, BEN)
    two.wait_messages()
    assert recipients(two) == [BEN] and len(host.queue_files()) == 1


def test_a_deferred_part_is_tried_again_alone(pair):
    host, one, two = pair("RCPT/1-3~ann reply 451 4.7.1 later")
    host.submit(MESSAGE, ANN, BEN)
    host.wait_empty()
    assert recipients(one) == [ANN] and recipients(two) == [BEN]
    assert len(re.findall(r"RCPT TO:<ann@", one.transcript())) == 4


def test_a_deferred_part_waits_its_own_time(pair):
    host, one, two = pair(LATER, **PATIENT)
    host.submit(MESSAGE, ANN, BEN)
    two.wait_messages()
    assert "later" in host.wait_mailq("  deferred  (.|\n)* next attempt  2")
    assert one.transcript().count("RCPT TO:<ann@") == 1


def test_parts_that_are_all_deferred_are_one_attempt(make_smarthost, make_routed):
    one, two = (make_smarthost(rule="RCPT reply 451 4.7.1 later") for _ in range(2))
    host = make_routed((one, {"for": "to:@a.test"}), (two, {"for": "to:@b.test"}), **PATIENT)
    host.start_relayd()
    host.submit(MESSAGE, ANN, BEN)
    journal = host.spool / "state" / "journal"
    attempts = host.wait_for(lambda: re.findall(r" deferred (\d+) .*\n(?:.*\n)*.* deferred (\d+) ", harness.text(journal)), what="both")
    assert attempts == [("1", "1")]


def test_a_part_that_waits_for_its_smarthost_does_not_keep_back_the_other(make_smarthost, make_routed):
    one, two = make_smarthost(), make_smarthost(rule="RCPT/1~ben reply 451 4.7.1 later")
    one.stop()
    host = make_routed((one, {"for": "to:@a.test"}), (two, {"for": "to:@b.test"}), **PAUSED)
    host.start_relayd()
    host.submit(MESSAGE, ANN, BEN)
    two.wait_messages()
    assert recipients(two) == [BEN]
    one.start()
    host.reload()
    host.wait_empty()
    assert recipients(one) == [ANN] and recipients(two) == [BEN]


def test_a_reload_ends_the_wait_of_parts(make_smarthost, make_routed):
    one, two = make_smarthost(), make_smarthost(rule="RCPT/1~ben reply 451 4.7.1 later")
    one.stop()
    settings = {**PAUSED, "retry_interval": "1h 2h"}
    host = make_routed((one, {"for": "to:@a.test"}), (two, {"for": "to:@b.test"}), **settings)
    host.start_relayd()
    host.submit(MESSAGE, ANN, BEN)
    host.wait_log(f"to=<{BEN}> status=deferred")
    host.wait_log(r"smarthost=\S* paused=.*cannot connect")
    one.start()
    host.reload()
    host.wait_empty()
    assert recipients(one) == [ANN] and recipients(two) == [BEN]


def test_a_part_whose_smarthost_fails_does_not_keep_back_what_was_deferred(make_smarthost, make_routed):
    one, two = make_smarthost(rule="RCPT/1 reply 451 4.7.1 later"), make_smarthost(rule="banner stall")
    host = make_routed((one, {"for": "to:@a.test"}), (two, {"for": "to:@b.test"}), **PAUSED)
    host.start_relayd()
    host.submit(MESSAGE, ANN, BEN)
    host.wait_for(lambda: "rule: stall at banner" in two.transcript(), what="the other part waits")
    two.stop()
    one.wait_messages()
    assert recipients(one) == [ANN]


def test_parts_that_are_done_stay_done_when_relayd_is_killed(pair):
    host, one, two = pair("RCPT/1~ann reply 451 4.7.1 later", **PATIENT)
    host.submit(MESSAGE, ANN, BEN)
    host.wait_log(f"to=<{BEN}> status=delivered")
    assert BEN not in host.mailq()  # answered behind the line in the journal
    host.kill_relayd()
    host.start_relayd()
    assert host.spoolctl("retry", "all").returncode == 0
    host.wait_empty()
    assert recipients(one) == [ANN] and recipients(two) == [BEN]


def test_sendmail_waits_for_the_outcomes_of_all_parts(pair):
    host, *_ = pair()
    said = host.submit(MESSAGE, ANN, BEN, options=["-v"]).stderr.decode()
    assert {line.split(":")[1] for line in said.splitlines()} == {f" <{ANN}>", f" <{BEN}>"}


def test_the_rest_of_a_message_that_nobody_carries_is_held(pair):
    host, one, two = pair()
    host.submit(MESSAGE, ANN, BOB)
    host.wait_mailq(r"  held  .*\n(.*\n)*.*no smarthost carries mail from <alice@example\.test> to <bob@example\.test>")
    assert recipients(one) == [ANN]


def test_a_smarthost_that_pauses_holds_up_no_mail_of_others(make_smarthost, make_routed):
    one, two = make_smarthost(), make_smarthost()
    one.stop()
    host = make_routed((one, {"for": "to:@a.test"}), (two, {"for": "to:@b.test"}), **PAUSED)
    for _ in range(30):
        host.submit(MESSAGE, ANN)
    host.submit(MESSAGE, BEN)
    host.start_relayd()
    two.wait_messages()
    host.submit(MESSAGE, BEN)
    two.wait_messages(2)
    host.wait_for(lambda: host.mailq().count(f"smarthost localhost:{one.port}: cannot connect") == 30, what="they wait")
    said = host.submit(MESSAGE, ANN, options=["-v"]).stderr.decode()
    assert re.match(rf"sendmail: waits for smarthost localhost:{one.port}: ", said)
    one.start()
    host.reload()
    host.wait_empty()
    assert recipients(one) == [ANN] * 31


def test_messages_that_wait_are_not_read_again_and_again(make_smarthost, make_routed):
    one, two = make_smarthost(), make_smarthost()
    one.stop()
    host = make_routed((one, {"for": "to:@a.test"}), (two, {"for": "to:@b.test"}), **PAUSED)
    for _ in range(5):
        host.submit(MESSAGE, ANN)
    host.start_relayd()
    host.wait_log("paused=")
    for name in host.queue_files():
        (host.spool / "queue" / name).chmod(0)
    for _ in range(5):
        host.submit(MESSAGE, BEN)
    host.wait_queue(5)
    assert "corrupt" not in host.log()
    host.reload()
    host.wait_log("status=corrupt")


@pytest.mark.parametrize("block", [{"for": "*"}, {"for": "*", "rate": "1/d"}])
def test_mail_that_waits_wakes_nobody(block, make_smarthost, make_routed):
    """Neither for a smarthost that pauses nor for its rate."""
    server = make_smarthost()
    host = make_routed((server, block), **PAUSED)
    host.start_relayd()
    if "rate" in block:
        host.submit(MESSAGE, ANN)
        server.wait_messages()
        host.wait_empty()
    else:
        server.stop()
    host.submit(MESSAGE, BOB)
    host.wait_mailq(rf"waits for  *smarthost localhost:{server.port}: {'it has as many' if 'rate' in block else ''}")

    def switches():
        return re.search(r"^voluntary_ctxt_switches:\s+(\d+)", harness.text(f"/proc/{host.relayd.pid}/status"), re.M)[1]

    before = host.wait_for(lambda: [switches(), time.sleep(0.2)][0] == switches() and switches(), what="relayd sleeps")
    time.sleep(0.5)
    assert switches() == before


# health


def submit_until(host, condition, what):
    """One message after the other, so that there is always something due."""

    def send():
        host.submit(MESSAGE, "again@example.test")
        return condition()

    host.wait_for(send, what=what)


def test_fail_over_and_back_while_the_other_is_still_connected(make_smarthost, make_host):
    one, two = make_smarthost(), make_smarthost()
    one.stop()
    host = make_host([one, two], block={"idle_timeout": "1h"}, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    host.wait_empty()
    assert recipients(two) == [BOB]
    one.start()
    submit_until(host, one.messages, "the first one has mail again")
    host.wait_empty()
    before = len(two.messages())
    for number in range(3):
        host.submit(MESSAGE, f"user{number}@example.test")
    host.wait_empty()
    assert len(two.messages()) == before and connections(two) == 1


def test_mail_waits_a_moment_for_a_smarthost_that_is_tried_again(make_smarthost, make_host):
    one, two = make_smarthost(user=None, password=None), make_smarthost(user=None, password=None)
    one.stop()
    host = make_host([one, two], block={**CLEAR, "idle_timeout": "1h"}, **PAUSED)
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    host.wait_empty()
    one.start()
    assert host.spoolctl("retry", "all").returncode == 0
    host.submit(MESSAGE, ANN)
    host.wait_empty()
    assert recipients(one) == [ANN] and recipients(two) == [BOB]


@pytest.mark.parametrize("idle_timeout", ["1h", "0s"])
def test_a_first_smarthost_that_says_nothing_delays_no_mail(idle_timeout, make_smarthost, make_host):
    """Neither for an open connection to the second one, nor if that has to be made."""
    one, two = make_smarthost(rule="banner stall"), make_smarthost()
    one.stop()
    host = make_host([one, two], block={"idle_timeout": idle_timeout, "command_timeout": "10m"}, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    host.wait_empty()
    one.start()
    submit_until(host, lambda: "rule: stall at banner" in one.transcript(), "the first one is tried again")
    host.wait_empty()
    host.submit(MESSAGE, "late@example.test")
    host.wait_empty()
    assert one.messages() == [] and "late@example.test" in recipients(two)


def test_a_first_smarthost_that_is_only_slow_keeps_its_mail(make_smarthost, make_host):
    one, two = make_smarthost(rule="banner delay 1500"), make_smarthost()
    host = make_host([one, two], **QUICK)
    host.start_relayd()
    for number in range(20):
        host.submit(MESSAGE, f"user{number}@example.test")
    host.wait_empty()
    assert len(one.messages()) == 20 and two.messages() == []


def test_while_all_pause_mail_waits(make_smarthost, make_host):
    one, two = make_smarthost(), make_smarthost()
    one.stop(), two.stop()
    host = make_host([one, two], **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, BOB)
    host.wait_mailq("waits for")
    two.start()
    host.wait_empty()
    assert recipients(two) == [BOB]


# how many, and how fast


def test_a_connection_has_no_more_messages_than_it_may(make_smarthost, make_host):
    server = make_smarthost()
    host = make_host(server, block={"messages_per_connection": 10, "connections": 1}, **QUICK)
    for number in range(35):
        host.submit(MESSAGE, f"user{number}@example.test")
    host.start_relayd()
    host.wait_empty()
    per_connection = [int(n) for n in re.findall(r"closed: \d+ commands, (\d+) messages", server.transcript())]
    assert len(server.messages()) == 35 and connections(server) == 4 and set(per_connection) == {10}


def test_a_smarthost_that_closes_after_some_messages_is_left_before(make_smarthost, make_host):
    server = make_smarthost(rule=[f"MAIL/{n} reply 421 4.3.2 enough" for n in (4, 8, 12)])
    host = make_host(server, block={"connections": 1, "window": 1}, **QUICK)
    for number in range(30):
        host.submit(MESSAGE, f"user{number}@example.test")
    host.start_relayd()
    host.wait_empty()
    assert len(server.messages()) == 30
    assert "closes connections after 3 messages" in host.log()
    assert "rule: reply at MAIL" in server.transcript()
    per_connection = [int(n) for n in re.findall(r"closed: \d+ commands, (\d+) messages", server.transcript())]
    assert set(per_connection) == {3}, per_connection


def test_no_more_messages_than_the_rate_allows(make_smarthost, make_routed):
    one, two = make_smarthost(), make_smarthost()
    host = make_routed((one, {"for": "to:@a.test", "rate": "5/d"}), (two, {}))
    for number in range(8):
        host.submit(MESSAGE, f"user{number}@a.test")
    host.start_relayd()
    one.wait_messages(5)
    host.reload()
    for number in range(3):
        host.submit(MESSAGE, BEN)
        two.wait_messages(number + 1)
    host.wait_queue(3)
    assert len(one.messages()) == 5 and connections(one) == 1


def test_a_limit_that_the_smarthost_states_is_learned(make_smarthost, make_host):
    server = make_smarthost(rule=[f"MAIL/{n} reply 451 4.3.0 too many messages in this connection" for n in (4, 8, 12)])
    host = make_host(server, block={"connections": 1, "window": 1}, **PAUSED)
    for number in range(20):
        host.submit(MESSAGE, f"user{number}@example.test")
    host.start_relayd()
    host.wait_empty()
    assert "closes connections after 3 messages" in host.log() and "paused=" not in host.log()
    assert len(server.messages()) == 20 and connections(server) == 7


def test_a_connection_that_ends_while_it_is_idle_teaches_nothing(make_smarthost, make_host):
    server = make_smarthost()
    host = make_host(server, block={"idle_timeout": "0s"}, **QUICK)
    host.start_relayd()
    for number in range(5):
        host.submit(MESSAGE, f"user{number}@example.test")
        host.wait_empty()
    assert "closes connections" not in host.log()


def test_a_rate_goes_on_when_its_time_is_over(make_smarthost, make_host):
    server = make_smarthost()
    host = make_host(server, block={"rate": "3/s"}, **QUICK)
    for number in range(8):
        host.submit(MESSAGE, f"user{number}@example.test")
    start = time.monotonic()
    host.start_relayd()
    host.wait_empty()
    assert time.monotonic() - start > 2 and len(server.messages()) == 8


def test_a_throttle_halves_the_rate(make_smarthost, make_host):
    server = make_smarthost(rule="MAIL/3 reply 421 4.7.0 too fast")
    host = make_host(server, block={"rate": "8/d", "connections": 1, "window": 1}, **QUICK)
    for number in range(8):
        host.submit(MESSAGE, f"user{number}@example.test")
    host.start_relayd()
    host.wait_log("at most 1 connections and 4 messages")
    server.wait_messages(4)
    host.mailq()
    host.wait_queue(4)
    assert len(server.messages()) == 4
