"""What the fence costs: the latency of one caller over HTTP, and sends per second of 32, without and with replicas."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Callable, Iterator

from bench.load import Measured, dial_tcp, drive, http_complete, post
from bench.nodes import replicated
from bench.stack import Stack, daemon
from bench.table import Rows

ROUNDS = 3  # in turns: the speed of a machine changes
AT_ONCE = (1, 32)
INBOXES = 64
FOLDERS = ("/tmp", "/dev/shm")  # the second is no disk: what is left is the work of the processes
Way = Callable[[str], tuple[Callable[[], socket.socket], Iterator[bytes], Callable[[bytes], bool]]]


#: one SET, and with it what makes the fence: the least that any client of such servers waits
PLAIN = ("SET k x",)
FENCED = ("SET k x", "WAIT {replicas} 500", "WAITAOF 1 1 500")


def run(seconds: float) -> Rows:
    """Measure sends on one primary by two daemons, of which one waits for the replicas; `of unfenced` compares p50.

    Beside them SETs of a bare client to the same servers, which share this machine's cores and disk, or no disk.
    """
    rows: Rows = []
    for replicas, folder in itertools.product((1, 2), FOLDERS):
        with replicated(replicas, folder) as port:
            url = f"redis://127.0.0.1:{port}"
            with _daemon(url, "plain:", 0) as plain, _daemon(url, "fenced:", 1) as fenced:
                about = {"replicas": replicas, "data in": folder}
                ways = {"unfenced": _by_http(plain), "fenced": _by_http(fenced)}
                rows += [about | row for at_once in AT_ONCE for row in _pair("send", ways, at_once, seconds)]
                ways = {"unfenced": _by_hand(port, PLAIN, 0), "fenced": _by_hand(port, FENCED, replicas)}
                rows += [about | row for row in _pair("SET", ways, 1, seconds)]
    return rows


def _daemon(url: str, prefix: str, replicas: int):  # type: ignore[no-untyped-def]
    return daemon(
        POSTINO_VALKEY_URL=url,
        POSTINO_KEY_PREFIX=prefix,
        POSTINO_REPLICAS=str(replicas),
        POSTINO_MAX_INBOX="100000",
        POSTINO_LOG_LEVEL="warning",
    )


def _by_http(stack: Stack) -> Way:
    return lambda run: (lambda: dial_tcp("127.0.0.1", stack.port), _sends(stack.port, run), http_complete)


def _by_hand(port: int, commands: tuple[str, ...], replicas: int) -> Way:
    request = "".join(f"{each}\r\n" for each in commands).format(replicas=replicas).encode()
    answer = b"+OK\r\n" + (f":{replicas}\r\n*2\r\n:1\r\n:{replicas}\r\n".encode() if replicas else b"")

    def complete(data: bytes) -> bool:
        if len(data) >= len(answer) and data[:5] != answer[:5]:
            raise RuntimeError(f"unexpected response: {data[:300]!r}")
        return len(data) >= len(answer)

    return lambda run: (lambda: dial_tcp("127.0.0.1", port), itertools.repeat(request), complete)


def _pair(what: str, ways: dict[str, Way], at_once: int, seconds: float) -> Rows:
    rounds: dict[str, list[Measured]] = {each: [] for each in ways}
    for turn in range(ROUNDS):
        for each, way in ways.items():
            dial, requests, complete = way(f"{at_once}-{turn}")
            rounds[each].append(drive(dial, requests, complete, at_once, seconds))
    best = {each: min(found, key=lambda one: one.percentile_ms(50)) for each, found in rounds.items()}
    return [
        {
            "what": f"{what}, {each}",
            "at once": at_once,
            "per second": round(found.per_second),
            "p50 ms": round(found.percentile_ms(50), 2),
            "p99 ms": round(found.percentile_ms(99), 2),
            "of unfenced": f"{found.percentile_ms(50) / best['unfenced'].percentile_ms(50):.2f}",
        }
        for each, found in best.items()
    ]


def _sends(port: int, run: str) -> Iterator[bytes]:
    for number in range(INBOXES):  # known recipients: a send to an unknown name also looks for similar names
        yield post(f"/api/agents/sink-{number}/heartbeat", b"{}", port)
    for number in itertools.count():
        body = {"to": f"sink-{number % INBOXES}", "from": "bench", "body": "x" * 200, "id": f"{run}-{number}"}
        yield post("/api/messages", json.dumps(body).encode(), port)
