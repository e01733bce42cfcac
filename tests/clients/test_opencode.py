"""opencode with postino installed: it sends, receives while it works, acknowledges, and is woken when it is idle."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

from tests.clients.machine import Machine
from tests.clients.model import Model
from tests.waiting import eventually, until

Calls = list[tuple[str, dict[str, Any]]]


async def test_a_session_sends_receives_while_it_works_and_is_woken(
    machine_of: Callable[[str], Machine], model: Model
) -> None:
    machine = machine_of("opencode")
    config = machine.file(".config/opencode/opencode.json")
    before = config.read_bytes()
    machine.postino("install", "--client", "opencode")
    machine.postino("up")
    states: dict[str, str] = {}

    async def mail_arrives(_: Any) -> Calls:
        (states["agent"],) = await asyncio.to_thread(machine.online)
        await asyncio.to_thread(machine.send, states["agent"], "the body of m1", id="m1")
        command = {"command": "postino send eve hello", "description": "d"}
        return [("msg_send", {"to": "ann", "body": "hello ann", "id": "o1"}), ("bash", command)]

    async def has_the_answer(_: Any) -> Calls:
        states["with the answer"] = (await asyncio.to_thread(machine.state, states["agent"], "m1"))["state"]
        return [("msg_whoami", {})]

    async def went_on(_: Any) -> str:
        await machine.until_state(states["agent"], "m1", "acked")
        return "bye"

    model.script(mail_arrives, [("msg_read", {}), ("msg_check", {})], has_the_answer, went_on)
    log = machine.file("serve.log")
    with log.open("wb") as out:
        server = await asyncio.create_subprocess_exec(
            machine.binary, "serve", "--port", "0", env=machine.env, cwd=machine.project, stdout=out, stderr=out
        )
    try:
        found = await eventually(lambda: re.search(r"http://[\d.]+:\d+", log.read_text()), "it listens", 40)
        session = await asyncio.to_thread(_post, machine, f"{found[0]}/session", {})
        await asyncio.to_thread(machine.run, "curl", "-s", f"{found[0]}/mcp")  # it starts its MCP servers
        await asyncio.to_thread(until, machine.online, "its mailbox is connected")
        await asyncio.to_thread(_prompt, machine, found[0], session["id"])
        assert await model.until_shown("the body of m1") == 2
        agent = states["agent"]
        await machine.until_state(agent, "m1", "acked")
        assert f"this session is agent {agent}" in model.shown(0)
        assert machine.state("ann", "o1")["from"] == agent
        assert machine.sender("eve") == (agent, True)
        assert "1 unread message" in model.shown(1) and "the body of m1" not in model.shown(1)
        assert states["with the answer"] == "leased"

        model.script([("msg_read", {})], "thanks")
        await asyncio.to_thread(machine.send, agent, "the body of m2", id="m2")
        await model.until_shown("the body of m2")
        await machine.until_state(agent, "m2", "acked")
        assert machine.state(agent, "m2")["notified"] == "plugin"

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
