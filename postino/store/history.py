"""History: every message and broadcast once accepted, kept for one time to live."""

from __future__ import annotations

from dataclasses import dataclass

from postino.store.entries import pairs
from postino.store.store import Limits, Store


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """An entry of the history stream: its stream ID, and the fields of a message or broadcast."""

    id: str
    fields: dict[str, str]


class HistoryStream:
    """The stream behind history."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits

    async def page(self, before: str, count: int) -> list[StreamEntry]:
        """Return up to `count` entries, newest first; `before` is the end of an XREVRANGE: `+` or `(` and an ID."""
        entries = await self._store.query("XREVRANGE", self._store.keys.shared("history"), before, "-", "COUNT", count)
        return [StreamEntry(id, pairs(fields)) for id, fields in entries]

    async def trim(self) -> int:
        """Drop every entry older than one time to live; return how many. A send trims by whole stream nodes only."""
        oldest = await self._store.now_ms() - self._limits.ttl_ms
        return int(await self._store.call("XTRIM", self._store.keys.shared("history"), "MINID", max(0, oldest)))
