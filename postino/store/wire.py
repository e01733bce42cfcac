"""One open connection to Valkey: commands go out as they come, replies settle their callers in order.

redis-py dials and shakes hands, then this takes the transport over: hiredis reads each reply where it arrives, and
its caller goes on in the next turn of the loop instead of the fifth.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hiredis
from hiredis import pack_command
from redis.exceptions import ResponseError

Command = tuple[str | int | bytes, ...]

_MORE: Any = object()  # what hiredis says while a reply is incomplete


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One command in wire form, who waits for its reply, and the loop's time by which there must be one."""

    command: bytes
    reply: asyncio.Future[Any]
    due: float


@dataclass(frozen=True, slots=True)
class Owner:
    """What a wire tells: a reply has come, it may take more, and (once, with the reason) it has ended."""

    settle: Callable[[Call, Any], None]
    freed: Callable[[], None]
    ended: Callable[[Exception], None]


def framed(command: Command) -> bytes:
    """Return a command in wire form.

    Raises:
        UnicodeEncodeError: an argument holds half a character.
    """
    return pack_command(command)  # type: ignore[no-any-return, arg-type]  # its stub knows tuples of one only


class Wire(asyncio.Protocol):
    """A connection after its handshake."""

    def __init__(self, writer: asyncio.StreamWriter, owner: Owner) -> None:
        self.open: deque[Call] = deque()  # sent and not answered: what became of them is not known here
        self.blocked = False  # the kernel takes no more for now
        self._writer = writer  # kept: collected, it would close the transport
        self._transport = writer.transport
        self._owner: Owner | None = owner
        self._reader = hiredis.Reader(encoding="utf-8", errors="replace", replyError=ResponseError, notEnoughData=_MORE)
        self._transport.set_protocol(self)

    def send(self, calls: list[Call]) -> None:
        """Send commands in one piece."""
        self.open += calls
        self._transport.write(b"".join([each.command for each in calls]))

    def end(self, reason: Exception) -> None:
        """Close without another word; twice is once."""
        owner, self._owner = self._owner, None
        if owner is not None:
            self._transport.abort()
            owner.ended(reason)

    def data_received(self, data: bytes) -> None:
        owner = self._owner
        if owner is None:
            return
        reader, calls, settle = self._reader, self.open, owner.settle
        reader.feed(data)
        try:
            while (reply := reader.gets()) is not _MORE:
                settle(calls.popleft(), reply)
        except (hiredis.HiredisError, IndexError) as error:
            self.end(ConnectionError(f"this is no Valkey: {error}"))
        else:
            owner.freed()

    def pause_writing(self) -> None:
        self.blocked = True

    def resume_writing(self) -> None:
        self.blocked = False  # the replies to what has just gone out will look for more

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(exc or ConnectionError("Valkey closed the connection"))
