"""Which hook events acknowledge a read, and which do not: the real hook, relay and daemon; no client is needed."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.daemons import Daemon
from tests.relays import RealRelay, real_relays, said

SCRIPT = Path(__file__).resolve().parents[2] / "plugin/scripts/hook.sh"
LISTED = {"tool_calls": [{"tool_name": "mcp__postino__msg_read", "tool_use_id": "toolu_1"}]}
OTHER_TOOL = {"tool_name": "mcp__postino__msg_check", "tool_use_id": "toolu_2"}
SUBAGENT = {"agent_id": "a1", "agent_type": "Explore"}

Run = Callable[..., Awaitable[str]]


@pytest.fixture
def hook(daemon: Daemon) -> Run:
    """Run the hook as a client does whose process is this one, as it is the relay's parent."""

    async def run(event: str, **given: Any) -> str:
        process = await asyncio.create_subprocess_exec(
            "sh",
            str(SCRIPT),
            event,
            env=daemon.env | {"CLAUDE_PID": str(os.getpid())},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        about = {"session_id": "c-1", "hook_event_name": event, "cwd": "/somewhere"}
        printed, _ = await process.communicate(json.dumps(about | given).encode())
        return printed.decode()

    return run


@pytest.fixture
async def bob(daemon: Daemon, hook: Run) -> AsyncIterator[RealRelay]:
    """A relay whose session has read m1 by the tool use toolu_1, with hooks that report."""
    daemon.posted("messages", {"to": "bob", "from": "ann", "body": "x", "id": "m1"})
    async with real_relays() as spawn:
        relay = await spawn(daemon.env, POSTINO_AGENT_NAME="bob")
        await hook("SessionStart", source="startup")
        assert [each["id"] for each in await read(relay)] == ["m1"]
        yield relay


async def read(relay: RealRelay) -> list[dict[str, Any]]:
    params = {"name": "msg_read", "arguments": {}, "_meta": {"claudecode/toolUseId": "toolu_1"}}
    return said(await relay.ask("tools/call", params))["messages"]  # type: ignore[no-any-return]


def state(daemon: Daemon) -> str:
    return str(daemon.asked("messages/bob/m1")["state"])


@pytest.mark.parametrize("proof", [("PreToolUse", OTHER_TOOL), ("PostToolBatch", {}), ("Stop", {})], ids=lambda p: p[0])
async def test_the_next_event_of_the_main_conversation_acknowledges(
    daemon: Daemon, hook: Run, bob: RealRelay, proof: tuple[str, dict[str, Any]]
) -> None:
    await hook("PostToolBatch", **LISTED)
    assert state(daemon) == "leased"

    event, given = proof
    await hook(event, **given)

    assert state(daemon) == "acked"


async def test_nothing_else_does(daemon: Daemon, hook: Run, bob: RealRelay) -> None:
    await hook("PreToolUse", **OTHER_TOOL)  # of the same round: its own end is still to come
    await hook("PostToolUse", tool_name="mcp__postino__msg_read", tool_use_id="toolu_1")
    await hook("PostToolBatch", **LISTED)
    await hook("UserPromptSubmit", prompt="a line to the inbox comes within a turn as well")
    await hook("PreToolUse", **OTHER_TOOL, **SUBAGENT)
    await hook("PostToolBatch", tool_calls=[{"tool_use_id": "toolu_2"}], **SUBAGENT)
    await hook("StopFailure")
    await hook("Notification")
    await bob.call("msg_check")
    assert state(daemon) == "leased"

    await hook("SessionEnd", reason="other")

    assert state(daemon) == "queued"


async def test_what_was_read_in_a_round_that_was_interrupted_comes_again_with_the_next_turn(
    daemon: Daemon, hook: Run, bob: RealRelay
) -> None:
    await hook("UserPromptSubmit", prompt="after Esc, of which no hook tells, nor of the end of the round")
    assert state(daemon) == "leased"

    said = await hook("Stop")
    (again,) = await read(bob)

    assert "1 unread message" in said
    assert (again["id"], again["delivery"], again["redelivered"]) == ("m1", 2, True)


@pytest.mark.parametrize("source", ["clear", "resume"])
async def test_another_conversation_of_the_process_gets_again_what_the_one_before_did_not_go_on_after(
    daemon: Daemon, hook: Run, bob: RealRelay, source: str
) -> None:
    await hook("PostToolBatch", **LISTED)
    await hook("SessionStart", source=source, session_id="c-2")

    (again,) = await read(bob)

    assert (again["id"], again["delivery"], again["redelivered"]) == ("m1", 2, True)
