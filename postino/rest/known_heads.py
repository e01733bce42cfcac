"""The heads of requests that aiohttp has parsed and an endpoint has answered: the same bytes are not parsed again.

A client that keeps its connection sends the same head each time, but for the length of a body; to parse one and to make
its objects is a twelfth of a send's work. What is not a known head with its whole body in one piece goes to aiohttp.
"""

from __future__ import annotations

import msgspec
from aiohttp import hdrs, web
from aiohttp.http import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from postino.rest.known_paths import Answering
from postino.rest.policy import Policy

END = b"\r\n\r\n"

_MOST = 512  # heads that are remembered
_LONGEST = 2048  # bytes of one
_MOST_HEADERS = 32  # of one: each takes 300 bytes as it is kept, however short, and browsers send half as many


class KnownHead(msgspec.Struct, eq=False):
    """A head as aiohttp has parsed it, who answers it, how many bytes its body has, and what was checked of it."""

    message: RawRequestMessage
    answering: Answering
    length: int
    policy: Policy | None = None  # under which a request with this head was admitted, but for its token
    is_typed: bool = False  # its body is declared as what the route takes


class WholeBody(type(EMPTY_PAYLOAD)):  # type: ignore[misc] # which is complete, and waits for nothing
    """A body that has arrived with its head. aiohttp's own is made to wait for the rest, too."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = data

    def at_eof(self) -> bool:
        return not self._data

    def read_nowait(self, n: int = -1) -> bytes:
        end = len(self._data) if n < 0 else n
        data, self._data = self._data[:end], self._data[end:]
        return data

    async def read(self, n: int = -1) -> bytes:
        return self.read_nowait(n)

    async def readany(self) -> bytes:
        return self.read_nowait()


class KnownHeads:
    """What is known of the requests of all connections."""

    def __init__(self) -> None:
        self._known: dict[bytes, KnownHead] = {}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, data: bytes) -> tuple[KnownHead, StreamReader] | None:
        """Return what is known of `data` and its body, if it is one whole request; else None."""
        at = data.find(END) + len(END)
        known = self._known.get(data[:at])
        if known is None or len(data) - at != known.length:
            return None
        return known, WholeBody(data[at:]) if known.length else EMPTY_PAYLOAD

    def note(self, head: bytes, message: RawRequestMessage, answering: Answering) -> None:
        """Note who answers the requests with this head."""
        if len(head) <= _LONGEST and len(message.raw_headers) <= _MOST_HEADERS:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[head] = KnownHead(message, answering, body_length(message))


def known_head(request: web.BaseRequest) -> KnownHead | None:
    """Return the head of the request that is being handled, if it was known when that came: its body is whole then."""
    found: KnownHead | None = getattr(request.protocol, "known", None)
    return found


def body_length(message: RawRequestMessage) -> int:
    """Return how many bytes the body of a request has, by its head; 0 for one that comes in chunks."""
    return int(message.headers.get(hdrs.CONTENT_LENGTH, 0))


def head_of(data: bytes) -> bytes:
    """Return the head with which `data` begins; empty if there may be other readings of where it ends."""
    head, end, _ = data.partition(END)
    return head + end if end and head[:1].isalpha() and head.count(b"\n") == head.count(b"\r\n") else b""
