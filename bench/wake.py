"""From the answer of a send to the model's request that holds the message: an idle session of the real clients.

Claude Code and Codex, each with verified messages, whose bodies are in the request, and unverified ones, whose line is;
and Claude Code from Esc to that request. The models are scripted, on loopback. The clients are $CLAUDE_BINARY and
$CODEX_BINARY, or `claude` and `codex` on PATH; one that is missing is left out. This scenario uses what tests/hooks and
tests/clients run the clients with.
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
from tests.clients.terminal import Terminal, begin_codex
from tests.hooks.conftest import scratch_machine
from tests.hooks.model import Model
from tests.relays import RealRelay, real_relays
from tests.scripted.machine import scratch_root
from tests.scripted.model import serving

ROUNDS = 30
REST_S = 5.0  # between two messages: the seventh within 30 s would wait
PATIENCE_S = 100.0
GOAL_S, ESC_GOAL_S = 0.2, 65.0  # in a turn of its own at once; 60 s of silence come before a look at the registry
ESC_ROUNDS = 3  # each takes a minute

AnyModel = Model | client_model.Model


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
                verified = [await _verified(model, ada, "bob", number, tab) for number in range(ROUNDS)]
                interrupted = [await _interrupted(model, ada, tab, ROUNDS + number) for number in range(ESC_ROUNDS)]
                # last: nobody reads these, and a line holds no message behind one of them
                unverified = [await _unverified(model, machine, "bob", number, tab) for number in range(ROUNDS)]
            await tab.kill()
    return [
        _row("Claude Code: verified send to the request with its body", verified),
        _row("Claude Code: unverified send to the request with the line", unverified),
        _row("Claude Code: Esc to the request with the body", interrupted, ESC_GOAL_S),
    ]


async def _codex() -> Rows:
    binary = _program("codex")
    assert binary is not None
    async with serving(client_model.Model()) as model:
        with scratch_root() as root:
            machine = clients.Machine(root=root, client="codex", binary=binary, model=model)
            machine.prepare()
            verified, unverified = await _in_codex(machine, model)
    return [
        _row("Codex: verified send to the request with its body", verified),
        _row("Codex: unverified send to the request with the line", unverified),
    ]


async def _in_codex(machine: clients.Machine, model: client_model.Model) -> tuple[list[float], list[float]]:
    machine.postino("install", "--client", "codex")
    machine.postino("up")
    terminal = Terminal([machine.binary], machine.env, machine.project())
    try:
        await begin_codex(terminal, model.requests)
        (bob,) = machine.online()
        await asyncio.sleep(REST_S)
        async with real_relays() as spawn:
            ada = await spawn(machine.env, POSTINO_AGENT_NAME="ada")
            verified = [await _verified(model, ada, bob, number) for number in range(ROUNDS)]
            return verified, [await _unverified(model, machine, bob, number) for number in range(ROUNDS)]
    finally:
        await terminal.kill()


async def _verified(model: AnyModel, ada: RealRelay, to: str, number: int, tab: Any = None) -> float:
    seen = _watch(model, f"body-{number:04}")
    turns = len(tab.results()) if tab else 0
    await ada.call("msg_send", to=to, body=f"body-{number:04}", id=f"v{number:04}")
    return await _until_seen(seen, time.perf_counter(), tab, turns)


async def _unverified(model: AnyModel, machine: Any, to: str, number: int, tab: Any = None) -> float:
    seen = _watch(model, f"newest id u{number:04}")
    turns = len(tab.results()) if tab else 0
    reader, writer = await asyncio.open_unix_connection(f"{machine.root}/po/daemon.sock")
    data = json.dumps({"to": to, "from": "ci", "body": "x", "id": f"u{number:04}"})
    head = "POST /api/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
    head += f"\r\nContent-Length: {len(data)}"
    writer.write(f"{head}\r\n\r\n{data}".encode())
    await reader.readuntil(b"\r\n\r\n")
    taken = await _until_seen(seen, time.perf_counter(), tab, turns)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return taken


async def _interrupted(model: Model, ada: RealRelay, tab: Any, number: int) -> float:
    """Interrupt the session in a tool call, send it a message, and wait for the request with the body."""
    model.steps.clear()
    model.script([("Bash", {"command": "tail -f /dev/null"})])
    turns, asked = len(tab.results()), len(model.requests)
    tab.tell({"type": "user", "message": {"role": "user", "content": "work"}})
    await tab.until(lambda: len(model.requests) > asked, "it works")
    await asyncio.sleep(1)
    tab.tell({"type": "control_request", "request_id": f"esc-{number}", "request": {"subtype": "interrupt"}})
    since = time.perf_counter()
    await tab.until(lambda: len(tab.results()) > turns, "it is interrupted")
    seen = _watch(model, f"body-{number:04}")
    await ada.call("msg_send", to="bob", body=f"body-{number:04}", id=f"v{number:04}")
    return await _until_seen(seen, since, tab, turns + 1)


async def _until_seen(seen: asyncio.Future[float], since: float, tab: Any, turns: int) -> float:
    """Return the seconds from `since` to the request; wait for the end of its turn, and a rest."""
    async with asyncio.timeout(PATIENCE_S):
        at = await seen
        while tab and len(tab.results()) == turns:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await asyncio.sleep(REST_S)
    return at - since


def _watch(model: AnyModel, text: str) -> asyncio.Future[float]:
    """Return what will hold the time at which a request with `text` arrives."""
    found: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def answer(body: Any) -> str:
        if text in json.dumps(body):
            found.set_result(time.perf_counter())
        return "done"

    model.script(answer)
    return found


def _row(what: str, taken: list[float], goal_s: float = GOAL_S) -> dict[str, Any]:
    return {
        "what": what,
        "goal s": goal_s,
        "p50 s": round(statistics.median(taken), 3),
        "worst s": round(max(taken), 3),
        "rounds": len(taken),
    }
