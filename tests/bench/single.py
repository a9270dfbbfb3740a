"""One message, cold and warm: the round trips that the protocol needs, beside those that the line counted."""

import harness
from contenders import MESSAGE
from line import Line

# What has to be waited for before the next thing can be said, with the extensions that the test smarthost offers.
COLD = [
    ("TCP: SYN", 1),
    ("greeting", 1),
    ("EHLO", 1),
    ("STARTTLS", 1),
    ("TLS 1.3: ClientHello; the client's Finished goes with the next command", 1),
    ("EHLO", 1),
    ("AUTH PLAIN with its initial response", 1),
]
PIPELINED = [("MAIL, RCPT, DATA together (PIPELINING)", 1), ("content", 1)]
CHUNKED = [("MAIL, RCPT, BDAT and content together (CHUNKING)", 1)]


def needed(steps):
    return sum(count for _, count in steps)


def measure(workplace, certs, milliseconds):
    """Round trips and milliseconds from the first sign on the line to the acceptance: cold, then warm."""
    line = Line(workplace, certs, milliseconds, 1)
    host = harness.Host(workplace)
    try:
        host.configure([host.smarthost_block(line, "smtp", line.certs / "ca.pem")])
        host.start_relayd()
        seen = []
        for _ in range(2):
            host.submit(MESSAGE, "a@example.test")
            host.wait_empty()
            seen.append(line.totals())
        cold = (line.marked() - seen[0][2]) * 1000
        assert [connections for connections, _, _ in seen] == [1, 1], "the second message had a connection of its own"
        return seen[0][1], seen[1][1] - seen[0][1], cold
    finally:
        host.close()
        line.close()


def table(cold, warm, milliseconds, took):
    """Lines of Markdown."""
    lines = ["| what is waited for | round trips |", "|---|---:|"]
    lines += [f"| {what} | {count} |" for what, count in COLD]
    lines += [f"| {what} | {count} |" for what, count in PIPELINED]
    lines += [
        f"| needed with PIPELINING, cold / warm | {needed(COLD) + needed(PIPELINED)} / {needed(PIPELINED)} |",
        f"| needed with CHUNKING, cold / warm | {needed(COLD) + needed(CHUNKED)} / {needed(CHUNKED)} |",
        f"| **counted, cold / warm** | **{cold} / {warm}** |",
    ]
    lines += ["", f"At {milliseconds} ms a round trip the cold message was accepted after {took:.0f} ms. That is half a round trip"
              " less than it counts: the reply is on its way back then."]
    return lines
