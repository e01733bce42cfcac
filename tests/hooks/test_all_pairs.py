"""Sessions of the real client that all write to all at once: nothing is lost, or acknowledged before a request held it.

Three sessions with the other tests; `--faults long`: ten sessions, 270 messages.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from postino.client import Client
from postino.errors import UnknownMessage
from tests.hooks.model import Model

TOOL = "mcp__plugin_postino_postino__msg_"
READ = [(f"{TOOL}read", {})]
ROUNDS = 3
PATIENCE_S = 60.0  # ten sessions on two cores

Open = Callable[..., Awaitable[Any]]
Mail = set[tuple[str, str]]  # recipient, id


@pytest.mark.timeout(900)
async def test_all_write_to_all(request: pytest.FixtureRequest, mailbox: Any, open_tab: Open, model: Model) -> None:
    names = [f"a{n}" for n in range(10 if request.config.getoption("--faults") == "long" else 3)]
    sent = {(to, f"{each}-{n}") for each in names for to in names if to != each for n in range(ROUNDS)}
    done, allowed = dict.fromkeys(names, 0), dict.fromkeys(names, 0)  # rounds of each session

    async def step(body: Any) -> Any:
        """Send to all others where a round begins; read when since the last read a line told of mail."""
        shown = json.dumps(body["messages"])
        own = re.findall(r"this session is agent (\w+)", shown)[-1]
        since = shown.rpartition(f'"name": "{TOOL}read"')[2]
        if done[own] < allowed[own]:
            id, others = f"{own}-{done[own]}", [each for each in names if each != own]
            done[own] += 1
            return [(f"{TOOL}send", {"to": each, "body": f"body of {id}.", "id": id}) for each in others]
        return READ if "call msg_read" in since or '\\"more\\":true' in since else "done"

    model.script(*[step] * 100_000)
    tabs = {each: await open_tab(POSTINO_AGENT_NAME=each) for each in names}

    async def round_of(name: str) -> None:
        """Have a session send; a prompt may end with a turn that was another's, so ask again until it has sent."""
        allowed[name] += 1
        while done[name] < allowed[name]:
            await tabs[name].prompt("go on")

    for each in names:  # to idle sessions, which are woken
        await round_of(each)
    for _ in range(1, ROUNDS):
        await asyncio.gather(*(round_of(each) for each in names))
        assert not _acked(mailbox, sent) - _held(model, sent)

    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and _acked(mailbox, sent) != sent:
        assert not _acked(mailbox, sent) - _held(model, sent)
        await asyncio.sleep(0.5)
    assert (sent - _held(model, sent), sent - _acked(mailbox, sent)) == (set(), set())


def _acked(mailbox: Any, sent: Mail) -> Mail:
    with Client(mailbox.root / "po/daemon.sock") as client:
        states = {(to, id): _state(client, to, id) for to, id in sent}
    return {each for each, state in states.items() if state == "acked"}


def _state(client: Client, to: str, id: str) -> str:
    try:
        return str(client.state(to, id)["state"])
    except UnknownMessage:  # it is not sent yet
        return "none"


def _held(model: Model, sent: Mail) -> Mail:
    """Return the messages whose bodies some request of their recipient held."""
    held: dict[str, str] = {}
    for each in list(model.requests):
        shown = json.dumps(each["messages"])
        if own := re.findall(r"this session is agent (\w+)", shown):
            held[own[-1]] = held.get(own[-1], "") + shown
    return {(to, id) for to, id in sent if f"body of {id}." in held.get(to, "")}
