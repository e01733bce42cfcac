"""What a Claude Code session is told at each hook event, and what the event proves.

The hook knows its process and its present session; the relay of the same process has the mailbox.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
import structlog

from postino.broker import Broker, Hello
from postino.broker.claude import Waiting
from postino.claude import notice
from postino.claude.wake import Wakes
from postino.mcp.connected import ConnectedSession, ConnectedSessions
from postino.relay.claude_process import started
from postino.relay.lines import tail

MAILBOX = re.compile(r"mcp__.*postino__msg_\w+")  # a tool of ours, whatever the server is called in full

_log = structlog.get_logger()


class Event(msgspec.Struct, frozen=True):
    """What matters of any event."""

    session_id: str
    cwd: str | None = None
    source: str | None = None  # SessionStart
    reason: str | None = None  # SessionEnd
    prompt: str | None = None  # UserPromptSubmit
    stop_hook_active: bool = False  # Stop
    tool_name: str | None = None  # PostToolUse
    agent_id: str | None = None  # inside a subagent


@dataclass(frozen=True, slots=True)
class HookProcess:
    """The Claude process that runs a hook, as the hook tells it: pid (0: unknown), inbox socket, name, terminal."""

    pid: int
    socket: str = ""
    name: str | None = None
    terminal: str = ""


@dataclass(slots=True)
class Turn:
    """The session that a hook speaks for. `connected` None: its relay is not connected here; `agent` None: unknown."""

    broker: Broker
    event: Event
    process: str
    connected: ConnectedSession | None
    session: str | None
    agent: str | None
    says: Waiting | None = None  # what the hook's answer is about
    greeting: bool = False  # and whether it says who the session is

    async def announce(self) -> Waiting:
        """Return what waits, and what of it is new to the session."""
        assert self.agent is not None
        self.says = await self.broker.claude.unnotified(
            self.agent, self.process, self.event.session_id, session=self.session or ""
        )
        if self.connected is not None:
            self.connected.agent = self.says.agent
        return self.says

    async def tell(self, *, broadcasts: bool) -> None:
        """Note that the session has been told: none of it is new any more."""
        if self.says is not None:
            await self.broker.claude.mark_notified(
                self.says, self.process, self.event.session_id, broadcasts=broadcasts, greeted=self.greeting, how="hook"
            )

    async def greet(self, waiting: Waiting) -> str:
        """Return who this session is and what waits."""
        self.greeting = True
        online = await self.broker.agents.online()
        return notice.greeting(waiting.agent, online, waiting.unread, waiting.unseen, waiting.senders)

    def heard(self, *, idle: bool | None) -> None:
        """Note what the event tells of the session."""
        if self.connected is not None:
            self.connected.heard(self.event.session_id, idle=idle)

    async def seen(self) -> None:
        """Settle what the session has been given: this event comes after it."""
        if self.connected is not None:
            await self.connected.session.seen()


class Turns:
    """The hook events of every Claude Code session on this machine."""

    def __init__(self, broker: Broker, sessions: ConnectedSessions, wakes: Wakes) -> None:
        self._broker = broker
        self._sessions = sessions
        self._wakes = wakes

    async def take(self, name: str, event: Event, process: HookProcess) -> tuple[str, Turn | None]:
        """Act on the event `name`; return what its hook prints, and the turn to report once that is delivered."""
        turn = await self._turn(event, process, joins=name == "SessionStart")
        if turn is None or turn.agent is None:
            _log.info("hook_of_nobody", hook=name, claude=event.session_id)
            return "", None
        text = await EVENTS[name](turn)
        if turn.connected is not None and turn.connected.idle:
            self._wakes.look(turn.connected)  # mail that came while nobody could tell it
        return text, turn

    async def _turn(self, event: Event, process: HookProcess, *, joins: bool) -> Turn | None:
        """Find who speaks; one that `joins` is registered if need be. None without a Claude process."""
        pid, broker = process.pid, self._broker
        start = started(pid) if pid else None
        connected = self._sessions.of(pid, None if start is None else str(start), process.socket)
        if connected is None and not pid:
            return None
        hello = _hello(event, process, start)
        key = (connected.session.hello.process if connected else None) or hello.process or ""
        session = connected.session.id if connected else await broker.claude.session_of(key)
        turn = Turn(broker, event, key, connected, session, None)
        if session is None and not joins:
            return None
        if session is None:
            turn.session, turn.agent = await broker.claude.stand_in(hello)
        elif joins or (connected is not None and connected.claude != event.session_id):
            before = None
            if connected is not None:
                before = await connected.session.name()  # joins again where the store has forgotten it
                await connected.session.seen()  # by the agent it may now cease to be
            turn.agent = await broker.claude.bind(session, key, event.session_id)
            if connected is not None and turn.agent != before:
                connected.session.moved()
        else:
            turn.agent = (
                (connected.agent or await connected.session.name())
                if connected
                else await broker.sessions.agent_of(session)
            )
        return turn


def _hello(event: Event, process: HookProcess, start: int | None) -> Hello:
    return Hello(
        session="",
        generation=1,
        name=process.name,
        terminal=tail(process.terminal),
        directory=event.cwd,
        host=os.uname().nodename,
        claude_pid=process.pid or None,
        claude_start=None if start is None else str(start),
        claude_session_id=event.session_id,
    )


async def _session_start(turn: Turn) -> str:
    """A session begins, goes on after a /clear, or has its context made anew: it knows nothing of us."""
    turn.heard(idle=None if turn.event.source == "compact" else True)
    return await turn.greet(await turn.announce())


async def _user_prompt_submit(turn: Turn) -> str:
    """A turn begins. The first prompt after a cold start says what SessionStart could not."""
    woken = turn.connected is not None and turn.event.prompt == turn.connected.woken_by
    turn.heard(idle=False)
    await turn.seen()
    waiting = await turn.announce()
    if not waiting.greeted:
        return await turn.greet(waiting)
    if woken:
        return ""  # the prompt itself is our line
    return notice.line(waiting.agent, waiting.unread, waiting.unseen, waiting.senders)


async def _post_tool_batch(turn: Turn) -> str:
    """A turn goes on: what came meanwhile is told, once. A subagent is not who the mail is for."""
    if turn.event.agent_id is not None:
        return ""
    turn.heard(idle=False)
    await turn.seen()
    waiting = await turn.announce()
    return notice.line(waiting.agent, waiting.new_unread, waiting.new_unseen, waiting.new_senders)


async def _post_tool_use(turn: Turn) -> str:
    """An answer of ours is with the session."""
    if turn.event.agent_id is None and MAILBOX.fullmatch(turn.event.tool_name or ""):
        await turn.seen()
    return ""


async def _stop(turn: Turn) -> str:
    """A turn ends. Mail that came during it and was not told continues it, but only once; then it wakes."""
    await turn.seen()
    waiting = None if turn.event.stop_hook_active else await turn.announce()
    if waiting is None or not waiting.new_unread:
        turn.heard(idle=True)
        return ""
    turn.heard(idle=False)
    return notice.line(waiting.agent, waiting.new_unread, 0, waiting.new_senders)


async def _idle(turn: Turn) -> str:
    """A turn ended in an error, or was interrupted a minute ago, which no other event tells."""
    turn.heard(idle=True)
    return ""


async def _session_end(turn: Turn) -> str:
    """The session ends, and with it the process, unless another session goes on in it."""
    if turn.event.reason in ("clear", "resume") or turn.session is None:
        return ""
    turn.heard(idle=False)
    generation = turn.connected.session.hello.generation if turn.connected else 1
    await turn.broker.sessions.leave(turn.session, generation)
    return ""


EVENTS: dict[str, Callable[[Turn], Awaitable[str]]] = {
    "SessionStart": _session_start,
    "UserPromptSubmit": _user_prompt_submit,
    "PostToolBatch": _post_tool_batch,
    "PostToolUse": _post_tool_use,
    "Stop": _stop,
    "StopFailure": _idle,
    "Notification": _idle,
    "SessionEnd": _session_end,
}
