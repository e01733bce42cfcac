"""Dead letters: list, requeue, clear."""

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
        """Move dead letters (None: all) to the tail of the inbox, with a delivery count of zero; return their ids.

        Raises:
            UnknownAgent, UnknownMessage, InboxFull: nothing was moved.
        """
        return await super().requeue(await self._agents.present(agent), ids)
