"""Broadcasts: one stream for all agents, and the cursor of each in it."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import msgspec

from postino.broker.guard import EVERYBODY, Guard
from postino.history_entry import HistoryEntry
from postino.model import Broadcast, BroadcastDraft, BroadcastSent, Departure, Sender, iso
from postino.parts import Part, Place
from postino.store.agents import AgentTable
from postino.store.broadcasts import BroadcastStream
from postino.store.sessions import SessionTable
from postino.store.store import Store

MOST_DEPARTED = 20  # that are looked at for one answer
MOST_NAMED = 10  # agents that have seen a broadcast, and as many that have not


class Broadcasts(BroadcastStream):
    """What all agents see. A read does not consume a broadcast; it is removed by age or count."""

    def __init__(
        self, store: Store, agents: AgentTable, sessions: SessionTable, guard: Guard, *, ttl_ms: int, most: int
    ) -> None:
        super().__init__(store, ttl_ms=ttl_ms, most=most)
        self._agents = agents
        self._sessions = sessions
        self._guard = guard

    async def broadcast(self, draft: BroadcastDraft, sender: Sender) -> BroadcastSent:
        """Accept a broadcast once per id.

        Raises:
            KeyReused: nothing was stored.
            TooFast: the loop guard has stopped the sender.
        """
        with self._guard.counting(sender, [EVERYBODY], draft.id) as counted:
            sent = await super().broadcast(draft, sender)
            counted.created = int(sent.created)
        return sent

    async def departed(self, since_ms: int) -> list[Departure]:
        """Return the agents that left at `since_ms` or later and are not back, oldest first, each once."""
        left = await self.departures(since_ms, MOST_DEPARTED)
        names, found = await self._agents.names_lately() if left else None, dict[str, int]()
        for name, ms in left:
            found.setdefault(names.present(name) if names else name, ms)
        here = await asyncio.gather(*(self._is_online(name) for name in found))
        gone = [item for item, online in zip(found.items(), here, strict=True) if not online]
        return [Departure(agent=name, timestamp=iso(ms)) for name, ms in reversed(gone)]

    async def _is_online(self, name: str) -> bool:
        _, entry = await self._agents.entry(name)
        return entry is not None and bool(await self._sessions.live_of(entry.sessions))

    async def part(self, limit: int, place: Place) -> Part[Broadcast]:
        """Return broadcasts, each with who has seen it."""
        found, readers = await asyncio.gather(super().part(limit, place), self.readers())
        return replace(found, items=[msgspec.structs.replace(each, **readers.of(each.seq)) for each in found.items])

    async def readers(self) -> Readers:
        """Return how far each agent has read; people have the page and are none of them."""
        names, reached = await asyncio.gather(self._agents.names_lately(), self.reached())
        agents = [name for name in names.seen if not names.agents[name].human]
        return Readers([(reached.get(name, 0), name) for name in agents])

    async def with_readers(self, entries: list[HistoryEntry]) -> list[HistoryEntry]:
        """Return entries of the history, the broadcasts among them with who has seen each."""
        if all(each.kind != "broadcast" for each in entries):
            return entries
        readers = await self.readers()
        return [
            msgspec.structs.replace(each, **readers.of(each.seq)) if each.kind == "broadcast" else each
            for each in entries
        ]


class Readers:
    """How far each agent has read, by the number of the last broadcast that it has seen."""

    def __init__(self, reached: Iterable[tuple[int, str]]) -> None:
        order = sorted(reached, key=lambda each: (each[0], each[1].lower()))
        self._numbers, self._names = [number for number, _ in order], [name for _, name in order]

    def of(self, seq: int) -> dict[str, Any]:
        """Return members of a record: how many of how many have seen a broadcast, and the names of some of each."""
        first = bisect_left(self._numbers, seq)  # of those that have seen it
        return {
            "seen": len(self._names) - first,
            "agents": len(self._names),
            "seen_by": self._names[first : first + MOST_NAMED],
            "not_seen_by": self._names[: min(first, MOST_NAMED)],
        }
