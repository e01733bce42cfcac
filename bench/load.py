"""A load client that costs little: raw sockets, one outstanding request on each.

It shares the machine with what it measures, so every microsecond spent here is taken from the daemon.
"""

from __future__ import annotations

import selectors
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measured:
    """What one drive saw: answers per second and the latency of each, in seconds."""

    per_second: float
    latencies: list[float]

    def percentile_ms(self, percent: float) -> float:
        """Return a latency percentile in milliseconds."""
        return statistics.quantiles(self.latencies, n=1000)[int(percent * 10) - 1] * 1000


@dataclass(slots=True)
class _Line:
    socket: socket.socket
    sent_at: float = 0.0
    got: bytes = b""


def http_complete(data: bytes) -> bool:
    """Tell whether `data` is a whole 200 answer; raise on any other status."""
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        return False
    if b" 200 " not in head[:16]:
        raise RuntimeError(f"unexpected answer: {data[:300]!r}")
    at = head.lower().index(b"content-length:")
    return len(body) >= int(head[at + 15 :].split(b"\r\n", 1)[0])


def resp_complete(data: bytes) -> bool:
    """Tell whether `data` is a whole bulk reply of Valkey."""
    if not data.startswith(b"$"):
        raise RuntimeError(f"unexpected answer: {data[:300]!r}")
    return data.count(b"\r\n") == 2 and data.endswith(b"\r\n")


def drive(
    dial: Callable[[], socket.socket],
    requests: Iterator[bytes],
    complete: Callable[[bytes], bool],
    connections: int,
    seconds: float,
) -> Measured:
    """Keep `connections` busy for `seconds`, or until the requests run out."""
    selector = selectors.DefaultSelector()
    lines = [_Line(dial()) for _ in range(connections)]
    latencies: list[float] = []
    started = time.perf_counter()
    end = started + seconds
    for line in lines:
        selector.register(line.socket, selectors.EVENT_READ, line)
        _next(line, requests)
    open_lines = connections
    while open_lines:
        for key, _ in selector.select():
            line = key.data
            line.got += line.socket.recv(65536)
            if not complete(line.got):
                continue
            now = time.perf_counter()
            latencies.append(now - line.sent_at)
            if now > end or not _next(line, requests):
                selector.unregister(line.socket)
                line.socket.close()
                open_lines -= 1
    return Measured(len(latencies) / (time.perf_counter() - started), latencies)


def _next(line: _Line, requests: Iterator[bytes]) -> bool:
    request = next(requests, None)
    if request is None:
        return False
    line.got = b""
    line.sent_at = time.perf_counter()
    line.socket.sendall(request)
    return True


def dial_tcp(host: str, port: int) -> socket.socket:
    """Connect without Nagle's delay."""
    made = socket.create_connection((host, port))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def dial_unix(path: str) -> socket.socket:
    """Connect to a unix socket."""
    made = socket.socket(socket.AF_UNIX)
    made.connect(path)
    return made


def post(path: str, body: bytes, port: int) -> bytes:
    """Return a POST as it goes over the wire."""
    lines = f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Content-Type: application/json"
    return "\r\n".join((*lines, f"Content-Length: {len(body)}", "", "")).encode() + body
