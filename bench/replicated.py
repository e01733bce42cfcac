"""What the fence costs: the latency of one caller over HTTP, and sends per second of 32, without and with replicas."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

from bench.load import Measured, dial_tcp, drive, http_complete, post
from bench.nodes import replicated
from bench.stack import Stack, daemon
from bench.table import Rows

ROUNDS = 3  # in turns: the speed of a machine changes
AT_ONCE = (1, 32)
INBOXES = 64


def run(seconds: float) -> Rows:
    """Measure sends on one primary by two daemons, of which one waits for the replicas; `of unfenced` compares p50."""
    rows: Rows = []
    for replicas in (1, 2):
        with replicated(replicas) as port:
            url = f"redis://127.0.0.1:{port}"
            with _daemon(url, "plain:", 0) as plain, _daemon(url, "fenced:", 1) as fenced:
                for at_once in AT_ONCE:
                    rows += _pair(replicas, plain, fenced, at_once, seconds)
    return rows


def _daemon(url: str, prefix: str, replicas: int):  # type: ignore[no-untyped-def]
    return daemon(
        POSTINO_VALKEY_URL=url,
        POSTINO_KEY_PREFIX=prefix,
        POSTINO_REPLICAS=str(replicas),
        POSTINO_MAX_INBOX="100000",
        POSTINO_LOG_LEVEL="warning",
    )


def _pair(replicas: int, plain: Stack, fenced: Stack, at_once: int, seconds: float) -> Rows:
    rounds: dict[str, list[Measured]] = {"unfenced": [], "fenced": []}
    for turn in range(ROUNDS):
        for what, stack in (("unfenced", plain), ("fenced", fenced)):
            requests = _sends(stack.port, f"{at_once}-{turn}")
            rounds[what].append(
                drive(lambda stack=stack: dial_tcp("127.0.0.1", stack.port), requests, http_complete, at_once, seconds)  # type: ignore[misc]
            )
    best = {what: min(found, key=lambda each: each.percentile_ms(50)) for what, found in rounds.items()}
    return [
        {
            "replicas": replicas,
            "send": what,
            "at once": at_once,
            "per second": round(found.per_second),
            "p50 ms": round(found.percentile_ms(50), 2),
            "p99 ms": round(found.percentile_ms(99), 2),
            "of unfenced": f"{found.percentile_ms(50) / best['unfenced'].percentile_ms(50):.2f}",
        }
        for what, found in best.items()
    ]


def _sends(port: int, run: str) -> Iterator[bytes]:
    for number in range(INBOXES):  # known recipients: a send to an unknown name also looks for similar names
        yield post(f"/api/agents/sink-{number}/heartbeat", b"{}", port)
    for number in itertools.count():
        body = {"to": f"sink-{number % INBOXES}", "from": "bench", "body": "x" * 200, "id": f"{run}-{number}"}
        yield post("/api/messages", json.dumps(body).encode(), port)
