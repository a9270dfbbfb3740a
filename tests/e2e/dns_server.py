"""A DNS server for tests: dns_server.py DESCRIPTION, a JSON object.

zone: [[name, type, data], ...]. data is a list of texts as in a zone file ("10 5 465 mail.example.test."), or a word: "servfail"
answers so, "silence" does not answer, "tcp" answers over UDP that the answer is too long, and has none over TCP. A name
that has another type only has no data, but for an alias (CNAME), which is given instead; a name that is not there does not
exist, unless a wildcard ("*.example.test") stands for it.
raw: octets in hexadecimal for the data of all SRV records instead.
at: the address to listen on. log: a file for the queries.
"""

import ipaddress
import json
import socket
import struct
import sys
import threading

TYPES = {"A": 1, "CNAME": 5, "AAAA": 28, "SRV": 33}
NAMES = {number: name for name, number in TYPES.items()}
NOERROR, SERVFAIL, NXDOMAIN, TRUNCATED = 0, 2, 3, 0x0200
description = json.loads(sys.argv[1])
zone = {(name.lower(), kind): data for name, kind, data in description["zone"]}


def encoded(name):
    labels = [label.encode() for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def rdata(kind, text):
    if kind in ("A", "AAAA"):
        return ipaddress.ip_address(text).packed
    if kind == "CNAME":
        return encoded(text)
    if "raw" in description:
        return bytes.fromhex(description["raw"])
    priority, weight, port, target = text.split()
    return struct.pack("!HHH", int(priority), int(weight), int(port)) + encoded(target)


def found(name, kind):
    """The type and what the zone has of it: data, None if it has another type only, or "nxdomain"."""
    labels = name.split(".")
    for known in [name, *(".".join(["*", *labels[i:]]) for i in range(1, len(labels)))]:
        if any(known == owner for owner, _ in zone):
            kind = "CNAME" if (known, "CNAME") in zone else kind
            return kind, zone.get((known, kind))
    return kind, "nxdomain"


def answer(query, transport):
    """The reply, or None."""
    name, at = [], 12
    while query[at]:
        name.append(query[at + 1:at + 1 + query[at]].decode("latin-1"))
        at += 1 + query[at]
    question = query[12:at + 5]
    kind = NAMES.get(struct.unpack("!H", query[at + 1:at + 3])[0], "?")
    name = ".".join(name).lower()
    with open(description["log"], "a") as log:
        log.write(f"{transport} {name} {kind}\n")
    kind, data = found(name, kind)
    if data == "silence" or (data == "tcp" and transport == "tcp"):
        return None
    flags = {"servfail": SERVFAIL, "nxdomain": NXDOMAIN, "tcp": TRUNCATED}.get(data, NOERROR) if isinstance(data, str) else NOERROR
    records = [rdata(kind, text) for text in data] if isinstance(data, list) else []
    body = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", TYPES[kind], 1, 60, len(one)) + one for one in records)
    if transport == "udp" and len(body) > 400:
        flags, records, body = TRUNCATED, [], b""
    return query[:2] + struct.pack("!HHHHH", 0x8180 | flags, 1, len(records), 0, 0) + question + body


def converse(connection):
    with connection:
        file = connection.makefile("rb")
        while length := file.read(2):
            reply = answer(file.read(struct.unpack("!H", length)[0]), "tcp")
            if reply is not None:
                connection.sendall(struct.pack("!H", len(reply)) + reply)


def accept(listener):
    while True:
        threading.Thread(target=converse, args=[listener.accept()[0]], daemon=True).start()


where = (description.get("at", "127.0.0.1"), 53)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(where)
threading.Thread(target=accept, args=[socket.create_server(where)], daemon=True).start()
print("ready", flush=True)
while True:
    query, client = udp.recvfrom(4096)
    reply = answer(query, "udp")
    if reply is not None:
        udp.sendto(reply, client)
