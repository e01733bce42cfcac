"""Codex with postino installed: it sends, receives while it works, acknowledges, and is woken when it is idle."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.machine import Machine
from tests.clients.model import Model
from tests.clients.terminal import Terminal, begin_codex
from tests.clients.turn import WorkingTurn
from tests.relays import real_relays
from tests.waiting import until

EXEC = ("exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")


@pytest.mark.timeout(180)
async def test_a_session_sends_receives_while_it_works_and_is_woken(
    machine_of: Callable[[str], Machine], model: Model
) -> None:
    machine = machine_of("codex")
    assert "Trust all and continue" in machine.postino("install", "--client", "codex")
    machine.serve()
    turn = WorkingTurn(machine, model, "c1")
    terminal = Terminal([machine.binary], machine.env, machine.project())
    try:
        await begin_codex(terminal, model.requests)
        await turn.check()
        await turn.woken("queue")
        async with real_relays() as spawn:
            await turn.woken_with_the_message(await spawn(machine.env, POSTINO_AGENT_NAME="ada"))

        agent = turn.agent
        interrupted = asyncio.Event()

        async def thinks(_: Any) -> str:
            await interrupted.wait()
            return "too late"

        model.script([("msg_read", {})], thinks)
        await asyncio.to_thread(machine.send, agent, "the body of m3", id="m3")
        await model.until_shown("the body of m3")
        await terminal.press(b"\x1b", "interrupted")
        interrupted.set()
        await machine.until_state(agent, "m3", "queued")
        model.script([("msg_read", {})], "thanks")
        asked = len(model.requests)
        await terminal.ask_until(b"more", lambda: len(model.requests) > asked)
        await model.until_shown('\\"delivery\\":2,\\"redelivered\\":true')
        await machine.until_state(agent, "m3", "acked")
        await _two_more(machine, model, agent)
    finally:
        await terminal.kill()
    machine.postino("uninstall", "--client", "codex")
    assert machine.leftovers() == []
    assert machine.file(".codex/config.toml").read_text().startswith('model = "scripted"')


async def _two_more(machine: Machine, model: Model, first: str) -> None:
    """Open two more sessions in the directory, which Codex's server runs, too: each learns its own name at once."""
    terminals, names = [], [first]
    try:
        for _ in range(2):
            terminals.append(Terminal([machine.binary], machine.env, machine.project()))
            await terminals[-1].until("Ask Codex to do anything")
            names += await asyncio.to_thread(
                until, lambda known=set(names): set(machine.online()) - known, "its mailbox"
            )
        for terminal, name in reversed(list(zip(terminals, names[1:], strict=True))):
            asked = len(model.requests)
            await terminal.ask_until(b"hi", lambda before=asked: len(model.requests) > before)  # type: ignore[misc]
            assert f"this session is agent {name};" in model.shown(asked)
    finally:
        await asyncio.gather(*(each.kill() for each in terminals))


async def test_a_run_acknowledges_at_its_end_or_the_next_one_gets_the_mail_again(
    machine_of: Callable[[str], Machine], model: Model
) -> None:
    machine = machine_of("codex")
    machine.postino("install", "--client", "codex", "--agent", "cox")
    machine.serve()
    machine.send("cox", "the body of m1", id="m1")
    command = f"{sys.executable} -m postino send eve hello --id e1"

    async def run(*args: str) -> str:
        """Let one run read the mail; a busy client may ask its model before it knows the mailbox's tools."""
        model.steps.clear()
        model.script([("msg_read", {})], [("exec_command", {"cmd": command})], "end")
        while model.steps:
            await machine.client_run(*EXEC, *args, "work")
        return model.shown()

    assert '\\"delivery\\":1,\\"redelivered\\":false' in await run()  # its hooks are not trusted
    await machine.until_state("cox", "m1", "queued")

    assert '\\"delivery\\":2,\\"redelivered\\":true' in await run("--dangerously-bypass-hook-trust")
    assert machine.state("cox", "m1")["state"] == "acked"
    assert machine.sender("eve") == ("cox", True)
