"""Requests per second over HTTP, 1 and 32 at once, compared with a bare aiohttp handler."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Callable, Iterator

from bench.load import Measured, dial_tcp, drive, http_complete, merged, post
from bench.stack import bare_handler, daemon
from bench.table import Rows

AT_ONCE = (1, 32)
ROUNDS = 5  # of each measurement, in turn with the others: other work on the machine slows all of them
BODY = "x" * 200
INBOXES = 64  # as with many agents; a single inbox would fill up


def run(seconds: float) -> Rows:
    """Measure each for `seconds`, in rounds; each row gives the ratio of its median rate to that of the floor."""
    rows: Rows = []
    with bare_handler() as port, daemon(POSTINO_MAX_INBOX="100000", POSTINO_LOG_LEVEL="warning") as stack:
        drive(_dial(stack.port), _heartbeats(stack.port), http_complete, 1, seconds)
        for at_once in AT_ONCE:
            requests = {
                "floor: bare aiohttp handler": (port, _sends(port, "bare")),
                "send over HTTP": (stack.port, _sends(stack.port, f"h{at_once}")),
                "check over HTTP": (stack.port, _checks(stack.port)),
                "read + acknowledge over HTTP": (stack.port, _reads(stack.port)),
            }
            found = _in_turn(requests, at_once, seconds)
            floor = found["floor: bare aiohttp handler"]
            rows += [_row(what, at_once, measured, floor) for what, measured in found.items()]
    return rows


def _in_turn(requests: dict[str, tuple[int, Iterator[bytes]]], at_once: int, seconds: float) -> dict[str, Measured]:
    taken: dict[str, list[Measured]] = {what: [] for what in requests}
    for _ in range(ROUNDS):
        sent = 0
        for what, (port, given) in requests.items():
            # no more is read than was sent in this round
            some = itertools.islice(given, sent) if what.startswith("read") else given
            taken[what].append(drive(_dial(port), some, http_complete, at_once, seconds / ROUNDS))
            sent = len(taken[what][-1].latencies) if what.startswith("send") else sent
    return {what: merged(each) for what, each in taken.items()}


def _row(what: str, at_once: int, measured: Measured, floor: Measured) -> dict[str, object]:
    return {
        "what": what,
        "at once": at_once,
        "per second": round(measured.per_second),
        "p50 ms": round(measured.percentile_ms(50), 2),
        "p99 ms": round(measured.percentile_ms(99), 2),
        "of floor": round(measured.per_second / floor.per_second, 2),
    }


def _dial(port: int) -> Callable[[], socket.socket]:
    return lambda: dial_tcp("127.0.0.1", port)


def _heartbeats(port: int) -> Iterator[bytes]:
    """Make the recipients known: a send to an unknown name also looks for similar names."""
    for number in range(INBOXES):
        yield post(f"/api/agents/sink-{number}/heartbeat", b"{}", port)


def _sends(port: int, name: str) -> Iterator[bytes]:
    body = json.dumps({"to": "sink-%d", "from": "bench", "body": BODY, "id": f"{name}-%d"}).encode()
    for number in itertools.count():  # to encode each takes the processor from what is measured
        yield post("/api/messages", body % (number % INBOXES, number), port)


def _checks(port: int) -> Iterator[bytes]:
    for number in itertools.count():
        yield f"GET /api/check/sink-{number % INBOXES} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()


def _reads(port: int) -> Iterator[bytes]:
    for number in itertools.count():
        yield post(f"/api/messages/sink-{number % INBOXES}/read", b'{"limit":1,"ack":"now"}', port)
