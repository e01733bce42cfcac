"""Sends through a bare store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from postino.errors import StoreAway
from postino.model import Sender
from postino.store.entries import packed
from postino.store.pipeline import BATCH_FROM
from postino.store.store import Store

Open = Callable[..., Awaitable[Store]]


async def send(store: Store, id: str, to: str = "bob") -> object:
    sender = Sender(name="ci", via="http")
    values = {
        "id": id, "digest": "d", "sender": sender.name, "message": packed(id, sender, "hello", "", ""),
        "max_inbox": 1000, "ttl_ms": 60_000, "session": "", "marked_until": 0,
    }  # fmt: skip
    return await store.run_named("send", to, **values)


async def stored(store: Store, agent: str = "bob") -> int:
    return int(await store.call("XLEN", store.keys.of("inbox", agent)))


async def refused(call: Awaitable[object]) -> StoreAway:
    with pytest.raises(StoreAway) as refusal:
        await call
    return refusal.value


async def held_up(store: Store, between, call: Callable[[int], Awaitable[object]]) -> list[asyncio.Future[object]]:
    """Start as many calls as go out at once, and hold their replies back: the next call has to wait."""
    await store.call("PING")
    between.gate = asyncio.Semaphore(0)
    calls = [asyncio.ensure_future(call(number)) for number in range(BATCH_FROM)]
    while not between.count(f"sent-{BATCH_FROM - 1}"):  # noqa: ASYNC110 - the proxy counts, it does not call
        await asyncio.sleep(0.001)
    return calls
