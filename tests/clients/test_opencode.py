"""opencode with postino installed: it sends, receives while it works, acknowledges, and is woken when it is idle."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.machine import Machine
from tests.clients.model import Model
from tests.clients.turn import WorkingTurn
from tests.relays import real_relays
from tests.waiting import eventually, until


@pytest.mark.timeout(180)
async def test_a_session_sends_receives_while_it_works_and_is_woken(
    machine_of: Callable[[str], Machine], model: Model
) -> None:
    machine = machine_of("opencode")
    config = machine.file(".config/opencode/opencode.json")
    before = config.read_bytes()
    machine.postino("install", "--client", "opencode")
    machine.serve()
    turn = WorkingTurn(machine, model, "o1", [("bash", {"command": "postino send eve hello", "description": "d"})])
    log = machine.file("serve.log")
    with log.open("wb") as out:
        server = await asyncio.create_subprocess_exec(
            machine.binary, "serve", "--port", "0", env=machine.env, cwd=machine.project(), stdout=out, stderr=out
        )
    try:
        found = await eventually(lambda: re.search(r"http://[\d.]+:\d+", log.read_text()), "it listens", 40)
        session = await asyncio.to_thread(_post, machine, f"{found[0]}/session", {})
        await asyncio.to_thread(machine.run, "curl", "-s", f"{found[0]}/mcp")  # it starts its MCP servers
        await asyncio.to_thread(until, machine.online, "its mailbox is connected")
        await asyncio.to_thread(_prompt, machine, found[0], session["id"])
        await turn.check()
        assert machine.sender("eve") == (turn.agent, True)
        await turn.woken("plugin")
        async with real_relays() as spawn:
            await turn.woken_with_the_message(await spawn(machine.env, POSTINO_AGENT_NAME="ada"))

        child = await asyncio.to_thread(_post, machine, f"{found[0]}/session", {"parentID": session["id"]})
        model.script([("msg_read", {})], "end")
        await asyncio.to_thread(_prompt, machine, found[0], child["id"])
        await model.until_shown("a subagent cannot read")
    finally:
        server.kill()
        await server.wait()
    machine.postino("uninstall", "--client", "opencode")
    assert config.read_bytes() == before
    assert machine.leftovers() == []


def _post(machine: Machine, url: str, body: dict[str, Any]) -> Any:
    said = machine.run("curl", "-s", "-H", "Content-Type: application/json", "-d", json.dumps(body), url)
    return json.loads(said) if said else None


def _prompt(machine: Machine, url: str, session: str) -> None:
    parts = [{"type": "text", "text": "work"}]
    _post(machine, f"{url}/session/{session}/prompt_async", {"parts": parts})
