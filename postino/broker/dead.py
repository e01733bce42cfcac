"""Dead letters: what was given up, and how it comes back."""

from __future__ import annotations

from postino.broker.agents import Agents
from postino.store.dead import DeadLetters
from postino.store.store import Limits, Store


class Dead(DeadLetters):
    """The dead letters of all agents."""

    def __init__(self, store: Store, limits: Limits, agents: Agents) -> None:
        super().__init__(store, limits)
        self._agents = agents

    async def requeue(self, agent: str, ids: list[str] | None) -> list[str]:
        """Put dead letters (None: all) back at the tail with a fresh count; return their ids.

        Raises:
            UnknownAgent, UnknownMessage, InboxFull: nothing was moved.
        """
        return await super().requeue(await self._agents.present(agent), ids)
