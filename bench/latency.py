"""Latency of one caller that sends one request after the other, compared with the floors."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator

from bench.load import Measured, dial_tcp, dial_unix, drive, http_complete, post, resp_complete
from bench.stack import Stack, bare_handler, daemon
from bench.table import Rows


def run(seconds: float) -> Rows:
    """Measure each call alone. `of both floors` is its p50 divided by the sum of the p50 of both floors."""
    with bare_handler() as port, daemon(POSTINO_MAX_INBOX="100000", POSTINO_LOG_LEVEL="warning") as stack:
        time.sleep(7)  # the daemon imports the MCP SDK in the background after its start
        bare = drive(lambda: dial_tcp("127.0.0.1", port), _sends(port), http_complete, 1, seconds)
        xadd = drive(lambda: dial_unix(stack.valkey), _xadds(), resp_complete, 1, seconds)
        rows = [_row("floor: bare aiohttp handler", bare, None), _row("floor: bare XADD, fsynced", xadd, None)]
        floor = bare.percentile_ms(50) + xadd.percentile_ms(50)
        # make the recipient known: a send to an unknown name also looks for similar names
        _drive(stack, iter([post("/api/agents/sink/heartbeat", b"{}", stack.port)]), seconds)
        for what, requests in (
            ("send", _sends(stack.port)),
            ("check, 1 waits", _checks(stack.port, "one")),
            ("check, many wait", _checks(stack.port, "sink")),
            ("read + ack", _reads(stack.port)),
        ):
            rows.append(_row(what, _drive(stack, requests, seconds), floor))
    return rows


def _drive(stack: Stack, requests: Iterator[bytes], seconds: float) -> Measured:
    return drive(lambda: dial_tcp("127.0.0.1", stack.port), requests, http_complete, 1, seconds)


def _row(what: str, measured: Measured, floor: float | None) -> dict[str, object]:
    p50 = measured.percentile_ms(50)
    return {
        "what": what,
        "p50 ms": round(p50, 3),
        "p90 ms": round(measured.percentile_ms(90), 3),
        "p99 ms": round(measured.percentile_ms(99), 3),
        "of both floors": "-" if floor is None else f"{p50 / floor:.2f}",
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


def _xadds() -> Iterator[bytes]:
    parts = ["XADD", "{bench}:floor", "*", "body", "x" * 200]
    one = f"*{len(parts)}\r\n" + "".join(f"${len(part)}\r\n{part}\r\n" for part in parts)
    return itertools.repeat(one.encode())
