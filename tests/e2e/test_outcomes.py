"""What the replies to a message lead to: delivered, deferred, returned, held, failed, in doubt."""

import email
import re

import pytest

import harness

MESSAGE = b"Subject: hello\nMessage-ID: <hello@example.test>\n\nhello\n"
QUICK = {"retry_interval": "100ms 200ms", "reconnect_interval": "50ms 100ms", "in_doubt_interval": "200ms"}
SLOW = {**QUICK, "retry_interval": "1h 2h"}
REFUSE = "RCPT~bad reply 550 5.1.1 no such user"
DEFER = "RCPT~later reply 451 4.7.1 greylisted"


def recipients(server):
    """All recipients of all accepted messages."""
    return sorted(recipient for mail in server.messages() for recipient in mail.recipients)


def bounces(server):
    return [email.message_from_bytes(mail.content) for mail in server.messages() if mail.sender == ""]


def bounce_parts(bounce):
    """The text, the list of status groups, the returned part."""
    assert bounce.get_content_type() == "multipart/report" and bounce.get_param("report-type") == "delivery-status"
    text, status, returned = bounce.get_payload()
    assert not bounce.defects and text.get_content_type() == "text/plain"
    assert status.get_content_type() == "message/delivery-status"
    return text, status.get_payload(), returned


def bounce_of(make_smarthost, make_host, message=MESSAGE, to=("bad@example.test",), options=()):
    """The only bounce for a message to refused recipients."""
    server = make_smarthost(rule=[REFUSE, DEFER])
    host = make_host(server, **SLOW)
    host.start_relayd()
    host.submit(message, *to, options=options)
    server.wait_messages(1)
    host.wait_empty()
    [bounce] = bounces(server)
    return bounce


# mixed recipients


@pytest.mark.parametrize("without", ["", "PIPELINING"])
@pytest.mark.parametrize("ending", ["reply 421 4.7.0 too many errors", "drop"])
def test_a_refused_recipient_is_returned_though_the_connection_ends_behind_it(ending, without, make_smarthost, make_host):
    """Servers end it after a number of refused recipients: without progress they would do so for ever."""
    server = make_smarthost(rule=[REFUSE, f"RCPT~last {ending}"], without=without or None)
    host = make_host(server, **SLOW)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test", "bad@example.test", "last@example.test")
    server.wait_messages(1)
    [bounce] = bounces(server)
    assert [group["Final-Recipient"] for group in bounce_parts(bounce)[1][1:]] == ["rfc822;bad@example.test"]
    listing = host.wait_mailq("too many errors" if "421" in ending else "closed the connection")
    assert "bob@" in listing and "last@" in listing and "bad@" not in listing


@pytest.mark.parametrize("without", ["", "PIPELINING"])
def test_each_recipient_has_an_outcome_of_its_own(without, make_smarthost, make_host):
    server = make_smarthost(rule=[REFUSE, DEFER], without=without or None)
    host = make_host(server, **SLOW)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test", "bad@example.test", "later@example.test", "carol@example.test")
    listing = host.wait_mailq("451 4.7.1 greylisted")
    assert "later@example.test" in listing and "bob@" not in listing and "bad@" not in listing
    server.wait_messages(2)
    assert recipients(server) == ["alice@example.test", "bob@example.test", "carol@example.test"]
    host.wait_queue(1)


def test_a_deferred_recipient_alone_is_tried_again(make_smarthost, make_host):
    server = make_smarthost(rule="RCPT/1-3~later reply 451 4.7.1 greylisted")
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test", "later@example.test")
    host.wait_empty()
    assert [mail.recipients for mail in server.messages()] == [["bob@example.test"], ["later@example.test"]]


def test_all_recipients_refused_sends_no_content(make_smarthost, make_host):
    server = make_smarthost(rule=REFUSE)
    host = make_host(server, **SLOW)
    host.start_relayd()
    host.submit(MESSAGE, "bad1@example.test", "bad2@example.test")
    host.wait_empty()
    assert recipients(server) == ["alice@example.test"]
    assert [group["Final-Recipient"] for group in bounce_parts(bounces(server)[0])[1][1:]] == [
        "rfc822;bad1@example.test",
        "rfc822;bad2@example.test",
    ]


def test_a_refusal_of_the_content_counts_for_all_recipients(make_smarthost, make_host):
    server = make_smarthost(rule="end/1 reply 554 5.7.1 looks like spam")
    host = make_host(server, **SLOW)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test", "carol@example.test")
    host.wait_empty()
    assert recipients(server) == ["alice@example.test"]
    groups = bounce_parts(bounces(server)[0])[1][1:]
    assert [group["Status"] for group in groups] == ["5.7.1", "5.7.1"]


@pytest.mark.parametrize("without", ["", "PIPELINING"])
@pytest.mark.parametrize("code", ["452 4.5.3", "452"])
def test_too_many_recipients_for_one_transaction_go_in_several(code, without, make_smarthost, make_host):
    server = make_smarthost(rule=f"RCPT/51-120 reply {code} too many recipients", without=without or None)
    host = make_host(server, **QUICK)
    wanted = sorted(f"user{number}@example.test" for number in range(120))
    host.submit(MESSAGE, *wanted)
    host.start_relayd()
    host.wait_empty()
    assert recipients(server) == wanted


@pytest.mark.parametrize("without", ["", "PIPELINING"])
def test_a_thousand_recipients_of_three_kinds(without, make_smarthost, make_host):
    server = make_smarthost(rule=[REFUSE, "RCPT/1-333~later reply 450 4.2.1 too much mail"], without=without or None)
    host = make_host(server, **QUICK)
    kinds = {kind: [f"{kind}{number}@example.test" for number in range(333)] for kind in ["good", "bad", "later"]}
    host.submit(MESSAGE, *[name for names in zip(*kinds.values()) for name in names])
    host.start_relayd()
    host.wait_empty()
    assert recipients(server) == sorted([*kinds["good"], *kinds["later"], "alice@example.test"])
    groups = bounce_parts(bounces(server)[0])[1][1:]
    assert sorted(group["Final-Recipient"] for group in groups) == sorted(f"rfc822;{name}" for name in kinds["bad"])


def test_many_recipients_partly_done_survive_a_kill(make_smarthost, make_host):
    """Those done get no second copy, beyond the 64 recipients that fit into one word, too."""
    server = make_smarthost(rule="RCPT/1-100~late reply 451 4.7.1 greylisted")
    host = make_host(server, **SLOW)
    names = [f"user{number}" if number % 2 else f"late{number}" for number in range(200)]
    host.submit(MESSAGE, *[f"{name}@example.test" for name in names])
    host.start_relayd()
    host.wait_mailq("  deferred  ")
    assert len(recipients(server)) == 100
    host.kill_relayd()
    host.start_relayd()
    host.spoolctl("retry", "all")
    host.wait_empty()
    assert recipients(server) == sorted(f"{name}@example.test" for name in names)


# bounces


def test_a_bounce_has_all_fields_of_a_delivery_status_notification(make_smarthost, make_host):
    to = ["bad@example.test"]
    bounce = bounce_of(make_smarthost, make_host, to=to, options=["-V", "QQ314159"])
    assert bounce["To"] == "<alice@example.test>" and bounce["Auto-Submitted"] == "auto-replied"
    assert bounce["From"] and bounce["Date"] and bounce["Message-ID"] and bounce["MIME-Version"] == "1.0"
    text, [whole, group], returned = bounce_parts(bounce)
    assert whole["Reporting-MTA"] == "dns;host.example.test" and whole["Arrival-Date"]
    assert whole["Original-Envelope-Id"] == "QQ314159"
    assert group["Final-Recipient"] == "rfc822;bad@example.test" and group["Action"] == "failed"
    assert group["Status"] == "5.1.1" and group["Diagnostic-Code"] == "smtp;550 5.1.1 no such user"
    assert group["Remote-MTA"] == "dns;localhost"
    assert "550 5.1.1 no such user" in text.get_payload() and "bad@example.test" in text.get_payload()
    assert returned.get_payload()[0]["Message-ID"] == "<hello@example.test>"


def test_a_bounce_has_the_null_sender(make_smarthost, make_host):
    server = make_smarthost(rule=REFUSE)
    host = make_host(server, **SLOW)
    host.start_relayd()
    host.submit(MESSAGE, "bad@example.test")
    host.wait_empty()
    assert "C: MAIL FROM:<>" in server.transcript()


def test_a_small_message_is_returned_whole(make_smarthost, make_host):
    body = "".join(f"line {number}\n.\n" for number in range(1000))
    bounce = bounce_of(make_smarthost, make_host, MESSAGE + body.encode())
    returned = bounce_parts(bounce)[2]
    assert returned.get_content_type() == "message/rfc822"
    assert returned.get_payload()[0].get_payload().replace("\r\n", "\n") == "hello\n" + body


def test_ret_hdrs_returns_the_header_only(make_smarthost, make_host):
    returned = bounce_parts(bounce_of(make_smarthost, make_host, options=["-R", "hdrs"]))[2]
    assert returned.get_content_type() == "text/rfc822-headers"
    assert "Message-ID: <hello@example.test>" in returned.get_payload() and "\nhello" not in returned.get_payload()


def test_a_message_over_one_megabyte_returns_its_header_only(make_smarthost, make_host):
    message = MESSAGE + b"0123456789abcdef\n" * 70_000
    returned = bounce_parts(bounce_of(make_smarthost, make_host, message, options=["-R", "full"]))[2]
    assert returned.get_content_type() == "text/rfc822-headers"
    assert "Message-ID: <hello@example.test>" in returned.get_payload()
    assert len(returned.get_payload()) < 10_000


def test_a_message_without_a_body_is_returned(make_smarthost, make_host):
    returned = bounce_parts(bounce_of(make_smarthost, make_host, b"Subject: only a header\n"))[2]
    assert returned.get_payload()[0]["Subject"] == "only a header"


def test_a_returned_message_cannot_end_the_report(make_smarthost, make_host):
    """Its lines look like boundaries and status fields."""
    body = b"--\n--x--\nFinal-Recipient: rfc822;forged@example.test\n\nAction: failed\n"
    bounce = bounce_of(make_smarthost, make_host, MESSAGE + body)
    assert len(bounce.get_payload()) == 3 and len(bounce_parts(bounce)[1]) == 2


def test_the_bounce_of_an_8_bit_message_says_so(make_smarthost, make_host):
    server = make_smarthost(rule=REFUSE, strict=True)
    host = make_host(server, **SLOW)
    host.start_relayd()
    host.submit(MESSAGE + "grüße\n".encode(), "bad@example.test")
    host.wait_empty()
    assert "grüße\r\n".encode() in server.messages()[0].content
    assert re.search("MAIL FROM:<> .*BODY=8BITMIME", server.transcript())


def test_notify_never_returns_nothing(make_smarthost, make_host):
    server = make_smarthost(rule=REFUSE)
    host = make_host(server, **SLOW)
    host.start_relayd()
    host.submit(MESSAGE, "bad@example.test", options=["-N", "never"])
    host.wait_empty()
    assert server.messages() == [] and re.search("status=dropped.*550 5.1.1", host.log())


@pytest.mark.parametrize("where", ["MAIL~<>", "RCPT~alice", "end~<>"])
def test_a_bounce_that_is_refused_is_kept_and_shown(where, make_smarthost, make_host):
    server = make_smarthost(rule=[REFUSE, f"{where} reply 554 5.7.1 no"])
    host = make_host(server, **SLOW)
    host.start_relayd()
    host.submit(MESSAGE, "bad@example.test")
    listing = host.wait_mailq(r"  (failed|held)  .*<>\n +to  <alice@example.test>\n +reason  554 5\.7\.1 no")
    host.wait_queue(1)
    assert server.messages() == []
    assert "  failed  " in listing, listing


def test_a_message_of_nobody_that_is_refused_is_kept_and_shown(make_smarthost, make_host):
    server = make_smarthost(rule=REFUSE)
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bad@example.test", "bob@example.test", sender="<>")
    listing = host.wait_mailq("  failed  ")
    assert "550 5.1.1 no such user" in listing and "<bob@example.test>" not in listing
    assert recipients(server) == ["bob@example.test"] and 'status=failed reason="550 5.1.1' in host.log()


def test_what_failed_stays_failed_over_a_restart_and_can_be_removed(make_smarthost, make_host):
    server = make_smarthost(rule=REFUSE)
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bad@example.test", sender="<>")
    host.wait_mailq("  failed  ")
    host.kill_relayd()
    host.start_relayd()
    assert re.search("  failed  .*\n.*\n.*550 5.1.1", host.mailq())
    assert host.spoolctl("remove", host.queue_files()[0][:12]).returncode == 0
    host.wait_empty()
    assert "is empty" in host.mailq()


# the sender


def test_a_refused_sender_holds_the_message(make_smarthost, make_host):
    server = make_smarthost(rule="MAIL/1 reply 550 5.7.60 not allowed to send as alice")
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    assert "5.7.60 not allowed to send as alice" in host.wait_mailq("  held  ")
    assert server.messages() == [] and len(host.queue_files()) == 1
    assert host.spoolctl("retry", host.queue_files()[0][:12]).returncode == 0
    host.wait_empty()
    assert recipients(server) == ["bob@example.test"]


def test_a_held_message_stays_held_over_a_restart(make_smarthost, make_host):
    server = make_smarthost(rule="MAIL/1 reply 550 5.7.60 not allowed to send as alice")
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_mailq("  held  ")
    host.kill_relayd()
    host.start_relayd()
    host.submit(MESSAGE, "carol@example.test")
    server.wait_messages(1)
    assert re.search("  held  .*\n.*bob.*\n.*5.7.60", host.mailq()) and recipients(server) == ["carol@example.test"]


def test_a_refused_sender_bounces_when_that_is_set(make_smarthost, make_host):
    server = make_smarthost(rule="MAIL~alice reply 550 5.7.60 not allowed to send as alice")
    host = make_host(server, block={"on_sender_refused": "bounce"}, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_empty()
    assert bounce_parts(bounces(server)[0])[1][1]["Status"] == "5.7.60"


# later


def test_a_deferral_waits_longer_each_time_and_mailq_says_why(make_smarthost, make_host):
    server = make_smarthost(rule=DEFER)
    host = make_host(server, **{**QUICK, "retry_interval": "100ms 800ms"})
    host.start_relayd()
    host.submit(MESSAGE, "later@example.test")

    def pauses():
        journal = harness.text(host.spool / "state" / "journal")
        return [int(pause) for pause in re.findall(r" (?:0|\*) deferred \d+ \d+ (\d+) 451 ", journal)]

    host.wait_for(lambda: len(pauses()) >= 5, what="five attempts")
    for pause, least in zip(pauses(), [100, 200, 400, 800, 800]):
        assert least - 5 <= pause <= least * 1.25 + 5, pauses()
    host.wait_mailq("451 4.7.1 greylisted")
    assert server.messages() == []


def test_a_deferred_message_keeps_its_turn_over_a_restart(make_smarthost, make_host):
    server = make_smarthost(rule=DEFER)
    host = make_host(server, **SLOW)
    host.start_relayd()
    host.submit(MESSAGE, "later@example.test")
    before = host.wait_mailq("451 4.7.1 greylisted")
    host.kill_relayd()
    host.start_relayd()
    after = host.mailq()
    assert re.search("next attempt  (.*):", before)[1] == re.search("next attempt  (.*):", after)[1]
    assert "451 4.7.1 greylisted" in after and server.transcript().count("C: RCPT") == 1


def expired_bounce(make_smarthost, make_host):
    """Text and status of the bounce for a recipient that was deferred for the whole lifetime."""
    server = make_smarthost(rule=DEFER)
    host = make_host(server, queue_lifetime="1s", **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "later@example.test")
    host.wait_empty()
    [bounce] = bounces(server)
    text, groups, _ = bounce_parts(bounce)
    return text.get_payload(), groups[1]


def test_when_the_lifetime_is_over_the_message_is_returned(make_smarthost, make_host):
    _, status = expired_bounce(make_smarthost, make_host)
    assert status["Action"] == "failed" and status["Status"] == "4.4.7"


def test_the_bounce_at_the_end_of_the_lifetime_says_what_the_server_said_last(make_smarthost, make_host):
    text, status = expired_bounce(make_smarthost, make_host)
    assert "451 4.7.1 greylisted" in text + status["Diagnostic-Code"]


def test_when_the_lifetime_is_over_without_any_connection_the_message_is_returned_too(make_smarthost, make_host):
    server = make_smarthost(rule="banner reply 554 5.3.2 closed")
    host = make_host(server, queue_lifetime="1s", **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_log("status=bounced.*4.4.7")
    listing = host.wait_mailq("<>\n +to  <alice@example.test>")
    assert "bob@example.test" not in listing


@pytest.mark.parametrize("ending", ["drop", "reset", "accept-then-drop"])
def test_a_connection_lost_behind_the_content_leaves_the_message_in_doubt(ending, make_smarthost, make_host):
    server = make_smarthost(rule=f"end/1 {ending}")
    host = make_host(server, **{**QUICK, "in_doubt_interval": "1h"})
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    assert "may have been delivered" in host.wait_mailq("  in doubt  ")
    host.submit(MESSAGE, "carol@example.test")
    host.wait_for(lambda: "carol@example.test" in recipients(server), what="others are not held up")
    assert server.transcript().count("RCPT TO:<bob@example.test>") == 1
    assert "  in doubt  " in host.mailq()


def test_a_message_in_doubt_stays_so_over_a_restart(make_smarthost, make_host):
    server = make_smarthost(rule="end/1 drop")
    host = make_host(server, **{**QUICK, "in_doubt_interval": "1h"})
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_mailq("  in doubt  ")
    host.kill_relayd()
    host.start_relayd()
    assert "  in doubt  " in host.mailq() and server.messages() == []
    assert host.spoolctl("retry", host.queue_files()[0][:12]).returncode == 0
    host.wait_empty()
    assert recipients(server) == ["bob@example.test"]


def test_a_message_in_doubt_is_sent_again_with_the_same_bytes(make_smarthost, make_host):
    server = make_smarthost(rule="end/1 accept-then-drop")
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(b"Subject: without an ID of its own\n\nhello\n", "bob@example.test")
    host.wait_empty()
    one, two = server.messages()
    assert one.content == two.content and one.content.count(b"\r\nMessage-ID: ") == 1


@pytest.mark.parametrize("ending", ["drop", "reset"])
def test_a_connection_lost_before_the_content_is_whole_leaves_no_doubt(ending, make_smarthost, make_host):
    server = make_smarthost(rule=f"content/1 {ending}")
    host = make_host(server, **{**QUICK, "in_doubt_interval": "1h"})
    host.start_relayd()
    host.submit(MESSAGE + b"0123456789abcdef\n" * 2_000_000, "bob@example.test")
    host.wait_empty()
    assert recipients(server) == ["bob@example.test"]


def test_a_refusal_while_the_content_is_still_sent_counts(make_smarthost, make_host):
    server = make_smarthost(rule="content/1 reply 552 5.3.4 too much")
    host = make_host(server, **SLOW)
    host.start_relayd()
    host.submit(MESSAGE + b"0123456789abcdef\n" * 200_000, "bob@example.test")
    host.wait_empty()
    assert bounce_parts(bounces(server)[0])[1][1]["Status"] == "5.3.4"


def test_a_daily_limit_pauses_the_smarthost_and_bounces_nothing(make_smarthost, make_host):
    server = make_smarthost(rule="end/1 reply 550 5.4.5 Daily user sending limit exceeded")
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_log("paused=.*5.4.5 Daily user sending limit")
    host.wait_empty()
    assert recipients(server) == ["bob@example.test"]


def test_a_refusal_that_comes_late_still_returns_the_message_once(make_smarthost, make_host):
    server = make_smarthost(rule=["end/1 reply 550 5.6.0 bad content", "RCPT/1 delay 100", "end/1 delay 100"])
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_empty()
    assert recipients(server) == ["alice@example.test"]


def test_a_message_that_comes_back_again_and_again_is_refused_in_the_end(smarthost, make_host):
    """Who brings it back, a forwarder behind the smarthost, is told, and returns it to its sender."""
    host = make_host(smarthost, **QUICK)
    host.start_relayd()
    content, passed = b"Received: by elsewhere.example\r\n" * 95 + MESSAGE, 0
    while (done := host.sendmail("-i", "-f", "alice@example.test", "bob@example.test", input=content)).returncode == 0:
        passed += 1
        host.wait_empty()
        content = smarthost.messages()[-1].content
    assert done.returncode == 65 and b"5.4.6" in done.stderr and passed == 6 and host.queue_files() == []
