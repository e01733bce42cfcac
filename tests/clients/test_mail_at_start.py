"""Mail that came while no session was there: the user of Codex or Gemini CLI is told of it when one starts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.clients.machine import Machine
from tests.clients.model import Model
from tests.clients.terminal import Terminal, begin_codex

TOLD = "bob has 1 unread message from unverified 'ann'; a prompt such as \"read my mail\" reads it"


@pytest.mark.timeout(120)
@pytest.mark.parametrize("client", ["codex", "gemini"])
async def test_the_user_of_a_session_that_starts_is_shown_that_mail_waits(
    machine_of: Callable[[str], Machine], model: Model, client: str
) -> None:
    machine = machine_of(client)
    machine.postino("install", "--client", client)
    machine.serve()
    machine.send("bob", "the body of m1", id="m1")
    model.script("hello")
    model_of = ["-m", "gemini-2.5-pro"] if client == "gemini" else []
    terminal = Terminal([machine.binary, *model_of], machine.env | {"POSTINO_AGENT_NAME": "bob"}, machine.project())
    try:
        if client == "codex":  # its hook of the start runs with the first prompt
            await begin_codex(terminal, model.requests)
        await terminal.until(f"postino: {TOLD}")
    finally:
        await terminal.kill()
    assert machine.state("bob", "m1")["state"] == "queued"
