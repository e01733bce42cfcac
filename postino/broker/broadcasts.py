"""Broadcasts: one stream for all agents, and the cursor of each in it."""

from __future__ import annotations

import msgspec

from postino.model import Broadcast
from postino.store.agents import AgentTable
from postino.store.broadcasts import BroadcastStream
from postino.store.store import Store


class Broadcasts(BroadcastStream):
    """What all agents see. A read does not consume a broadcast; it is removed by age or count."""

    def __init__(self, store: Store, agents: AgentTable, *, ttl_ms: int, most: int) -> None:
        super().__init__(store, ttl_ms=ttl_ms, most=most)
        self._agents = agents

    async def page(self, limit: int, offset: int) -> tuple[list[Broadcast], int]:
        """Return broadcasts oldest first, each with how many agents of how many have seen it, and the total."""
        items, total = await super().page(limit, offset)
        agents = len((await self._agents.names()).seen())
        return [msgspec.structs.replace(each, agents=agents) for each in items], total
