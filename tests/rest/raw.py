"""Requests on a bare socket."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

from tests.waiting import PATIENCE_S


def ask(served: Any, request: bytes, *, tcp: bool = False) -> bytes:
    """Send bytes to a daemon; return all that comes back until it closes."""
    with dial(served, tcp=tcp) as line:
        line.sendall(request)
        return rest(line)


def dial(served: Any, *, tcp: bool = False) -> socket.socket:
    if tcp:
        line = socket.create_connection(("127.0.0.1", served.port))
    else:
        line = socket.socket(socket.AF_UNIX)
        line.connect(str(served.home.socket))
    line.settimeout(PATIENCE_S)
    return line


def rest(line: socket.socket) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while part := line.recv(1 << 16):
            answer += part
    return answer


def get(path: str, host: str = "localhost", *, close: bool = True) -> bytes:
    end = "Connection: close\r\n" if close else ""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{end}\r\n".encode()


def post(path: str, data: bytes, *, length: int | None = None) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(data) if length is None else length}\r\n\r\n".encode() + data


def half_closed(served: Any, request: bytes, *, tcp: bool = False) -> bytes:
    """Send all there will be, as `nc -N` does; return all that comes back until the daemon closes."""
    with dial(served, tcp=tcp) as line:
        line.sendall(request.replace(b"Host: localhost", b"Host: localhost:%d" % served.port))
        line.shutdown(socket.SHUT_WR)
        return rest(line)
