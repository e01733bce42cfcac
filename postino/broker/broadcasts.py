"""Broadcasts: one stream for all agents, and the cursor of each in it."""

from __future__ import annotations

import msgspec

from postino.broker.guard import EVERYBODY, Guard
from postino.model import Broadcast, BroadcastDraft, BroadcastSent, Sender
from postino.store.agents import AgentTable
from postino.store.broadcasts import BroadcastStream
from postino.store.store import Store


class Broadcasts(BroadcastStream):
    """What all agents see. A read does not consume a broadcast; it is removed by age or count."""

    def __init__(self, store: Store, agents: AgentTable, guard: Guard, *, ttl_ms: int, most: int) -> None:
        super().__init__(store, ttl_ms=ttl_ms, most=most)
        self._agents = agents
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

    async def page(self, limit: int, offset: int) -> tuple[list[Broadcast], int]:
        """Return broadcasts oldest first, each with how many agents of how many have seen it, and the total."""
        items, total = await super().page(limit, offset)
        names = await self._agents.names_lately()
        agents = len(names.seen) - sum(names.agents[each].seen > 0 for each in names.people)  # people have the page
        return [msgspec.structs.replace(each, agents=agents) for each in items], total
