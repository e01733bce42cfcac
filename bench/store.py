"""A broker in this process: calls per second beside a bare XADD, and what one costs Valkey, Python, memory and disk."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

from bench.callers import repeat
from bench.load import Measured, dial_unix, drive, merged, resp_complete
from bench.server import Used, stop_rewriting, used
from bench.stack import Stack, daemon
from bench.table import Rows
from postino import config
from postino.broker import Broker
from postino.model import Draft, Sender

AT_ONCE = (1, 32)
ROUNDS = 5  # of each measurement, in turn with the others
BODY = "x" * 200
INBOXES = 64  # as with many agents; a single inbox would fill up
SENDER = Sender(name="bench", via="http")
WAIT = "a message that waits"
WAITING_A_SECOND = 170  # messages in each inbox by which memory is measured: fewer leave the last node of each emptier

Call = Callable[[int], Awaitable[object]]


def run(seconds: float) -> Rows:
    """Measure each for `seconds`, in rounds; then the bytes of a message that waits. A read one leaves its history."""
    return asyncio.run(_run(seconds))


async def _run(seconds: float) -> Rows:
    rows: Rows = []
    for at_once in AT_ONCE:
        with daemon(POSTINO_LOG_LEVEL="warning") as stack:
            async with _opened(stack) as broker:
                rows += await _measure(stack, broker, at_once, seconds)
    with daemon(POSTINO_LOG_LEVEL="warning") as stack:
        async with _opened(stack) as broker:
            rows.append(await _fill(stack, broker, INBOXES * max(1, round(WAITING_A_SECOND * seconds))))
    return rows


@contextlib.asynccontextmanager
async def _opened(stack: Stack) -> AsyncIterator[Broker]:
    """Open a broker on the store of `stack`, whose agents are known and whose file only grows."""
    broker = await Broker.open(settings(stack.home))
    stop_rewriting(stack.valkey)  # the file would become smaller
    try:
        for number in range(INBOXES):
            await broker.agents.heartbeat(f"sink-{number}")
        yield broker
    finally:
        await broker.close()


async def _measure(stack: Stack, broker: Broker, at_once: int, seconds: float) -> Rows:
    calls: dict[str, Call] = {
        "send in process": lambda number: broker.mail.send(draft(number), SENDER),
        "check in process": lambda number: broker.agents.check(f"sink-{number % INBOXES}"),
        "read + acknowledge in process": lambda number: broker.mail.read(
            f"sink-{number % INBOXES}", "bench", limit=1, ack_now=True
        ),
    }
    floors: list[Measured] = []
    taken: dict[str, list[_Round]] = {what: [] for what in calls}
    numbers = {what: itertools.count() for what in calls}
    for _ in range(ROUNDS):
        floors.append(await asyncio.to_thread(_floor, stack, at_once, seconds / ROUNDS))
        for what, call in calls.items():
            most = len(taken["send in process"][-1].found.latencies) if what.startswith("read") else None
            taken[what].append(await _round(stack, call, numbers[what], at_once, seconds / ROUNDS, most))
    floor = merged(floors)
    rows = [_row("floor: bare XADD", at_once, floor, floor, None)]
    return rows + [_row(what, at_once, merged([r.found for r in each]), floor, each) for what, each in taken.items()]


async def _fill(stack: Stack, broker: Broker, messages: int) -> dict[str, object]:
    """Let `messages` wait in the inboxes; return what one of them takes."""
    numbers = itertools.count()
    cost = await _round(stack, lambda n: broker.mail.send(draft(n), SENDER), numbers, AT_ONCE[-1], 60, messages)
    return _row(WAIT, AT_ONCE[-1], cost.found, cost.found, [cost]) | {"of floor": None}


class _Round:
    """One round of calls, and what it cost."""

    def __init__(self, found: Measured, cost: Used, python_s: float) -> None:
        self.found = found
        self.cost = cost
        self.python_s = python_s


async def _round(
    stack: Stack, call: Call, numbers: Iterator[int], at_once: int, seconds: float, most: int | None
) -> _Round:
    before, python = used(stack.valkey), time.process_time()
    found = await repeat(lambda _: call(next(numbers)), at_once, seconds, most)
    return _Round(found, used(stack.valkey) - before, time.process_time() - python)


def _row(what: str, at_once: int, found: Measured, floor: Measured, rounds: list[_Round] | None) -> dict[str, object]:
    row: dict[str, object] = {
        "what": what,
        "at once": at_once,
        "per second": round(found.per_second),
        "p50 ms": round(found.percentile_ms(50), 2),
        "p99 ms": round(found.percentile_ms(99), 2),
        "of floor": round(found.per_second / floor.per_second, 2),
        **dict.fromkeys(("Valkey µs", "scripts µs", "Python µs", "memory bytes", "file bytes")),
    }
    if rounds is None:
        return row

    def each(total: float) -> float:
        return total / len(found.latencies)

    return row | {
        "Valkey µs": round(each(sum(one.cost.cpu_s for one in rounds)) * 1e6, 1),
        "scripts µs": round(each(sum(one.cost.script_us for one in rounds)), 1),
        "Python µs": round(each(sum(one.python_s for one in rounds)) * 1e6, 1),
        "memory bytes": round(each(sum(one.cost.memory for one in rounds))),
        "file bytes": round(each(sum(one.cost.file for one in rounds))),
    }


def _floor(stack: Stack, at_once: int, seconds: float) -> Measured:
    return drive(lambda: dial_unix(stack.valkey), xadds(), resp_complete, at_once, seconds)


def xadds() -> Iterator[bytes]:
    """Yield one XADD of a body without end: the least that storing a message can cost."""
    parts = ["XADD", "{bench}:floor", "MAXLEN", "~", "100000", "*", "body", BODY]
    one = f"*{len(parts)}\r\n" + "".join(f"${len(part)}\r\n{part}\r\n" for part in parts)
    return itertools.repeat(one.encode())


def settings(home: Path, prefix: str = "bench:") -> config.Settings:
    """Return the settings of a broker in this process that uses the store of a running daemon."""
    found, _ = config.load(
        {"POSTINO_HOME": str(home), "POSTINO_KEY_PREFIX": prefix, "POSTINO_MAX_INBOX": "100000"},
    )
    return found


def draft(number: int) -> Draft:
    """Return the message of one call: with an id, for one of the inboxes in turn."""
    return Draft(id=f"p-{number}", to=f"sink-{number % INBOXES}", body=BODY)
