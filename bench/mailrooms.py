"""Many mailrooms on one cluster: sends of all together, how the slots spread, and what one mailroom costs.

Everything runs on the machine that measures: more nodes there do not show how a cluster scales, only that a mailroom is
served by one node and that more of them disturb each other by nothing but the machine's own limits.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter

import structlog

from bench.callers import repeat
from bench.nodes import ask, cluster
from bench.table import Rows
from postino.model import Draft, Sender
from postino.store.inbox import Inboxes
from postino.store.store import Limits, Store

MAILROOMS = (1, 10, 100)
AT_ONCE = 64
BODY = "x" * 200
INBOXES = 16  # of each mailroom
LIMITS = Limits(ttl_ms=60_000, lease_ms=60_000, max_deliveries=5, max_inbox=100_000)
SENDER = Sender(name="bench", via="http")


def run(seconds: float) -> Rows:
    """Return one row for each number of mailrooms and of nodes."""
    rows: Rows = []
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))  # each warns of no replicas
    for primaries in (1, 3):
        with cluster(primaries) as ports:
            rows += asyncio.run(_measure(ports, seconds))
    return rows


async def _measure(ports: list[int], seconds: float) -> Rows:
    return [await _row(ports, count, seconds) for count in MAILROOMS]


async def _row(ports: list[int], count: int, seconds: float) -> dict[str, object]:
    clients, memory = _total(ports, "clients", "connected_clients"), _total(ports, "memory", "used_memory")
    stores = [Store(f"redis+cluster://127.0.0.1:{ports[0]}", f"room-{count}-{number}:") for number in range(count)]
    for store in stores:
        store.open()
        await _connected(store)
    spread = Counter(store.primary.where for store in stores)
    idle = (_total(ports, "memory", "used_memory") - memory) / count
    connections = (_total(ports, "clients", "connected_clients") - clients) / count
    numbers = itertools.count()

    async def send(_: int) -> None:
        number = next(numbers)
        await _send(stores[number % count], f"sink-{number // count % INBOXES}", f"m{number}")

    measured = await repeat(send, AT_ONCE, seconds)
    for store in stores:
        await store.close()
    return {
        "nodes": len(ports),
        "mailrooms": count,
        "of them per node": sorted(spread.values(), reverse=True),
        "sends per second": round(measured.per_second),
        "p50 ms": round(measured.percentile_ms(50), 2),
        "p99 ms": round(measured.percentile_ms(99), 2),
        "connections each": round(connections, 1),
        "bytes each, idle": round(idle),
    }


async def _connected(store: Store) -> None:
    await store.connect(patience_s=20.0)
    await store.query("XLEN", store.keys.shared("history"))


async def _send(store: Store, agent: str, id: str) -> None:
    await Inboxes(store, LIMITS).send(Draft(id=id, to=agent, body=BODY), SENDER)


def _total(ports: list[int], section: str, name: str) -> int:
    return sum(int(ask(port, "INFO", section)[name]) for port in ports)
