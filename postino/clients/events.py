"""What the hook events of other clients mean: each client's names, mapped to what happened in the session.

Never acknowledged before the model has seen the answer. What proves that it has differs by client:

* Codex reports each tool call alone and names no request to the model. The end of a turn proves all its rounds.
* Gemini runs a hook before each request to the model: by then every round before is complete. The next tool call, or
  the end of the agent's turn, comes from a model that had the answers.
* opencode's plugin sees the parts of each of the model's messages, and says which calls were answered before one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import msgspec

from postino.claude import hook_events, notice
from postino.claude.hook_events import Event, Turn
from postino.claude.permission import REFUSED
from postino.hint import hint


class ClientEvent(Event, frozen=True):
    """A hook event of another client."""

    tool_use_id: str | None = None  # of a tool call
    woken: str | None = None  # AwaitWake: the wake that the plugin has carried out
    ok: bool = False  # AwaitWake: it started a turn


Handler = Callable[[Turn], Awaitable[str]]


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


async def _codex_tool_called(turn: Turn) -> str:
    turn.hook_received(idle=False if turn.event.agent_id is None else None)
    return ""


async def _codex_tool_ended(turn: Turn) -> str:
    session = turn.connected and turn.connected.session
    if turn.event.agent_id is not None:  # a subagent, which is not the recipient
        if session and _tool_use(turn):
            await session.give_back_shown(_tool_use(turn))  # a read that was not refused: its PreToolUse was late
        return await _nothing(turn)
    if session:
        session.round_ended(_tool_use(turn))
    return await _tool_ended(turn)


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
    return await hook_events.EVENTS["UserPromptSubmit"](turn)


# opencode, whose plugin uses Claude Code's names where the meaning is the same


async def _opencode_tool_called(turn: Turn) -> str:
    """A read is about to be called: its call will not say which session it belongs to."""
    turn.hook_received(idle=False)
    if turn.connected is not None:
        turn.connected.announced += [(turn.event.tool_name, each) for each in _tool_use(turn)]
    return ""


async def _opencode_seen(turn: Turn) -> str:
    """The model has gone on after the answers of these calls."""
    turn.hook_received(idle=None)
    if turn.connected is not None:
        await turn.connected.session.ack_listed(calls={each.tool_use_id for each in turn.event.tool_calls})
    return ""


async def _opencode_aborted(turn: Turn) -> str:
    """The answers of these calls never became part of the conversation."""
    turn.hook_received(idle=None)
    if turn.connected is not None and (calls := {each.tool_use_id for each in turn.event.tool_calls}):
        await turn.connected.session.give_back_shown(calls)
    return ""


async def _opencode_idle(turn: Turn) -> str:
    """A turn has ended. Mail that it was not notified of wakes the session."""
    turn.hook_received(idle=True)
    return ""


@dataclass(frozen=True, slots=True)
class Client:
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
        if name != "PreToolUse" or event.agent_id is None or not event.tool_name.endswith(("msg_read", "msg_ack")):
            return b""
        output = {"hookEventName": name, "permissionDecision": "deny", "permissionDecisionReason": REFUSED}
        return msgspec.json.encode({"hookSpecificOutput": output})


_SAME = hook_events.EVENTS

CLIENTS: dict[str, Client] = {
    "codex": Client(
        {
            "SessionStart": _SAME["SessionStart"],
            "UserPromptSubmit": _SAME["UserPromptSubmit"],
            "PreToolUse": _codex_tool_called,
            "PostToolUse": _codex_tool_ended,
            "Stop": _SAME["Stop"],
            "Interrupt": _SAME["StopFailure"],
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
