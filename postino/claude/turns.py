"""The session that a hook event belongs to: find it, join or bind it if need be, and handle the event for it.

A hook knows its Claude process and the present Claude session; the relay of the same process has the mailbox.
"""

from __future__ import annotations

import os

import structlog

from postino.broker import Broker, Hello
from postino.claude.hook_events import EVENTS, Event, HookProcess, Turn
from postino.claude.wake import Wakes
from postino.claude.warnings import Warnings
from postino.mcp.connected import ConnectedSession, ConnectedSessions
from postino.relay.claude_process import started, terminal_suffix

_log = structlog.get_logger()


class Turns:
    """Handles the hook events of every Claude Code session on this machine."""

    def __init__(self, broker: Broker, sessions: ConnectedSessions, wakes: Wakes) -> None:
        self._broker = broker
        self._sessions = sessions
        self._wakes = wakes
        self._warnings = Warnings()

    async def handle(self, name: str, event: Event, process: HookProcess) -> tuple[str, Turn | None]:
        """Act on the event `name`; return the text for the session, and the turn to mark notified once it is sent."""
        turn = await self._turn(event, process, joins=name == "SessionStart")
        if turn is None:
            _log.info("hook_without_agent", hook=name, claude=event.session_id)
            return "", None
        turn.warning = self._warnings.of(name, turn.process, turn.connected, process.plugin)
        text = await EVENTS[name](turn)
        if turn.connected is not None and turn.connected.idle:
            self._wakes.schedule(turn.connected)  # for mail that arrived while the session counted as busy
        elif turn.connected is not None and name == "PreToolUse":
            self._wakes.look_later(turn.connected)
        return text, turn

    async def _turn(self, event: Event, process: HookProcess, *, joins: bool) -> Turn | None:
        """Find the event's session and agent; `joins`: register one if there is none. None without a Claude process."""
        connected = self._sessions.find(process.pid, process.socket)
        if connected is None and not process.pid:
            return None
        hello = _hello(event, process)
        key = (connected.session.hello.process if connected else None) or hello.process or ""
        session = connected.session.id if connected else await self._broker.claude.session_of(key)
        if session is None and not joins:
            return None
        if session is None:
            session, agent = await self._broker.claude.stand_in(hello)
        elif connected is not None and (joins or connected.claude_session != event.session_id):
            agent = await self._rebind(connected, key, event.session_id)
        elif connected is not None:
            agent = connected.agent or await connected.session.name()
        elif joins:
            agent = await self._broker.claude.bind(session, key, event.session_id)
        else:
            agent = await self._broker.sessions.agent_of(session)
        return Turn(self._broker, self._sessions, event, key, connected, session, agent)

    async def _rebind(self, connected: ConnectedSession, key: str, claude_session: str) -> str:
        """Bind a connected session to the event's Claude session; return its agent, which may be another one now."""
        before = await connected.session.name()  # joins again where the store does not know the session
        if connected.claude_session not in (None, claude_session):
            await connected.session.give_back_shown()  # another conversation, which has seen none of it
        agent = await self._broker.claude.bind(connected.session.id, key, claude_session)
        if agent != before:
            connected.session.agent_changed()
        return agent


def _hello(event: Event, process: HookProcess) -> Hello:
    return Hello(
        session="",
        generation=1,
        name=process.name,
        terminal=terminal_suffix(process.terminal),
        directory=event.cwd,
        host=os.uname().nodename,
        claude_pid=process.pid or None,
        claude_start=started(process.pid),
        claude_session_id=event.session_id,
    )
