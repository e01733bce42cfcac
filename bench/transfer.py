"""`postino export` and `import` of 50,000 messages: time, memory, and how long another caller waits meanwhile."""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

from bench.stack import Stack, daemon, environment
from bench.table import Rows
from postino.client import Client
from postino.paths import Home

MESSAGES = 50_000
AGENTS = 50
SENDERS = 8
BODY = "x" * 500


def run(seconds: float) -> Rows:
    """Return one row per command; `seconds` is not used, the size is fixed."""
    with daemon() as source, daemon() as target:
        _fill(source)
        file = source.home / "mail.ndjson"
        return [
            _measured(source, "export", str(file)),
            _measured(target, "import", "--check", str(file)),
            _measured(target, "import", str(file)),
        ]


def _fill(stack: Stack) -> None:
    def send(first: int) -> None:
        with Client(Home(stack.home).socket) as client:
            for number in range(first, MESSAGES, SENDERS):
                client.send(f"agent{number % AGENTS}", f"{number} {BODY}", sender="bench", id=f"m{number}")

    threads = [threading.Thread(target=send, args=(first,)) for first in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _measured(stack: Stack, *command: str) -> dict[str, object]:
    home = Home(stack.home)
    pid = home.info.read_text().partition('"pid":')[2].partition(",")[0].strip(" }\n")
    before = _rss_mb(pid)
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "postino", *command], env=environment(stack.home), stdout=subprocess.DEVNULL
    )
    slowest = peak = 0.0
    with Client(home.socket) as client:
        while process.poll() is None:
            asked = time.monotonic()
            client.check("nobody")
            slowest, peak = max(slowest, time.monotonic() - asked), max(peak, _rss_mb(pid))
            time.sleep(0.01)
    if process.returncode:
        raise SystemExit(f"{command[0]} failed")
    took = time.monotonic() - began
    return {
        "what": " ".join(["postino", *command[:-1]]),
        "seconds": took,
        "messages per second": MESSAGES / took,
        "command RSS MB": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
        "daemon grew MB": peak - before,
        "slowest other call ms": slowest * 1000,
    }


def _rss_mb(pid: str) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024
