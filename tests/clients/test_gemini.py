"""Gemini CLI with postino installed: it sends, receives while it works, and acknowledges what its model has seen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from tests.clients.machine import Machine
from tests.clients.model import Model
from tests.relays import WRITTEN_AGO


async def test_a_session_sends_receives_while_it_works_and_acknowledges(
    machine_of: Callable[[str], Machine], model: Model
) -> None:
    machine = machine_of("gemini")
    file = machine.file(".gemini/settings.json")
    before = file.read_bytes()
    said = machine.postino("install", "--client", "gemini")
    assert "has no way to wake" in said
    machine.serve()
    states: dict[str, str] = {}

    async def mail_arrives(_: Any) -> list[tuple[str, dict[str, Any]]]:
        (agent,) = machine.online()
        states["agent"] = agent
        machine.send(agent, "the body of m1", id="m1")
        command = {"command": "postino send eve hello"}
        return [("msg_send", {"to": "ann", "body": "hello ann", "id": "g1"}), ("run_shell_command", command)]

    async def read_in_one_round_with_another_call(_: Any) -> list[tuple[str, dict[str, Any]]]:
        return [("msg_read", {}), ("msg_check", {})]

    async def has_the_answer(_: Any) -> list[tuple[str, dict[str, Any]]]:
        states["with the answer"] = machine.state(states["agent"], "m1")["state"]
        await asyncio.sleep(WRITTEN_AGO)  # a call that comes sooner counts as one beside the read
        return [("msg_whoami", {})]

    async def went_on(_: Any) -> str:
        states["after the next call"] = machine.state(states["agent"], "m1")["state"]
        machine.send(states["agent"], "the body of m2", id="m2")
        return "bye"

    model.script(mail_arrives, read_in_one_round_with_another_call, has_the_answer, went_on, [("msg_read", {})], "end")
    await machine.client_run("-p", "work", "-m", "gemini-2.5-pro", "--allowed-tools", "run_shell_command")

    agent = states["agent"]
    assert f"this session is agent {agent}" in model.shown(0)
    assert machine.state("ann", "g1")["from"] == agent
    assert machine.sender("eve") == (agent, True)
    assert "1 unread message" in model.shown(1) and "the body of m1" not in model.shown(1)
    assert "the body of m1" in model.shown(2)
    assert (states["with the answer"], states["after the next call"]) == ("leased", "acked")
    assert "1 unread message" in model.shown(4)  # it had ended its turn, and was told to go on
    assert "the body of m2" in model.shown(5)
    assert machine.state(agent, "m2")["state"] == "acked"
    assert machine.online() == []

    machine.postino("uninstall", "--client", "gemini")
    assert file.read_bytes() == before
    assert json.loads(before) and machine.leftovers() == []
