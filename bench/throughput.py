"""Sends and reads per second, over HTTP and in process, 1 and 32 at once, compared with their floors."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from bench.load import Measured, dial_tcp, dial_unix, drive, http_complete, post, resp_complete
from bench.stack import Stack, bare_handler, daemon
from bench.table import Rows
from postino import config
from postino.broker import Broker
from postino.model import Draft, Sender
from postino.store import pipeline

AT_ONCE = (1, 32)
BODY = "x" * 200
INBOXES = 64  # as with many agents; a single inbox would fill up
SENDER = Sender(name="bench", via="http")


def run(seconds: float) -> Rows:
    """Measure everything once; each row gives its ratio to the floor of the same kind."""
    rows: Rows = []
    environment = {"POSTINO_MAX_INBOX": "100000", "POSTINO_LOG_LEVEL": "warning"}
    with bare_handler() as port, daemon(**environment) as stack:
        time.sleep(7)  # the daemon imports the MCP SDK in the background after its start
        drive(_dial(stack), _heartbeats(stack.port), http_complete, 1, seconds)
        for at_once in AT_ONCE:
            bare = drive(lambda: dial_tcp("127.0.0.1", port), _sends(port, "bare"), http_complete, at_once, seconds)
            rows.append(_row("floor: bare aiohttp handler", at_once, bare, bare))
            sent = drive(_dial(stack), _sends(stack.port, f"h{at_once}"), http_complete, at_once, seconds)
            rows.append(_row("send over HTTP", at_once, sent, bare))
            read = drive(_dial(stack), _reads(stack.port, len(sent.latencies)), http_complete, at_once, seconds)
            rows.append(_row("read + ack over HTTP", at_once, read, bare))
        for at_once in AT_ONCE:
            xadd = drive(lambda: dial_unix(stack.valkey), _xadds(), resp_complete, at_once, seconds)
            rows.append(_row("floor: bare XADD", at_once, xadd, xadd))
            rows += asyncio.run(_in_process(stack.home, at_once, seconds, xadd))
        shared = pipeline.BATCH_FROM, pipeline.MAX_BATCH
        pipeline.BATCH_FROM = pipeline.MAX_BATCH = 1
        rows += asyncio.run(_in_process(stack.home, AT_ONCE[-1], seconds, xadd, ", a round trip each"))
        pipeline.BATCH_FROM, pipeline.MAX_BATCH = shared
    return rows


def _row(what: str, at_once: int, measured: Measured, floor: Measured) -> dict[str, object]:
    return {
        "what": what,
        "at once": at_once,
        "per second": round(measured.per_second),
        "p50 ms": round(measured.percentile_ms(50), 2),
        "p99 ms": round(measured.percentile_ms(99), 2),
        "of floor": f"{measured.per_second / floor.per_second:.2f}",
    }


def _dial(stack: Stack) -> Callable[[], socket.socket]:
    return lambda: dial_tcp("127.0.0.1", stack.port)


def _heartbeats(port: int) -> Iterator[bytes]:
    """Make the recipients known: a send to an unknown name also looks for similar names."""
    for number in range(INBOXES):
        yield post(f"/api/agents/sink-{number}/heartbeat", b"{}", port)


def _sends(port: int, name: str) -> Iterator[bytes]:
    for number in itertools.count():
        body = {"to": f"sink-{number % INBOXES}", "from": "bench", "body": BODY, "id": f"{name}-{number}"}
        yield post("/api/messages", json.dumps(body).encode(), port)


def _reads(port: int, count: int) -> Iterator[bytes]:
    for number in range(count):
        yield post(f"/api/messages/sink-{number % INBOXES}/read", b'{"limit":1,"ack":"now"}', port)


def _xadds() -> Iterator[bytes]:
    parts = ["XADD", "{bench}:floor", "*", "body", BODY]
    one = f"*{len(parts)}\r\n" + "".join(f"${len(part)}\r\n{part}\r\n" for part in parts)
    return itertools.repeat(one.encode())


async def _in_process(home: Path, at_once: int, seconds: float, floor: Measured, suffix: str = "") -> Rows:
    settings, _ = config.load(
        {"POSTINO_HOME": str(home), "POSTINO_KEY_PREFIX": f"b{at_once}:", "POSTINO_MAX_INBOX": "100000"}
    )
    broker = await Broker.open(settings)
    try:
        for number in range(INBOXES):
            await broker.agents.heartbeat(f"sink-{number}")
        sent = await _repeat(
            lambda number: broker.mail.send(Draft(id=f"p-{number}", to=f"sink-{number % INBOXES}", body=BODY), SENDER),
            at_once,
            seconds,
        )
        read = await _repeat(
            lambda number: broker.mail.read(f"sink-{number % INBOXES}", "bench", limit=1, ack_now=True),
            at_once,
            seconds,
        )
    finally:
        await broker.close()
    return [
        _row(f"send in process{suffix}", at_once, sent, floor),
        _row(f"read + ack in process{suffix}", at_once, read, floor),
    ]


async def _repeat(call: Callable[[int], Awaitable[object]], at_once: int, seconds: float) -> Measured:
    numbers, latencies = itertools.count(), []
    started = time.perf_counter()

    async def call_in_a_row() -> None:
        while (began := time.perf_counter()) < started + seconds:
            await call(next(numbers))
            latencies.append(time.perf_counter() - began)

    await asyncio.gather(*(call_in_a_row() for _ in range(at_once)))
    return Measured(len(latencies) / (time.perf_counter() - started), latencies)
