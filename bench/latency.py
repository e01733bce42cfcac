"""The latency of one caller that sends one request after the other, compared with the floors."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

from bench.load import Measured, dial_tcp, dial_unix, drive, http_complete, merged, post, resp_complete
from bench.stack import bare_handler, daemon
from bench.store import xadds
from bench.table import Rows

ROUNDS = 5  # of each measurement, in turn with the others
HANDLER, XADD = "floor: bare aiohttp handler", "floor: bare XADD, fsynced"


def run(seconds: float) -> Rows:
    """Measure each call alone. `of both floors` is its p50 divided by the sum of the p50 of both floors."""
    with bare_handler() as port, daemon(POSTINO_MAX_INBOX="100000", POSTINO_LOG_LEVEL="warning") as stack:

        def ask(port: int, requests: Iterator[bytes]) -> Measured:
            return drive(lambda: dial_tcp("127.0.0.1", port), requests, http_complete, 1, seconds / ROUNDS)

        # make the recipient known: a send to an unknown name also looks for similar names
        ask(stack.port, iter([post("/api/agents/sink/heartbeat", b"{}", stack.port)]))
        requests = {
            HANDLER: _sends(port),
            "send": _sends(stack.port),
            "check, 1 waits": _checks(stack.port, "one"),
            "check, many wait": _checks(stack.port, "sink"),
            "read + acknowledge": _reads(stack.port),
        }
        taken: dict[str, list[Measured]] = {what: [] for what in (HANDLER, XADD, *requests)}
        for _ in range(ROUNDS):
            taken[XADD].append(drive(lambda: dial_unix(stack.valkey), xadds(), resp_complete, 1, seconds / ROUNDS))
            for what, given in requests.items():
                taken[what].append(ask(port if what == HANDLER else stack.port, given))
    found = {what: merged(each) for what, each in taken.items()}
    floor = found[HANDLER].percentile_ms(50) + found[XADD].percentile_ms(50)
    return [_row(what, each, None if what.startswith("floor") else floor) for what, each in found.items()]


def _row(what: str, measured: Measured, floor: float | None) -> dict[str, object]:
    p50 = measured.percentile_ms(50)
    return {
        "what": what,
        "p50 ms": round(p50, 3),
        "p90 ms": round(measured.percentile_ms(90), 3),
        "p99 ms": round(measured.percentile_ms(99), 3),
        "of both floors": None if floor is None else round(p50 / floor, 2),
    }


def _sends(port: int) -> Iterator[bytes]:
    yield post("/api/messages", b'{"to":"one","from":"bench","body":"hello"}', port)
    for number in itertools.count():
        body = {"to": "sink", "from": "bench", "body": "x" * 200, "id": f"l-{number}"}
        yield post("/api/messages", json.dumps(body).encode(), port)


def _checks(port: int, agent: str) -> Iterator[bytes]:
    return itertools.repeat(f"GET /api/check/{agent} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())


def _reads(port: int) -> Iterator[bytes]:
    return itertools.repeat(post("/api/messages/sink/read", b'{"limit":1,"ack":"now"}', port))
