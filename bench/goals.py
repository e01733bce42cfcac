"""What is to be reached, and where in a run the figure stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Scenarios = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure: at least, or at most, `limit`."""

    what: str
    unit: str
    at_most: bool
    limit: float
    find: Callable[[Scenarios], float | None]

    def met(self, value: float) -> bool:
        """Return whether a value reaches it."""
        return value <= self.limit if self.at_most else value >= self.limit


def _cell(scenario: str, what: str, column: str, at_once: int | None = None) -> Callable[[Scenarios], float | None]:
    def find(scenarios: Scenarios) -> float | None:
        for row in scenarios.get(scenario, []):
            if row["what"] == what and at_once in (None, row.get("at once")):
                return None if row[column] is None else float(row[column])
        return None

    return find


def _growth(grown: str) -> Callable[[Scenarios], float | None]:
    def find(scenarios: Scenarios) -> float | None:
        return max((row["growth"] for row in scenarios.get("growth", []) if row["grown"] == grown), default=None)

    return find


HANDLER, TAB = "of a bare aiohttp handler", "a tab: relay from its start to the answer of initialize"
SEND, CHECK, STORE, WAIT = "send over HTTP", "check over HTTP", "send in process", "a message that waits"

GOALS = (
    Goal(f"send over HTTP, 32 at once, {HANDLER}", "", False, 0.50, _cell("throughput", SEND, "of floor", 32)),
    Goal("the same, p99", "ms", True, 10, _cell("throughput", SEND, "p99 ms", 32)),
    Goal("send over HTTP, one connection, of both floors", "", True, 1.6, _cell("latency", "send", "of both floors")),
    Goal(
        f"check over HTTP, 32 at once, {HANDLER}",
        "",
        False,
        0.65,
        _cell("throughput", CHECK, "of floor", 32),
    ),
    Goal("send in process, 32 at once, of a bare XADD", "", False, 0.45, _cell("store", STORE, "of floor", 32)),
    Goal(
        "read + acknowledge in process, 32 at once, of a bare XADD",
        "",
        False,
        0.30,
        _cell("store", "read + acknowledge in process", "of floor", 32),
    ),
    Goal("Valkey's CPU for a send, 32 at once", "µs", True, 40, _cell("store", STORE, "Valkey µs", 32)),
    Goal("memory of a waiting message of 200 bytes", "bytes", True, 650, _cell("store", WAIT, "memory bytes")),
    Goal("append-only file of the same", "bytes", True, 900, _cell("store", WAIT, "file bytes")),
    Goal("growth of the slowest path with known agents", "×", True, 1.3, _growth("known agents")),
    Goal("growth of the slowest path with waiting messages", "×", True, 1.3, _growth("messages wait")),
    Goal("postino send", "ms", True, 40, _cell("start", "postino send", "median ms")),
    Goal("postino check", "ms", True, 40, _cell("start", "postino check", "median ms")),
    Goal("postino read", "ms", True, 40, _cell("start", "postino read", "median ms")),
    Goal("postino up, cold", "ms", True, 400, _cell("start", "postino up, cold", "median ms")),
    Goal("a tab", "ms", True, 25, _cell("start", TAB, "median ms")),
    Goal("ten tabs at once", "ms", True, 120, _cell("start", "10 tabs at once", "median ms")),
    Goal("memory of these ten", "MB", True, 45, _cell("start", "10 tabs at once", "memory MB")),
    Goal("idle daemon with 100 sessions", "MB", True, 100, _cell("idle", "100 sessions", "daemon MB")),
    Goal("its CPU", "%", True, 0.5, _cell("idle", "100 sessions", "CPU %")),
)
