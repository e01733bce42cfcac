"""Claude Code processes: the session that a hook belongs to, and what its process was notified of."""

from __future__ import annotations

import contextlib
import hashlib

import msgspec

from postino.broker.sessions import Hello, Sessions
from postino.errors import AgentBusy, StoreAway, UnknownAgent
from postino.store.agents import AgentTable
from postino.store.claude import ClaudeTable, Waiting
from postino.store.sessions import SessionTable
from postino.store.store import Limits, Store

__all__ = ["ClaudeProcesses", "Waiting"]


class ClaudeProcesses(ClaudeTable):
    """Binds sessions to Claude sessions. Only hooks know the Claude session; a relay knows that of its start."""

    def __init__(
        self, store: Store, limits: Limits, agents: AgentTable, live: SessionTable, sessions: Sessions
    ) -> None:
        super().__init__(store, limits)
        self._agents = agents
        self._live = live
        self._sessions = sessions

    async def bind(self, session: str, process: str, claude: str) -> str:
        """Record that `session` now serves the Claude session `claude`; return its agent.

        That is the agent recorded for the Claude session, unless that agent is online or `session` has an explicit
        name. An agent that was created for `session` alone and has no mail is removed.

        Raises:
            UnknownAgent: the session never joined.
        """
        bound = await self.bind_claude(session, process, claude)
        if bound is None:
            raise UnknownAgent(f"the session {session} is not known", names=[])
        if bound.left and bound.made:
            with contextlib.suppress(AgentBusy, StoreAway):  # it has mail already, or no replica confirms it
                await self._agents.forget(bound.left)
        return bound.agent

    async def stand_in(self, hello: Hello) -> tuple[str, str]:
        """Join for a Claude process whose relay has not connected yet; return its session and agent.

        The relay takes over name and presence when it joins. If it has joined meanwhile, its session is returned.
        """
        process = hello.process or ""
        stand_in = "h-" + hashlib.blake2b(process.encode(), digest_size=8).hexdigest()
        joined = await self._sessions.join(msgspec.structs.replace(hello, session=stand_in, generation=1))
        session = await self.session_of(process) or stand_in
        if session == stand_in:
            return stand_in, joined.agent
        return session, await self.bind(session, process, hello.claude_session_id or "")

    async def session_of(self, process: str) -> str | None:
        """Return the session last recorded for a Claude process, if it is still known."""
        session = await super().session_of(process)
        known = session is not None and await self._live.session(session) is not None
        return session if known else None
