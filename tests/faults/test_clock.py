"""Steps of Valkey's clock, on the real server with a library in it that moves the clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from postino.broker import Broker
from postino.config import Settings
from postino.model import Draft, Sender
from tests.faults.stage import Valkey, steered_valkey
from tests.waiting import eventually

HOUR_MS = 3_600_000


@pytest.fixture
async def valkey_to_steer() -> AsyncIterator[Valkey]:
    async with steered_valkey() as server:
        if not server.steerable:
            pytest.skip("no C compiler for a slow fsync")
        yield server


@pytest.fixture
async def moved(valkey_to_steer: Valkey, settings: Settings) -> AsyncIterator[Broker]:
    broker = await Broker.open(replace(settings, valkey_url=valkey_to_steer.url, message_lease=60))
    yield broker
    await broker.close()


async def step(server: Valkey, broker: Broker, clock_ms: int) -> None:
    """Move the clock to `clock_ms` from the true time; return when Valkey has noticed."""
    loop = asyncio.get_running_loop()
    true_ms = await broker.mail._store.now_ms() - server.clock_ms - loop.time() * 1000
    server.steer(clock_ms=clock_ms)

    async def noticed() -> bool:
        ahead = await broker.mail._store.now_ms() - loop.time() * 1000 - true_ms
        return abs(ahead - clock_ms) < 500

    await eventually(noticed, "Valkey has noticed the step")


async def sent(broker: Broker, *ids: str) -> None:
    for id in ids:
        await broker.mail.send(Draft(id=id, to="bob", body=id), Sender(name="ada", via="http"))


async def read(broker: Broker, consumer: str, limit: int = 10) -> list[tuple[str, bool]]:
    batch = await broker.mail.read("bob", consumer, limit=limit)
    return [(each.id, each.redelivered) for each in batch.items]


@pytest.mark.parametrize("undo", [False, True])
async def test_what_was_returned_comes_first_although_the_clock_is_stepped_back(
    moved: Broker, valkey_to_steer: Valkey, undo: bool
) -> None:
    await sent(moved, "m1", "m2", "m3")
    await read(moved, "s1", limit=2)
    await (moved.mail.undo_read if undo else moved.mail.nack)("bob", "s1", ["m1", "m2"])

    await step(valkey_to_steer, moved, -HOUR_MS)

    assert await read(moved, "s1") == [("m1", not undo), ("m2", not undo), ("m3", False)]


async def test_a_lease_that_began_while_the_clock_was_ahead_ends_with_that(
    moved: Broker, valkey_to_steer: Valkey
) -> None:
    await step(valkey_to_steer, moved, HOUR_MS)
    await sent(moved, "m1")
    await read(moved, "gone")

    await step(valkey_to_steer, moved, 0)

    assert await read(moved, "s2") == [("m1", True)]


async def test_a_step_back_may_end_a_lease_and_a_delay_early_but_once_and_labelled(
    moved: Broker, valkey_to_steer: Valkey
) -> None:
    await sent(moved, "m1", "m2")
    await read(moved, "s1")
    await moved.mail.nack("bob", "s1", ["m2"], 60_000)

    await step(valkey_to_steer, moved, -HOUR_MS)

    assert await read(moved, "s2") == [("m1", True), ("m2", True)]
    assert await read(moved, "s3") == []


async def test_what_a_step_back_hides_is_counted_after_housekeeping(moved: Broker, valkey_to_steer: Valkey) -> None:
    await sent(moved, "m1", "m2")
    await read(moved, "s1")
    await moved.mail.nack("bob", "s1", ["m1"])
    await moved.mail.nack("bob", "s1", ["m2"], 60_000)
    await step(valkey_to_steer, moved, -HOUR_MS)

    await moved.housekeeping.sweep()

    assert (await moved.agents.check("bob")).unread_messages == 2


async def test_a_session_is_told_soon_of_what_a_step_back_hides(moved: Broker, valkey_to_steer: Valkey) -> None:
    process = "host:100:5"
    await sent(moved, "m1", "m2")
    waiting = await moved.claude.unnotified("bob", process, "c1")
    await moved.claude.mark_notified(waiting, process, "c1", broadcasts=True, how="socket")
    await read(moved, "s1")
    await moved.mail.nack("bob", "s1", ["m1"], 5_000)
    async with moved.events.subscribe(100) as events:
        await step(valkey_to_steer, moved, -HOUR_MS)
        moved.housekeeping.run_soon()  # its next tick comes within 5 s; the sweep, within 60

        async with asyncio.timeout(30):
            while (event := await events.get()) is None or event.type != "msg_release":
                pass
    assert (event.data["to"], event.data["ids"]) == ("bob", ["m1", "m2"])
    assert (await moved.claude.unnotified("bob", process, "c1")).new_ids == ["m1", "m2"]
