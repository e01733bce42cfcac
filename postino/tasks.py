"""Tasks of asyncio: the end of what runs, and the wait for what may never come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def cancelled(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel tasks, those that there are, and wait for their end; whatever they raise is dropped."""
    running = [each for each in tasks if each is not None]
    for each in running:
        each.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def first_of(wanted: Awaitable[T], ends: Iterable[asyncio.Future[Any]], seconds: float | None = None) -> T | None:
    """Return what `wanted` comes to, or None if one of `ends` is done before, or `seconds` have passed."""
    waiting = asyncio.ensure_future(wanted)
    try:
        await asyncio.wait({waiting, *ends}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return waiting.result() if waiting.done() else None
    finally:
        waiting.cancel()
