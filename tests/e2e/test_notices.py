"""What senders are told about their mail over time: warnings, confirmations, the second try of a bounce; and what is kept."""

import email
import email.policy
import re
import time

import pytest

import harness

MESSAGE = b"Subject: hello\nMessage-ID: <hello@example.test>\n\nhello\n"
QUICK = {"retry_interval": "100ms 200ms", "reconnect_interval": "50ms 100ms", "in_doubt_interval": "200ms"}
REFUSE = "RCPT~bad reply 550 5.1.1 no such user"
DEFER = "RCPT~later reply 451 4.7.1 greylisted"


def reports(server):
    """Of each report: who gets it, its status groups, the returned part."""
    found = []
    for mail in server.messages():
        if mail.sender == "":
            parsed = email.message_from_bytes(mail.content)
            assert not parsed.defects and parsed.get_content_type() == "multipart/report"
            _, status, returned = parsed.get_payload()
            found.append((mail.recipients, status.get_payload(), returned))
    return found


def one_report(server):
    [report] = reports(server)
    return report


# warnings


def test_a_late_message_is_warned_of_once_even_if_relayd_is_killed(make_smarthost, make_host):
    server = make_smarthost()
    host = make_host(server, delay_warning="1s", **QUICK)
    server.stop()
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test", "carol@example.test", options=["-V", "QQ314159"])
    host.wait_log("status=delayed warning=")
    host.wait_for(lambda: " * warned " in harness.text(host.spool / "state" / "journal"), what="the journal says so")
    host.kill_relayd()
    host.start_relayd()
    host.submit(MESSAGE, "dave@example.test", sender="dave@example.test")
    host.wait_for(lambda: host.log().count("status=delayed") == 2, what="the younger one is warned of, too")
    server.start()
    host.wait_empty()
    found = reports(server)
    assert sorted(to for to, _, _ in found) == [["alice@example.test"], ["dave@example.test"]]
    _, [whole, *groups], returned = [report for report in found if report[0] == ["alice@example.test"]][0]
    assert whole["Original-Envelope-Id"] == "QQ314159" and len(groups) == 2
    for group in groups:
        assert group["Action"] == "delayed" and group["Status"].startswith("4.") and group["Will-Retry-Until"]
        assert group["Last-Attempt-Date"] is None and group["Remote-MTA"] is None
        assert "cannot connect" in group["Diagnostic-Code"]
    assert returned.get_content_type() == "text/rfc822-headers" and "hello@example.test" in returned.get_payload()


def test_a_warning_is_about_those_alone_who_wait(make_smarthost, make_host):
    server = make_smarthost(rule=DEFER)
    host = make_host(server, delay_warning="1s", **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test", "later@example.test")
    server.wait_messages(2)
    _, [_, group], _ = one_report(server)
    assert group["Final-Recipient"] == "rfc822;later@example.test" and group["Last-Attempt-Date"]
    assert group["Status"] == "4.7.1" and group["Diagnostic-Code"] == "smtp;451 4.7.1 greylisted"
    host.wait_mailq("  deferred  ")


def test_only_whoever_wants_a_warning_gets_one(make_smarthost, make_host):
    server = make_smarthost(rule=DEFER)
    host = make_host(server, delay_warning="1s", **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "later1@example.test", sender="<>")
    for number, notify in enumerate(["never", "failure", "success,failure", "delay"], 2):
        host.submit(MESSAGE, f"later{number}@example.test", options=["-N", notify])
    server.wait_messages(1)
    host.submit(MESSAGE, "later6@example.test")
    server.wait_messages(2)
    assert [group["Final-Recipient"] for _, [_, group], _ in reports(server)] == [
        "rfc822;later5@example.test",
        "rfc822;later6@example.test",
    ]


def test_many_late_messages_are_warned_of_in_slices(make_smarthost, make_host):
    host = make_host(make_smarthost(rule=[DEFER, "RCPT/1-500~later reply 451 4.7.1 no"]), delay_warning="1s", **QUICK)
    host.start_relayd()
    for number in range(25):
        host.submit(MESSAGE, f"later{number}@example.test")
    host.wait_for(lambda: host.log().count("status=delayed warning=") == 25, what="25 warnings")
    host.wait_queue(25)
    assert host.log().count("status=delayed warning=") == 25


def test_a_spool_that_takes_no_warning_is_tried_again_without_haste(make_smarthost, make_host):
    host = make_host(make_smarthost(rule=DEFER), delay_warning="1s", **{**QUICK, "retry_interval": "1h 1h"})
    for number in range(12):
        host.submit(MESSAGE, f"later{number}@example.test")
    queue = host.spool / "queue"
    queue.chmod(0o500)
    host.start_relayd()
    host.wait_log("cannot write its warning: .*queue")
    time.sleep(0.5)
    queue.chmod(0o700)
    assert host.log().count("cannot write its warning") == 1 and len(host.queue_files()) == 12


def test_without_the_setting_nobody_is_warned(make_smarthost, make_host):
    server = make_smarthost(rule="RCPT/1-8~later reply 451 4.7.1 greylisted")
    host = make_host(server, **{**QUICK, "retry_interval": "300ms 300ms"})
    host.start_relayd()
    host.submit(MESSAGE, "later@example.test")
    host.wait_empty()
    assert reports(server) == [] and "warning=" not in host.log()


# confirmations


@pytest.mark.parametrize("notify, reported", [("success", True), ("failure,success", True), ("failure", False), (None, False)])
def test_a_smarthost_without_dsn_gives_rise_to_one_confirmation(notify, reported, make_smarthost, make_host):
    server = make_smarthost(without="DSN", rule=REFUSE)
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test", "carol@example.test", options=["-N", notify] if notify else [])
    host.wait_empty()
    if not reported:
        assert reports(server) == []
        return
    to, [_, *groups], returned = one_report(server)
    assert to == ["alice@example.test"] and returned.get_content_type() == "text/rfc822-headers"
    assert [group["Final-Recipient"] for group in groups] == ["rfc822;bob@example.test", "rfc822;carol@example.test"]
    for group in groups:
        assert group["Action"] == "relayed" and group["Status"] == "2.0.0" and group["Remote-MTA"] == "dns;localhost"


def test_a_smarthost_with_dsn_confirms_itself(smarthost, make_host):
    host = make_host(smarthost, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test", options=["-N", "success"])
    host.wait_empty()
    assert reports(smarthost) == [] and "NOTIFY=SUCCESS" in smarthost.transcript()


def test_nobody_is_told_of_mail_of_nobody(make_smarthost, make_host):
    server = make_smarthost(without="DSN")
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test", sender="<>", options=["-N", "success"])
    host.wait_empty()
    assert len(server.messages()) == 1


# a bounce that is refused


def test_a_bounce_refused_for_its_content_is_sent_once_more_without_it(make_smarthost, make_host):
    server = make_smarthost(rule=[REFUSE, "end/1 reply 554 5.7.1 looks like spam"])
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE.replace(b"hello\n", "Grüße\n".encode(), 1), "bad@example.test")
    host.wait_empty()
    to, [_, group], returned = one_report(server)
    assert to == ["alice@example.test"] and group["Final-Recipient"] == "rfc822;bad@example.test"
    assert returned.get_content_type() == "text/rfc822-headers"
    fields = email.message_from_string(returned.get_payload(), policy=email.policy.default)
    assert sorted(fields.keys()) == ["Date", "From", "Message-ID", "Subject", "To"] and fields["Subject"] == "Grüße"
    assert returned.get_payload().isascii() and "received" not in returned.get_payload().lower()
    assert re.search("to=<alice@example.test> status=bounced bounce=.*looks like spam", host.log())


def test_a_bounce_too_large_for_the_smarthost_is_sent_without_the_message(make_smarthost, make_host):
    server = make_smarthost(size=6000)
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE + b"0123456789abcdef\n" * 1000, "bob@example.test")
    host.wait_empty()
    _, [_, group], returned = one_report(server)
    assert group["Status"] == "5.3.4" and returned.get_content_type() == "text/rfc822-headers"


@pytest.mark.parametrize("where, times", [("end~<>", 2), ("RCPT~alice", 1), ("MAIL~<>", 1)])
def test_a_bounce_is_tried_twice_at_most_and_only_for_its_content(where, times, make_smarthost, make_host):
    server = make_smarthost(rule=[REFUSE, f"{where} reply 554 5.7.1 no"])
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bad@example.test")
    host.wait_mailq("  failed  .*<>\n")
    host.wait_queue(1)
    assert server.messages() == []
    assert server.transcript().count("C: MAIL FROM:<>") == times


def test_a_sender_who_is_the_failing_recipient_gets_no_second_bounce(make_smarthost, make_host):
    server = make_smarthost(rule=REFUSE)
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bad@example.test", sender="bad@example.test")
    host.wait_mailq("  failed  .*<>\n +to  <bad@example.test>")
    host.wait_queue(1)
    assert server.transcript().count("C: MAIL FROM:<>") == 1


def test_an_address_beyond_ascii_is_reported_in_ascii_to_a_sender_in_ascii(make_smarthost, make_host):
    server = make_smarthost(without="SMTPUTF8", strict=True)
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "jörg@example.test")
    host.wait_empty()
    _, [_, group], _ = one_report(server)
    assert group["Final-Recipient"] == r"utf-8;j\x{F6}rg@example.test" and group["Status"] == "5.6.7"


def test_a_sender_beyond_ascii_gets_a_report_that_needs_smtputf8(make_smarthost, make_host):
    server = make_smarthost(rule=REFUSE, strict=True)
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit("Subject: grüße\n\nhello\n".encode(), "bad@example.test", sender="jörg@example.test")
    host.wait_empty()
    [mail] = server.messages()
    assert mail.recipients == ["jörg@example.test"] and "SMTPUTF8" in mail.sender_parameters
    report = email.message_from_bytes(mail.content)
    assert report.get_param("report-type") == "global-delivery-status"
    assert b"\r\nContent-Type: message/global-delivery-status\r\n" in mail.content
    assert b"\r\nContent-Type: message/global\r\n" in mail.content


# what has failed


def test_what_has_failed_is_removed_after_keep_failed_and_what_is_held_stays(make_smarthost, make_host):
    server = make_smarthost(rule=[REFUSE, "MAIL~alice reply 550 5.7.60 not allowed to send as alice"])
    host = make_host(server, keep_failed="2s", **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bob@example.test")
    host.wait_mailq("  held  ")
    host.submit(MESSAGE, "bad@example.test", sender="<>")
    host.wait_mailq("  failed  ")
    host.wait_log("status=removed reason=.*keep_failed is over")
    host.wait_queue(1)
    assert "  held  " in host.mailq() and " removed " in harness.text(host.spool / "state" / "journal")


def test_keep_failed_counts_on_over_a_restart(make_smarthost, make_host):
    server = make_smarthost(rule=REFUSE)
    host = make_host(server, **QUICK)
    host.start_relayd()
    host.submit(MESSAGE, "bad@example.test", sender="<>")
    host.wait_mailq("  failed  ")
    host.kill_relayd()
    with open(host.conf, "r+") as conf:
        text = conf.read()
        conf.seek(0)
        conf.write("keep_failed 1s\n" + text)
    host.start_relayd()
    host.wait_empty()
    assert "keep_failed is over" in host.log()
