"""Asks one server over HTTP for answers.py, in a process of its own: told what and for how long as
a line of JSON, it tells how that went as another.

HTTP/1.1 over connections that are kept, each with one request at a time. Raw sockets and epoll, and
no more of the protocol than these servers speak, so that asking costs little beside answering.
Anything but an answer with status 200 and without errors ends it; whether that is one for which the
server has too much to do is told too.
"""

import json
import select
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle, takewhile
from typing import Any

HEAD_ENDS = b"\r\n\r\n"
LENGTH = b"\r\ncontent-length:"
OK, BUSY = b"HTTP/1.1 200", b"HTTP/1.1 503"
UNAVAILABLE = b'"code":"UNAVAILABLE"'
# How the body of an answer without errors begins and ends; errors come before the data or after.
DATA, DATA_ENDS = b'{"data":{', b"}}"
# Units: seconds that a server may leave everybody without an answer.
PATIENCE = 60
# Over so many connections at most: what is asked for the first time takes longer.
WARMING = 32
# Units: bytes. More at once would take longer to get memory for.
AT_ONCE = 65_536


class Failed(Exception):
    """An answer is none."""


class Refused(Failed):
    """The server has too much to do, and says so."""


@dataclass(frozen=True)
class Load:
    """What is asked: a document with other variables each time, first all of `warm`, then for so
    many `seconds` those of `then`, in their order and from the beginning again."""

    port: int
    path: str
    headers: dict[str, str]
    document: str
    warm: list[Any]
    then: list[Any]
    connections: int
    seconds: float


class Asker:
    """One connection, and what it waits for."""

    __slots__ = ("said", "since", "socket", "whole")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.said = b""
        # Units: bytes of the answer with its head; 0 while its head is on its way.
        self.whole = 0
        self.since = 0.0

    def ask(self, request: bytes) -> None:
        """Sends it."""
        self.since = time.perf_counter()
        self.socket.sendall(request)

    def hear(self) -> bytes | None:
        """The answer, once all of it is there. Raises: Failed."""
        said = self.socket.recv(AT_ONCE)
        if not said:
            raise Failed(f"the server hung up after {self.said[:2000]!r}")
        if self.said:
            said = self.said + said
        self.said = said
        if not self.whole:
            self.whole = length(said)
        if not self.whole or len(said) < self.whole:
            return None
        check(said, self.whole)
        self.said, self.whole = b"", 0
        return said


def length(said: bytes) -> int:
    """How many bytes the answer has with its head; 0 while too little of it is there. Raises:
    Failed."""
    end = said.find(HEAD_ENDS)
    if end < 0:
        return 0
    _, found, rest = said[: end + 2].lower().partition(LENGTH)
    if not found:
        raise Failed(f"it does not say how long it is: {said[:end]!r}")
    return end + len(HEAD_ENDS) + int(rest[: rest.index(b"\r\n")])


def check(said: bytes, whole: int) -> None:
    """Raises: Failed unless that is one answer to a query, and a good one."""
    begin = said.index(HEAD_ENDS) + len(HEAD_ENDS)
    if not (
        said.startswith(OK)
        and said.startswith(DATA, begin)
        and said.endswith(DATA_ENDS)
        and len(said) == whole
    ):
        refused = said.startswith(BUSY) or UNAVAILABLE in said
        raise (Refused if refused else Failed)(
            f"that is no good answer: {said[:2000].decode(errors='replace')}"
        )


def requests(load: Load, variables: Iterable[bytes]) -> Iterator[bytes]:
    """The requests with these variables."""
    headers = {
        "Host": f"127.0.0.1:{load.port}",
        "Content-Type": "application/json",
        "Accept": "application/json",
        **load.headers,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {load.path} HTTP/1.1\r\n{lines}Content-Length: ".encode()
    begin = f'{{"query":{json.dumps(load.document)},"variables":'.encode()

    for one in variables:
        yield b"%s%d\r\n\r\n%s%s}" % (head, len(begin) + len(one) + 1, begin, one)


def ask(port: int, connections: int, requests: Iterator[bytes]) -> tuple[list[float], int]:
    """Asks all that, and says how long each answer took and how many bytes they have. Raises:
    Failed."""
    latencies: list[float] = []
    size = 0
    epoll = select.epoll()
    askers = {}
    for _ in range(connections):
        asker = Asker(port)
        askers[asker.socket.fileno()] = asker
        epoll.register(asker.socket, select.EPOLLIN)
    waiting = 0
    for asker, request in zip(askers.values(), requests, strict=False):
        asker.ask(request)
        waiting += 1
    while waiting:
        heard = epoll.poll(PATIENCE)
        if not heard:
            raise Failed(f"nobody was answered for {PATIENCE} s")
        for number, _ in heard:
            asker = askers[number]
            answer = asker.hear()
            if answer is None:
                continue
            latencies.append(time.perf_counter() - asker.since)
            size += len(answer)
            request = next(requests, b"")
            if request:
                asker.ask(request)
            else:
                waiting -= 1
    for asker in askers.values():
        asker.socket.close()
    return latencies, size


def main() -> None:
    """Asks, and tells."""
    load = Load(**json.loads(sys.stdin.readline()))
    warm, then = ([json.dumps(one).encode() for one in some] for some in (load.warm, load.then))
    try:
        ask(load.port, min(load.connections, WARMING), requests(load, warm))
        # Whoever measures the server looks at what it took so far.
        print("warm", flush=True)
        sys.stdin.readline()
        begun, busy = time.perf_counter(), time.process_time()
        end = begun + load.seconds
        some = takewhile(lambda _: time.perf_counter() < end, cycle(then))
        latencies, size = ask(load.port, load.connections, requests(load, some))
        seconds = time.perf_counter() - begun
        told = {
            "seconds": seconds,
            "latencies": latencies,
            "bytes": size,
            "busy": (time.process_time() - busy) / seconds,
        }
    except (Failed, OSError) as reason:
        told = {"failed": str(reason), "refused": isinstance(reason, Refused)}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
