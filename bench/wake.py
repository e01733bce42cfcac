"""From the answer of a send to the model's request that holds the message: an idle session of the real Claude Code.

The same of the real Codex, whose line holds no body: to the request that holds the line. The models are scripted, on
loopback. The clients are $CLAUDE_BINARY and $CODEX_BINARY, or `claude` and `codex` on PATH; one that is missing is left
out. This scenario uses what tests/hooks and tests/clients run the clients with.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import statistics
import time
from typing import Any

from bench.table import Rows
from tests.clients import machine as clients
from tests.clients import model as client_model
from tests.clients.terminal import Terminal
from tests.hooks.conftest import scratch_machine
from tests.hooks.model import Model
from tests.relays import RealRelay, real_relays
from tests.scripted.machine import scratch_root
from tests.scripted.model import serving

ROUNDS = 30
REST_S = 5.0  # between two messages: the seventh within 30 s would wait
PATIENCE_S = 20.0


def run(seconds: float) -> Rows:
    """Send ROUNDS verified and as many unverified messages to an idle session; `seconds` means nothing here."""
    rows: Rows = []
    if _program("claude"):
        rows += asyncio.run(_claude())
    if _program("codex"):
        rows += asyncio.run(_codex())
    return rows


def _program(client: str) -> str | None:
    return os.environ.get(f"{client.upper()}_BINARY") or shutil.which(client)


async def _claude() -> Rows:
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
        _row("Claude Code: verified send to the request with its body", verified),
        _row("Claude Code: unverified send to the request with the line", unverified),
    ]


async def _codex() -> Rows:
    binary = _program("codex")
    assert binary is not None
    async with serving(client_model.Model()) as model:
        with scratch_root() as root:
            machine = clients.Machine(root=root, client="codex", binary=binary, model=model)
            machine.prepare()
            return [_row("Codex: verified send to the request with the line", await _in_codex(machine, model))]


async def _in_codex(machine: clients.Machine, model: client_model.Model) -> list[float]:
    machine.postino("install", "--client", "codex")
    machine.postino("up")
    terminal = Terminal([machine.binary], machine.env, machine.project())
    try:
        await terminal.until("Trust all and continue")
        await terminal.press(b"2", "› 2. Trust all and continue")
        await terminal.press(b"\r", "Ask Codex to do anything")
        await terminal.ask_until(b"work", lambda: model.requests)
        (bob,) = machine.online()
        await asyncio.sleep(REST_S)
        async with real_relays() as spawn:
            ada = await spawn(machine.env, POSTINO_AGENT_NAME="ada")
            return [await _codex_once(model, ada, bob, number) for number in range(ROUNDS)]
    finally:
        await terminal.kill()


async def _codex_once(model: client_model.Model, ada: RealRelay, bob: str, number: int) -> float:
    seen = _watch(model, f"newest id v{number:04}")
    await ada.call("msg_send", to=bob, body="x", id=f"v{number:04}")
    sent = time.perf_counter()
    async with asyncio.timeout(PATIENCE_S):
        at = await seen
    await asyncio.sleep(REST_S)
    return at - sent


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


def _watch(model: Model | client_model.Model, text: str) -> asyncio.Future[float]:
    """Return what will hold the time at which a request with `text` arrives."""
    found: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def answer(body: Any) -> str:
        if text in json.dumps(body):
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
