"""Whereabouts: the session that a hook of a Claude process speaks for, and what that process was told."""

from __future__ import annotations

import contextlib
import hashlib

import msgspec

from postino.broker.sessions import Hello, Sessions
from postino.errors import AgentBusy, UnknownAgent
from postino.store.whereabouts import Waiting

__all__ = ["Waiting", "Whereabouts"]


class Whereabouts(Sessions):
    """Hooks know a process and its present Claude session, which a relay can not know after its start."""

    async def announce(self, agent: str, process: str, claude: str, *, session: str = "") -> Waiting:
        """Return what waits for `agent` (for that of `session`, if given), and what the process has not been told.

        Another Claude session (after /clear, say) has been told nothing. What was told and came back is new again.
        """
        return await self.whereabouts.announce(agent, process, claude, session=session)

    async def tell(
        self,
        waiting: Waiting,
        process: str,
        claude: str,
        *,
        broadcasts: bool = False,
        greeted: bool = False,
        how: str = "",
    ) -> None:
        """Note that the process has been told of what `announce` found: of the messages, perhaps of the broadcasts too.

        The messages keep `how` for whoever asks for their state; the first time counts.
        """
        await self.whereabouts.tell(waiting, process, claude, broadcasts=broadcasts, greeted=greeted, how=how)

    async def meet(self, session: str, process: str, claude: str) -> str:
        """Note that `session` now serves the Claude session `claude`; return its agent.

        That is the one recorded for that Claude session, unless this one was named or that one is online. An agent
        that was made for it a moment before and has no mail is forgotten.

        Raises:
            UnknownAgent: the session never joined.
        """
        met = await self.whereabouts.meet(session, process, claude)
        if met is None:
            raise UnknownAgent(f"the session {session} is not known", names=[])
        if met.left and met.made:
            with contextlib.suppress(AgentBusy):  # somebody has written to it already
                await self.roster.forget(met.left)
        return met.agent

    async def stand_in(self, hello: Hello) -> tuple[str, str]:
        """Join for a Claude process whose relay has not come yet; return the session that stands for it, and its agent.

        The relay will take over name and presence. One that has come meanwhile stands for itself.
        """
        process = hello.process or ""
        stand_in = "h-" + hashlib.blake2b(process.encode(), digest_size=8).hexdigest()
        joined = await self.join(msgspec.structs.replace(hello, session=stand_in, generation=1))
        session = await self.session_of(process) or stand_in
        if session == stand_in:
            return stand_in, joined.agent
        return session, await self.meet(session, process, hello.claude_session_id or "")

    async def session_of(self, process: str) -> str | None:
        """Return the session last seen with a Claude process, if it is still known."""
        session = await self.whereabouts.session_of(process)
        known = session is not None and await self.roster.session(session) is not None
        return session if known else None

    async def online(self) -> list[str]:
        """Return the agents that are online, by name."""
        names, live = await self.roster.names(), await self.roster.live()
        found = [name for name, entry in names.agents.items() if not live.isdisjoint(entry.sessions)]
        return sorted(found, key=str.lower)
