"""Claude Code's hook events: what each adds to the session's context, and what it says about the session's reads.

A read is acknowledged by the first event that only a model which had its answer can have caused: a PreToolUse,
PostToolBatch or Stop of the main conversation after the PostToolBatch that lists the read. That one itself is no proof:
the client runs it before it sends the answers to the model, and a session killed in between has lost them. Nor is a
UserPromptSubmit, which a line to the session's inbox causes within a turn, or a SessionEnd.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from postino.broker import Broker
from postino.broker.claude import Waiting
from postino.claude import notice
from postino.hint import hint
from postino.mcp.connected import ConnectedSession, ConnectedSessions


class ToolUse(msgspec.Struct, frozen=True):
    """One call of a PostToolBatch."""

    tool_use_id: str = ""


class Event(msgspec.Struct, frozen=True):
    """The fields of a hook event that matter here; an event has only some of them."""

    session_id: str
    cwd: str | None = None
    source: str | None = None  # SessionStart
    reason: str | None = None  # SessionEnd
    prompt: str | None = None  # UserPromptSubmit
    stop_hook_active: bool = False  # Stop: this turn was continued by a Stop hook already
    tool_name: str = ""  # PreToolUse
    tool_input: Any = None  # PreToolUse
    tool_calls: list[ToolUse] = []  # PostToolBatch
    permission_mode: str | None = None
    agent_id: str | None = None  # set inside a subagent


class HookProcess(msgspec.Struct, frozen=True):
    """The Claude process that ran a hook, as the hook reports it. `pid` 0: unknown; `socket`: the file name alone.

    `plugin` is the version of its hook, None if it does not say; `ask`: the user wants the client's dialogs.
    """

    pid: int
    socket: str = ""
    name: str | None = None
    terminal: str = ""
    plugin: str | None = None
    ask: bool = False


class Turn(msgspec.Struct):
    """A hook event with its session. `connected` None: its relay is not connected to this daemon."""

    broker: Broker
    sessions: ConnectedSessions
    event: Event
    process: str
    connected: ConnectedSession | None
    session: str
    agent: str
    waiting: Waiting | None = None  # what the hook's output is about
    warning: str = ""  # for the user, not for the model
    mail: str = ""  # the same, about mail that waits
    greeted: bool = False  # the output says which agent the session is

    async def unnotified(self) -> Waiting:
        """Return what waits, and which of it the session was not notified of."""
        self.waiting = await self.broker.claude.unnotified(
            self.agent, self.process, self.event.session_id, session=self.session
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
        """Note the hook on the connected session, or for the one whose relay is still to connect."""
        if self.connected is not None:
            self.connected.hook_received(self.event.session_id, idle=idle)
        else:
            self.sessions.hook_came_first(self.process, self.event.session_id, idle=idle)

    async def ack_listed(self, *, turn_ended: bool = False) -> None:
        """Acknowledge what earlier rounds of tool calls have read: the model that caused this event had it."""
        if self.connected is not None:
            await self.connected.session.ack_listed(turn_ended=turn_ended)


async def _session_start(turn: Turn) -> str:
    """A session starts, resumes, or has lost its context (/clear, compaction): it knows nothing of its mailbox.

    Its user, who may not know that mail came while it was closed, is told, too: the model waits for a prompt.
    """
    compacted = turn.event.source == "compact"
    turn.hook_received(idle=None if compacted else True)
    waiting = await turn.unnotified()
    if not compacted:
        turn.mail = notice.mail_for_user(waiting.agent, waiting.unread, waiting.senders)
    return await turn.greeting(waiting)


async def _user_prompt_submit(turn: Turn) -> str:
    """A turn starts. Greet the session if its SessionStart hook could not, because the daemon was still starting."""
    woken = turn.connected is not None and turn.connected.prompted(turn.event.prompt)
    turn.hook_received(idle=False)
    if turn.connected is not None:
        turn.connected.last_prompt_at = turn.connected.last_hook_at
        if not woken:
            await turn.connected.session.give_back_unproved()
    waiting = await turn.unnotified()
    if not waiting.greeted:
        return await turn.greeting(waiting)
    if woken:
        return ""  # the prompt is our own line
    return hint(waiting.unread, waiting.unseen, waiting.senders)


async def _post_tool_batch(turn: Turn) -> str:
    """A round of tool calls has ended: notify once of what arrived meanwhile. A subagent is not the recipient."""
    session = turn.connected and turn.connected.session
    tool_uses = {each.tool_use_id for each in turn.event.tool_calls}
    if turn.event.agent_id is not None:
        turn.hook_received(idle=None)
        if session and tool_uses:
            await session.give_back_shown(tool_uses)  # a read that was not refused: its PreToolUse ran out of time
        return ""
    turn.hook_received(idle=False)
    await turn.ack_listed()
    if session:
        session.round_ended(tool_uses)
    waiting = await turn.unnotified()
    return hint(waiting.new_unread, waiting.new_unseen, waiting.new_senders)


async def _pre_tool_use(turn: Turn) -> str:
    """A tool of ours is about to be called. Whether it may be is decided elsewhere."""
    main = turn.event.agent_id is None
    turn.hook_received(idle=False if main else None)
    if main:
        await turn.ack_listed()
    return ""


async def _post_tool_use(_: Turn) -> str:
    """A tool call has ended, of which the model knows nothing yet. An earlier plugin reported it."""
    return ""


async def _stop(turn: Turn) -> str:
    """A turn ends. Mail it was not notified of continues it, once per turn; later mail wakes the session instead.

    A round of an earlier turn that has not ended by now was interrupted: what was read in it may be lost to the model.
    """
    await turn.ack_listed(turn_ended=True)
    if turn.connected is not None:
        await turn.connected.session.give_back_interrupted(turn.connected.last_prompt_at)
    waiting = None if turn.event.stop_hook_active else await turn.unnotified()
    if waiting is None or not waiting.new_unread:
        turn.hook_received(idle=True)
        return ""
    turn.hook_received(idle=False)
    return hint(waiting.new_unread, 0, waiting.new_senders)


async def _idle(turn: Turn) -> str:
    """A turn ended with an error, or the client reports that it is idle, the only sign after an interrupt."""
    turn.hook_received(idle=True)
    return ""


async def _session_end(turn: Turn) -> str:
    """The process ends with its session, unless another session continues in it (clear, resume)."""
    if turn.event.reason in ("clear", "resume"):
        return ""
    turn.hook_received(idle=False)
    generation = turn.connected.session.hello.generation if turn.connected else 1
    await turn.broker.sessions.leave(turn.session, generation)
    return ""


EVENTS: dict[str, Callable[[Turn], Awaitable[str]]] = {
    "SessionStart": _session_start,
    "UserPromptSubmit": _user_prompt_submit,
    "PreToolUse": _pre_tool_use,
    "PostToolBatch": _post_tool_batch,
    "PostToolUse": _post_tool_use,
    "Stop": _stop,
    "StopFailure": _idle,
    "Notification": _idle,
    "SessionEnd": _session_end,
}
