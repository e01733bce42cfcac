"""A message that comes back to the inbox is told of once more, and once only, however close in time that is."""

from __future__ import annotations

import asyncio

PROCESS = "host:100:5"


async def test_what_returns_in_the_millisecond_of_a_notification_is_told_of_once(open_broker, send) -> None:
    broker = await open_broker(max_deliveries=1000)
    await send(broker, "m1")
    waiting = await broker.claude.unnotified("bob", PROCESS, "c1")
    for _ in range(50):
        await asyncio.sleep(0.002)  # two returns in one millisecond with a notification between them count as one
        await broker.claude.mark_notified(waiting, PROCESS, "c1")
        await broker.mail.read("bob", "s-1")

        during, _ = await asyncio.gather(  # in one write
            broker.claude.unnotified("bob", PROCESS, "c1"), broker.mail.nack("bob", "s-1", ["m1"])
        )
        await broker.claude.mark_notified(during, PROCESS, "c1")
        waiting = await broker.claude.unnotified("bob", PROCESS, "c1")

        assert during.new_ids + waiting.new_ids == ["m1"]
