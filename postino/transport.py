"""HTTP/1.1 to one daemon over its unix socket or TCP: a persistent connection, a deadline, and never a proxy."""

from __future__ import annotations

import contextlib
import http.client
import json
import select
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from postino.errors import ERRORS, BadField, PostinoError, Unreachable
from postino.home import check

Json = dict[str, Any]

CHUNK = 65_536
LONGEST_ANSWER = 64 << 20  # bytes; 200 messages of 32,768 characters have less than 40 MiB even if all is escaped


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer."""

    status: int
    body: bytes

    def payload(self, *, accept: int = 200) -> Json:
        """Return the JSON object of an answer with status 200 or `accept`.

        Raises:
            PostinoError: the error in the answer, as the class of its code; or the answer is not from postino.
        """
        try:
            found = json.loads(self.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise PostinoError(
                f"the answer (status {self.status}) is not from postino; check which program listens at this address"
            )
        if self.status in (200, accept):
            return found
        raise self._error(found)

    def error(self) -> PostinoError:
        """Return the error in an answer that is none of success."""
        try:
            self.payload()
        except PostinoError as error:
            return error
        return PostinoError("the daemon answered what it was not asked")

    def _error(self, found: Json) -> PostinoError:
        kind = ERRORS.get(str(found.pop("code", "")), PostinoError)
        message = str(found.pop("error", f"the daemon answered status {self.status}"))
        detail = {key: value for key, value in found.items() if key not in ("ok", "retryable", "message")}
        return kind(message, **detail)


class _UnixConnection(http.client.HTTPConnection):
    """An HTTP connection over a unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(self.timeout)
            sock.connect(str(self._path))
        except BaseException:
            sock.close()
            raise
        self.sock = sock


class Transport:
    """One address and at most one persistent connection to it."""

    def __init__(self, address: Path | str) -> None:
        self.address = address
        self._connection: http.client.HTTPConnection | None = None
        if isinstance(address, str) and not _is_url(address):
            shown = address.rpartition("@")[2]  # a password is neither used nor shown
            raise BadField(
                f"{shown!r} is neither the path of a socket nor an http:// or https:// URL without a user",
                field="address",
            )

    def close(self) -> None:
        """Close the persistent connection; the next exchange opens another."""
        if self._connection:
            self._connection.close()
        self._connection = None

    def exchange(self, method: str, target: str, body: bytes | None, headers: dict[str, str], seconds: float) -> Answer:
        """Send one request and return its whole answer within `seconds`.

        Raises:
            BadField: the directory of the socket belongs to another user, or others can write to it.
            Unreachable: `outcome` is "none" if nothing was sent, "unknown" if the daemon may have carried it out.
        """
        until = time.monotonic() + seconds
        connection = self._connect(seconds)
        try:
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            answer = Answer(response.status, _read_all(connection, response, until))
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise self._broken(error) from None
        except BaseException:
            self.close()  # the rest of this answer must not be read as the next one's
            raise
        if response.will_close:
            self.close()
        return answer

    def events(self, target: str, headers: dict[str, str], seconds: float) -> Iterator[Json]:
        """Yield the events of one SSE stream, on its own connection, until it ends or is silent for `seconds`.

        Raises:
            Unreachable: no daemon answers.
            PostinoError: the daemon refused the stream.
        """
        with contextlib.closing(self._open(seconds)) as connection:
            try:
                connection.request("GET", target, None, headers | {"Accept": "text/event-stream"})
                response = connection.getresponse()
                refusal = b"" if response.status == 200 else response.read(CHUNK)
            except (OSError, http.client.HTTPException) as error:
                raise self._broken(error) from None
            with response:
                if response.status != 200:
                    Answer(response.status, refusal).payload()
                yield from _events(response)

    def download(self, target: str, headers: dict[str, str], seconds: float) -> Iterator[bytes]:
        """Yield a long answer in parts, on its own connection; each must come within `seconds`.

        Raises:
            Unreachable: no daemon answers, or the answer ended early.
            PostinoError: the daemon refused.
        """
        with contextlib.closing(self._open(seconds)) as connection:
            try:
                connection.request("GET", target, None, headers)
                response = connection.getresponse()
                if response.status != 200:
                    raise Answer(response.status, response.read(CHUNK)).error()
                while part := response.read1(CHUNK):
                    yield part
            except (OSError, http.client.HTTPException) as error:
                raise self._broken(error) from None

    def upload(self, target: str, parts: Iterable[bytes], headers: dict[str, str], seconds: float) -> Answer:
        """Send a long body in parts, on its own connection, and return the answer; nothing may stall for `seconds`.

        Raises:
            Unreachable: as `exchange`.
        """
        with contextlib.closing(self._open(seconds)) as connection:
            try:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused early: the answer is there
                    connection.request("POST", target, iter(parts), headers)
                response = connection.getresponse()
                return Answer(response.status, response.read(LONGEST_ANSWER))
            except (OSError, http.client.HTTPException) as error:
                raise self._broken(error) from None

    def _connect(self, seconds: float) -> http.client.HTTPConnection:
        kept = self._connection
        if kept is not None and kept.sock is not None:
            poll = select.poll()
            poll.register(kept.sock, select.POLLIN)
            # a connection that the daemon has closed is readable: notice it before the request is sent
            if not poll.poll(0):
                kept.sock.settimeout(seconds)
                return kept
            self.close()
        self._connection = self._open(seconds)
        return self._connection

    def _open(self, seconds: float) -> http.client.HTTPConnection:
        connection = self._new(seconds)
        try:
            connection.connect()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Unreachable(
                f"no postino daemon answers at {self.address} ({_reason(error)}); run `postino up`", outcome="none"
            ) from None
        return connection

    def _new(self, seconds: float) -> http.client.HTTPConnection:
        if isinstance(self.address, Path):
            home = self.address.parent
            refusal = check(str(home)) if home.exists() else None
            if refusal is not None:
                raise BadField(refusal, field="POSTINO_HOME")
            return _UnixConnection(self.address, seconds)
        parts = urlsplit(self.address)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(parts.hostname or "localhost", parts.port, timeout=seconds)

    def _broken(self, error: Exception) -> Unreachable:
        return Unreachable(
            f"the connection to the postino daemon at {self.address} broke ({_reason(error)}); "
            "it is unknown whether the request was carried out",
            outcome="unknown",
        )


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and "@" not in text
    except ValueError:
        return False


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


def _events(lines: Iterable[bytes]) -> Iterator[Json]:
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


def _reason(error: Exception) -> str:
    """Return the operating system's reason in a few words."""
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
