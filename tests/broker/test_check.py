"""Checking: the counts of what a read could give now."""

from __future__ import annotations

import asyncio

import pytest

from postino.broker import Broker


async def counts(broker: Broker, agent: str = "bob") -> tuple[int, int]:
    check = await broker.agents.check(agent)
    return check.unread_messages, check.unseen_broadcasts


async def test_nothing_waits_for_a_name_never_seen_and_asking_makes_no_agent(broker: Broker) -> None:
    assert await counts(broker, "nobody") == (0, 0)
    assert (await broker.agents.page(50, 0))[1] == 0


async def test_unread_and_unseen_are_counted(broker: Broker, send, say) -> None:
    for number in range(3):
        await send(broker, f"m{number}")
    await say(broker, "b1")

    assert await counts(broker) == (3, 1)


async def test_leased_and_delayed_messages_do_not_count_until_they_are_due(open_broker, send, due) -> None:
    broker = await open_broker(message_lease=1)
    for number in range(4):
        await send(broker, f"m{number}")
    await broker.mail.read("bob", "s1", limit=3)
    await broker.mail.nack("bob", "s1", ["m0"])
    await broker.mail.nack("bob", "s1", ["m1"], delay_ms=60_000)
    assert await counts(broker) == (2, 0)
    await broker.mail.read("bob", "s2", ack_now=True)

    await due(broker)  # the lease of m2

    assert await counts(broker) == (1, 0)


async def test_acknowledged_cleared_and_dead_messages_do_not_count(open_broker, send) -> None:
    broker = await open_broker(max_deliveries=1)
    for id in ("acked", "dead", "cleared"):
        await send(broker, id)
        assert await counts(broker) == (1, 0)
        await broker.mail.read("bob", "s1")
        if id == "acked":
            await broker.mail.ack("bob", "s1", [id])
        elif id == "dead":
            await broker.mail.nack("bob", "s1", [id])
        else:
            await broker.mail.clear("bob")
        assert await counts(broker) == (0, 0)


async def test_what_outlived_its_time_does_not_count_and_leaves(open_broker, send, say, eventually, events) -> None:
    broker = await open_broker(msg_ttl=1)
    for number in range(3):
        await send(broker, f"m{number}")
    await say(broker, "b1")

    async def nothing() -> bool:
        return await counts(broker) == (0, 0)

    await eventually(nothing, "everything is too old")
    assert [each.data["id"] for each in await events(broker, "msg_expired")] == ["m0", "m1", "m2"]
    assert (await broker.mail.peek("bob", 50, 0))[1] == 0


async def test_the_count_is_what_a_read_gives_whatever_happened_before(broker: Broker, send) -> None:
    await asyncio.gather(*(send(broker, f"m{number}") for number in range(30)))
    held = [each.id for each in (await broker.mail.read("bob", "s1", limit=20)).items]
    await broker.mail.ack("bob", "s1", held[:5])
    await broker.mail.nack("bob", "s1", held[5:10])
    await broker.mail.nack("bob", "s1", held[10:12], delay_ms=60_000)
    await broker.mail.undo_read("bob", "s1", held[12:14])

    unread, _ = await counts(broker)

    assert unread == 10 + 5 + 2
    assert len((await broker.mail.read("bob", "s2", limit=200)).items) == unread
    assert await counts(broker) == (0, 0)


async def test_the_counts_of_many_agents_are_not_counted_anew_for_every_asker(
    broker: Broker, send, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(broker, "m1")
    assert (await broker.stats())["messageCount"] == 1
    monkeypatch.setattr("postino.broker.broker.MANY", 0)
    assert (await broker.stats())["messageCount"] == 1

    trips = broker.round_trips
    assert (await broker.stats())["agentCount"] == 1
    assert broker.round_trips - trips <= 2

    await send(broker, "m2")
    broker._counted_until = 0.0
    assert (await broker.stats())["messageCount"] == 2
