"""History: every message and broadcast that was accepted, kept for one time to live."""

from __future__ import annotations

from dataclasses import dataclass

from postino.store.store import Limits, Store, pairs


@dataclass(frozen=True, slots=True)
class Said:
    """An accepted message or broadcast as history keeps it, with its place."""

    entry: str
    fields: dict[str, str]


class HistoryStream:
    """The stream behind history."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits

    async def page(self, before: str, count: int) -> list[Said]:
        """Return up to `count` accepted messages and broadcasts older than the place `before`, newest first."""
        entries = await self._store.ask("XREVRANGE", self._store.keys.shared("history"), before, "-", "COUNT", count)
        return [Said(id, pairs(fields)) for id, fields in entries]

    async def trim(self) -> int:
        """Drop what is older than one time to live, to the entry; a send drops it by whole nodes only."""
        oldest = await self._store.now_ms() - self._limits.ttl_ms
        return int(await self._store.call("XTRIM", self._store.keys.shared("history"), "MINID", max(0, oldest)))
