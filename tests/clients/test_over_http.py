"""Real clients over HTTP, with the entry that `postino config --http` prints: they send, read and acknowledge."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.machine import Machine
from tests.clients.model import Model
from tests.relays import WRITTEN_AGO

RUN = {
    "codex": ("exec", "--skip-git-repo-check", "work"),
    "gemini": ("-p", "work", "-m", "gemini-2.5-pro"),
    "opencode": ("run", "work"),
}


def configure(machine: Machine) -> None:
    """Add the printed entry to the client's file, and that its tools run without a dialog."""
    printed = machine.postino("config", "--http", "--client", machine.client, "--agent", "web-bob")
    if machine.client == "codex":
        file = machine.file(".codex/config.toml")
        file.write_text(f"{file.read_text()}\n{printed}")
        return
    file = machine.file(".gemini/settings.json" if machine.client == "gemini" else ".config/opencode/opencode.json")
    entry = json.loads(printed)
    if machine.client == "gemini":
        entry["mcpServers"]["postino"]["trust"] = True
    file.write_text(json.dumps(json.loads(file.read_text()) | entry))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("client", RUN)
async def test_a_client_with_the_printed_entry_sends_reads_and_acknowledges(
    machine_of: Callable[[str], Machine], model: Model, client: str
) -> None:
    machine = machine_of(client)
    machine.serve()
    configure(machine)
    await asyncio.to_thread(machine.send, "web-bob", "the body of m1", id="m1")
    states: dict[str, Any] = {}

    async def has_the_answer(_: Any) -> list[tuple[str, dict[str, Any]]]:
        states["with the answer"] = (await asyncio.to_thread(machine.state, "web-bob", "m1"))["state"]
        states["online"] = await asyncio.to_thread(machine.online)
        await asyncio.sleep(WRITTEN_AGO)  # a call that comes sooner counts as one beside the read
        return [("msg_send", {"to": "ann", "body": "hello ann", "id": "o1"})]

    model.script([("msg_read", {})], has_the_answer, "bye")
    while model.steps:  # codex may ask its model before it knows the tools
        await machine.client_run(*RUN[client])

    assert await model.until_shown("the body of m1") == 1
    assert states == {"with the answer": "leased", "online": ["web-bob"]}
    assert machine.state("web-bob", "m1")["state"] == "acked"
    sent = machine.state("ann", "o1")
    assert (sent["from"], sent["state"]) == ("web-bob", "queued")
