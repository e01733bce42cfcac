"""Claude Code 2.1.197, the oldest client that is promised: all but the wake of an idle session, which needs 2.1.224.

The binary is $OLDER_CLAUDE_BINARY; without it this test is skipped. That client copies the plugin, and tells hooks and
commands less than a newer one.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import pytest

from tests.hooks.machine import Machine
from tests.hooks.model import Model
from tests.scripted.machine import scratch_root

TOOL = "mcp__plugin_postino_postino__msg_"
READ = [(f"{TOOL}read", {})]
TASK = "task-of-the-subagent"


@pytest.mark.timeout(120)
async def test_everything_but_the_wake_works(model: Model) -> None:
    binary = os.environ.get("OLDER_CLAUDE_BINARY")
    if binary is None:
        pytest.skip("no older Claude Code client: set OLDER_CLAUDE_BINARY")
    with scratch_root() as root:
        (root / "run").mkdir(mode=0o700)
        (root / "bin").mkdir()
        (root / "bin/claude").symlink_to(binary)
        machine = Machine(root=root, binary=binary, model=model)
        machine.postino("install", PATH=f"{root}/bin:{machine.env['PATH']}")
        machine.serve()
        tab = await machine.open(allowed="Bash", begins=False, POSTINO_AGENT_NAME="bob")
        try:
            await _mail(machine, model, tab)
            await _subagent(machine, model, tab)
        finally:
            await tab.kill()
        machine.postino("uninstall", PATH=f"{root}/bin:{machine.env['PATH']}")
        assert json.loads(machine.claude("plugin", "list", "--json")) == []


async def _mail(machine: Machine, model: Model, tab: Any) -> None:
    """It is told of mail at a prompt and between rounds, calls tools without a dialog, and acknowledges."""
    states = []

    async def answered(_: Any) -> Any:
        states.append((await asyncio.to_thread(machine.state, "bob", "m1"))["state"])
        await asyncio.to_thread(machine.send, "bob", "the second body", id="m2")
        return [("Bash", {"command": "postino send eve hello"})]

    async def told(_: Any) -> Any:
        states.append((await asyncio.to_thread(machine.state, "bob", "m1"))["state"])
        return READ

    await asyncio.to_thread(machine.send, "bob", "the first body", id="m1")
    await asyncio.sleep(1)  # a newer client would be woken
    assert model.requests == []
    model.script(READ, answered, told, "done")
    await tab.prompt("work")

    assert tab.agent() == "bob"
    assert "1 unread message (from unverified 'ann')" in tab.said("UserPromptSubmit")[-1]
    assert states == ["leased", "acked"]
    assert any("1 unread message" in each for each in tab.said("PostToolBatch"))
    assert "the second body" in model.answers()[-1]
    assert machine.state("bob", "m2")["state"] == "acked"
    (sent,) = machine.data("read", "--agent", "eve", "--peek")["items"]
    assert sent["from"] == "bob"


async def _subagent(machine: Machine, model: Model, tab: Any) -> None:
    """A subagent gets no mail."""
    await asyncio.to_thread(machine.send, "bob", "for the main session", id="m3")

    async def step(body: Any) -> Any:
        shown = json.dumps(body["messages"])
        if TASK in json.dumps(body["messages"][0]):
            return READ if "tool_result" not in shown else "the subagent is done"
        given = {"description": "d", "prompt": TASK, "subagent_type": "general-purpose"}
        return [("Agent", given)] if "the subagent is done" not in shown else "done"

    model.script(*[step] * 6)
    await tab.prompt("start a subagent")

    assert "a subagent cannot read" in model.seen()
    assert machine.state("bob", "m3")["deliveries"] == 0
