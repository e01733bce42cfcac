"""Answers that wait to be written together, at the end of a turn of the event loop in which several are ready.

Each write wakes a client, which on a machine with few cores takes the processor from the daemon at once, in the middle
of its work: with 32 connections a tenth of the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Outbox:
    """What is called in the next turn of the loop, in order and before anything that arrives until then is read."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._writes: list[Callable[[], None]] = []

    def add(self, write: Callable[[], None]) -> None:
        """Have `write` called with the others of this turn."""
        if not self._writes:
            self._loop.call_soon(self._write)
        self._writes.append(write)

    def _write(self) -> None:
        writes, self._writes = self._writes, []
        for write in writes:
            write()
