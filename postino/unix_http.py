"""HTTP/1.1 over a unix socket: one connection, one request after the other, each with a whole answer.

Written by hand, as `http.client` with the email package and TLS costs a quick command 20 ms. Only what a postino daemon
answers to a call is understood: a body with a length, or one that ends with the connection.
"""

from __future__ import annotations

import _socket  # all that is needed of socket, whose enums and selectors cost 4 ms
import time

CHUNK = 65_536
LONGEST_ANSWER = 64 << 20  # bytes; 200 messages of 32,768 characters have less than 40 MiB even if all is escaped
LONGEST_HEAD = 65_536


class UnixConnection:
    """A connection to the socket at `path`."""

    def __init__(self, path: str, seconds: float) -> None:
        """Connect within `seconds`.

        Raises:
            OSError: nobody listens there.
        """
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        self.open = True
        try:
            self._socket.settimeout(seconds)
            self._socket.connect(path)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection. Repeating does nothing."""
        self._socket.close()
        self.open = False

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._socket.fileno()

    def exchange(
        self, method: str, target: str, body: bytes | None, headers: dict[str, str], until: float
    ) -> tuple[int, bytes]:
        """Send a request and return status and body of its answer; the connection is closed if it cannot be used again.

        `until` is a time of `time.monotonic()`, for all of it.

        Raises:
            OSError: the connection broke, or it is too late.
            ValueError: the answer is not HTTP, or too long.
        """
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Accept-Encoding: identity"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a line end in a header")
        self._wait_at_most(until)
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))
        return self._answer(until)

    def _answer(self, until: float) -> tuple[int, bytes]:
        received = bytearray()
        while (end := received.find(b"\r\n\r\n")) < 0:
            if len(received) > LONGEST_HEAD:
                raise ValueError("the answer is not HTTP")
            received += self._more(until) or _ended_early()
        status, fields = _head(bytes(received[:end]))
        del received[: end + 4]
        length = _length(fields)
        while length is None or len(received) < length:
            part = self._more(until)
            if not part and length is None:
                break
            received += part or _ended_early()
            if len(received) > LONGEST_ANSWER:
                raise ValueError("the answer is too long")
        if length is None or len(received) > length or fields.get(b"connection", b"").lower() == b"close":
            self.close()
        return status, bytes(received[:length])

    def _more(self, until: float) -> bytes:
        self._wait_at_most(until)
        return self._socket.recv(CHUNK)

    def _wait_at_most(self, until: float) -> None:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left)


def _head(head: bytes) -> tuple[int, dict[bytes, bytes]]:
    """Return the status, and the headers by their names in lower case."""
    first, *lines = head.split(b"\r\n")
    words = first.split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or len(words[1]) != 3 or not words[1].isdigit():
        raise ValueError("the answer is not HTTP")
    pairs = [line.partition(b":") for line in lines]
    return int(words[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}


def _length(fields: dict[bytes, bytes]) -> int | None:
    """Return the length of the body; None if it ends with the connection."""
    if b"transfer-encoding" in fields:
        raise ValueError("the answer is in chunks, as no postino daemon answers")
    text = fields.get(b"content-length")
    if text is None:
        return None
    if not text.isdigit() or int(text) > LONGEST_ANSWER:
        raise ValueError("the answer is too long")
    return int(text)


def _ended_early() -> bytes:
    raise ConnectionResetError("the answer ended early")
