"""Claude Code over HTTP, without the plugin, with the entry that `postino config --http` prints."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.hooks.conftest import scratch_machine
from tests.hooks.model import Model
from tests.relays import WRITTEN_AGO

TOOLS = "mcp__postino__msg_read,mcp__postino__msg_send"


async def test_a_session_reads_and_acknowledges_by_its_next_call(model: Model) -> None:
    states: list[str] = []

    with scratch_machine(model) as machine:
        machine.serve()
        file = machine.root / "mcp.json"
        file.write_text(machine.postino("config", "--http", "--client", "claude", "--agent", "web-bob"))
        machine.send("web-bob", "the body of m1", id="m1")

        async def has_the_answer(_: Any) -> list[tuple[str, dict[str, Any]]]:
            states.append((await asyncio.to_thread(machine.state, "web-bob", "m1"))["state"])
            await asyncio.sleep(WRITTEN_AGO)  # a call that comes sooner counts as one beside the read
            return [("mcp__postino__msg_send", {"to": "ann", "body": "hello ann", "id": "o1"})]

        model.script([("mcp__postino__msg_read", {})], has_the_answer, "bye")
        options = ("--mcp-config", str(file), "--strict-mcp-config", "--allowedTools", TOOLS)
        await asyncio.to_thread(machine.claude, "-p", "work", *options)

        assert "the body of m1" in model.seen()
        assert states == ["leased"]
        assert machine.state("web-bob", "m1")["state"] == "acked"
        assert machine.state("ann", "o1")["from"] == "web-bob"
