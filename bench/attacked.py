"""The owner's calls while others attack the daemon, compared with the same calls alone."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.stack import daemon
from bench.table import Rows

KINDS = {
    "slow": "beside 300 slow clients",
    "refused": "beside 400 refused requests a second",
    "malformed": "beside 400 malformed requests a second",
    "lines": "beside 400 damaged lines of a relay a second",
}
HEADERS = {"Content-Type": "application/json"}


def run(seconds: float) -> Rows:
    """Measure the calls in turn for `seconds`, alone and beside each kind of attackers."""
    with daemon() as stack:
        times = {"alone": measured(stack.port, stack.home, seconds)}
        for kind, title in KINDS.items():
            with attackers(stack.port, stack.home, kind):
                times[title] = measured(stack.port, stack.home, seconds)
    return [_row(f"{name}, {title}", found[name]) for name in times["alone"] for title, found in times.items()]


@contextlib.contextmanager
def attackers(port: int, home: Path, kind: str) -> Iterator[None]:
    """Let another process attack meanwhile."""
    command = [sys.executable, "-m", "bench.attackers", str(port), str(home), kind]
    root = Path(__file__).resolve().parents[1]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        if process.stdout.readline() != b"open\n":
            raise RuntimeError("the attackers did not start")
        yield


def measured(port: int, home: Path, seconds: float) -> dict[str, list[float]]:
    """Return the times in s of the owner's calls, made in turn. A call that fails raises."""
    kept = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    calls: dict[str, Callable[[], None]] = {
        "send, TCP": lambda: _once(http.client.HTTPConnection("127.0.0.1", port, timeout=30), "messages", _message()),
        "read, TCP, kept open": lambda: _ask(kept, "messages/bob/read", {"ack": "now"}),
        "check, unix socket": lambda: _once(_Unix(home / "daemon.sock"), "check/bob", None),
    }
    taken: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - began)
            time.sleep(0.002)  # as a person's tools pause: the daemon's other work is not starved
    kept.close()
    return taken


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _message() -> dict[str, Any]:
    return {"to": "bob", "from": "owner", "body": "hello"}


def _once(connection: http.client.HTTPConnection, path: str, body: dict[str, Any] | None) -> None:
    with contextlib.closing(connection):
        _ask(connection, path, body)


def _ask(connection: http.client.HTTPConnection, path: str, body: dict[str, Any] | None) -> None:
    data = None if body is None else json.dumps(body)
    connection.request("GET" if data is None else "POST", f"/api/{path}", data, HEADERS if data else {})
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status}")


def _row(name: str, times: list[float]) -> dict[str, Any]:
    ordered = sorted(times)
    return {
        "what": name,
        "calls": len(times),
        "p50 ms": round(statistics.median(times) * 1000, 2),
        "p99 ms": round(ordered[len(ordered) * 99 // 100] * 1000, 2),
        "slowest ms": round(ordered[-1] * 1000, 1),
    }
