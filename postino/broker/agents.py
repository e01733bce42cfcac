"""Agents: who is known, who is online, and what they are called."""

from __future__ import annotations

import asyncio

from postino.broker.core import Core
from postino.errors import AgentBusy, UnknownAgent
from postino.model import Agent, Check, Renamed
from postino.store.roster import AgentEntry


class Agents(Core):
    """The roster."""

    async def agents(self, limit: int, offset: int, *, online_first: bool = False) -> tuple[list[Agent], int]:
        """Return known agents by name, and how many there are."""
        names, live = await asyncio.gather(self.roster.names(), self.roster.live())
        wanted = _ordered(names.agents, live if online_first else set())[offset : offset + limit]
        items = [self.roster.describe(name, names.agents[name], live) for name in wanted]
        return list(await asyncio.gather(*items)), len(names.agents)

    async def addressees(self, begins: str) -> list[str]:
        """Return every name that begins so, in whatever case: those online first."""
        names, live = await asyncio.gather(self.roster.names(), self.roster.live())
        begins = begins.lower()
        return [each for each in _ordered(names.agents, live) if each.lower().startswith(begins)]

    async def agent(self, name: str) -> Agent:
        """Return one agent, also by a former name.

        Raises:
            UnknownAgent: with the nearest names.
        """
        present, entry = await self.roster.entry(name)
        if entry is None:
            raise await self.unknown(name)
        return await self.roster.describe(present, entry, await self.roster.live())

    async def check(self, agent: str) -> Check:
        """Count what waits; the cost does not depend on how much that is."""
        present, unread, unseen = await self.roster.check(agent)
        return Check(agent=present, unread_messages=unread, unseen_broadcasts=unseen)

    async def heartbeat(self, name: str) -> Agent:
        """Keep an HTTP agent online for the next 30 s."""
        return await self.agent(await self.roster.heartbeat(name))

    async def offline(self, name: str) -> None:
        """Take an HTTP agent offline at once."""
        await self.roster.heartbeat(name, online=False)

    async def forget(self, name: str) -> None:
        """Remove an agent.

        Raises:
            UnknownAgent: with the nearest names. AgentBusy: it is online or has mail.
        """
        if not await self.roster.forget(name):
            raise await self.unknown(name)

    async def cleanup(self) -> list[str]:
        """Forget every agent that is offline and has no mail; return their names."""
        names = await self.roster.names()
        gone = []
        for name in sorted(names.agents):
            try:
                if await self.roster.forget(name):
                    gone.append(name)
            except AgentBusy:
                continue
        return gone

    async def rename(self, old: str, new: str) -> Renamed:
        """Move an agent with its mail, cursor and sessions to `new`; `old` stays an alias.

        Raises:
            UnknownAgent: with the nearest names. NameTaken: `new` is online or has mail. AliasLimit.
        """
        try:
            before, after, aliases = await self.roster.rename(old, new)
        except UnknownAgent:
            raise await self.unknown(old) from None
        return Renamed(name=after, old=before, aliases=aliases)


def _ordered(agents: dict[str, AgentEntry], live: set[str]) -> list[str]:
    """Return the names of `agents`, those with a session in `live` first."""
    return sorted(agents, key=lambda name: (live.isdisjoint(agents[name].sessions), name.lower()))
