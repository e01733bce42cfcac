"""Wait for a condition. Each wait has a deadline, and none is a pause."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

PATIENCE_S = 30.0  # a deadline: a machine with ten times more to do than cores still meets it
POLL_S = 0.02


def until(
    condition: Callable[[], Any],
    what: str = "the condition holds",
    seconds: float = PATIENCE_S,
    *,
    poll_s: float = POLL_S,
) -> Any:
    """Wait for a condition; return its first true value. `poll_s`: between two looks, more for a look that is dear."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {seconds} s until {what}"
        time.sleep(poll_s)
    return found


async def eventually(
    condition: Callable[[], Any],
    what: str = "the condition holds",
    seconds: float = PATIENCE_S,
    *,
    poll_s: float = POLL_S,
) -> Any:
    """Wait for a condition, plain or async; return its first true value."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < end, f"waited {seconds} s until {what}"
        await asyncio.sleep(poll_s)
