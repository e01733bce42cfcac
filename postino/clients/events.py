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
from postino.claude.permission import REFUSED
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


Handler = Callable[[Turn], Awaitable[str]]
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


def _tool_use(turn: Turn) -> set[str]:
    found = turn.event.tool_use_id if isinstance(turn.event, ClientEvent) else None
    return {found} if found else set()


# Codex


async def _codex_prompt(turn: Turn) -> str:
    """A prompt comes: in a turn, or as a new one. What was read in a turn that never ended may be lost to the model."""
    event = turn.event
    if turn.connected is not None and isinstance(event, ClientEvent):
        if event.turn_id != turn.connected.turn_id:
            await _lost(turn.connected, coming=False)  # this prompt may be our line
        turn.connected.turn_id = event.turn_id
    return await _SAME["UserPromptSubmit"](turn)


async def _codex_interrupted(turn: Turn) -> str:
    """The user ended the turn. Answers of its last round are not kept where another call of that round still ran.

    Codex now runs nothing that is queued before the user's next prompt, so the session does not count as idle.
    """
    turn.hook_received(idle=False)
    if turn.connected is not None:
        await _lost(turn.connected)
    return ""


async def _lost(connected: ConnectedSession, *, coming: bool = True) -> None:
    connected.unproved.clear()
    await connected.session.give_back_shown(coming=coming)


async def _codex_went_on(turn: Turn) -> None:
    """Acknowledge the messages of the line that began this turn: its model has called a tool."""
    connected, event = turn.connected, turn.event
    if connected is not None and isinstance(event, ClientEvent) and event.turn_id == connected.turn_id:
        await connected.session.ack_listed()


async def _codex_tool_called(turn: Turn) -> str:
    main = turn.event.agent_id is None
    turn.hook_received(idle=False if main else None)
    if main:
        await _codex_went_on(turn)
    return ""


async def _codex_tool_ended(turn: Turn) -> str:
    connected, event = turn.connected, turn.event
    if event.agent_id is not None:  # a subagent, which is not the recipient
        if connected is not None and _tool_use(turn):
            await connected.session.give_back_shown(_tool_use(turn))  # was not refused: its PreToolUse was late
        return await _nothing(turn)
    await _codex_went_on(turn)
    if connected is not None:
        if connected.unproved and isinstance(event, ClientEvent) and event.transcript_path:
            seen = await asyncio.to_thread(answered_calls, event.transcript_path, connected.unproved)
            await connected.session.ack_calls(seen)
            connected.unproved -= seen
        if event.tool_name.endswith(READS):
            connected.unproved |= _tool_use(turn)
    return await _tool_ended(turn)


async def _codex_turn_ended(turn: Turn) -> str:
    if turn.connected is not None:
        await turn.connected.session.ack_listed(turn_ended=True)
        await turn.connected.session.ack_calls(turn.connected.unproved)
        turn.connected.unproved.clear()
    return await _SAME["Stop"](turn)


# Gemini


async def _gemini_tool_called(turn: Turn) -> str:
    turn.hook_received(idle=False)
    if turn.connected is not None:
        turn.connected.tools_running.add(_gemini_call(turn))
    await turn.ack_listed()
    return ""


async def _gemini_tool_ended(turn: Turn) -> str:
    if turn.connected is not None:
        turn.connected.tools_running.discard(_gemini_call(turn))
    return await _tool_ended(turn)


def _gemini_call(turn: Turn) -> str:
    return f"{turn.event.tool_name} {msgspec.json.encode(turn.event.tool_input).decode()}"


async def _gemini_before_model(turn: Turn) -> str:
    """A request goes to the model, unless it is that of a subagent: then a tool call of the main agent still runs."""
    turn.hook_received(idle=False)
    if turn.connected is not None and not turn.connected.tools_running:
        turn.connected.session.round_ended(set())
    return ""


async def _gemini_prompt(turn: Turn) -> str:
    if turn.connected is not None:
        turn.connected.tools_running.clear()  # calls that were interrupted never ended
        await turn.connected.session.give_back_shown()
    return await _SAME["UserPromptSubmit"](turn)


# opencode, whose plugin uses Claude Code's names where the meaning is the same


async def _opencode_tool_called(turn: Turn) -> str:
    """A read is about to be called: its call will not say which session it belongs to."""
    turn.hook_received(idle=False)
    if turn.connected is not None:
        turn.connected.expected_calls += [(turn.event.tool_name, each) for each in _tool_use(turn)]
    return ""


async def _opencode_seen(turn: Turn) -> str:
    """The model has gone on after the answers of these calls, and maybe after the line that began this turn."""
    turn.hook_received(idle=None)
    if turn.connected is not None:
        await turn.connected.session.ack_calls({each.tool_use_id for each in turn.event.tool_calls})
        if _is_about_prompt(turn):
            await turn.connected.session.ack_listed()
    return ""


async def _opencode_aborted(turn: Turn) -> str:
    """The answers of these calls never became part of the conversation, or the model said nothing to our line."""
    turn.hook_received(idle=None)
    if turn.connected is not None and (calls := {each.tool_use_id for each in turn.event.tool_calls}):
        await turn.connected.session.give_back_shown(calls)
    if turn.connected is not None and _is_about_prompt(turn):
        await turn.connected.session.give_back_unproved(turn_ended=True)
    return ""


def _is_about_prompt(turn: Turn) -> bool:
    return isinstance(turn.event, ClientEvent) and turn.event.prompted


async def _opencode_idle(turn: Turn) -> str:
    """A turn has ended. Mail that it was not notified of wakes the session."""
    turn.hook_received(idle=True)
    return ""


class Client(msgspec.Struct, frozen=True):
    """A client's events. `end`: the one at the end of a turn, whose text continues it by the decision `go_on`."""

    events: Mapping[str, Handler]
    starts: frozenset[str]  # those that bind the client's session to its mailbox
    end: str = ""
    go_on: str = ""

    def output(self, event: str, text: str) -> bytes:
        """Return what the hook prints to show `text` to the model; nothing for an empty text."""
        if text and event == self.end:
            return msgspec.json.encode({"decision": self.go_on, "reason": text})
        return notice.hook_context(event, text)

    def refusal(self, name: str, event: Event) -> bytes:
        """Return what a hook prints to refuse a subagent's call of a tool that takes mail."""
        if name != "PreToolUse" or event.agent_id is None or not event.tool_name.endswith(_TAKES_MAIL):
            return b""
        output = {"hookEventName": name, "permissionDecision": "deny", "permissionDecisionReason": REFUSED}
        return msgspec.json.encode({"hookSpecificOutput": output})


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
            "Stop": _opencode_idle,
            "AwaitWake": _nothing,
        },
        starts=frozenset({"UserPromptSubmit", "AwaitWake"}),
    ),
}
