"""Agents: who is known, who is online, and under which names."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from itertools import islice

from postino.broker.nearest import Nearest
from postino.errors import AgentBusy, UnknownAgent, partly_done
from postino.model import Activity, Agent, Check, Renamed
from postino.store.agents import AgentTable, kind_of
from postino.store.names import Names
from postino.store.sessions import SessionTable


class Agents:
    """Every known agent."""

    def __init__(self, table: AgentTable, sessions: SessionTable) -> None:
        self._table = table
        self._sessions = sessions
        self._nearest = Nearest(table, sessions)
        self.activity: Callable[[str], Activity] = lambda _: "unknown"  # set by whoever knows the connected sessions
        self.own_person: Callable[[], str | None] = lambda: None  # whose daemon this is; set from outside

    async def names(self) -> Names:
        """Return every known name, aliases included."""
        return await self._table.names()

    async def page(self, limit: int, offset: int, *, online_first: bool = False) -> tuple[list[Agent], int]:
        """Return known agents in the order of their names, and how many there are."""
        names = await self._table.names()
        first = names.online(await self._sessions.live()) if online_first else []
        wanted, total = _leading(first, names, offset, limit), len(names.agents)
        return await self._table.described(wanted, self.activity), total

    async def page_online(self, limit: int, offset: int = 0) -> tuple[list[Agent], int]:
        """Return up to `limit` of the agents that are online, in the order of their names, and how many there are."""
        names, live = await asyncio.gather(self._table.names(), self._sessions.live())
        online = names.online(live)
        return await self._table.described(online[offset : offset + limit], self.activity), len(online)

    async def online(self) -> list[str]:
        """Return the names of the agents that are online, sorted."""
        names, live = await asyncio.gather(self._table.names(), self._sessions.live())
        return names.online(live)

    def online_lately(self) -> list[str]:
        """Return the agents that were online when `nearest` last read the names: at most a second ago."""
        return self._nearest.online

    async def addressees(self, prefix: str) -> list[str]:
        """Return every name that begins with `prefix`, ignoring case; those online first."""
        names, live = await asyncio.gather(self._table.names(), self._sessions.live())
        prefix = prefix.lower()
        found = [each for each in names.in_order() if each.lower().startswith(prefix)]
        online = set(names.online(live))
        return sorted(found, key=lambda each: each not in online)

    async def one(self, name: str) -> Agent:
        """Return an agent by its present name or an alias.

        Raises:
            UnknownAgent: with the nearest names.
        """
        found = await self._table.described([name], self.activity)
        found = found or await self._table.described([await self.present(name)], self.activity)
        if not found:  # renamed or forgotten between two calls
            raise await self._unknown(name)
        return found[0]

    async def present(self, name: str) -> str:
        """Return the present name of an agent that must exist.

        Raises:
            UnknownAgent: with the nearest names.
        """
        present, entry = await self._table.entry(name)
        if entry is None:
            raise await self._unknown(name)
        return present

    async def known(self, name: str) -> str | None:
        """Return the present name of a person or of an agent that has been seen; None if there is none."""
        present, entry = await self._table.entry(name)
        return present if entry is not None and (entry.seen or entry.human) else None

    async def is_person(self, name: str) -> bool:
        """Return whether somebody of that name is a person."""
        _, entry = await self._table.entry(name)
        return entry is not None and entry.human

    def check(self, agent: str, *, session: str = "") -> Awaitable[Check]:
        """Count what waits for an agent; the cost does not depend on how much that is.

        Raises:
            WrongAgent: `session` is given and does not act as `agent`.
        """
        return self._table.check(agent, session)

    async def heartbeat(self, name: str) -> Agent:
        """Keep an HTTP agent online for the next 30 s."""
        present = await self._sessions.heartbeat(name)
        with partly_done(True):
            return await self.one(present)

    async def offline(self, name: str) -> None:
        """Take an HTTP agent offline at once."""
        await self._sessions.heartbeat(name, online=False)

    async def forget(self, name: str) -> None:
        """Remove an agent.

        Raises:
            UnknownAgent: with the nearest names.
            AgentBusy: it is online or has mail, or it is the person whose daemon this is.
        """
        present, entry = await self._table.entry(name)
        if entry is not None and self.own_person() in (present, *entry.aliases):
            raise AgentBusy(f"{present} is the person whose daemon this is; POSTINO_HUMAN_NAME gives another name")
        if not await self._table.forget(name):
            raise await self._unknown(name)

    async def cleanup(self) -> list[str]:
        """Remove every agent, but no person, that is offline and has no mail; return their names."""
        names = await self._table.names()
        forgotten: list[str] = []
        agents = [name for name, entry in names.agents.items() if kind_of(name, entry) == "agent"]
        for name in sorted([*agents, *names.readers]):
            with contextlib.suppress(AgentBusy), partly_done(bool(forgotten)):
                if await self._table.forget(name):
                    forgotten.append(name)
        return forgotten

    async def rename(self, old: str, new: str) -> Renamed:
        """Move an agent with its mail, cursor and sessions to `new`; `old` becomes an alias.

        Raises:
            UnknownAgent: with the nearest names.
            NameTaken: `new` is online, has mail or is an alias in use.
            AliasLimit: the agent has 32 aliases, and the oldest is in use.
        """
        try:
            before, after, aliases = await self._table.rename(old, new)
        except UnknownAgent:
            raise await self._unknown(old) from None
        return Renamed(name=after, old=before, aliases=aliases)

    async def nearest(self, name: str) -> list[str]:
        """Return up to three known names that resemble `name`, best first."""
        return await self._nearest.of(name)

    async def _unknown(self, name: str) -> UnknownAgent:
        near = await self._nearest.of(name, fresh=True)
        hint = f"; did you mean {', '.join(near)}?" if near else "; `postino agents` lists all there are"
        return UnknownAgent(f"there is no agent named {name}{hint}", names=near)


def _leading(first: list[str], names: Names, offset: int, limit: int) -> list[str]:
    """Return a page of `names` in which those that are in `first` precede the others."""
    if not first:
        return names.in_order(offset, limit)
    leading, skipped = set(first), max(0, offset - len(first))
    page = first[offset : offset + limit]
    others = (name for name in names.in_order() if name not in leading)
    return page + list(islice(others, skipped, skipped + limit - len(page)))
