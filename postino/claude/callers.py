"""Which session's agent a command acts as: one that a client's shell tool runs, or that such a command starts.

The kernel tells which process calls, and /proc of which client it descends; of nested clients the nearest counts. One
process of Codex runs many sessions: which of them a command belongs to is then only what the command says.
"""

from __future__ import annotations

import os

import msgspec

from postino.broker import Broker
from postino.broker.sessions import process_key
from postino.claude.hook_events import HookProcess
from postino.errors import UnknownAgent
from postino.mcp.codex_session import runs_many_sessions
from postino.mcp.connected import ConnectedSession, ConnectedSessions
from postino.relay.claude_process import ancestors, started

MAX_DEPTH = 64  # processes between a session's client and a command: shells, make, test runners


class SessionAgent(msgspec.Struct, frozen=True):
    """The agent of the session in which a caller says it runs.

    `proved`: the kernel says that the calling process descends from that session's client.
    """

    name: str
    proved: bool


class Callers:
    """Finds the sessions that the callers of the API run in."""

    def __init__(self, broker: Broker, sessions: ConnectedSessions) -> None:
        self._broker = broker
        self._sessions = sessions

    async def find(self, process: HookProcess, sessions: list[str], caller: int | None) -> SessionAgent | None:
        """Return the agent of the session that a command runs in; None if there is none.

        `process` and `sessions` (ids of clients' sessions) are what the caller says; `caller` is its pid, None where
        that is not known.
        """
        if (above := self._of_ancestors(caller, process.pid, sessions)) is not None:
            connected, proved = above
            return None if connected is None else SessionAgent(await connected.session.name(), proved)
        connected = self._sessions.find(process.pid, process.socket)
        if connected is None:  # an older client, and Codex, tell their commands nothing else
            found = [self._sessions.of_client_session(each) for each in sessions]
            connected = next((each for each in found if each is not None), None)
        if connected is not None:
            return SessionAgent(await connected.session.name(), proved=False)
        return await self._without_relay(process.pid, caller)

    def is_in_session(self, caller: int | None) -> bool:
        """Return whether a process descends from a client that is connected."""
        above = ancestors(caller, MAX_DEPTH) if caller else []
        return any(_is_of(each, pid, started(pid)) for pid in above for each in self._sessions)

    def _of_ancestors(
        self, caller: int | None, claude_pid: int, sessions: list[str]
    ) -> tuple[ConnectedSession | None, bool] | None:
        """Return the session of the nearest client that a process descends from, and whether it certainly is that one.

        Without a session if that client may run several, connected or not, and the caller names none that is. None if
        the process descends from no client that is connected, or the client `claude_pid`, which is not, is nearer.
        """
        for pid in ancestors(caller, MAX_DEPTH) if caller else []:
            start = started(pid)
            served = [each for each in self._sessions if _is_of(each, pid, start)]
            if not served:
                if pid == claude_pid:
                    return None
                continue
            named = next((each for each in served if each.claude_session in sessions), None)
            may_be_other = len(served) > 1 or runs_many_sessions(pid)
            if may_be_other and any(each.shares_process for each in served):
                return named, named is not None and len(served) == 1
            return named or served[0], True  # of two entries of postino in one client, any
        return None

    async def _without_relay(self, pid: int, caller: int | None) -> SessionAgent | None:
        """Return the agent recorded for a Claude process whose relay is not connected, because it connects again."""
        start = started(pid)
        if start is None:
            return None
        session = await self._broker.claude.session_of(process_key(os.uname().nodename, pid, start))
        if session is None:
            return None
        try:
            agent = await self._broker.sessions.agent_of(session)
        except UnknownAgent:
            return None
        above = ancestors(caller, MAX_DEPTH) if caller else []
        return SessionAgent(agent, proved=pid in above and started(pid) == start)


def _is_of(connected: ConnectedSession, pid: int, start: str | None) -> bool:
    hello = connected.session.hello
    return start is not None and (hello.claude_pid, hello.claude_start) == (pid, start)
