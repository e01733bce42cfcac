"""Broadcasts: one stream for all agents, and the cursor of each in it."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from postino.broker.guard import EVERYBODY, Guard
from postino.history_entry import HistoryEntry
from postino.model import Broadcast, BroadcastDraft, BroadcastSent, Departure, Sender, iso
from postino.parts import Part, Place
from postino.store.agents import AgentTable
from postino.store.broadcasts import BroadcastStream
from postino.store.names import Reached
from postino.store.sessions import SessionTable
from postino.store.store import Store

MOST_DEPARTED = 20  # that are looked at for one answer


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
        names, found = await self._agents.names() if left else None, dict[str, int]()
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
        found, readers = await asyncio.gather(super().part(limit, place), self.reached())
        return replace(found, items=[replace(each, **readers.of(each.seq)) for each in found.items])

    async def reached(self) -> Reached:
        """Return how far each agent has read; people have the page and are none of them."""
        return (await self._agents.names()).reached

    async def with_readers(self, entries: list[HistoryEntry]) -> list[HistoryEntry]:
        """Return entries of the history, the broadcasts among them with who has seen each."""
        if all(each.kind != "broadcast" for each in entries):
            return entries
        readers = await self.reached()
        return [replace(each, **readers.of(each.seq)) if each.kind == "broadcast" else each for each in entries]
