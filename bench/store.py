"""What one message costs: µs of Valkey and of Python, bytes of memory and of the append-only file; 32 at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.callers import repeat
from bench.load import Measured
from bench.server import Used, stop_rewriting, used
from bench.stack import Stack, daemon
from bench.table import Rows
from postino import config
from postino.broker import Broker
from postino.model import Draft, Sender

AT_ONCE = 32
BODY = "x" * 200
INBOXES = 64  # as with many agents; a single inbox would fill up
SENDER = Sender(name="bench", via="http")


def run(seconds: float) -> Rows:
    """Return one row per operation. The bytes are of a message that waits; a read one leaves its history."""
    with daemon(POSTINO_LOG_LEVEL="warning") as stack:
        return asyncio.run(_measure(stack, seconds))


async def _measure(stack: Stack, seconds: float) -> Rows:
    broker = await Broker.open(settings(stack.home))
    stop_rewriting(stack.valkey)  # the file would become smaller
    try:
        for number in range(INBOXES):
            await broker.agents.heartbeat(f"sink-{number}")
        sent = await _row(stack, "send", lambda number: broker.mail.send(draft(number), SENDER), seconds)
        read = await _row(
            stack,
            "read + acknowledge",
            lambda number: broker.mail.read(f"sink-{number % INBOXES}", "bench", limit=1, ack_now=True),
            seconds,
            at_most=int(str(sent["calls"])),
        )
        check = await _row(stack, "check", lambda number: broker.agents.check(f"sink-{number % INBOXES}"), seconds)
    finally:
        await broker.close()
    return [sent, read, check]


async def _row(
    stack: Stack, what: str, call: Callable[[int], Awaitable[object]], seconds: float, at_most: int | None = None
) -> dict[str, object]:
    before, python = used(stack.valkey), time.process_time()
    found = await repeat(call, AT_ONCE, seconds, at_most)
    python, cost = time.process_time() - python, used(stack.valkey) - before
    return _figures(what, found, cost, python)


def _figures(what: str, found: Measured, cost: Used, python_s: float) -> dict[str, object]:
    calls = len(found.latencies)
    return {
        "what": what,
        "calls": calls,
        "per second": round(found.per_second),
        "p50 ms": round(found.percentile_ms(50), 2),
        "p99 ms": round(found.percentile_ms(99), 2),
        "Valkey µs": round(cost.cpu_s / calls * 1e6, 1),
        "of these scripts µs": round(cost.script_us / calls, 1),
        "Python µs": round(python_s / calls * 1e6, 1),
        "memory bytes": round(cost.memory / calls),
        "file bytes": round(cost.file / calls),
    }


def settings(home: Path, prefix: str = "bench:") -> config.Settings:
    """Return the settings of a broker in this process that uses the store of a running daemon."""
    found, _ = config.load(
        {"POSTINO_HOME": str(home), "POSTINO_KEY_PREFIX": prefix, "POSTINO_MAX_INBOX": "100000"},
    )
    return found


def draft(number: int) -> Draft:
    """Return the message of one call: with an id, for one of the inboxes in turn."""
    return Draft(id=f"p-{number}", to=f"sink-{number % INBOXES}", body=BODY)
