"""An idle daemon: its memory and CPU alone, and with 100 connected sessions."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from typing import BinaryIO

from bench.load import dial_unix
from bench.processes import cpu_s, memory_mb
from bench.stack import Stack, daemon
from bench.start import HELLO
from bench.table import Rows

SESSIONS = 100
SETTLE_S = 0.5  # after the last session has joined


def run(seconds: float) -> Rows:
    """Measure for `seconds` each. The sessions are those of relays, each with an agent of its own, all from here."""
    with daemon(POSTINO_LOG_LEVEL="warning") as stack, contextlib.ExitStack() as close:
        rows = [_row("no session yet", stack, seconds)]
        for number in range(SESSIONS):
            connection = close.enter_context(dial_unix(f"{stack.home}/daemon.sock"))
            _join(connection, close.enter_context(connection.makefile("rb")), number)
            if number == 0:
                rows.append(_row("1 session", stack, seconds))
        rows.append(_row(f"{SESSIONS} sessions", stack, seconds))
    return rows


def _join(connection: socket.socket, answers: BinaryIO, number: int) -> None:
    hello = {"postino": "hello", "session": f"s-bench-{number}", "generation": 1, "name": f"idle-{number}"}
    _say(connection, hello)
    if json.loads(answers.readline()).get("postino") != "welcome":
        raise RuntimeError("the daemon did not welcome a session")
    _say(connection, HELLO)
    if "result" not in json.loads(answers.readline()):
        raise RuntimeError("the daemon answered no initialize")
    _say(connection, {"jsonrpc": "2.0", "method": "notifications/initialized"})


def _say(connection: socket.socket, message: object) -> None:
    connection.sendall(json.dumps(message, separators=(",", ":")).encode() + b"\n")


def _row(what: str, stack: Stack, seconds: float) -> dict[str, object]:
    time.sleep(SETTLE_S)
    before, began = cpu_s(stack.pid), time.perf_counter()
    time.sleep(seconds)
    percent = (cpu_s(stack.pid) - before) / (time.perf_counter() - began) * 100
    return {"what": what, "daemon MB": round(memory_mb(stack.pid), 1), "CPU %": round(percent, 2)}
