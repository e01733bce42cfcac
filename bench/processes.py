"""What processes cost, as the system counts it: memory, CPU, and the time from start to end."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

COMMAND = (sys.executable, "-m", "postino")


def memory_mb(pid: int) -> float:
    """Return the memory of a process in MB: of what it shares its part (PSS); where that is not told, all (RSS)."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
    except OSError:
        shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True).stdout
        return int(shown) / 1024


def cpu_s(pid: int) -> float:
    """Return the seconds of CPU that the threads of a process have used; Linux counts them in nanoseconds."""
    try:
        threads = Path(f"/proc/{pid}/task").iterdir()
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
    except OSError:  # not on Linux
        shown = subprocess.run(["ps", "-o", "time=", "-p", str(pid)], capture_output=True, text=True, check=True).stdout
        *minutes, seconds = shown.strip().split(":")
        return sum(int(each) * 60.0 ** (at + 1) for at, each in enumerate(reversed(minutes))) + float(seconds)


def in_turn(calls: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Make all calls `rounds` times in turn, so that other work slows all of them; return the seconds that each told.

    Each is made once before, uncounted.
    """
    for call in calls.values():
        call()
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            taken[name].append(call())
    return taken


def run_s(command: Sequence[str], env: Mapping[str, str]) -> float:
    """Return how long a command takes, from its start to its end.

    Raises:
        RuntimeError: it failed.
    """
    began = time.perf_counter()
    done = subprocess.run(command, env=dict(env), capture_output=True, check=False)
    took = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode() or done.stdout.decode()}")
    return took


def median_ms(times: Sequence[float]) -> float:
    """Return the median of seconds in milliseconds."""
    return round(statistics.median(times) * 1000, 1)
