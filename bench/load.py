"""A load client with little overhead: raw sockets with one outstanding request each.

It runs on the machine that it measures, so CPU time spent here is missing in the daemon.
"""

from __future__ import annotations

import contextlib
import functools
import selectors
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measured:
    """The result of one run: responses per second and the latency of each, in seconds."""

    per_second: float
    latencies: list[float]

    def percentile_ms(self, percent: float) -> float:
        """Return a latency percentile in milliseconds."""
        if len(self.latencies) == 1:
            return self.latencies[0] * 1000
        return statistics.quantiles(self.latencies, n=1000)[int(percent * 10) - 1] * 1000


def merged(rounds: list[Measured]) -> Measured:
    """Return the median rate of several rounds, with the latencies of all."""
    rate = statistics.median(each.per_second for each in rounds)
    return Measured(rate, [latency for each in rounds for latency in each.latencies])


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    sent_at: float = 0.0
    received: bytes = b""


def http_complete(data: bytes) -> bool:
    """Return whether `data` is a complete response that says success; raise on any other status."""
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        return False
    if b" 2" not in head[:10]:
        raise RuntimeError(f"unexpected response: {data[:300]!r}")
    at = head.find(b"\r\nContent-Length:")
    if at < 0:
        head = head.lower()
        if b"\r\ntransfer-encoding: chunked" in head:
            return body.endswith(b"0\r\n\r\n")
        at = head.index(b"\r\ncontent-length:")
    return len(body) >= int(head[at + 17 :].partition(b"\r\n")[0])


def resp_complete(data: bytes) -> bool:
    """Return whether `data` is a complete bulk reply of Valkey."""
    if not data.startswith(b"$"):
        raise RuntimeError(f"unexpected response: {data[:300]!r}")
    return data.count(b"\r\n") == 2 and data.endswith(b"\r\n")


def drive(
    dial: Callable[[], socket.socket],
    requests: Iterator[bytes],
    complete: Callable[[bytes], bool],
    connections: int,
    seconds: float,
) -> Measured:
    """Send requests over `connections` sockets for `seconds`, or until the requests run out."""
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as close:
        opened = [_Connection(close.enter_context(dial())) for _ in range(connections)]
        latencies: list[float] = []
        started = time.perf_counter()
        end = started + seconds
        busy = 0
        for connection in opened:
            if _send_next(connection, requests):
                selector.register(connection.socket, selectors.EVENT_READ, connection)
                busy += 1
        while busy:
            for key, _ in selector.select():
                connection = key.data
                part = connection.socket.recv(65536)
                if not part:
                    raise RuntimeError("the server closed the connection")
                connection.received += part
                if not complete(connection.received):
                    continue
                now = time.perf_counter()
                latencies.append(now - connection.sent_at)
                if now > end or not _send_next(connection, requests):
                    selector.unregister(connection.socket)
                    busy -= 1
        return Measured(len(latencies) / (time.perf_counter() - started), latencies)


def _send_next(connection: _Connection, requests: Iterator[bytes]) -> bool:
    request = next(requests, None)
    if request is None:
        return False
    connection.received = b""
    connection.sent_at = time.perf_counter()
    connection.socket.sendall(request)
    return True


def dial_tcp(host: str, port: int) -> socket.socket:
    """Connect over TCP, with Nagle's algorithm off."""
    made = socket.create_connection((host, port))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def dial_unix(path: str) -> socket.socket:
    """Connect to a unix socket."""
    made = socket.socket(socket.AF_UNIX)
    made.connect(path)
    return made


def post(path: str, body: bytes, port: int) -> bytes:
    """Return the bytes of a POST request."""
    return _post_head(path, port) + b"%d\r\n\r\n%b" % (len(body), body)


@functools.cache
def _post_head(path: str, port: int) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: ".encode()
    )
