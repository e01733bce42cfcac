"""Callers in this process: each makes one call after the other."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable

from bench.load import Measured


async def repeat(
    call: Callable[[int], Awaitable[object]], at_once: int, seconds: float, at_most: int | None = None
) -> Measured:
    """Make calls, numbered from 0, with `at_once` callers for `seconds`, but not more than `at_most`."""
    numbers: itertools.count[int] = itertools.count()
    latencies: list[float] = []
    started = time.perf_counter()

    async def call_in_a_row() -> None:
        while (began := time.perf_counter()) < started + seconds:
            number = next(numbers)
            if at_most is not None and number >= at_most:
                return
            await call(number)
            latencies.append(time.perf_counter() - began)

    await asyncio.gather(*(call_in_a_row() for _ in range(at_once)))
    return Measured(len(latencies) / (time.perf_counter() - started), latencies)
