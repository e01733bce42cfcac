"""Whether a tool of postino may run, as the answer to Claude Code's PreToolUse hook.

They run without a dialog; the user's own deny and ask rules still count. Mail belongs to the main session: a subagent
neither reads nor acknowledges it, nor waits for a reply. In plan mode only reading runs without a dialog.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from postino.claude.hook_events import Event
from postino.relay.lines import IDEMPOTENT_TOOLS, REPEATABLE_TOOLS

READING = frozenset(
    {"msg_broadcasts", "msg_check", "msg_history", "msg_list_agents", "msg_read", "msg_status", "msg_whoami"}
)
READ_RESOURCE = "ReadMcpResourceTool"  # the client's own tool; our inbox is a resource, too
REFUSED = (
    "postino: a subagent cannot read or acknowledge mail, or wait for a reply: mail belongs to the main session. "
    "Finish your task and return your result; the main session reads its mail itself."
)
TOOLS = frozenset({*IDEMPOTENT_TOOLS, *REPEATABLE_TOOLS, "msg_cleanup"})
_OWN_TOOL = re.compile(r"mcp__(?:plugin_postino_)?postino__(\w+)")  # as the matcher in plugin/hooks/hooks.json


def decide(event: Event, *, ask: bool = False) -> bytes:
    """Return what a PreToolUse hook prints: a decision, or nothing, which leaves it to the client.

    With `ask` none is permitted, so that the client asks its user.
    """
    found = _OWN_TOOL.fullmatch(event.tool_name)
    tool = found[1] if found and found[1] in TOOLS else None
    given = event.tool_input if isinstance(event.tool_input, dict) else {}
    if event.agent_id is not None and _takes_mail(tool or event.tool_name, given):
        return decision("deny", REFUSED)
    if tool is None or ask:
        return b""
    if event.permission_mode == "plan" and tool not in READING:
        return b""
    return decision("allow", "postino's own tool")


def _takes_mail(tool: str, given: dict[str, Any]) -> bool:
    if tool == READ_RESOURCE:
        return str(given.get("uri")).startswith("postino://inbox/")
    if tool == "msg_broadcasts":
        return str(given.get("all")).lower() != "true"  # with `all`, however it is encoded, no cursor moves
    return tool in ("msg_read", "msg_ack", "msg_ask")


def decision(kind: str, reason: str) -> bytes:
    """Return what a PreToolUse hook prints to `allow` or `deny` a call."""
    output = {
        "hookEventName": "PreToolUse",
        "permissionDecision": kind,
        "permissionDecisionReason": reason,
    }
    return msgspec.json.encode({"hookSpecificOutput": output})
