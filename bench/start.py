"""What a person waits for: quick commands, the start of the daemon, one tab of a client, ten at once."""

from __future__ import annotations

import contextlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.processes import COMMAND, in_turn, median_ms, memory_mb, run_s
from bench.stack import Stack, daemon, environment
from bench.table import Rows

ROUNDS_A_SECOND = 5
TABS = 10
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}},
}


def run(seconds: float) -> Rows:
    """Measure all in turn, `seconds` times ROUNDS_A_SECOND rounds; each runs to its end. Return medians."""
    rounds = max(1, round(seconds * ROUNDS_A_SECOND))
    with daemon() as stack, _script() as postino:
        relay = [*postino, "mcp"]
        _tab(stack, relay)  # the first one lets the daemon import the MCP SDK
        found = in_turn(_commands(stack, postino), rounds)
        memory: list[float] = []
        calls = {"one": lambda: _tab(stack, relay), "ten": lambda: _tabs(stack, relay, memory)}
        tabs = in_turn(calls, max(1, rounds // 3))
    rows = [_row(what, times) for what, times in found.items()]
    rows.append(_row("postino up, cold", [_up() for _ in range(max(1, rounds // 3))]))
    rows.append(_row("a tab: relay from its start to the answer of initialize", tabs["one"]))
    rows.append(_row(f"{TABS} tabs at once", tabs["ten"]))
    rows[-1]["memory MB"] = round(statistics.median(memory), 1)
    return rows


def _commands(stack: Stack, postino: list[str]) -> dict[str, Callable[[], float]]:
    env = environment(stack.home)
    words = {
        "postino send": ["send", "bob", "hello"],
        "postino check": ["check", "bob"],
        "postino read": ["read", "bob", "--limit", "1"],
        "postino --help": ["--help"],
    }
    calls: dict[str, Callable[[], float]] = {
        "floor: python -c pass": lambda: run_s([sys.executable, "-c", "pass"], env),
    }

    def timed(given: list[str]) -> Callable[[], float]:
        return lambda: run_s([*postino, *given], env)

    return calls | {what: timed(given) for what, given in words.items()}


@contextlib.contextmanager
def _script() -> Iterator[list[str]]:
    """Yield the command of a script as pip and uv install it."""
    with tempfile.TemporaryDirectory(prefix="po") as folder:
        script = Path(folder, "postino")
        script.write_text("import sys\nfrom postino.__main__ import run\nsys.exit(run())\n")
        yield [sys.executable, str(script)]


def _row(what: str, times: list[float]) -> dict[str, object]:
    return {
        "what": what,
        "median ms": median_ms(times),
        "best ms": round(min(times) * 1000, 1),
        "worst ms": round(max(times) * 1000, 1),
        "memory MB": None,
    }


def _up() -> float:
    home = Path(tempfile.mkdtemp(prefix="po", dir="/tmp"))
    env = environment(home)
    try:
        return run_s([*COMMAND, "up"], env)
    finally:
        subprocess.run([*COMMAND, "down"], env=env, check=False, stdout=subprocess.DEVNULL)
        shutil.rmtree(home, ignore_errors=True)


def _tab(stack: Stack, command: list[str]) -> float:
    began = time.perf_counter()
    with _relay(stack, command) as relay:
        _answered(relay)
        return time.perf_counter() - began


def _tabs(stack: Stack, command: list[str], memory: list[float]) -> float:
    """Start TABS relays at once; return when all had their answer, and add their memory to `memory`."""
    with contextlib.ExitStack() as close:
        began = time.perf_counter()
        relays = [close.enter_context(_relay(stack, command)) for _ in range(TABS)]
        for relay in relays:
            _answered(relay)
        took = time.perf_counter() - began
        memory.append(sum(memory_mb(relay.pid) for relay in relays))
        return took


@contextlib.contextmanager
def _relay(stack: Stack, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    relay = subprocess.Popen(command, env=environment(stack.home), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert relay.stdin is not None
    assert relay.stdout is not None
    try:
        relay.stdin.write(json.dumps(HELLO).encode() + b"\n")
        relay.stdin.flush()
        yield relay
    finally:
        relay.stdin.close()
        relay.wait()
        relay.stdout.close()


def _answered(relay: subprocess.Popen[bytes]) -> None:
    assert relay.stdout is not None
    if b'"result"' not in relay.stdout.readline():
        raise RuntimeError("the relay answered no initialize")
