"""Broadcasts: one feed for all, and each agent's place in it."""

from __future__ import annotations

import msgspec

from postino.broker.core import Core
from postino.model import Announced, Broadcast, BroadcastBatch, Draft, Sender


class Announcements(Core):
    """What is said to everybody. Broadcasts are never consumed; they leave by age or count."""

    async def broadcast(self, draft: Draft, sender: Sender) -> Announced:
        """Accept a broadcast once per id.

        Raises:
            KeyReused: the id stands for other content.
        """
        seq, created = await self.announcements.broadcast(draft, sender)
        return Announced(id=draft.id, seq=seq, created=created, durability=self.durability)

    async def broadcasts(self, limit: int, offset: int) -> tuple[list[Broadcast], int]:
        """Return the feed oldest first, with how many of how many agents have passed each."""
        items, total = await self.announcements.list(limit, offset)
        agents = len((await self.roster.names()).seen())
        return [msgspec.structs.replace(each, agents=agents) for each in items], total

    async def read_broadcasts(
        self, agent: str, limit: int, *, after: str | None = None, budget: int | None = None, move: bool = True
    ) -> BroadcastBatch:
        """Give what `agent` has not seen; `missed` counts those that were trimmed before it came.

        With `move` its cursor goes behind the last one given at once. Without, the caller keeps the
        returned cursor, passes it as `after` next time and settles it with `see`.
        """
        return await self.announcements.read(agent, limit, after=after or "", budget=budget or 0, move=move)

    async def see(self, agent: str, cursor: str) -> None:
        """Set the agent's cursor to the later of its own and `cursor`."""
        await self.announcements.see(agent, cursor)

    async def clear_broadcasts(self) -> int:
        """Empty the feed; return how many there were. Nobody is told to have missed them."""
        return await self.announcements.clear()
