"""Which of postino's tools run without a dialog, and which a subagent is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from postino.claude.hook_events import Event
from postino.claude.permission import TOOLS as PERMITTED
from postino.claude.permission import decide
from postino.mcp.tools import TOOLS

READ = "mcp__plugin_postino_postino__msg_read"


@pytest.mark.parametrize(
    ("given", "decision"),
    [
        ({"tool_name": READ}, "allow"),
        ({"tool_name": "mcp__postino__msg_send", "tool_input": {"to": "bob", "body": "hi"}}, "allow"),
        ({"tool_name": READ, "permission_mode": "plan"}, "allow"),
        ({"tool_name": "mcp__postino__msg_send", "permission_mode": "plan"}, None),
        ({"tool_name": READ, "agent_id": "a1"}, "deny"),
        ({"tool_name": READ, "agent_id": "a1", "permission_mode": "plan"}, "deny"),
        ({"tool_name": "mcp__postino__msg_ack", "agent_id": "a1"}, "deny"),
        ({"tool_name": "mcp__postino__msg_ask", "agent_id": "a1"}, "deny"),
        ({"tool_name": "mcp__postino__msg_ask", "permission_mode": "default"}, "allow"),
        ({"tool_name": "mcp__postino__msg_broadcasts", "agent_id": "a1", "tool_input": {}}, "deny"),
        ({"tool_name": "mcp__postino__msg_broadcasts", "agent_id": "a1", "tool_input": {"all": True}}, "allow"),
        ({"tool_name": "mcp__postino__msg_broadcasts", "agent_id": "a1", "tool_input": {"all": "True"}}, "allow"),
        ({"tool_name": "mcp__postino__msg_send", "agent_id": "a1", "tool_input": {}}, "allow"),
        ({"tool_name": "ReadMcpResourceTool", "agent_id": "a1", "tool_input": {"uri": "postino://inbox/bob"}}, "deny"),
        ({"tool_name": "ReadMcpResourceTool", "agent_id": "a1", "tool_input": {"uri": "postino://agents"}}, None),
        ({"tool_name": "ReadMcpResourceTool", "tool_input": {"uri": "postino://inbox/bob"}}, None),
        ({"tool_name": "mcp__postino__msg_broadcasts", "agent_id": "a1", "tool_input": [1]}, "deny"),
        ({"tool_name": "Bash"}, None),
        ({"tool_name": "Bash", "agent_id": "a1"}, None),
        ({"tool_name": "mcp__notpostino__msg"}, None),
        ({"tool_name": "mcp__notpostino__msg_send"}, None),
        ({"tool_name": "mcp__other__postino__msg_send"}, None),
        ({"tool_name": "mcp__plugin_other_postino__msg_send"}, None),
        ({"tool_name": "mcp__postino__msg_run"}, None),
        ({}, None),
    ],
)
def test_a_tool_of_postino_is_permitted_refused_or_left_to_the_client(given: Any, decision: str | None) -> None:
    output = decide(Event(session_id="c-1", **given))
    found = json.loads(output)["hookSpecificOutput"] if output else {}

    assert found.get("permissionDecision") == decision
    assert decision != "deny" or "main session" in found["permissionDecisionReason"]


def test_the_permitted_tools_are_those_that_postino_has() -> None:
    assert set(TOOLS) == PERMITTED
