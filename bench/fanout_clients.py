"""Many subscribers in one process, for fanout.py: PORT SUBSCRIBERS CHANGES.

Raw sockets and epoll, so that it costs little beside the server. Says when all are there; told when
the first change is due, says how long after it was due each one came.
"""

import json
import select
import socket
import struct
import sys
import time

from bench.fanout import RATE, many_files
from bench.fanout_server import FIRST

HANDSHAKE = (
    b"GET /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)
QUERY = (
    "subscription { rankChanged { position cursor slug score place before { score place }"
    " parts { name points } } }"
)
POSITION = b'"position":"'
# Units: seconds after the last change is due.
GRACE = 5
# So many connect at the same time.
AT_ONCE = 100


def framed(message: object) -> bytes:
    """The message as a client sends it, masked with nothing."""
    said = json.dumps(message).encode()
    size = bytes((0x80 | len(said),)) if len(said) < 126 else b"\xfe" + struct.pack("!H", len(said))
    return b"\x81" + size + bytes(4) + said


INIT = framed({"type": "connection_init"})
SUBSCRIBE = framed({"type": "subscribe", "id": "1", "payload": {"query": QUERY}})


def connect(port: int, count: int) -> dict[int, socket.socket]:
    """Connections that are subscribed."""
    found: dict[int, socket.socket] = {}
    while len(found) < count:
        some = []
        for _ in range(min(AT_ONCE, count - len(found))):
            one = socket.create_connection(("127.0.0.1", port), timeout=60)
            one.sendall(HANDSHAKE)
            some.append(one)
        for one in some:
            hear(one, b"\r\n\r\n")
            one.sendall(INIT)
        for one in some:
            hear(one, b"connection_ack")
            one.sendall(SUBSCRIBE)
            one.setblocking(False)
            found[one.fileno()] = one
    return found


def hear(one: socket.socket, words: bytes) -> None:
    """Returns when these words have come."""
    said = b""
    while words not in said:
        more = one.recv(4096)
        assert more, "the server hung up"
        said += more


def main(port: int, subscribers: int, changes: int) -> None:
    """Subscribes, waits, and tells."""
    connections = connect(port, subscribers)
    epoll = select.epoll()
    for number in connections:
        epoll.register(number, select.EPOLLIN)
    # Until the server has taken the last of them up.
    time.sleep(1 + subscribers / 2_000)
    print("subscribed", flush=True)
    begin = float(sys.stdin.readline())
    end = begin + changes / RATE + GRACE
    delays: list[float] = []
    rests = dict.fromkeys(connections, b"")
    while len(delays) < subscribers * changes and (now := time.monotonic()) < end:
        for number, _ in epoll.poll(end - now, 1_000):
            said = connections[number].recv(65_536)
            now = time.monotonic()
            if not said:
                epoll.unregister(number)
                continue
            # What came so far ends somewhere in a message, most often at its end.
            *whole, rest = (rests[number] + said).split(POSITION)
            delays += [
                now - begin - (int(part[:7]) - FIRST) / RATE
                for part in (*whole[1:], rest)
                if part[7:8] == b'"'
            ]
            rests[number] = b"" if rest[7:8] == b'"' else (POSITION if whole else b"") + rest
    in_time = [delay for delay in delays if delay < GRACE]
    print(json.dumps({"delays": delays, "received": len(in_time)}), flush=True)


if __name__ == "__main__":
    many_files()
    main(*map(int, sys.argv[1:]))
