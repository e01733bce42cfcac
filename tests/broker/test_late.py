"""An answer that comes after the lease it tells of shows nothing: others may have been given the message."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from postino.broker import Broker
from postino.errors import StoreAway
from tests.waiting import eventually


async def test_a_message_taken_for_longer_than_its_lease_is_not_shown(
    broker: Broker, open_broker: Any, proxy: Any, send: Any
) -> None:
    between = await proxy()
    late = await open_broker(valkey_url=between.url, message_lease=1)
    await send(broker, "m1")
    between.gate = asyncio.Semaphore(0)
    taking = asyncio.create_task(late.mail.take("bob", "late", "m1"))

    async def is_leased() -> bool:
        return (await broker.mail.state("bob", "m1")).state == "leased"

    async def given_to_another() -> bool:
        return bool((await broker.mail.read("bob", "other")).items)

    await eventually(is_leased, "it is taken")
    await eventually(given_to_another, "its lease has ended")
    between.let_go()

    with pytest.raises(StoreAway) as refusal:
        await taking
    assert refusal.value.detail["outcome"] == "unknown"
