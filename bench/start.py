"""Start times: the daemon from cold, a relay, the help text."""

from __future__ import annotations

import contextlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.stack import Stack, daemon, environment
from bench.table import Rows

COMMAND = [sys.executable, "-m", "postino"]
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}},
}


def run(seconds: float) -> Rows:
    """Measure each start several times and return medians. `seconds` is ignored: each start runs to its end."""
    rows = [_row("python -c pass (floor)", _times(_nothing, 15))]
    rows.append(_row("postino up, cold", _times(_up, 5)))
    rows.append(_row("postino --help", _times(lambda: _run("--help"), 9)))
    with daemon() as stack:
        time.sleep(7)  # the daemon imports the MCP SDK in the background after its start
        taken = [_relay(stack) for _ in range(15)]
        rows.append(_row("relay: spawn to initialize answer", [each[0] for each in taken]))
        rows[-1]["RSS MB"] = round(statistics.median(each[1] for each in taken), 1)
    return rows


def _row(what: str, times: list[float]) -> dict[str, object]:
    return {
        "what": what,
        "median ms": round(statistics.median(times) * 1000),
        "best ms": round(min(times) * 1000),
        "RSS MB": None,
    }


def _times(start: Callable[[], object], count: int) -> list[float]:
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        cleanup = start()
        taken.append(time.perf_counter() - began)
        if callable(cleanup):
            cleanup()
    return taken


def _nothing() -> None:
    subprocess.run([sys.executable, "-c", "pass"], check=True)


def _run(*words: str) -> None:
    subprocess.run([*COMMAND, *words], check=True, stdout=subprocess.DEVNULL)


def _up() -> Callable[[], None]:
    home = Path(tempfile.mkdtemp(prefix="po", dir="/tmp"))
    env = environment(home)
    subprocess.run([*COMMAND, "up"], env=env, check=True, stdout=subprocess.DEVNULL)

    def down() -> None:
        subprocess.run([*COMMAND, "down"], env=env, check=False, stdout=subprocess.DEVNULL)
        shutil.rmtree(home, ignore_errors=True)

    return down


def _relay(stack: Stack) -> tuple[float, float]:
    began = time.perf_counter()
    relay = subprocess.Popen(
        [*COMMAND, "mcp"], env=environment(stack.home), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert relay.stdin is not None
    assert relay.stdout is not None
    relay.stdin.write(json.dumps(HELLO).encode() + b"\n")
    relay.stdin.flush()
    relay.stdout.readline()
    taken = time.perf_counter() - began
    resident = 0.0
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{relay.pid}/status").read_text()
        resident = int(status.split("VmRSS:")[1].split()[0]) / 1024
    relay.stdin.close()
    relay.wait()
    relay.stdout.close()
    return taken, resident
