"""A few questions to one Valkey over its unix socket, without a client: raw RESP, one connection each time.

The embedded server is watched with this so that `postino down` need not import redis (200 ms).
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

Reply = str | int | None | list["Reply"] | Exception


class Refused(Exception):
    """An error reply; returned in its place, so that the other replies of a batch can be read."""


async def ask(path: Path, *commands: tuple[str, ...], seconds: float) -> list[Reply]:
    """Send all `commands` at once and return their replies in order.

    Raises:
        OSError: nothing listens there, or the connection broke.
        EOFError: the server closed the connection instead of answering.
        TimeoutError: not everything was answered within `seconds`.
    """
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            writer.write(b"".join(_packed(command) for command in commands))
            return [await _reply(reader) for _ in commands]
        finally:
            writer.transport.abort()


def _packed(command: tuple[str, ...]) -> bytes:
    words = [os.fsencode(word) for word in command]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


async def _reply(reader: asyncio.StreamReader) -> Reply:
    line = (await reader.readuntil(b"\r\n"))[:-2]
    kind, rest = line[:1], os.fsdecode(line[1:])
    if kind == b"+":
        return rest
    if kind == b"-":
        return Refused(rest)
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == "-1" else os.fsdecode((await reader.readexactly(int(rest) + 2))[:-2])
    if kind == b"*":
        return [await _reply(reader) for _ in range(int(rest))]
    raise ConnectionError(f"no RESP: {line[:40]!r}")


def pairs(reply: Reply) -> dict[str, str]:
    """Return what CONFIG GET answered as a dictionary; empty when it was refused."""
    flat = [str(item) for item in reply] if isinstance(reply, list) else []
    return dict(zip(flat[::2], flat[1::2], strict=True))


def fields(reply: Reply) -> dict[str, str]:
    """Return the lines of an INFO answer as a dictionary; empty when it was refused."""
    lines = reply.splitlines() if isinstance(reply, str) else []
    return {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}
