"""The session that another client's hook event belongs to, and what is done about the event."""

from __future__ import annotations

import contextlib
import os

import structlog

from postino.broker import Broker
from postino.claude.hook_events import HookProcess
from postino.claude.wake import Wakes
from postino.clients.events import CLIENTS, ClientEvent, ClientTurn
from postino.clients.wakers import PluginWaker, codex_waker
from postino.errors import PostinoError
from postino.hint import MARK
from postino.mcp.codex_session import begins_with, runs_many_sessions
from postino.mcp.connected import ConnectedSession, ConnectedSessions, codex_process

#: two sessions of Codex have started in one directory, and neither has called a tool of ours: whose mailbox is whose?
UNDECIDED = f"{MARK} this session has a mailbox: call msg_whoami"

_log = structlog.get_logger()


class ClientTurns:
    """Handles the hook events of Codex, Gemini CLI and opencode on this machine."""

    def __init__(self, broker: Broker, sessions: ConnectedSessions, wakes: Wakes) -> None:
        self._broker = broker
        self._sessions = sessions
        self._wakes = wakes

    async def handle(
        self, client: str, name: str, event: ClientEvent, process: HookProcess
    ) -> tuple[str, ClientTurn | None]:
        """Act on the event; return the text for the session, and the turn to mark notified once it is sent.

        A session whose mailbox is not connected yet gets nothing: a later event of it will do.
        """
        connected, possible = await self._connected(client, event, process)
        if connected is None:
            _log.info("hook_without_mailbox", client=client, hook=name, session=event.session_id, possible=possible)
            return UNDECIDED if possible and name in CLIENTS[client].starts else "", None
        connected.client = client
        agent = await self._agent(event, connected, binds=name in CLIENTS[client].starts)
        session = connected.session.id
        turn = ClientTurn(self._broker, self._sessions, event, connected.process, connected, session, agent)
        if client == "codex" and connected.session.hello.claude_pid is not None:  # else it has no relay
            connected.waker, connected.woken_by = codex_waker(connected), "queue"
        text = await CLIENTS[client].events[name](turn)
        if connected.idle:
            self._wakes.schedule(connected)
        return text, turn

    async def await_wake(self, event: ClientEvent, process: HookProcess, seconds: float) -> bytes:
        """Return what opencode's plugin must start a turn with, or nothing after `seconds`."""
        _, turn = await self.handle("opencode", "AwaitWake", event, process)
        if turn is None:
            return b""
        connected = turn.connected
        if event.woken:
            connected.answered({"msg_id": event.woken, "ok": event.ok})
        connected.proves_wakes = event.messages
        waker = PluginWaker(connected)
        connected.waker, connected.woken_by = waker.wake, "plugin"
        if connected.idle is not False:
            self._wakes.schedule(connected)
        try:
            return await waker.next_line(seconds)
        finally:
            if connected.waker == waker.wake:
                connected.waker = None

    async def _connected(
        self, client: str, event: ClientEvent, process: HookProcess
    ) -> tuple[ConnectedSession | None, int]:
        """Return the mailbox of the event's session, or how many it could be.

        What the session's calls have said counts, and else, but for Codex, the process that ran the hook. A process of
        Codex may run many sessions: then a mailbox that no session has yet is this one's if it was before it connected
        again, or if it began with the session. Where that is not certain, the session's first call will tell.
        """
        known = self._sessions.of_client_session(event.session_id)
        if known is None and client != "codex":
            known = self._sessions.find(process.pid)
        if known is not None or client != "codex":
            return known, 0
        free = [each for each in self._sessions if _is_free(each, event, process)]
        recorded = await self._broker.claude.session_of(codex_process(os.uname().nodename, event.session_id))
        if known := next((each for each in free if each.session.id == recorded), None):
            return known, 0
        began = [each for each in free if begins_with(each.session.hello.started_ms, event.session_id)]
        if not began and not runs_many_sessions(process.pid):
            began = free
        return (began[0] if len(began) == 1 else None), len(free)

    async def _agent(self, event: ClientEvent, connected: ConnectedSession, *, binds: bool) -> str:
        """Return the session's agent; where the client's session is new to it, that is recorded first."""
        before = await connected.session.name()  # joins again where the store does not know the session
        if connected.bound_to == event.session_id or not binds:
            return before
        connected.claude_session = event.session_id
        agent = before
        with contextlib.suppress(PostinoError):  # not known to the store: the next event tries again
            agent = await self._broker.claude.bind(connected.session.id, connected.process, event.session_id)
            connected.bound_to = event.session_id
        if agent != before:
            connected.session.agent_changed()
        return agent


def _is_free(connected: ConnectedSession, event: ClientEvent, process: HookProcess) -> bool:
    """Return whether no session has this mailbox, of those of a process in a directory."""
    hello = connected.session.hello
    return connected.claude_session is None and (hello.claude_pid, hello.directory) == (process.pid, event.cwd)
