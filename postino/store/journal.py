"""What happened (events), what was said (history), and who is still to be told of a dead letter (notices)."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from postino.model import Event
from postino.store.connection import ANSWER_S, Pipeline
from postino.store.inbox import Limits, pairs
from postino.store.store import Store

_NUMBERS = ("seq", "count", "delay_ms")


@dataclass(frozen=True, slots=True)
class Said:
    """An accepted message or broadcast as history keeps it, with its place."""

    entry: str
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class Notice:
    """A dead letter whose sender is to be told. `death`: 2 when it died again after it was requeued, and so on."""

    key: str
    agent: str
    id: str
    death: int
    sender: str


class Journal:
    """The three streams and hashes that look back."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self._events = store.keys.shared("events")
        self._history = store.keys.shared("history")
        self._notices = store.keys.shared("notices")

    async def last_event(self) -> str:
        """Return the id of the newest event, `0-0` when there is none."""
        newest = await self._store.call("XREVRANGE", self._events, "+", "-", "COUNT", 1)
        return str(newest[0][0]) if newest else "0-0"

    async def first_event(self) -> str | None:
        """Return the id of the oldest event still kept."""
        oldest = await self._store.call("XRANGE", self._events, "-", "+", "COUNT", 1)
        return str(oldest[0][0]) if oldest else None

    async def events_after(self, after: str, count: int) -> list[Event]:
        """Return up to `count` events behind the id `after`, oldest first."""
        entries = await self._store.call("XRANGE", self._events, f"({after}", "+", "COUNT", count)
        return [_event(id, fields) for id, fields in entries]

    async def event_known(self, id: str) -> bool:
        """Tell whether the event is still kept."""
        return bool(await self._store.call("XRANGE", self._events, id, id))

    async def wait_events(self, reader: Pipeline, after: str, block_ms: int, count: int) -> list[Event]:
        """Wait on `reader` up to `block_ms` for events behind `after`, at most `count`.

        Raises:
            StoreAway: the reading connection broke.
        """
        command = "XREAD", "COUNT", count, "BLOCK", block_ms, "STREAMS", self._events, after
        reply = await reader.call(*command, within_s=block_ms / 1000 + ANSWER_S)
        return [_event(id, fields) for id, fields in reply[0][1]] if reply else []

    async def history(self, before: str, count: int) -> list[Said]:
        """Return up to `count` accepted messages and broadcasts older than the place `before`, newest first."""
        entries = await self._store.ask("XREVRANGE", self._history, before, "-", "COUNT", count)
        return [Said(id, pairs(fields)) for id, fields in entries]

    async def forget_history(self) -> int:
        """Drop what is older than one time to live, to the entry; a send drops it by whole nodes only."""
        seconds, micros = await self._store.call("TIME")
        oldest = int(seconds) * 1000 + int(micros) // 1000 - self._limits.ttl_ms
        return int(await self._store.call("XTRIM", self._history, "MINID", max(0, oldest)))

    async def notices(self) -> list[Notice]:
        """Return the dead letters whose sender is to be told."""
        flat = await self._store.call("HGETALL", self._notices)
        return [_notice(key, sender) for key, sender in pairs(flat).items()]

    async def told(self, notice: Notice) -> None:
        """Strike a notice off."""
        await self._store.call("HDEL", self._notices, notice.key)


def _notice(key: str, sender: str) -> Notice:
    agent, id, *death = key.split(" ")
    return Notice(key, agent, id, int(death[0]) if death else 1, sender)


def _event(id: str, flat: list[str]) -> Event:
    fields = pairs(flat)
    return Event(id=id, type=fields["type"], data=_data(fields))


def _data(fields: dict[str, str]) -> dict[str, str | int | list[str]]:
    data: dict[str, str | int | list[str]] = {}
    for name, value in fields.items():
        if name == "ids":
            data[name] = msgspec.json.decode(value, type=list[str])
        elif name != "type":
            data[name] = int(value) if name in _NUMBERS else value
    return data
