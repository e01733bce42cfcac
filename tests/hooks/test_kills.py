"""kill -9 of the real client at any moment loses no message, and acknowledges none that no request to the model held.

Four kills with the other tests; `--faults long`: 40 kills, 200 messages.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest

from postino.client import Client
from tests.hooks.model import Model
from tests.relays import RealRelay, real_relays

READ = [("mcp__plugin_postino_postino__msg_read", {})]
PER_KILL = 5  # messages
LONGEST_S = 2.5  # from the first message to the kill: a turn that reads takes a third of that

Open = Callable[..., Awaitable[Any]]


@pytest.mark.timeout(900)
async def test_no_message_is_lost_or_acknowledged_before_a_request_held_it(
    request: pytest.FixtureRequest, machine: Any, open_tab: Open, model: Model
) -> None:
    kills = 40 if request.config.getoption("--faults") == "long" else 4
    random = Random(request.config.getoption("--faults-seed"))
    machine.extra |= {"POSTINO_MAX_DELIVERIES": "100", "POSTINO_SEND_RATE": "6000"}
    machine.install()
    machine.serve()
    model.script(*[_answer] * 10_000)
    ids: list[str] = []

    async with real_relays() as spawn:
        ada = await spawn(machine.env, POSTINO_AGENT_NAME="ada")
        for _ in range(kills):
            tab = await open_tab(POSTINO_AGENT_NAME="bob")
            killing = asyncio.create_task(_kill(tab, random.uniform(0, LONGEST_S)))
            for _ in range(PER_KILL):
                ids.append(f"m{len(ids):04}")
                await _send(machine, ada, ids[-1], verified=random.random() < 0.6)
                await asyncio.sleep(random.uniform(0, 0.3))
            await killing
            await asyncio.sleep(0.3)  # what the client had sent arrives
            assert not _acked(machine, ids) - _held(model, ids)

        await open_tab(POSTINO_AGENT_NAME="bob")
        await ada.call("msg_send", to="bob", body="the last one", id="last")
        async with asyncio.timeout(60):
            while _acked(machine, ids) != set(ids):  # noqa: ASYNC110 - it is written in Valkey
                await asyncio.sleep(0.2)
    assert _held(model, ids) == set(ids)


async def _answer(body: Any) -> Any:
    """Read when a hint says so or there is more; else end the turn."""
    last = json.dumps(body["messages"][-2:])
    return READ if "call msg_read" in last or '\\"more\\":true' in last else "done"


async def _kill(tab: Any, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await tab.kill()


async def _send(machine: Any, ada: RealRelay, id: str, *, verified: bool) -> None:
    if verified:
        await ada.call("msg_send", to="bob", body=f"body of {id}", id=id)
        return
    with Client(machine.root / "po/daemon.sock") as client:
        await asyncio.to_thread(client.send, "bob", f"body of {id}", sender="ci", id=id)


def _acked(machine: Any, ids: list[str]) -> set[str]:
    with Client(machine.root / "po/daemon.sock") as client:
        return {id for id in ids if client.state("bob", id)["state"] == "acked"}


def _held(model: Model, ids: list[str]) -> set[str]:
    """Return the messages whose bodies some request to the model held."""
    seen = model.seen()
    return {id for id in ids if f"body of {id}" in seen}
