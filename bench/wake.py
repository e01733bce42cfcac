"""From the answer of a send to the model's request that holds the message: an idle session of the real Claude Code.

The model is scripted, on loopback. The client is $CLAUDE_BINARY, or `claude` on PATH. This scenario uses what
tests/hooks runs the client with.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import time
from typing import Any

from bench.table import Rows
from tests.hooks.conftest import scratch_machine
from tests.hooks.model import Model
from tests.relays import RealRelay, real_relays
from tests.scripted.model import serving

ROUNDS = 30
REST_S = 5.0  # between two messages: the seventh within 30 s would wait
PATIENCE_S = 20.0


def run(seconds: float) -> Rows:
    """Send ROUNDS verified and as many unverified messages to an idle session; `seconds` means nothing here."""
    return asyncio.run(_measure())


async def _measure() -> Rows:
    async with serving(Model()) as model:
        with scratch_machine(model) as machine:
            machine.install_anew()
            machine.postino("up")
            tab = await machine.open(POSTINO_AGENT_NAME="bob")
            async with real_relays() as spawn:
                ada = await spawn(machine.env, POSTINO_AGENT_NAME="ada")
                verified = [await _once(model, tab, ada, number) for number in range(ROUNDS)]
            unverified = [await _unverified(model, tab, machine, number) for number in range(ROUNDS)]
            await tab.kill()
    return [
        _row("verified send to the request with its body", verified),
        _row("unverified send to the request with the hint", unverified),
    ]


async def _once(model: Model, tab: Any, ada: RealRelay, number: int) -> float:
    seen = _watch(model, f"body-{number:04}")
    turns = len(tab.results())
    await ada.call("msg_send", to="bob", body=f"body-{number:04}", id=f"v{number}")
    sent = time.perf_counter()
    async with asyncio.timeout(PATIENCE_S):
        at = await seen
        while len(tab.results()) == turns:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await asyncio.sleep(REST_S)
    return at - sent


async def _unverified(model: Model, tab: Any, machine: Any, number: int) -> float:
    seen = _watch(model, f"newest id u{number:04}")
    turns = len(tab.results())
    reader, writer = await asyncio.open_unix_connection(f"{machine.root}/po/daemon.sock")
    data = json.dumps({"to": "bob", "from": "ci", "body": "x", "id": f"u{number:04}"})
    head = "POST /api/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
    head += f"\r\nContent-Length: {len(data)}"
    writer.write(f"{head}\r\n\r\n{data}".encode())
    await reader.readuntil(b"\r\n\r\n")
    sent = time.perf_counter()
    async with asyncio.timeout(PATIENCE_S):
        at = await seen
        while len(tab.results()) == turns:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    await asyncio.sleep(REST_S)
    return at - sent


def _watch(model: Model, text: str) -> asyncio.Future[float]:
    """Return what will hold the time at which a request with `text` arrives."""
    found: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def answer(body: Any) -> str:
        if text in json.dumps(body["messages"]):
            found.set_result(time.perf_counter())
        return "done"

    model.script(answer)
    return found


def _row(what: str, taken: list[float]) -> dict[str, Any]:
    return {
        "what": what,
        "p50 s": round(statistics.median(taken), 3),
        "worst s": round(max(taken), 3),
        "rounds": len(taken),
    }
