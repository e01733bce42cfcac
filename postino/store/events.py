"""The events stream: what happened, for SSE, waiting readers and wakes."""

from __future__ import annotations

from typing import Any

import msgspec

from postino.model import Event
from postino.store.entries import pairs, short_consumer
from postino.store.pipeline import REPLY_TIMEOUT_S, Pipeline
from postino.store.store import Store

_NUMBERS = frozenset({"seq", "count", "delay_ms", "redelivered", "retry_after_s"})


class EventStream:
    """What happened, without bodies. The stream IDs are the SSE ids."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._events = store.keys.shared("events")

    def blocking_reader(self) -> Pipeline:
        """Return a separate connection for `wait`; the caller closes it."""
        return self._store.blocking_reader()

    async def now_ms(self) -> int:
        """Return Valkey's clock."""
        return await self._store.now_ms()

    async def note_too_fast(self, sender: str, to: str, reason: str, retry_after_s: int) -> None:
        """Tell that the loop guard has refused a message."""
        values: dict[str, str | int] = {"sender": sender, "to": to, "reason": reason, "retry_after_s": retry_after_s}
        await self._store.run("note_too_fast", "", values)

    async def last(self) -> str:
        """Return the id of the newest event, `0-0` if there is none."""
        newest = await self._store.call("XREVRANGE", self._events, "+", "-", "COUNT", 1)
        return str(newest[0][0]) if newest else "0-0"

    async def first(self) -> str | None:
        """Return the id of the oldest event still stored."""
        oldest = await self._store.call("XRANGE", self._events, "-", "+", "COUNT", 1)
        return str(oldest[0][0]) if oldest else None

    async def after(self, after: str, count: int) -> list[Event]:
        """Return up to `count` events after the id `after`, oldest first."""
        entries = await self._store.call("XRANGE", self._events, f"({after}", "+", "COUNT", count)
        return [_event(id, fields) for id, fields in entries]

    async def contains(self, id: str) -> bool:
        """Return whether the event is still stored."""
        return bool(await self._store.call("XRANGE", self._events, id, id))

    async def wait(self, reader: Pipeline, after: str, block_ms: int, count: int) -> list[Event]:
        """Wait on `reader` up to `block_ms` for events after the id `after`; return at most `count`.

        Raises:
            StoreAway: the connection of `reader` broke.
        """
        command = "XREAD", "COUNT", count, "BLOCK", block_ms, "STREAMS", self._events, after
        reply = await reader.call(*command, within_s=block_ms / 1000 + REPLY_TIMEOUT_S)
        return [_event(id, fields) for id, fields in reply[0][1]] if reply else []


def _event(id: str, flat: list[str]) -> Event:
    if flat[0] == "e":
        kind, *flat = flat[1].split("\n")
        data: dict[str, Any] = pairs(flat)
    else:  # in format 2 each is a field
        data = pairs(flat)
        kind = data.pop("type")
    if "ids" in data:
        data["ids"] = msgspec.json.decode(data["ids"], type=list[str])
    if "reader" in data and kind.startswith("msg_"):  # the reader of broadcasts is an agent
        data["reader"] = short_consumer(data["reader"])
    for name in _NUMBERS & data.keys():
        data[name] = int(data[name])
    return Event(id=id, type=kind, data=data)
