"""Suggests known names for an unknown one: those that resemble it, so that a typing error is noticed at once."""

from __future__ import annotations

import asyncio
import difflib

from postino.store.agents import AgentTable
from postino.store.sessions import SessionTable

FRESH_S = 0.1  # names may be this old: a thousand sends to unknown names then read them ten times a second
STALE_S = 1.0  # and this old while another send reads them


class Nearest:
    """The nearest known names, from a copy of all names that is at most a second old."""

    def __init__(self, agents: AgentTable, sessions: SessionTable) -> None:
        self._agents = agents
        self._sessions = sessions
        self.online: list[str] = []  # the agents that were online when the names were read
        self._known: dict[str, str] = {}
        self._answers: dict[str, list[str]] = {}
        self._read_at = -STALE_S
        self._lock = asyncio.Lock()

    async def of(self, name: str, *, fresh: bool = False) -> list[str]:
        """Return up to three names that resemble `name`, best first; `fresh` reads the names now."""
        # a send that finds the lock held uses the old names: waiting sends would get it one per turn of the loop
        if fresh or self._age() > (STALE_S if self._lock.locked() else FRESH_S):
            async with self._lock:
                if fresh or self._age() > FRESH_S:
                    await self._read()
        if name not in self._answers:
            near = difflib.get_close_matches(name.lower(), self._known, 4)
            self._answers[name] = [self._known[each] for each in near if self._known[each] != name][:3]
        return self._answers[name]

    def _age(self) -> float:
        return asyncio.get_running_loop().time() - self._read_at

    async def _read(self) -> None:
        names, live = await asyncio.gather(self._agents.names(), self._sessions.live())
        self.online = names.online(live)
        self._known = {each.lower(): each for each in [*names.seen(), *names.aliases]}
        self._answers = {}
        self._read_at = asyncio.get_running_loop().time()
