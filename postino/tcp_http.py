"""HTTP/1.1 over TCP and in streams, by `http.client`: what a quick command over the unix socket does not need."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterable, Iterator
from http.client import HTTPException as HttpError
from typing import Any
from urllib.parse import urlsplit

from postino.unix_http import CHUNK, LONGEST_ANSWER

__all__ = ["LONGEST_ANSWER", "HttpError", "TcpConnection", "connection", "events"]


class TcpConnection:
    """A connection to the server of a URL, used as a UnixConnection."""

    def __init__(self, url: str, seconds: float) -> None:
        """Connect within `seconds`.

        Raises:
            OSError: nobody listens there.
        """
        self._connection = connection(None, url, seconds)
        self.open = True

    def close(self) -> None:
        """Close the connection. Repeating does nothing."""
        self._connection.close()
        self.open = False

    def fileno(self) -> int:
        """Return the descriptor."""
        return int(self._connection.sock.fileno())

    def exchange(
        self, method: str, target: str, body: bytes | None, headers: dict[str, str], until: float
    ) -> tuple[int, bytes]:
        """Do what UnixConnection.exchange does."""
        self._connection.sock.settimeout(max(0.001, until - time.monotonic()))
        try:
            self._connection.request(method, target, body, headers)
            response = self._connection.getresponse()
            found = response.status, _read_all(self._connection, response, until)
        except HttpError as error:
            raise ValueError(str(error) or type(error).__name__) from None
        if response.will_close:
            self.close()
        return found


def connection(path: str | None, url: str, seconds: float) -> http.client.HTTPConnection:
    """Return a connection to the unix socket at `path`, or else to the server of `url`, made within `seconds`.

    Raises:
        OSError: nobody listens there.
    """
    if path is not None:
        made: http.client.HTTPConnection = _UnixConnection(path, seconds)
    else:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        made = kind(parts.hostname or "localhost", parts.port, timeout=seconds)
    try:
        made.connect()
    except BaseException:
        made.close()
        raise
    return made


class _UnixConnection(http.client.HTTPConnection):
    """An HTTP connection over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(self.timeout)
            sock.connect(self._path)
        except BaseException:
            sock.close()
            raise
        self.sock = sock


def _read_all(connection: http.client.HTTPConnection, response: http.client.HTTPResponse, until: float) -> bytes:
    """Read the body. The deadline is for the whole body, not for each piece."""
    parts, size = [], 0
    while piece := response.read1(CHUNK):
        parts.append(piece)
        size += len(piece)
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        if size > LONGEST_ANSWER:
            raise ValueError("the answer is too long")
        if connection.sock is not None:
            connection.sock.settimeout(left)
    if response.length:  # read1 does not report that the body ended early
        raise http.client.IncompleteRead(b"", response.length)
    response.read()  # returns nothing, but only this makes the connection usable again
    return b"".join(parts)


def events(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield each event's data, a JSON object, with the SSE id as `event_id`, until the stream ends or breaks."""
    data: list[str] = []
    id = ""
    with contextlib.suppress(OSError, http.client.HTTPException):
        for line in lines:
            name, _, value = line.decode("utf-8", "replace").rstrip("\r\n").partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                data.append(value)
            elif name == "id":
                id = value
            elif not line.strip() and data:
                event = json.loads("\n".join(data))
                data = []
                yield {"event_id": id, **event}
