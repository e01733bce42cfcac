"""Claude Code's hook events: what each adds to the session's context, and what it says about the session's reads."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from postino.broker import Broker
from postino.broker.claude import Waiting
from postino.claude import notice
from postino.mcp.connected import ConnectedSession

OWN_TOOL = re.compile(r"mcp__.*postino__msg_\w+")  # whatever prefix the client gives the server's name


class Event(msgspec.Struct, frozen=True):
    """The fields of a hook event that matter here; an event has only some of them."""

    session_id: str
    cwd: str | None = None
    source: str | None = None  # SessionStart
    reason: str | None = None  # SessionEnd
    prompt: str | None = None  # UserPromptSubmit
    stop_hook_active: bool = False  # Stop: this turn was continued by a Stop hook already
    tool_name: str | None = None  # PostToolUse
    agent_id: str | None = None  # set inside a subagent


@dataclass(frozen=True, slots=True)
class HookProcess:
    """The Claude process that ran a hook, as the hook reports it. `pid` 0: unknown; `socket`: the file name alone."""

    pid: int
    socket: str = ""
    name: str | None = None
    terminal: str = ""


@dataclass(slots=True)
class Turn:
    """A hook event with its session. `connected` None: its relay is not connected to this daemon."""

    broker: Broker
    event: Event
    process: str
    connected: ConnectedSession | None
    session: str | None
    agent: str | None  # None: unknown
    waiting: Waiting | None = None  # what the hook's output is about
    greeted: bool = False  # the output says which agent the session is

    async def unnotified(self) -> Waiting:
        """Return what waits, and which of it the session was not notified of."""
        assert self.agent is not None
        self.waiting = await self.broker.claude.unnotified(
            self.agent, self.process, self.event.session_id, session=self.session or ""
        )
        if self.connected is not None:
            self.connected.agent = self.waiting.agent
        return self.waiting

    async def mark_notified(self, *, broadcasts: bool) -> None:
        """Record that the session was notified of what `unnotified` returned."""
        if self.waiting is not None:
            await self.broker.claude.mark_notified(
                self.waiting,
                self.process,
                self.event.session_id,
                broadcasts=broadcasts,
                greeted=self.greeted,
                how="hook",
            )

    async def greeting(self, waiting: Waiting) -> str:
        """Return which agent this session is, who is online and what waits."""
        self.greeted = True
        online = await self.broker.agents.online()
        return notice.greeting(waiting.agent, online, waiting.unread, waiting.unseen, waiting.senders)

    def hook_received(self, *, idle: bool | None) -> None:
        """Note the hook on the connected session."""
        if self.connected is not None:
            self.connected.hook_received(self.event.session_id, idle=idle)

    async def ack_written(self) -> None:
        """Acknowledge what the session has read: this event comes after it."""
        if self.connected is not None:
            await self.connected.session.ack_written()


async def _session_start(turn: Turn) -> str:
    """A session starts, resumes, or has lost its context (/clear, compaction): it knows nothing of its mailbox."""
    turn.hook_received(idle=None if turn.event.source == "compact" else True)
    return await turn.greeting(await turn.unnotified())


async def _user_prompt_submit(turn: Turn) -> str:
    """A turn starts. Greet the session if its SessionStart hook could not, because the daemon was still starting."""
    woken = turn.connected is not None and turn.event.prompt == turn.connected.wake_text
    turn.hook_received(idle=False)
    await turn.ack_written()
    waiting = await turn.unnotified()
    if not waiting.greeted:
        return await turn.greeting(waiting)
    if woken:
        return ""  # the prompt is our own line
    return notice.mail_line(waiting.unread, waiting.unseen, waiting.senders)


async def _post_tool_batch(turn: Turn) -> str:
    """A round of tool calls has ended: notify once of what arrived meanwhile. A subagent is not the recipient."""
    if turn.event.agent_id is not None:
        return ""
    turn.hook_received(idle=False)
    await turn.ack_written()
    waiting = await turn.unnotified()
    return notice.mail_line(waiting.new_unread, waiting.new_unseen, waiting.new_senders)


async def _post_tool_use(turn: Turn) -> str:
    """A tool call has ended: if it was one of ours, the client has its answer."""
    if turn.event.agent_id is None and OWN_TOOL.fullmatch(turn.event.tool_name or ""):
        await turn.ack_written()
    return ""


async def _stop(turn: Turn) -> str:
    """A turn ends. Mail it was not notified of continues it, once per turn; later mail wakes the session instead."""
    await turn.ack_written()
    waiting = None if turn.event.stop_hook_active else await turn.unnotified()
    if waiting is None or not waiting.new_unread:
        turn.hook_received(idle=True)
        return ""
    turn.hook_received(idle=False)
    return notice.mail_line(waiting.new_unread, 0, waiting.new_senders)


async def _idle(turn: Turn) -> str:
    """A turn ended with an error, or the client reports that it is idle, the only sign after an interrupt."""
    turn.hook_received(idle=True)
    return ""


async def _session_end(turn: Turn) -> str:
    """The process ends with its session, unless another session continues in it (clear, resume)."""
    if turn.event.reason in ("clear", "resume") or turn.session is None:
        return ""
    turn.hook_received(idle=False)
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
