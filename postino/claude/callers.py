"""Which session's agent a command acts as: one that Claude Code's Bash tool runs, or that such a command starts."""

from __future__ import annotations

import os
from dataclasses import dataclass

from postino.broker import Broker
from postino.broker.sessions import process_key
from postino.claude.hook_events import HookProcess
from postino.errors import UnknownAgent
from postino.mcp.connected import ConnectedSessions
from postino.relay.claude_process import ancestors, start_time

MAX_DEPTH = 64  # processes between a session's client and a command: shells, make, test runners


@dataclass(frozen=True, slots=True)
class SessionAgent:
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

    async def find(self, process: HookProcess, claude_session: str, caller: int | None) -> SessionAgent | None:
        """Return the agent of the session that serves a Claude process; None if no session does.

        `process` and `claude_session` are what the caller says; `caller` is its pid, None where that is not known.
        """
        start = _start(process.pid)
        connected = self._sessions.find(process.pid, start, process.socket)
        if connected is None and claude_session:  # an older client tells its commands nothing else
            connected = self._sessions.of_client_session(claude_session)
        if connected is not None:
            hello = connected.session.hello
            proved = _descends(caller, hello.claude_pid, hello.claude_start)
            return SessionAgent(await connected.session.name(), proved)
        return await self._without_relay(process.pid, start, caller)

    async def _without_relay(self, pid: int, start: str | None, caller: int | None) -> SessionAgent | None:
        """Return the agent recorded for a Claude process whose relay is not connected, because it connects again."""
        if start is None:
            return None
        session = await self._broker.claude.session_of(process_key(os.uname().nodename, pid, start))
        if session is None:
            return None
        try:
            agent = await self._broker.sessions.agent_of(session)
        except UnknownAgent:
            return None
        return SessionAgent(agent, _descends(caller, pid, start))


def _start(pid: int) -> str | None:
    start = start_time(pid) if pid else None
    return None if start is None else str(start)


def _descends(caller: int | None, pid: int | None, start: str | None) -> bool:
    """Return whether a process certainly descends from the process `pid` that began at `start`."""
    if not caller or not pid or start is None:
        return False
    return pid in ancestors(caller, MAX_DEPTH) and start == _start(pid)
