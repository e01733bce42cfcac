"""What the hook events of other clients mean: each client's names, mapped to what happened in the session.

Never acknowledged before the model has seen the answer. What proves that it has differs by client:

* Codex reports each tool call alone and names no request to the model. The end of a turn proves all its rounds; within
  a turn, the transcript shows what the model said after an answer. An interrupted turn may have lost its answers.
* Gemini runs a hook before each request to the model: by then every round before is complete. The next tool call, or
  the end of the agent's turn, comes from a model that had the answers.
  Of an interrupted turn nothing is known at the next prompt.
* opencode's plugin sees the parts of each of the model's messages, and says which calls were answered before one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from postino.claude import hook_events, notice
from postino.claude.hook_events import Event, Turn
from postino.claude.permission import REFUSED, decision
from postino.clients.transcript import answered_calls
from postino.hint import hint
from postino.mcp.connected import ConnectedSession

READS = ("msg_read", "msg_ask", "msg_broadcasts", "read_mcp_resource")  # the tools whose answers hold mail


class ClientEvent(Event, frozen=True):
    """A hook event of another client."""

    tool_use_id: str | None = None  # of a tool call
    turn_id: str | None = None  # Codex
    transcript_path: str | None = None  # Codex: where it writes what the model was sent and said
    woken: str | None = None  # AwaitWake: the wake that the plugin has carried out
    ok: bool = False  # AwaitWake: it started a turn
    messages: bool = False  # AwaitWake: a line may hold messages, because Seen and Aborted report what became of it
    prompted: bool = False  # Seen: the model has gone on after the last prompt; Aborted: it has not


class ClientTurn(Turn):
    """A hook event of another client, whose mailbox is connected."""

    event: ClientEvent
    connected: ConnectedSession

    @property
    def tool_use(self) -> set[str]:
        """The tool call that the event is about, if any."""
        return {self.event.tool_use_id} if self.event.tool_use_id else set()

    @property
    def tool_uses(self) -> set[str]:
        """The tool calls that the event lists."""
        return {each.tool_use_id for each in self.event.tool_calls}


Handler = Callable[[ClientTurn], Awaitable[str]]
_TAKES_MAIL = ("msg_read", "msg_ack", "msg_ask")
_SAME = hook_events.EVENTS  # where an event means the same as in Claude Code


async def _tool_ended(turn: Turn) -> str:
    """A tool call has ended: notify of what arrived meanwhile; greet a session whose start came before its mailbox."""
    turn.hook_received(idle=False)
    waiting = await turn.unnotified()
    if not waiting.greeted:
        return await turn.greeting(waiting)
    return hint(waiting.new_unread, waiting.new_unseen, waiting.new_senders)


async def _nothing(turn: Turn) -> str:
    turn.hook_received(idle=None)
    return ""


# Codex


async def _codex_prompt(turn: ClientTurn) -> str:
    """A prompt comes: in a turn, or as a new one. What was read in a turn that never ended may be lost to the model."""
    if turn.event.turn_id != turn.connected.turn_id:
        await _lost(turn.connected, coming=False)  # this prompt may be our line
    turn.connected.turn_id = turn.event.turn_id
    return await _SAME["UserPromptSubmit"](turn)


async def _codex_interrupted(turn: ClientTurn) -> str:
    """The user ended the turn. Answers of its last round are not kept where another call of that round still ran.

    Codex now runs nothing that is queued before the user's next prompt, so the session does not count as idle.
    """
    turn.hook_received(idle=False)
    await _lost(turn.connected)
    return ""


async def _lost(connected: ConnectedSession, *, coming: bool = True) -> None:
    connected.unproved.clear()
    await connected.session.give_back_shown(coming=coming)


async def _codex_went_on(turn: ClientTurn) -> None:
    """Acknowledge the messages of the line that began this turn: its model has called a tool."""
    if turn.event.turn_id == turn.connected.turn_id:
        await turn.ack_listed()


async def _codex_tool_called(turn: ClientTurn) -> str:
    main = turn.event.agent_id is None
    turn.hook_received(idle=False if main else None)
    if main:
        await _codex_went_on(turn)
    return ""


async def _codex_tool_ended(turn: ClientTurn) -> str:
    connected, event = turn.connected, turn.event
    if event.agent_id is not None:  # a subagent, which is not the recipient
        if turn.tool_use:
            await connected.session.give_back_shown(turn.tool_use)  # was not refused: its PreToolUse was late
        return await _nothing(turn)
    await _codex_went_on(turn)
    if connected.unproved and event.transcript_path:
        seen = await asyncio.to_thread(answered_calls, event.transcript_path, connected.unproved)
        await connected.session.ack_calls(seen)
        connected.unproved -= seen
    if event.tool_name.endswith(READS):
        connected.unproved |= turn.tool_use
    return await _tool_ended(turn)


async def _codex_turn_ended(turn: ClientTurn) -> str:
    await turn.ack_listed(turn_ended=True)
    await turn.connected.session.ack_calls(turn.connected.unproved)
    turn.connected.unproved.clear()
    return await _SAME["Stop"](turn)


# Gemini


async def _gemini_tool_called(turn: ClientTurn) -> str:
    turn.hook_received(idle=False)
    turn.connected.tools_running.add(_gemini_call(turn))
    await turn.ack_listed()
    return ""


async def _gemini_tool_ended(turn: ClientTurn) -> str:
    turn.connected.tools_running.discard(_gemini_call(turn))
    return await _tool_ended(turn)


def _gemini_call(turn: ClientTurn) -> str:
    return f"{turn.event.tool_name} {msgspec.json.encode(turn.event.tool_input).decode()}"


async def _gemini_before_model(turn: ClientTurn) -> str:
    """A request goes to the model, unless it is that of a subagent: then a tool call of the main agent still runs."""
    turn.hook_received(idle=False)
    if not turn.connected.tools_running:
        turn.connected.session.round_ended(set())
    return ""


async def _gemini_prompt(turn: ClientTurn) -> str:
    turn.connected.tools_running.clear()  # calls that were interrupted never ended
    await turn.connected.session.give_back_shown()
    return await _SAME["UserPromptSubmit"](turn)


# opencode, whose plugin uses Claude Code's names where the meaning is the same


async def _opencode_tool_called(turn: ClientTurn) -> str:
    """A read is about to be called: its call will not say which session it belongs to."""
    turn.hook_received(idle=False)
    turn.connected.expected_calls += [(turn.event.tool_name, each) for each in turn.tool_use]
    return ""


async def _opencode_seen(turn: ClientTurn) -> str:
    """The model has gone on after the answers of these calls, and maybe after the line that began this turn."""
    turn.hook_received(idle=None)
    await turn.connected.session.ack_calls(turn.tool_uses)
    if turn.event.prompted:
        await turn.ack_listed()
    return ""


async def _opencode_aborted(turn: ClientTurn) -> str:
    """The answers of these calls never became part of the conversation, or the model said nothing to our line."""
    turn.hook_received(idle=None)
    if turn.tool_uses:
        await turn.connected.session.give_back_shown(turn.tool_uses)
    if turn.event.prompted:
        await turn.connected.session.give_back_unproved(turn_ended=True)
    return ""


class Client(msgspec.Struct, frozen=True):
    """A client's events. `end`: the one at the end of a turn, whose text continues it by the decision `go_on`."""

    events: Mapping[str, Handler]
    starts: frozenset[str]  # those that bind the client's session to its mailbox
    end: str = ""
    go_on: str = ""

    def output(self, event: str, text: str, for_user: str) -> bytes:
        """Return what the hook prints to show `text` to the model and `for_user` to the user, if there is any."""
        if text and event == self.end:
            return msgspec.json.encode({"decision": self.go_on, "reason": text})
        return notice.hook_context(event, text, for_user)

    def refusal(self, name: str, event: Event) -> bytes:
        """Return what a hook prints to refuse a subagent's call of a tool that takes mail."""
        if name != "PreToolUse" or event.agent_id is None or not event.tool_name.endswith(_TAKES_MAIL):
            return b""
        return decision("deny", REFUSED)


CLIENTS: dict[str, Client] = {
    "codex": Client(
        {
            "SessionStart": _SAME["SessionStart"],
            "UserPromptSubmit": _codex_prompt,
            "PreToolUse": _codex_tool_called,
            "PostToolUse": _codex_tool_ended,
            "Stop": _codex_turn_ended,
            "Interrupt": _codex_interrupted,
            "SessionEnd": _SAME["SessionEnd"],
        },
        starts=frozenset({"SessionStart", "UserPromptSubmit"}),
        end="Stop",
        go_on="block",
    ),
    "gemini": Client(
        {
            "SessionStart": _SAME["SessionStart"],
            "BeforeAgent": _gemini_prompt,
            "BeforeModel": _gemini_before_model,
            "BeforeTool": _gemini_tool_called,
            "AfterTool": _gemini_tool_ended,
            "AfterAgent": _SAME["Stop"],
            "SessionEnd": _SAME["SessionEnd"],
        },
        starts=frozenset({"SessionStart", "BeforeAgent"}),
        end="AfterAgent",
        go_on="deny",
    ),
    "opencode": Client(
        {
            "UserPromptSubmit": _SAME["UserPromptSubmit"],
            "PreToolUse": _opencode_tool_called,
            "PostToolUse": _tool_ended,
            "Seen": _opencode_seen,
            "Aborted": _opencode_aborted,
            "Stop": _SAME["Notification"],  # mail that it was not notified of wakes the session
            "AwaitWake": _nothing,
        },
        starts=frozenset({"UserPromptSubmit", "AwaitWake"}),
    ),
}
